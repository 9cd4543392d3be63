//! Ground truth from packet lists, by the definitions and without cleverness: whole lists, sorting, sets. It is slow and
//! shares no code with what it checks. RFC 3550 A.1, A.3, A.8; RFC 4737; RFC 5481; RFC 3611 section 4.7.2.

use serde::Serialize;
use std::collections::BTreeMap;

/// What a packet of an RTP stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Audio,
    /// Telephone event (RFC 4733).
    Event,
    /// Comfort noise (RFC 3389).
    Noise,
}

/// One captured RTP packet of a stream, in capture order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketSeen {
    /// Capture time, ns since the epoch.
    pub at: i64,
    /// When it was sent by true time, where known: delays are then exact, free of clock drift.
    pub sent_at: Option<i64>,
    pub seq: u16,
    pub ts: u32,
    pub pt: u8,
    pub marker: bool,
    pub kind: Kind,
    /// Clock rate of its payload type, Hz.
    pub clock: u32,
    /// Bytes of payload on the wire.
    pub payload_len: u32,
    /// Hash of the IP packet: equal for the copies a mirror makes.
    pub fingerprint: u64,
    /// Fewer bytes were captured than sent.
    pub cut_short: bool,
}

/// Copies of a packet that come later than this are not the mirror's.
pub const MIRROR_WINDOW_NS: i64 = 3_000_000;
/// Fixed jitter buffers whose late packets are counted, ms.
pub const BUFFERS_MS: [u32; 7] = [20, 40, 60, 80, 100, 150, 200];
const MAX_DROPOUT: u16 = 3000;
const MAX_MISORDER: u16 = 100;

/// RFC 3550 A.8 jitter sampled after each packet but the first, ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Jitter {
    pub last: f64,
    pub mean: f64,
    pub max: f64,
    pub samples: u64,
}

/// Delay above the smallest delay (PDV, RFC 5481 section 4.2), ms, percentiles by nearest rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pdv {
    pub samples: u64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

/// Packets that a fixed buffer of `buffer_ms` would have discarded: delay above the smallest > buffer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Late {
    pub buffer_ms: u32,
    pub packets: u64,
    /// Of the unique audio packets, 0..=1.
    pub share: f64,
}

/// Everything the oracle says about one stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Numbers {
    pub packets: u64,
    pub unique: u64,
    /// Sequence numbers from the lowest to the highest captured, summed over the segments between restarts.
    pub expected: u64,
    pub lost: u64,
    pub duplicates_network: u64,
    pub duplicates_probe: u64,
    /// Unique packets that came after one with a higher sequence number.
    pub reordered: u64,
    pub restarts: u32,
    pub strays: u64,
    /// In order of sequence.
    pub loss_run_lengths: Vec<u32>,
    /// Over unique audio packets in order of arrival; events and comfort noise left out.
    pub jitter_ms: Jitter,
    /// Over unique audio packets.
    pub pdv_ms: Pdv,
    pub late: Vec<Late>,
    pub max_gap_ms: f64,
    pub telephone_events: u64,
    pub comfort_noise: u64,
    pub markers: u64,
    pub payload_bytes: u64,
    pub cut_short: u64,
    pub first_at: i64,
    pub last_at: i64,
}

/// All numbers of a stream. `drift_ppm` is used for delays only where packets do not say when they were sent.
pub fn numbers(list: &[PacketSeen], drift_ppm: f64) -> Numbers {
    let places = places(&list.iter().map(|p| p.seq).collect::<Vec<_>>());
    let copies = copies(list, &places);
    let unique: Vec<usize> = (0..list.len()).filter(|i| places[*i].is_some() && copies[*i] == Copy::First).collect();
    let mut out = Numbers {
        packets: list.len() as u64,
        unique: unique.len() as u64,
        strays: places.iter().filter(|p| p.is_none()).count() as u64,
        duplicates_network: copies.iter().filter(|c| **c == Copy::Network).count() as u64,
        duplicates_probe: copies.iter().filter(|c| **c == Copy::Mirror).count() as u64,
        telephone_events: list.iter().filter(|p| p.kind == Kind::Event).count() as u64,
        comfort_noise: list.iter().filter(|p| p.kind == Kind::Noise).count() as u64,
        markers: list.iter().filter(|p| p.marker).count() as u64,
        payload_bytes: list.iter().map(|p| u64::from(p.payload_len)).sum(),
        cut_short: list.iter().filter(|p| p.cut_short).count() as u64,
        max_gap_ms: list.windows(2).map(|w| w[1].at - w[0].at).max().unwrap_or(0) as f64 / 1e6,
        first_at: list.first().map_or(0, |p| p.at),
        last_at: list.last().map_or(0, |p| p.at),
        ..Numbers::default()
    };
    let mut segments: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
    for place in unique.iter().filter_map(|i| places[*i]) {
        segments.entry(place.segment).or_default().push(place.ext);
    }
    out.restarts = segments.len().saturating_sub(1) as u32;
    for ext in segments.values_mut() {
        let mut highest = i64::MIN;
        for e in ext.iter() {
            out.reordered += u64::from(*e < highest);
            highest = highest.max(*e);
        }
        ext.sort_unstable();
        out.expected += (ext[ext.len() - 1] - ext[0] + 1) as u64;
        out.loss_run_lengths.extend(ext.windows(2).map(|w| (w[1] - w[0] - 1) as u32).filter(|n| *n > 0));
    }
    out.lost = out.expected - out.unique;
    let audio: Vec<(u32, PacketSeen)> = unique
        .iter()
        .map(|i| (places[*i].map_or(0, |p| p.segment), list[*i]))
        .filter(|(_, p)| p.kind == Kind::Audio)
        .collect();
    out.jitter_ms = jitter(&audio);
    let delays = delays_above_least(&audio.iter().map(|(_, p)| *p).collect::<Vec<_>>(), drift_ppm);
    out.pdv_ms = pdv(&delays);
    out.late = late(&delays);
    out
}

/// Where a packet stands: the segment between restarts and the extended sequence number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequencePlace {
    pub segment: u32,
    pub ext: i64,
}

/// RFC 3550 A.1 without probation, every packet kept: a jump is a restart when the next packet confirms it (then both belong
/// to the new segment), else a stray (`None`).
pub fn places(seqs: &[u16]) -> Vec<Option<SequencePlace>> {
    let mut out: Vec<Option<SequencePlace>> = vec![None; seqs.len()];
    let mut top: Option<SequencePlace> = None;
    let mut held: Option<(usize, u16)> = None;
    for (i, seq) in seqs.iter().enumerate() {
        let Some(highest) = top else {
            out[i] = Some(SequencePlace { segment: 0, ext: i64::from(*seq) });
            top = out[i];
            continue;
        };
        let ahead = seq.wrapping_sub(highest.ext as u16);
        if ahead < MAX_DROPOUT {
            out[i] = Some(SequencePlace { ext: highest.ext + i64::from(ahead), ..highest });
            top = out[i];
        } else if ahead > 0u16.wrapping_sub(MAX_MISORDER) {
            out[i] = Some(SequencePlace { ext: highest.ext - i64::from(0u16.wrapping_sub(ahead)), ..highest });
        } else if let Some((before, _)) = held.filter(|(_, next)| next == seq) {
            let segment = highest.segment + 1;
            out[before] = Some(SequencePlace { segment, ext: i64::from(*seq) - 1 });
            out[i] = Some(SequencePlace { segment, ext: i64::from(*seq) });
            top = out[i];
            held = None;
        } else {
            held = Some((i, seq.wrapping_add(1)));
        }
    }
    out
}

/// What kind of copy a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// Not a copy.
    First,
    Mirror,
    Network,
}

/// A repeated sequence number is the mirror's copy when the same IP packet was captured less than [`MIRROR_WINDOW_NS`] before.
pub fn copies(list: &[PacketSeen], places: &[Option<SequencePlace>]) -> Vec<Copy> {
    let mut seen: BTreeMap<(u32, i64), Vec<PacketSeen>> = BTreeMap::new();
    let kind = |(p, place): (&PacketSeen, &Option<SequencePlace>)| {
        let Some(place) = place else { return Copy::First };
        let before = seen.entry((place.segment, place.ext)).or_default();
        let mirrored = before.iter().any(|b| b.fingerprint == p.fingerprint && p.at - b.at <= MIRROR_WINDOW_NS);
        let copy = match (before.is_empty(), mirrored) {
            (true, _) => Copy::First,
            (false, true) => Copy::Mirror,
            (false, false) => Copy::Network,
        };
        before.push(*p);
        copy
    };
    list.iter().zip(places).map(kind).collect()
}

/// Jitter over packets in order of arrival, each with its segment. The estimate is kept and the pair left out where the
/// segment or the clock changes, where a marker comes with timestamps more than 200 ms off the arrivals, or any packet more than 2 s off.
pub fn jitter(list: &[(u32, PacketSeen)]) -> Jitter {
    let mut j_ms = 0.0;
    let mut out = Jitter::default();
    let mut sum = 0.0;
    for pair in list.windows(2) {
        let ((s0, a), (s1, b)) = (pair[0], pair[1]);
        let d_ms = deviation_ms(&a, &b).abs();
        let anew = s0 != s1 || a.clock != b.clock || d_ms > 2_000.0 || (b.marker && d_ms > 200.0);
        if anew {
            continue;
        }
        j_ms += (d_ms - j_ms) / 16.0;
        sum += j_ms;
        out.samples += 1;
        out.max = f64::max(out.max, j_ms);
    }
    out.last = j_ms;
    out.mean = if out.samples > 0 { sum / out.samples as f64 } else { 0.0 };
    out
}

/// D of RFC 3550 section 6.4.1 in ms: arrival difference less timestamp difference.
pub fn deviation_ms(a: &PacketSeen, b: &PacketSeen) -> f64 {
    let media = f64::from(b.ts.wrapping_sub(a.ts) as i32) * 1e3 / f64::from(a.clock);
    (b.at - a.at) as f64 / 1e6 - media
}

/// Delay of each packet above the smallest, ms. From sending times where every packet has one; else from timestamps of one
/// clock, with a sender that is `drift_ppm` fast.
pub fn delays_above_least(list: &[PacketSeen], drift_ppm: f64) -> Vec<f64> {
    let Some(first) = list.first() else { return Vec::new() };
    let raw: Vec<f64> = if list.iter().all(|p| p.sent_at.is_some()) {
        list.iter().map(|p| (p.at - p.sent_at.unwrap_or(p.at)) as f64 / 1e6).collect()
    } else {
        let media = |p: &PacketSeen| f64::from(p.ts.wrapping_sub(first.ts) as i32) * 1e3 / f64::from(p.clock);
        list.iter().map(|p| (p.at - first.at) as f64 / 1e6 - media(p) * (1.0 - drift_ppm / 1e6)).collect()
    };
    let least = raw.iter().copied().fold(f64::INFINITY, f64::min);
    raw.iter().map(|d| d - least).collect()
}

pub fn pdv(delays: &[f64]) -> Pdv {
    if delays.is_empty() {
        return Pdv::default();
    }
    let mut sorted = delays.to_vec();
    sorted.sort_by(f64::total_cmp);
    Pdv {
        samples: sorted.len() as u64,
        mean: sorted.iter().sum::<f64>() / sorted.len() as f64,
        p50: nearest_rank(&sorted, 50.0),
        p90: nearest_rank(&sorted, 90.0),
        p95: nearest_rank(&sorted, 95.0),
        p99: nearest_rank(&sorted, 99.0),
        max: sorted[sorted.len() - 1],
    }
}

/// Value at index ceil(percent/100 * n), counted from 1. `sorted` must not be empty.
pub fn nearest_rank(sorted: &[f64], percent: f64) -> f64 {
    let rank = (percent * sorted.len() as f64 / 100.0).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// A delay equal to the buffer is on time.
pub fn late(delays: &[f64]) -> Vec<Late> {
    let one = |buffer_ms: u32| {
        let packets = delays.iter().filter(|d| **d > f64::from(buffer_ms)).count() as u64;
        Late { buffer_ms, packets, share: packets as f64 / delays.len().max(1) as f64 }
    };
    BUFFERS_MS.map(one).to_vec()
}

/// Counts over a set of sequence numbers unwrapped to the nearest, without restarts: (unique, duplicates, reordered, lost).
pub fn set_counts(seqs: &[u16]) -> (u64, u64, u64, u64) {
    let mut highest = i64::MIN;
    let mut seen = std::collections::BTreeSet::new();
    let (mut duplicates, mut reordered) = (0, 0);
    for seq in seqs {
        let ext = match highest {
            i64::MIN => i64::from(*seq),
            h => h + i64::from(seq.wrapping_sub(h as u16) as i16),
        };
        if !seen.insert(ext) {
            duplicates += 1;
        } else if ext < highest {
            reordered += 1;
        }
        highest = highest.max(ext);
    }
    let span = seen.first().zip(seen.last()).map_or(0, |(a, b)| (b - a + 1) as u64);
    (seen.len() as u64, duplicates, reordered, span - seen.len() as u64)
}

/// Bursts and gaps of a pattern of slots (`true` = lost or discarded), RFC 3611 section 4.7.2 with exact arithmetic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct BurstGap {
    pub bursts: u64,
    /// Slots from the first to the last bad one of each burst.
    pub burst_slots: u64,
    pub burst_bad: u64,
    pub gap_slots: u64,
    pub gap_bad: u64,
}

/// Groups bad slots with fewer than `gmin` good ones between them; two or more make a burst.
pub fn burst_gap(bad: &[bool], gmin: usize) -> BurstGap {
    let at: Vec<usize> = bad.iter().enumerate().filter(|(_, b)| **b).map(|(i, _)| i).collect();
    let mut out = BurstGap::default();
    for group in at.chunk_by(|a, b| b - a - 1 < gmin) {
        if let [first, .., last] = group {
            out.bursts += 1;
            out.burst_slots += (last - first + 1) as u64;
            out.burst_bad += group.len() as u64;
        } else {
            out.gap_bad += group.len() as u64;
        }
    }
    out.gap_slots = bad.len() as u64 - out.burst_slots;
    out
}

/// Mean length of loss runs over the length expected if losses were independent; 1 at least, and when nothing was lost (G.107).
pub fn burst_ratio(bad: &[bool]) -> f64 {
    let lost = bad.iter().filter(|b| **b).count() as f64;
    let runs = bad.chunk_by(|a, b| a == b).filter(|run| run[0]).count() as f64;
    if runs == 0.0 { 1.0 } else { (lost / runs * (1.0 - lost / bad.len() as f64)).max(1.0) }
}

#[cfg(test)]
#[path = "oracle_tests.rs"]
mod tests;
