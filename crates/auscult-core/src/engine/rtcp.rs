//! RTCP as a second source: what endpoints report, and the round trips it lets a midpoint measure.
//!
//! A report block answers a sender report that passed the probe: the time between both passings, less the time
//! the receiver says it held back (DLSR), is the round trip between the probe and that receiver. The other half
//! comes from the reports of the other side. Only the probe's clock is used (quality-metrics D.5, RFC 3550 6.4.1).

use crate::model::{ReportBlock, RtcpKind, RtcpRecord};
use crate::units::{Nanos, NtpTime, Seeded, Ssrc, Timestamp};
use crate::wire::rtcp::{RtcpPacket, XrBlock};
use hashbrown::HashMap;
use std::net::SocketAddr;

/// Sender reports remembered per SSRC; a receiver answers one of the last few.
const REMEMBERED: usize = 8;
/// A longer round trip is a wrong clock or an old report.
const MAX_RTT: Nanos = Nanos::from_secs(10);
/// Jitter beyond a minute of the fastest clock is no jitter.
const MAX_JITTER_TICKS: u32 = 60 * 90_000;
/// An SSRC not heard of for this long is forgotten.
const FORGET: Nanos = Nanos::from_secs(120);

#[derive(Debug, Default)]
struct Sender {
    reports: [(u32, Timestamp); REMEMBERED],
    next: usize,
    /// Round trips between the probe and whoever receives this SSRC.
    half: Half,
    /// SSRC of that receiver's own reports.
    receiver: Option<Ssrc>,
    last_at: Timestamp,
}

/// Round trips that wait until it is known whether the clock was set.
const WAITING: usize = 4_096;

#[derive(Clone, Copy, Debug, Default)]
struct Half {
    sum: i64,
    count: i64,
}

impl Half {
    fn add(&mut self, rtt: Nanos) {
        self.sum += rtt.0;
        self.count += 1;
    }

    fn mean(&self) -> Option<Nanos> {
        (self.count > 0).then(|| Nanos(self.sum / self.count))
    }
}

pub struct RttEstimator {
    senders: HashMap<Ssrc, Box<Sender>, Seeded>,
    max_senders: usize,
    /// Reports that found no room for their sender: no round trip comes of them.
    pub refused: u64,
    /// The clock may have been set: reports earlier than this may have been sent before.
    suspicion: Option<Timestamp>,
    /// Round trips of senders that began earlier.
    waiting: Vec<(Ssrc, Nanos)>,
    /// Round trips that found no place there.
    pub left_out: u64,
}

/// Fields of a record every kind shares.
struct Seen {
    at: Timestamp,
    src: SocketAddr,
    dst: SocketAddr,
}

impl RttEstimator {
    pub fn new(max_senders: usize, hasher: Seeded) -> RttEstimator {
        RttEstimator {
            senders: HashMap::with_hasher(hasher),
            max_senders,
            refused: 0,
            suspicion: None,
            waiting: Vec::new(),
            left_out: 0,
        }
    }

    /// Takes one RTCP packet of a compound; records are pushed without call and stream.
    pub fn packet(
        &mut self,
        at: Timestamp,
        src: SocketAddr,
        dst: SocketAddr,
        packet: &RtcpPacket<'_>,
        out: &mut Vec<RtcpRecord>,
    ) {
        let seen = Seen { at, src, dst };
        match packet {
            RtcpPacket::SenderReport { ssrc, ntp, rtp_ts, packets, bytes, blocks } => {
                self.reference(*ssrc, *ntp, at);
                let mut base = seen.record(RtcpKind::SenderReport, *ssrc);
                base.ntp = Some(*ntp);
                base.rtp_timestamp = Some(*rtp_ts);
                base.sent_packets = Some(*packets);
                base.sent_octets = Some(*bytes);
                self.blocks(*ssrc, base, blocks, out);
            }
            RtcpPacket::ReceiverReport { ssrc, blocks } => {
                let base = seen.record(RtcpKind::ReceiverReport, *ssrc);
                self.blocks(*ssrc, base, blocks, out);
            }
            RtcpPacket::Bye { ssrcs, .. } => out.extend(ssrcs.iter().map(|ssrc| seen.record(RtcpKind::Bye, *ssrc))),
            RtcpPacket::Xr { ssrc, blocks } => {
                for block in blocks {
                    match block {
                        XrBlock::Voip { metrics, out_of_range } => {
                            let mut record = seen.record(RtcpKind::VoipMetrics, *ssrc);
                            record.voip = Some(*metrics);
                            if *out_of_range {
                                record.implausible = "a field RFC 3611 does not allow".to_owned();
                            }
                            out.push(record);
                        }
                        XrBlock::ReceiverReferenceTime(ntp) => self.reference(*ssrc, *ntp, at),
                        XrBlock::Dlrr(entries) => {
                            for entry in entries {
                                // RFC 3611 section 4.5: the same fields and units as LSR and DLSR.
                                let _ = self.half(*ssrc, entry.ssrc, entry.last_rr, entry.delay_since_last_rr, at);
                            }
                        }
                        XrBlock::Statistics(_) => {}
                    }
                }
            }
            _ => {}
        }
    }

    /// Round trip over both halves for a stream, as far as both are known.
    pub fn round_trip(&self, ssrc: Ssrc) -> Option<Nanos> {
        let sender = self.senders.get(&ssrc)?;
        let other = self.senders.get(&sender.receiver?)?;
        Some(sender.half.mean()? + other.half.mean()?)
    }

    /// The clock may have been set now, `until` is the latest time before or after: round trips that began earlier wait.
    pub fn begin_clock_check(&mut self, until: Timestamp) {
        self.suspicion = Some(until);
    }

    /// The clock was set, and reports earlier than `until` may have been sent before, or it was not set. Times on both sides of a step
    /// do not show the time between.
    pub fn resolve_clock_check(&mut self, until: Option<Timestamp>) {
        self.suspicion = None;
        let waiting = std::mem::take(&mut self.waiting);
        if let Some(until) = until {
            for sender in self.senders.values_mut() {
                for report in sender.reports.iter_mut().filter(|(_, at)| *at < until) {
                    *report = (0, Timestamp::default());
                }
            }
            return;
        }
        for (ssrc, rtt) in waiting {
            if let Some(sender) = self.senders.get_mut(&ssrc) {
                sender.half.add(rtt);
            }
        }
    }

    pub fn expire(&mut self, now: Timestamp) {
        self.senders.retain(|_, s| now - s.last_at < FORGET);
    }

    /// The NTP time of a sender report, or of a receiver that sends nothing (RFC 3611 section 4.4), passed the probe.
    fn reference(&mut self, ssrc: Ssrc, ntp: NtpTime, at: Timestamp) {
        if let Some(sender) = self.sender(ssrc, at) {
            sender.reports[sender.next % REMEMBERED] = (ntp.middle32(), at);
            sender.next += 1;
        }
    }

    fn blocks(&mut self, reporter: Ssrc, base: RtcpRecord, blocks: &[ReportBlock], out: &mut Vec<RtcpRecord>) {
        if blocks.is_empty() {
            out.push(base);
            return;
        }
        for block in blocks {
            let mut record = base.clone();
            record.block = Some(*block);
            if block.jitter_ticks > MAX_JITTER_TICKS {
                record.implausible = "jitter above one minute".to_owned();
            }
            match self.half(reporter, block.ssrc, block.last_sr, block.delay_since_last_sr, base.at) {
                Some(Ok(rtt)) => record.rtt_probe_reporter = Some(rtt),
                Some(Err(why)) => record.implausible = why.to_owned(),
                None => {}
            }
            out.push(record);
        }
    }

    /// The half round trip an answer of `reporter` to `about` proves, if the time it answers passed the probe. `held` is
    /// how long it was kept, in 1/65536 s.
    fn half(
        &mut self,
        reporter: Ssrc,
        about: Ssrc,
        answered: u32,
        held: u32,
        at: Timestamp,
    ) -> Option<Result<Nanos, &'static str>> {
        let suspicion = self.suspicion;
        let sender = self.sender(about, at)?;
        sender.receiver = Some(reporter);
        if answered == 0 {
            return None;
        }
        let sent = sender.reports[..sender.next.min(REMEMBERED)].iter().find(|(middle, _)| *middle == answered)?.1;
        let held = Nanos((i128::from(held) * 1_000_000_000 / 65_536) as i64);
        let rtt = (at - sent) - held;
        if rtt < Nanos::ZERO {
            return Some(Err("negative round trip"));
        }
        if rtt > MAX_RTT {
            return Some(Err("round trip above 10 s"));
        }
        if suspicion.is_some_and(|until| sent < until) {
            if self.waiting.len() < WAITING {
                self.waiting.push((about, rtt));
            } else {
                self.left_out += 1;
            }
            return None;
        }
        sender.half.add(rtt);
        Some(Ok(rtt))
    }

    fn sender(&mut self, ssrc: Ssrc, at: Timestamp) -> Option<&mut Sender> {
        if self.senders.len() >= self.max_senders && !self.senders.contains_key(&ssrc) {
            self.refused += 1;
            return None;
        }
        let sender = &mut **self.senders.entry(ssrc).or_default();
        sender.last_at = at;
        Some(sender)
    }
}

impl Seen {
    fn record(&self, kind: RtcpKind, reporter: Ssrc) -> RtcpRecord {
        RtcpRecord {
            at: self.at,
            src: self.src,
            dst: self.dst,
            kind,
            reporter,
            call_uid: None,
            stream: None,
            ntp: None,
            rtp_timestamp: None,
            sent_packets: None,
            sent_octets: None,
            block: None,
            voip: None,
            vq: None,
            rtt_probe_reporter: None,
            implausible: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::rtcp::DlrrEntry;

    fn report(ssrc: Ssrc, ntp: u64, about: Ssrc, last_sr: u32, dlsr: u32) -> RtcpPacket<'static> {
        RtcpPacket::SenderReport {
            ssrc,
            ntp: NtpTime(ntp),
            rtp_ts: 0,
            packets: 0,
            bytes: 0,
            blocks: vec![ReportBlock {
                ssrc: about,
                fraction_lost: 0,
                cumulative_lost: 0,
                highest_seq: 0,
                jitter_ticks: 0,
                last_sr,
                delay_since_last_sr: dlsr,
            }],
        }
    }

    /// The worked example of RFC 3550 section 6.4.1 seen from the middle, with figures of `rtt_example.json`:
    /// truth 75 ms to B and back, 30 ms to A and back.
    #[test]
    fn both_halves_by_the_probes_clock_alone() {
        let mut rtt_estimator = RttEstimator::new(10, Seeded::new(1));
        let (a, b) = (Ssrc(0xa), Ssrc(0xb));
        let (addr_a, addr_b): (SocketAddr, SocketAddr) =
            ("192.0.2.1:5001".parse().unwrap(), "192.0.2.2:5001".parse().unwrap());
        let at = |s: f64| Timestamp((s * 1e9) as i64);
        let mut out = Vec::new();
        rtt_estimator.packet(at(1.015), addr_a, addr_b, &report(a, 0x1_0000_0000, b, 0, 0), &mut out);
        rtt_estimator.packet(at(2.390), addr_b, addr_a, &report(b, 0x2_0000_0000, a, 0x1_0000, 85_196), &mut out);
        rtt_estimator.packet(at(4.520), addr_a, addr_b, &report(a, 0x3_0000_0000, b, 0x2_0000, 137_625), &mut out);
        let ms: Vec<f64> = out.iter().filter_map(|r| r.rtt_probe_reporter).map(Nanos::as_millis_f64).collect();
        assert!((ms[0] - 75.012).abs() < 0.001, "{ms:?}");
        assert!((ms[1] - 30.009).abs() < 0.001, "{ms:?}");
        let sum = rtt_estimator.round_trip(a).unwrap().as_millis_f64();
        assert!((sum - 105.021).abs() < 0.001, "{sum}");
        assert_eq!(rtt_estimator.round_trip(a), rtt_estimator.round_trip(b));
    }

    /// A receiver that sends no media learns its round trip by RRTR and DLRR (RFC 3611 sections 4.4 and 4.5); the probe
    /// learns the half towards the sender from the same pair.
    #[test]
    fn a_silent_receiver_gives_a_half_by_extended_reports() {
        let mut rtt_estimator = RttEstimator::new(10, Seeded::new(1));
        let (talker, listener) = (Ssrc(0xa), Ssrc(0xb));
        let addr: SocketAddr = "192.0.2.1:5001".parse().unwrap();
        let at = |ms: i64| Timestamp(ms * 1_000_000);
        let mut out = Vec::new();
        let mut take = |ms: i64, packet: RtcpPacket<'_>| rtt_estimator.packet(at(ms), addr, addr, &packet, &mut out);
        let sr = |ntp| RtcpPacket::SenderReport {
            ssrc: talker,
            ntp: NtpTime(ntp),
            rtp_ts: 0,
            packets: 0,
            bytes: 0,
            blocks: vec![],
        };
        take(1000, sr(0x1_0000_0000));
        // The listener answers the SR after half a second: 70 ms between the probe and the listener.
        let block = ReportBlock {
            ssrc: talker,
            fraction_lost: 0,
            cumulative_lost: 0,
            highest_seq: 0,
            jitter_ticks: 0,
            last_sr: 0x1_0000,
            delay_since_last_sr: 32_768,
        };
        take(1570, RtcpPacket::ReceiverReport { ssrc: listener, blocks: vec![block] });
        let reference = vec![XrBlock::ReceiverReferenceTime(NtpTime(0x5_0000_0000))];
        take(1570, RtcpPacket::Xr { ssrc: listener, blocks: reference });
        // The talker answers that after a second: 30 ms between the probe and the talker.
        let entry = DlrrEntry { ssrc: listener, last_rr: 0x5_0000, delay_since_last_rr: 65_536 };
        take(2600, RtcpPacket::Xr { ssrc: talker, blocks: vec![XrBlock::Dlrr(vec![entry])] });
        assert_eq!(rtt_estimator.round_trip(talker), Some(Nanos::from_millis(100)));
    }

    /// A report before a step of the clock is answered after it.
    #[test]
    fn a_round_trip_over_a_clock_step_is_dropped() {
        for stepped in [false, true] {
            let mut rtt_estimator = RttEstimator::new(10, Seeded::new(1));
            let (a, b) = (Ssrc(0xa), Ssrc(0xb));
            let addr: SocketAddr = "192.0.2.1:5001".parse().unwrap();
            let at = |ms: i64| Timestamp(ms * 1_000_000);
            let mut out = Vec::new();
            rtt_estimator.packet(at(1_000), addr, addr, &report(a, 1 << 32, b, 0, 0), &mut out);
            // The clock is set forward by 1.5 s, or nothing came for as long.
            rtt_estimator.begin_clock_check(at(2_900));
            rtt_estimator.packet(at(3_000), addr, addr, &report(b, 2 << 32, a, 0x1_0000, 0), &mut out);
            assert_eq!(out.last().unwrap().rtt_probe_reporter, None);
            rtt_estimator.resolve_clock_check(stepped.then_some(at(2_900)));
            rtt_estimator.packet(at(3_530), addr, addr, &report(a, 3 << 32, b, 0x2_0000, 32_768), &mut out);
            let expected = if stepped { None } else { Some(Nanos::from_millis(2_030)) };
            assert_eq!(rtt_estimator.round_trip(a), expected);
            // An answer to what was sent before the step comes late.
            rtt_estimator.packet(at(3_600), addr, addr, &report(b, 4 << 32, a, 0x1_0000, 0), &mut out);
            assert_eq!(out.last().unwrap().rtt_probe_reporter.is_some(), !stepped);
        }
    }

    #[test]
    fn an_impossible_round_trip_is_kept_and_marked() {
        let mut rtt_estimator = RttEstimator::new(10, Seeded::new(1));
        let at = |ms: i64| Timestamp(ms * 1_000_000);
        let addr: SocketAddr = "192.0.2.1:5001".parse().unwrap();
        let sr = RtcpPacket::SenderReport {
            ssrc: Ssrc(1),
            ntp: NtpTime(1 << 32),
            rtp_ts: 0,
            packets: 0,
            bytes: 0,
            blocks: vec![],
        };
        let block = ReportBlock {
            ssrc: Ssrc(1),
            fraction_lost: 0,
            cumulative_lost: 0,
            highest_seq: 0,
            jitter_ticks: 0,
            last_sr: 0x1_0000,
            delay_since_last_sr: 65_536,
        };
        let rr = RtcpPacket::ReceiverReport { ssrc: Ssrc(2), blocks: vec![block] };
        let mut out = Vec::new();
        rtt_estimator.packet(at(0), addr, addr, &sr, &mut out);
        rtt_estimator.packet(at(500), addr, addr, &rr, &mut out);
        assert_eq!(out[1].implausible, "negative round trip");
        assert_eq!(out[1].rtt_probe_reporter, None);
        assert_eq!(rtt_estimator.round_trip(Ssrc(1)), None);
    }
}
