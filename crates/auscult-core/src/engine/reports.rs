//! RTCP datagrams: which of them are about a call or stream that is known, and what is stated of them.

use super::{Core, Sink, shard_of};
use crate::media::{Endpoint, FlowKey};
use crate::model::{CallUid, Ignored, Outcome, RtcpKind, RtcpRecord};
use crate::units::{Ssrc, Timestamp};
use crate::wire::rtcp::{RtcpPacket, XrBlock};
use crate::wire::{Datagram, rtcp as wire_rtcp};
use smallvec::SmallVec;
use std::net::SocketAddr;

/// What is known of the streams that a datagram's reports are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Its addresses are those of a call or a stream.
    Addresses,
    /// At most some of its sources are measured.
    Sources,
}

/// Rows that the BYE packets of one datagram make at most.
const MAX_BYES: usize = 32;

impl Core {
    /// `None` where the outcome is not known yet: the datagram waits for its stream.
    pub(super) fn rtcp(&mut self, at: Timestamp, datagram: &Datagram<'_>, out: &mut dyn Sink) -> Option<Outcome> {
        let (key, ip_id) = (self.copies.key(datagram.src, datagram.dst, datagram.payload), datagram.path.ip_id);
        if let Some(call) = self.copies.of(key, at, ip_id) {
            self.correlator.rtcp_copied(call);
            return Some(Outcome::Ignored(Ignored::RtcpCopy));
        }
        let Datagram { src, dst, payload, wire_len, .. } = *datagram;
        let found = self.reports(at, (src, dst), payload, wire_len, out);
        self.copies.remember(key, at, ip_id, found.unwrap_or_default());
        match found {
            Some(_) => Some(Outcome::Rtcp),
            None if self.early.keep(at, src, dst, payload, wire_len) => None,
            None => Some(Outcome::Ignored(Ignored::UnknownRtcp)),
        }
    }

    /// The same for a report that does not wait.
    pub(super) fn rtcp_at_once(&mut self, at: Timestamp, datagram: &Datagram<'_>, out: &mut dyn Sink) -> Outcome {
        let Datagram { src, dst, payload, wire_len, .. } = *datagram;
        match self.reports(at, (src, dst), payload, wire_len, out) {
            Some(_) => Outcome::Rtcp,
            None => Outcome::Ignored(Ignored::UnknownRtcp),
        }
    }

    /// States the reports of a datagram and returns their call; `None`, and nothing is stated, where no call and no stream
    /// is known that they may be about.
    fn reports(
        &mut self,
        at: Timestamp,
        (src, dst): (SocketAddr, SocketAddr),
        payload: &[u8],
        wire_len: usize,
        out: &mut dyn Sink,
    ) -> Option<Option<CallUid>> {
        let known = match self.correlator.knows_rtcp_between(src, dst, at) {
            true => Known::Addresses,
            false => Known::Sources,
        };
        if known == Known::Sources {
            let packets = wire_rtcp::packets(payload, wire_len).flatten();
            let named = packets.filter_map(|packet| names_known(&packet, |ssrc| self.correlator.knows_ssrc(ssrc)));
            // Encrypted reports and feedback make no rows.
            if named.reduce(|a, b| a || b) == Some(false) {
                return None;
            }
        }
        let mut records = Vec::new();
        for packet in wire_rtcp::packets(payload, wire_len).flatten() {
            self.correlator.rtt_estimator.packet(at, src, dst, &packet, &mut records);
        }
        let before = records.len();
        keep_known(&mut records, known, |ssrc| self.correlator.knows_ssrc(ssrc));
        self.rtcp_rows_left_out += (before - records.len()) as u64;
        let (shards, hasher) = (&self.shards, &self.hasher);
        let find = |key: &FlowKey| shards[shard_of(shards.len(), hasher, key)].find(key);
        let mut call = None;
        for record in records {
            call = self.correlator.report(record, &find, out).or(call);
        }
        Some(call)
    }

    /// States what was reported about these media addresses before anything was known of them.
    pub(super) fn early_reports(&mut self, media: &[Endpoint], at: Timestamp, out: &mut dyn Sink) {
        for early in self.early.take(media, at) {
            let found = self.reports(early.at, (early.src, early.dst), &early.bytes, early.wire_len, out);
            self.count(if found.is_some() { Outcome::Rtcp } else { Outcome::Ignored(Ignored::UnknownRtcp) });
        }
    }

    /// Gives up reports whose stream did not come.
    pub(super) fn give_up_early(&mut self, now: Option<Timestamp>) {
        let given_up = self.early.expire(now);
        self.interval_outcomes.add(Outcome::Ignored(Ignored::UnknownRtcp), given_up);
    }
}

/// Whether `knows` a source that a packet reports from or about; `None` for packets that make no rows.
fn names_known(packet: &RtcpPacket<'_>, knows: impl Fn(Ssrc) -> bool) -> Option<bool> {
    match packet {
        RtcpPacket::SenderReport { ssrc, blocks, .. } | RtcpPacket::ReceiverReport { ssrc, blocks } => {
            Some(knows(*ssrc) || blocks.iter().any(|block| knows(block.ssrc)))
        }
        RtcpPacket::Bye { ssrcs, .. } => Some(ssrcs.iter().any(|ssrc| knows(*ssrc))),
        RtcpPacket::Xr { ssrc, blocks } => {
            let about = |block: &XrBlock| match block {
                XrBlock::Voip { metrics, .. } => knows(metrics.ssrc),
                XrBlock::Dlrr(entries) => entries.iter().any(|entry| knows(entry.ssrc)),
                XrBlock::ReceiverReferenceTime(_) | XrBlock::Statistics(_) => false,
            };
            Some(knows(*ssrc) || blocks.iter().any(about))
        }
        _ => None,
    }
}

/// Leaves the rows that say something of a known call or stream. A row of a report names who made it and what it is about;
/// either must be measured unless the addresses are known. A BYE may name 31 sources in 128 bytes: it makes a row for each
/// one that is measured, and where none is, one row of the first.
fn keep_known(records: &mut Vec<RtcpRecord>, known: Known, knows: impl Fn(Ssrc) -> bool) {
    let mut ended: SmallVec<[Ssrc; 4]> = SmallVec::new();
    let any = records.iter().any(|r| r.kind == RtcpKind::Bye && knows(r.reporter));
    records.retain(|record| match (record.kind, known) {
        (RtcpKind::Bye, _) => {
            let more = ended.len() < MAX_BYES && !ended.contains(&record.reporter);
            let kept = more && if any { knows(record.reporter) } else { known == Known::Addresses && ended.is_empty() };
            if kept {
                ended.push(record.reporter);
            }
            kept
        }
        (_, Known::Addresses) => true,
        (_, Known::Sources) => {
            let about = [record.block.map(|b| b.ssrc), record.voip.map(|v| v.ssrc)];
            knows(record.reporter) || about.into_iter().flatten().any(&knows)
        }
    });
}
