//! What an operator may set: how to measure ([`Policy`]) and how much to hold ([`Limits`]).

use super::{CallRecord, Labels};
use crate::privacy::Privacy;
use crate::units::Nanos;

/// How to measure and judge. Pure data: the same policy on the same frames gives the same events.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Length of an interval row, 1 s to 60 s, aligned to UTC.
    pub interval: Nanos,
    /// Look for RTP without signalling (with probation).
    pub find_unsignalled: bool,
    /// What becomes an event of SIP messages.
    pub messages: MessagePolicy,
    /// Headers of SIP messages that are stored as they came, by name in any case; others are stored by allow-list.
    pub keep_headers: Vec<String>,
    /// How numbers, names and Call-IDs are stated.
    pub privacy: Privacy,
    /// A stream of no call without packets for this long is over. A stream of a call that had 250 packets ends with the call.
    pub stream_timeout: Nanos,
    /// A candidate that was not confirmed within this time is given up.
    pub candidate_timeout: Nanos,
    /// An answered call without signalling and without media for this long is over.
    pub call_timeout: Nanos,
    /// An INVITE without a final answer for this long is over (RFC 3261 Timer C is above 3 minutes).
    pub setup_timeout: Nanos,
    /// A call is held back for this long after its end, so that late media and RTCP still count.
    pub linger: Nanos,
    /// One-way network delay assumed where none was measured; `None` withholds the conversational MOS.
    pub assumed_one_way_delay: Option<Nanos>,
    /// Jitter buffer of the receiver that MOS is rated with: its discards count as loss, its size as delay.
    pub jitter_buffer: JitterBuffer,
}

/// How much of a SIP message becomes an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Messages {
    /// None is kept.
    Off,
    /// Start line and headers.
    Headers,
    /// Session descriptions, too.
    #[default]
    Whole,
}

impl Messages {
    pub fn name(self) -> &'static str {
        match self {
            Messages::Off => "off",
            Messages::Headers => "headers",
            Messages::Whole => "whole",
        }
    }
}

/// How much of SIP messages becomes an event, by trunk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MessagePolicy {
    /// Of calls without a trunk, and of trunks that are not listed.
    pub usual: Messages,
    /// By the name of a trunk.
    pub of_trunks: Vec<(String, Messages)>,
    /// The trunks; empty where none is listed.
    pub labels: Labels,
}

impl MessagePolicy {
    /// The same for all calls.
    pub fn all(usual: Messages) -> MessagePolicy {
        MessagePolicy { usual, ..MessagePolicy::default() }
    }

    pub fn of_call(&self, call: &CallRecord) -> Messages {
        if self.of_trunks.is_empty() {
            return self.usual;
        }
        let trunk = self.labels.trunk_of_call(call);
        self.of_trunks.iter().find(|(name, _)| name == trunk.name).map_or(self.usual, |(_, messages)| *messages)
    }
}

/// A jitter buffer that a stream is rated with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JitterBuffer {
    /// As receivers have it: [`crate::quality::jitter_buffer::Adaptive`], 20 to 200 ms.
    #[default]
    Adaptive,
    /// Late packets are those of the nearest entry of [`super::DISCARD_BUFFERS_MS`].
    Fixed(Nanos),
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            interval: Nanos::from_secs(10),
            find_unsignalled: true,
            messages: MessagePolicy::default(),
            keep_headers: Vec::new(),
            privacy: Privacy::clear(),
            stream_timeout: Nanos::from_secs(60),
            candidate_timeout: Nanos::from_secs(5),
            call_timeout: Nanos::from_secs(2 * 3600),
            setup_timeout: Nanos::from_secs(200),
            linger: Nanos::from_secs(5),
            assumed_one_way_delay: None,
            jitter_buffer: JitterBuffer::Adaptive,
        }
    }
}

/// How much is held at most. Each limit has a counter ([`super::OverLimit`]) and an order in which
/// it is shed (docs/operations.md, "When a table is full"); never a call that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// RTP streams measured at once, over all shards.
    pub streams: usize,
    /// RTP candidates in probation at once, over all shards.
    pub candidates: usize,
    /// Candidates in probation per 5-tuple.
    pub candidates_per_flow: usize,
    /// Calls held at once.
    pub calls: usize,
    /// SIP messages remembered per call; counters go on.
    pub messages_per_call: usize,
    /// Dialog branches (To tags) remembered per call.
    pub branches_per_call: usize,
    /// Expected media endpoints held at once.
    pub media_endpoints: usize,
    /// TCP connections under reassembly.
    pub tcp_connections: usize,
    /// Bytes buffered per TCP direction.
    pub tcp_bytes: usize,
    /// Bytes of IP fragments held.
    pub fragment_bytes: usize,
    /// Largest SIP message parsed, in bytes.
    pub message_bytes: usize,
    /// Bytes of single messages of unknown calls, each kept back until a second one confirms the call.
    pub pending_bytes: usize,
    /// Bytes of records on their way to the store's writer.
    pub queue_bytes: usize,
    /// Groups of streams in one interval. Streams of further codecs are counted in a group named `other` for each trunk,
    /// direction and MOS scale. Codecs that SDP names and this program does not know may take half.
    pub groups: usize,
    /// Largest header block of a SIP message, in bytes: start line, header lines and the empty line.
    pub header_bytes: usize,
    /// How long a challenged INVITE (401, 407) waits for the one with credentials; both are one call then. RFC 3261 section
    /// 22.2 sets no time: users may type their password.
    pub challenge_hold: Nanos,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            streams: 400_000,
            candidates: 65_536,
            candidates_per_flow: 8,
            calls: 200_000,
            messages_per_call: 500,
            branches_per_call: 64,
            media_endpoints: 800_000,
            tcp_connections: 16_384,
            tcp_bytes: 128 * 1024,
            fragment_bytes: 32 * 1024 * 1024,
            message_bytes: 128 * 1024,
            pending_bytes: 64 * 1024 * 1024,
            queue_bytes: 512 * 1024 * 1024,
            groups: 4_096,
            header_bytes: 64 * 1024,
            challenge_hold: Nanos::from_secs(64),
        }
    }
}

/// What one limit may hold at worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Name of the table; that of the limit where it has one of its own.
    pub name: &'static str,
    /// Units held at most.
    pub units: usize,
    /// Bytes of memory that each takes at worst.
    pub bytes: usize,
}

impl Share {
    pub fn total(&self) -> usize {
        self.units.saturating_mul(self.bytes)
    }
}

/// Limits that need more memory than they may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Bytes needed, with every limit that may be lowered at its least.
    pub needed: usize,
    pub allowed: usize,
}

/// Bytes of tables that do not depend on any limit: RTCP that waits for its stream, delays per codec, changes for the page,
/// recycled buffers, spans and intervals with drops.
const FIXED_BYTES: usize = 16 * 1024 * 1024;

/// Limits that follow [`Limits::within`], with the least each may be lowered to.
const SCALED: [(&str, usize); 9] = [
    ("streams", 64),
    ("candidates", 64),
    ("calls", 64),
    ("media_endpoints", 256),
    ("tcp_connections", 4),
    ("fragment_bytes", 128 * 1024),
    ("pending_bytes", 128 * 1024),
    ("queue_bytes", 2 * 1024 * 1024),
    ("groups", 64),
];

impl Limits {
    /// RTCP senders remembered for round trips.
    pub fn rtcp_senders(&self) -> usize {
        self.streams
    }

    /// Reports of ended streams kept for the verdict of calls that go on. A stream that ends with its call needs none.
    pub fn ended_streams(&self) -> usize {
        (self.streams / 2).max(64)
    }

    /// Gaps of one interval that are compared with each other.
    pub fn gaps(&self) -> usize {
        self.streams.clamp(1024, 1 << 17)
    }

    /// RTCP datagrams of one second with which copies are compared.
    pub fn rtcp_copies(&self) -> usize {
        self.streams.clamp(1024, 1 << 16)
    }

    /// Addresses of streams that ended within the last 20 seconds.
    pub fn late_addresses(&self) -> usize {
        self.streams.clamp(1024, 1 << 15)
    }

    /// What each table may hold at worst. Bytes are those that `tests/memory.rs` counts under content chosen to take most, with
    /// everything that belongs to the unit: tables while they grow by doubling, texts, histograms of a stream's whole life,
    /// identities of every message of a call. Traffic that is no attack takes a fraction.
    pub fn shares(&self) -> [Share; 20] {
        let share = |name, units, bytes| Share { name, units, bytes };
        [
            share("streams", self.streams, STREAM),
            share("candidates", self.candidates, CANDIDATE),
            share("calls", self.calls, CALL + MESSAGE * self.messages_per_call + BRANCH * self.branches_per_call),
            share("media_endpoints", self.media_endpoints, MEDIA_ENDPOINT),
            share("tcp_connections", self.tcp_connections, 2 * (self.tcp_bytes + TCP_DIRECTION)),
            share("fragment_bytes", self.fragment_bytes, 1),
            share("pending_bytes", self.pending_bytes, 1),
            share("queue_bytes", self.queue_bytes, 1),
            share("rtcp_senders", self.rtcp_senders(), RTCP_SENDER),
            share("ended_streams", self.ended_streams(), ENDED_STREAM),
            share("gaps", 2 * self.gaps(), GAP),
            share("missing_packets", 1, MISSING_PACKETS),
            share("rtcp_copies", 2 * self.rtcp_copies(), RTCP_COPY),
            share("late_addresses", 2 * self.late_addresses(), LATE_ADDRESS),
            share("live_calls", self.calls, LIVE_CALL),
            share("live_streams", self.streams, LIVE_STREAM),
            share("groups", self.groups, GROUP),
            share("grouped_streams", self.streams, GROUPED_STREAM),
            share("grouped_calls", self.calls, GROUPED_CALL),
            share("fixed", 1, FIXED_BYTES),
        ]
    }

    /// Bytes of memory that all tables take when each is full of what takes most.
    pub fn worst_bytes(&self) -> usize {
        self.shares().iter().fold(0, |sum, share| sum.saturating_add(share.total()))
    }

    /// These limits lowered in proportion, as far as needed for all tables to stay within `bytes`; those named in `kept` stay
    /// as they are.
    ///
    /// # Errors
    /// When they do not fit even at their least.
    pub fn within(&self, bytes: usize, kept: &[&str]) -> Result<Limits, Excess> {
        const WHOLE: usize = 1 << 16;
        let at = |part: usize| {
            let mut limits = self.clone();
            for (name, least) in SCALED.iter().filter(|(name, _)| !kept.contains(name)) {
                if let Some(limit) = limits.named(name) {
                    let scaled = (*limit as u128 * part as u128 / WHOLE as u128) as usize;
                    *limit = scaled.max(*least).min(*limit);
                }
            }
            limits
        };
        let least = at(0).worst_bytes();
        if least > bytes {
            return Err(Excess { needed: least, allowed: bytes });
        }
        let (mut fits, mut exceeds) = (0, WHOLE + 1);
        while exceeds - fits > 1 {
            let middle = usize::midpoint(fits, exceeds);
            if at(middle).worst_bytes() <= bytes { fits = middle } else { exceeds = middle }
        }
        Ok(at(fits))
    }

    fn named(&mut self, name: &str) -> Option<&mut usize> {
        match name {
            "streams" => Some(&mut self.streams),
            "candidates" => Some(&mut self.candidates),
            "calls" => Some(&mut self.calls),
            "media_endpoints" => Some(&mut self.media_endpoints),
            "tcp_connections" => Some(&mut self.tcp_connections),
            "fragment_bytes" => Some(&mut self.fragment_bytes),
            "pending_bytes" => Some(&mut self.pending_bytes),
            "queue_bytes" => Some(&mut self.queue_bytes),
            "groups" => Some(&mut self.groups),
            _ => None,
        }
    }
}

/// Bytes of one unit at worst, see [`Limits::shares`].
const STREAM: usize = 6 * 1024;
const CANDIDATE: usize = 3 * 1024;
const CALL: usize = 14 * 1024;
const MESSAGE: usize = 32;
const BRANCH: usize = 64;
const MEDIA_ENDPOINT: usize = 3 * 1024;
const TCP_DIRECTION: usize = 8 * 1024;
const RTCP_SENDER: usize = 288;
const ENDED_STREAM: usize = 2 * 1024;
const GAP: usize = 288;
/// Eight seconds of milliseconds, with a sample of the streams that miss a packet in each.
const MISSING_PACKETS: usize = 3 * 1024 * 1024;
const RTCP_COPY: usize = 128;
const LATE_ADDRESS: usize = 112;
const LIVE_CALL: usize = 10 * 1024;
const LIVE_STREAM: usize = 340;
const GROUP: usize = 6 * 1024;
const GROUPED_STREAM: usize = 288;
const GROUPED_CALL: usize = 96;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_lowered_in_proportion_until_they_fit() {
        let usual = Limits::default();
        let worst = usual.worst_bytes();
        assert_eq!(usual.within(worst, &[]), Ok(usual.clone()));
        let half = usual.within(worst / 2, &[]).expect("fits");
        assert!(half.worst_bytes() <= worst / 2 && half.worst_bytes() > worst / 2 - worst / 1000);
        let ratio = |of: fn(&Limits) -> usize| of(&half) as f64 / of(&usual) as f64;
        let part = ratio(|l| l.streams);
        assert!(
            [ratio(|l| l.calls), ratio(|l| l.tcp_connections), ratio(|l| l.queue_bytes)]
                .iter()
                .all(|r| (r - part).abs() < 0.001)
        );
        assert_eq!((half.messages_per_call, half.tcp_bytes), (usual.messages_per_call, usual.tcp_bytes));
    }

    #[test]
    fn what_was_set_stays_and_what_cannot_fit_is_refused() {
        let set = Limits { streams: 10_000, ..Limits::default() };
        let bytes = 512 << 20;
        let fitted = set.within(bytes, &["streams"]).expect("fits");
        assert!(fitted.streams == 10_000 && fitted.calls < 10_000 && fitted.worst_bytes() <= bytes);
        let set = Limits { streams: 400_000, ..Limits::default() };
        let excess = set.within(bytes, &["streams"]).expect_err("too much");
        assert!(excess.allowed == bytes && excess.needed > 400_000 * STREAM);
        assert!(Limits::default().within(64 << 20, &[]).is_ok(), "the least that may be configured");
    }
}
