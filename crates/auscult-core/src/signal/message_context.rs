//! One message reduced to what attribution needs: method, CSeq, tags and branch as hashes, direction.

use crate::model::{CallUid, Transport};
use crate::units::Timestamp;
use crate::wire::sip::Message;
use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128, SipHasher24 as SipHasher24_128};
use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};

/// Fixed keys: the same capture gives the same identities on every run and every probe.
const KEYS: (u64, u64) = (0x6175_7363_756c_7431, 0x7369_6720_6361_6c6c);

/// Methods with a meaning to an INVITE session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Prack,
    Update,
    Other,
}

impl Method {
    fn of(name: &[u8]) -> Method {
        match name {
            b"INVITE" => Method::Invite,
            b"ACK" => Method::Ack,
            b"BYE" => Method::Bye,
            b"CANCEL" => Method::Cancel,
            b"PRACK" => Method::Prack,
            b"UPDATE" => Method::Update,
            _ => Method::Other,
        }
    }

    /// Whether its messages may carry an offer or an answer (RFC 3264, 3262, 3311).
    pub fn negotiates(self) -> bool {
        matches!(self, Method::Invite | Method::Ack | Method::Prack | Method::Update)
    }
}

pub(super) struct MessageContext<'m, 'b> {
    pub at: Timestamp,
    pub src: SocketAddr,
    pub dst: SocketAddr,
    pub transport: Transport,
    pub cut_short: bool,
    pub message: &'m Message<'b>,
    pub method: Method,
    pub request: bool,
    /// `None` for requests and for unusable codes.
    pub status: Option<u16>,
    pub cseq: Option<u32>,
    /// Hashes; 0 when there is none.
    pub from_tag: u64,
    pub to_tag: u64,
    pub branch: u64,
    pub vias: u16,
}

impl<'m, 'b> MessageContext<'m, 'b> {
    pub fn new(
        at: Timestamp,
        (src, dst): (SocketAddr, SocketAddr),
        transport: Transport,
        cut_short: bool,
        message: &'m Message<'b>,
    ) -> Self {
        MessageContext {
            at,
            src,
            dst,
            transport,
            cut_short,
            message,
            method: Method::of(message.method()),
            request: message.is_request(),
            status: message.status(),
            cseq: message.cseq().and_then(|c| c.number),
            from_tag: message.from().map_or(0, |a| tag_hash(a.tag)),
            to_tag: message.to().map_or(0, |a| tag_hash(a.tag)),
            branch: tag_hash(message.via_branch().unwrap_or_default()),
            vias: message.via_count(),
        }
    }

    /// An INVITE that opens a dialog, not one inside it.
    pub fn opens_dialog(&self) -> bool {
        self.request && self.method == Method::Invite && self.to_tag == 0
    }

    /// Whether it can only belong to an INVITE session: it may stand for a call that began before the capture.
    pub fn implies_call(&self) -> bool {
        match self.method {
            Method::Other => false,
            _ => self.request || self.status.is_some(),
        }
    }

    /// Equal for the same message sent again from and to the same addresses (RFC 3261 section 17.2.3).
    pub fn identity(&self) -> u64 {
        let mut h = SipHasher24::new_with_keys(KEYS.0, KEYS.1);
        h.write_u8(u8::from(self.request));
        h.write(self.message.method());
        h.write_u32(self.cseq.unwrap_or_default());
        h.write_u64(self.branch);
        h.write_u64(self.from_tag);
        for end in [self.src, self.dst] {
            match end.ip() {
                IpAddr::V4(ip) => h.write(&ip.octets()),
                IpAddr::V6(ip) => h.write(&ip.octets()),
            }
            h.write_u16(end.port());
        }
        if !self.request {
            h.write(self.message.first_line());
            h.write_u64(self.to_tag);
            // Several 183 with other contents may follow each other in one transaction (RFC 3262).
            if self.status.is_some_and(|s| s < 200) {
                h.write(self.message.header_bytes());
                h.write(self.message.body());
            }
        }
        h.finish()
    }

    /// Equal for a request and its answers on one hop (RFC 3261 section 17.1.3). Ports are left out: without `rport` an answer
    /// goes to the port of the Via entry, not to the one the request came from (section 18.2.2).
    pub fn transaction(&self) -> u64 {
        let (asker, answerer) = if self.request { (self.src, self.dst) } else { (self.dst, self.src) };
        let mut h = SipHasher24::new_with_keys(KEYS.0, KEYS.1);
        h.write(self.message.method());
        h.write_u32(self.cseq.unwrap_or_default());
        h.write_u64(self.branch);
        for end in [asker, answerer] {
            match end.ip() {
                IpAddr::V4(ip) => h.write(&ip.octets()),
                IpAddr::V6(ip) => h.write(&ip.octets()),
            }
        }
        h.finish()
    }

    /// The hop's addresses, lower first.
    pub fn hop(&self) -> (IpAddr, IpAddr) {
        let (a, b) = (self.src.ip(), self.dst.ip());
        (a.min(b), a.max(b))
    }
}

fn tag_hash(tag: &[u8]) -> u64 {
    if tag.is_empty() {
        return 0;
    }
    let mut h = SipHasher24::new_with_keys(KEYS.0, KEYS.1);
    h.write(tag);
    h.finish().max(1)
}

/// Key of a Call-ID in the table: a hash of the whole value, whatever its length.
pub(super) fn call_key(call_id: &[u8]) -> u128 {
    let mut h = SipHasher24_128::new_with_keys(KEYS.0, KEYS.1);
    h.write(call_id);
    h.finish128().as_u128()
}

/// Identity of a call: Call-ID and time of its first message.
pub(super) fn call_uid(call_id: &[u8], first_at: Timestamp) -> CallUid {
    let mut h = SipHasher24::new_with_keys(KEYS.0, KEYS.1);
    h.write(call_id);
    h.write(&first_at.0.to_le_bytes());
    CallUid(h.finish())
}
