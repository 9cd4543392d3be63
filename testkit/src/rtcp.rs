//! What a receiver would report (RFC 3550 sections 6.4 and A.3, A.8 in integers), and the bytes of its reports.

use crate::path::MS;
use crate::rng::Rng;
use crate::sender::Sent;
use serde::Serialize;

/// A report as it passed the probe.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Report {
    pub at: i64,
    /// SSRC the report block is about.
    pub about: u32,
    /// Units of 1/256 since the report before.
    pub fraction_lost: u8,
    pub cumulative_lost: i32,
    pub highest_seq: u32,
    /// Ticks of the reported stream's clock.
    pub jitter: u32,
    /// Delay since the last SR, 1/65536 s; 0 with no SR yet.
    pub dlsr: u32,
}

/// One side of the exchange.
pub(crate) struct Side<'a> {
    /// What it sends.
    pub sent: &'a [Sent],
    /// Arrivals of the other side's packets: time and which.
    pub arrivals: &'a [(i64, Sent)],
    /// Delay of its RTCP to the probe and on to the other side, ns, by time.
    pub to_probe: &'a dyn Fn(i64) -> i64,
    pub to_peer: &'a dyn Fn(i64) -> i64,
    /// Its wall clock less true time, ns.
    pub clock_offset: i64,
    pub cname: String,
}

/// An RTCP packet as captured.
pub(crate) struct Captured {
    pub at: i64,
    /// Sent by the first side.
    pub from_first: bool,
    pub bytes: Vec<u8>,
    pub report: Option<Report>,
}

/// Both sides report about every `interval_ms` (0.8 to 1.2 of it) from `start` to `end`, then say BYE.
pub(crate) fn exchange(sides: [&Side; 2], start: i64, end: i64, interval_ms: i64, rng: &mut Rng) -> Vec<Captured> {
    let mut due: Vec<(i64, usize, bool)> = Vec::new();
    for side in [0, 1] {
        let mut at = start;
        loop {
            at += rng.range(interval_ms * 8 / 10, interval_ms * 12 / 10) * MS;
            if at >= end {
                break;
            }
            due.push((at, side, false));
        }
        due.push((end, side, true));
    }
    due.sort_unstable();
    let mut receivers = [Receiver::default(), Receiver::default()];
    let mut sender_reports: [Vec<(i64, u32)>; 2] = [Vec::new(), Vec::new()];
    let mut last_report = [start; 2];
    let mut out = Vec::new();
    for (at, me, bye) in due {
        let (side, other) = (sides[me], 1 - me);
        receivers[me].take_until(side.arrivals, at);
        let before = side.sent.iter().filter(|p| p.at <= at).collect::<Vec<_>>();
        let ssrc = before.last().or(side.sent.first().as_ref()).map_or(0x1000 + me as u32, |p| p.ssrc);
        let active = before.last().is_some_and(|p| p.at > last_report[me]);
        last_report[me] = at;
        let heard = sender_reports[other].iter().rev().find(|(arrived, _)| *arrived <= at);
        let (lsr, dlsr) = heard.map_or((0, 0), |(arrived, middle)| (*middle, (ntp(at - arrived) >> 16) as u32));
        let seen_at = at + (side.to_probe)(at);
        let report = receivers[me].report(seen_at, dlsr);
        let mut bytes = Vec::new();
        if active {
            let own: Vec<_> = before.iter().filter(|p| p.ssrc == ssrc).collect();
            let last = own[own.len() - 1];
            let since = (i128::from(at - last.at) * i128::from(last.clock) / 1_000_000_000) as u32;
            let wall = ntp_wall(at + side.clock_offset);
            sender_reports[me].push((at + (side.to_peer)(at), (wall >> 16) as u32));
            head(&mut bytes, 200, u8::from(report.is_some()), 6 + 6 * u16::from(report.is_some()));
            bytes.extend(ssrc.to_be_bytes());
            bytes.extend(wall.to_be_bytes());
            bytes.extend(last.ts.wrapping_add(since).to_be_bytes());
            bytes.extend((own.len() as u32).to_be_bytes());
            bytes.extend(own.iter().map(|p| p.payload.len() as u32).sum::<u32>().to_be_bytes());
        } else {
            head(&mut bytes, 201, u8::from(report.is_some()), 1 + 6 * u16::from(report.is_some()));
            bytes.extend(ssrc.to_be_bytes());
        }
        if let Some(r) = report {
            bytes.extend(r.about.to_be_bytes());
            bytes.extend(((u32::from(r.fraction_lost) << 24) | (r.cumulative_lost as u32 & 0x00FF_FFFF)).to_be_bytes());
            bytes.extend(r.highest_seq.to_be_bytes());
            bytes.extend(r.jitter.to_be_bytes());
            bytes.extend(lsr.to_be_bytes());
            bytes.extend(dlsr.to_be_bytes());
        }
        source_description(&mut bytes, ssrc, &side.cname);
        if bye {
            head(&mut bytes, 203, 1, 1);
            bytes.extend(ssrc.to_be_bytes());
        }
        out.push(Captured { at: seen_at, from_first: me == 0, bytes, report });
    }
    out
}

/// A receiver's counters, as RFC 3550 A.1, A.3 and A.8 keep them; every packet counts, events too.
#[derive(Default)]
struct Receiver {
    taken: usize,
    source: Option<Source>,
}

struct Source {
    ssrc: u32,
    base: i64,
    highest: i64,
    received: i64,
    expected_prior: i64,
    received_prior: i64,
    transit: i64,
    /// 16 times the jitter.
    jitter16: i64,
    clock: u32,
}

impl Receiver {
    fn take_until(&mut self, arrivals: &[(i64, Sent)], until: i64) {
        while let Some((at, p)) = arrivals.get(self.taken).filter(|(at, _)| *at <= until) {
            self.taken += 1;
            let ticks = (i128::from(*at) * i128::from(p.clock) / 1_000_000_000) as i64;
            let transit = i64::from((ticks as u32).wrapping_sub(p.ts) as i32);
            let source = match &mut self.source {
                Some(s) if s.ssrc == p.ssrc && s.near(p.seq) => s,
                place => place.insert(Source::new(p, transit)),
            };
            source.clock = p.clock;
            source.highest =
                source.highest.max(source.highest + i64::from(p.seq.wrapping_sub(source.highest as u16) as i16));
            source.received += 1;
            let d = i64::from((transit as u32).wrapping_sub(source.transit as u32) as i32).abs();
            source.transit = transit;
            source.jitter16 += d - ((source.jitter16 + 8) >> 4);
        }
    }

    fn report(&mut self, at: i64, dlsr: u32) -> Option<Report> {
        let s = self.source.as_mut()?;
        let expected = s.highest - s.base + 1;
        let (e, r) = (expected - s.expected_prior, s.received - s.received_prior);
        (s.expected_prior, s.received_prior) = (expected, s.received);
        let fraction = if e > r && e > 0 { 256 * (e - r) / e } else { 0 };
        Some(Report {
            at,
            about: s.ssrc,
            fraction_lost: fraction.min(255) as u8,
            cumulative_lost: (expected - s.received).clamp(-0x80_0000, 0x7F_FFFF) as i32,
            highest_seq: s.highest as u32,
            jitter: (s.jitter16 >> 4) as u32,
            dlsr,
        })
    }
}

impl Source {
    fn new(p: &Sent, transit: i64) -> Source {
        let seq = i64::from(p.seq);
        Source {
            ssrc: p.ssrc,
            base: seq,
            highest: seq,
            received: 0,
            expected_prior: 0,
            received_prior: 0,
            transit,
            jitter16: 0,
            clock: p.clock,
        }
    }

    /// Within what A.1 takes as the same run of sequence numbers.
    fn near(&self, seq: u16) -> bool {
        let ahead = seq.wrapping_sub(self.highest as u16);
        !(3_000..=65_436).contains(&ahead)
    }
}

fn head(out: &mut Vec<u8>, packet_type: u8, count: u8, words: u16) {
    out.extend([0x80 | count, packet_type]);
    out.extend(words.to_be_bytes());
}

fn source_description(out: &mut Vec<u8>, ssrc: u32, cname: &str) {
    let mut chunk = ssrc.to_be_bytes().to_vec();
    chunk.extend([1, cname.len() as u8]);
    chunk.extend(cname.as_bytes());
    chunk.push(0);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    head(out, 202, 1, (chunk.len() / 4) as u16);
    out.extend(chunk);
}

/// A span in 1/2^32 s.
fn ntp(ns: i64) -> u64 {
    ((i128::from(ns) << 32) / 1_000_000_000) as u64
}

/// NTP time of a Unix time.
fn ntp_wall(ns: i64) -> u64 {
    ntp(ns).wrapping_add(2_208_988_800 << 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Kind;

    fn arrival(at_ms: i64, seq: u16, ts: u32) -> (i64, Sent) {
        let sent = Sent {
            at: 0,
            ssrc: 7,
            seq,
            ts,
            pt: 0,
            clock: 8000,
            kind: Kind::Audio,
            marker: false,
            rebound: false,
            payload: vec![],
        };
        (at_ms * MS, sent)
    }

    #[test]
    fn a_receiver_counts_like_a3_and_a8() {
        // Times of the `one_late_10ms` vector: 10 ms late once, then on time; J becomes 5, 9, 9 ticks.
        let mut list: Vec<_> = (0..6).map(|i| arrival(i * 20, 1000 + i as u16, i as u32 * 160)).collect();
        list[3].0 += 10 * MS;
        let mut receiver = Receiver::default();
        let mut js = Vec::new();
        for (at, _) in &list {
            receiver.take_until(&list, *at);
            js.push(receiver.report(0, 0).unwrap().jitter);
        }
        assert_eq!(js, [0, 0, 0, 5, 9, 9]);
    }

    #[test]
    fn fractions_are_per_interval() {
        let list: Vec<_> = [0, 1, 2, 5, 6, 7, 8, 9].map(|i| arrival(i * 20, i as u16, i as u32 * 160)).to_vec();
        let mut receiver = Receiver::default();
        receiver.take_until(&list, 100 * MS);
        let first = receiver.report(0, 0).unwrap();
        assert_eq!((first.fraction_lost, first.cumulative_lost), (85, 2), "2 of 6");
        receiver.take_until(&list, 1_000 * MS);
        let second = receiver.report(0, 0).unwrap();
        assert_eq!((second.fraction_lost, second.cumulative_lost, second.highest_seq), (0, 2, 9));
    }

    #[test]
    fn times_have_ntp_form() {
        assert_eq!(ntp(500_000_000), 1 << 31);
        assert_eq!(ntp_wall(0) >> 32, 2_208_988_800);
        // Middle 32 bits of 1.5 s are 0x00018000 in 1/65536 s.
        assert_eq!((ntp(1_500_000_000) >> 16) as u32, 0x0001_8000);
    }
}
