//! The full way from frame to datagram or segment, with reassembly of IP fragments.

use super::cursor::Span;
use super::fragments::{Added, Fragments};
use super::layers::{self, Context, Found, Next};
use super::{Decoded, LinkType};
use crate::model::{Ignored, Layer, Limits, Outcome, OverLimit};
use crate::units::Timestamp;

/// Reassemblies inside one frame: a fragment may hold a tunnel whose packet is a fragment again.
const NESTED_REASSEMBLIES: usize = 3;

/// Decodes frames of any supported link type.
#[derive(Debug)]
pub struct Decoder {
    fragments: Fragments,
    whole: [Vec<u8>; NESTED_REASSEMBLIES],
}

/// What reassembly did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecoderCounters {
    /// Datagrams put together from fragments.
    pub reassembled: u64,
    /// Datagrams dropped because two of their fragments overlapped.
    pub fragments_overlapping: u64,
    /// Datagrams given up because a fragment did not come in time.
    pub fragments_expired: u64,
    /// Datagrams given up, oldest first, to stay within [`Limits::fragment_bytes`].
    pub fragments_evicted: u64,
    /// Bytes of fragments held now, with overhead.
    pub fragment_bytes: usize,
}

impl Decoder {
    pub fn new(limits: &Limits) -> Self {
        Decoder { fragments: Fragments::new(limits.fragment_bytes), whole: Default::default() }
    }

    /// Decodes one frame of `wire_len` bytes, of which `bytes` were captured.
    pub fn decode<'a>(&'a mut self, at: Timestamp, link: LinkType, bytes: &'a [u8], wire_len: usize) -> Decoded<'a> {
        let frame = Span::new(bytes, wire_len.max(bytes.len()));
        match layers::start(link, frame) {
            Ok(next) => go(at, &mut self.fragments, &mut self.whole, Context::default(), next),
            Err(outcome) => Decoded::Done(outcome),
        }
    }

    /// Gives up fragments that waited too long. [`Decoder::decode`] does so too; this only frees memory sooner.
    pub fn expire(&mut self, at: Timestamp) {
        self.fragments.expire(at);
    }

    pub fn counters(&self) -> DecoderCounters {
        let c = self.fragments.counters;
        DecoderCounters {
            reassembled: c.reassembled,
            fragments_overlapping: c.overlapping,
            fragments_expired: c.expired,
            fragments_evicted: c.evicted,
            fragment_bytes: self.fragments.held(),
        }
    }
}

fn go<'a>(
    at: Timestamp,
    fragments: &mut Fragments,
    buffers: &'a mut [Vec<u8>],
    context: Context,
    next: Next<'a>,
) -> Decoded<'a> {
    let fragment = match layers::walk(context, next) {
        Found::Udp(datagram) => return Decoded::Udp(datagram),
        Found::Tcp(segment) => return Decoded::Tcp(segment),
        Found::Nothing(outcome) => return Decoded::Done(outcome),
        Found::Fragment(fragment) => fragment,
    };
    let Some((buffer, more_buffers)) = buffers.split_first_mut() else {
        return Decoded::Done(Outcome::OverLimit(OverLimit::EncapsulationDepth));
    };
    match fragments.add(at, &fragment) {
        Added::Pending => Decoded::Done(Outcome::Ignored(Ignored::Fragment)),
        Added::Overlap => Decoded::Done(Outcome::Malformed(Layer::Ip)),
        Added::TooMany => Decoded::Done(Outcome::OverLimit(OverLimit::Fragments)),
        Added::Whole { bytes, wire } => {
            *buffer = bytes;
            let next = Next::Protocol(fragment.ip, fragment.key.protocol, Span::new(buffer, wire));
            go(at, fragments, more_buffers, fragment.context, next)
        }
    }
}
