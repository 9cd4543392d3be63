//! The mode of a codec with several bit rates, from a known rate or from the size of its packets.

use super::{CodecQuery, PUBLISHED, Published};
use crate::units::Nanos;

/// Speech bits per 20 ms frame by mode (RFC 4867 table 1, 3GPP TS 26.101 and 26.201), slowest first.
pub const AMR_BITS: [(f64, u32); 8] =
    [(4.75, 95), (5.15, 103), (5.9, 118), (6.7, 134), (7.4, 148), (7.95, 159), (10.2, 204), (12.2, 244)];
pub const AMR_WB_BITS: [(f64, u32); 9] = [
    (6.6, 132),
    (8.85, 177),
    (12.65, 253),
    (14.25, 285),
    (15.85, 317),
    (18.25, 365),
    (19.85, 397),
    (23.05, 461),
    (23.85, 477),
];

/// Bytes per 20 ms frame by bit rate (3GPP TS 26.445), slowest first.
const EVS_BYTES: [(f64, f64); 6] = [(9.6, 24.0), (13.2, 33.0), (16.4, 41.0), (24.4, 61.0), (32.0, 80.0), (48.0, 120.0)];

/// Mean payloads at or below this many bytes per frame are silence descriptors: they show no mode.
const SILENCE_BYTES: f64 = 10.0;

/// The slowest mode whose octet-aligned packet (RFC 4867 section 4.4) is not smaller than the mean packet.
///
/// Bandwidth-efficient packets are at most one byte a frame smaller, so both forms give the same mode. Silence
/// descriptors between speech lower the mean; rounding up absorbs a share of them.
pub fn adaptive_mode(query: &CodecQuery, modes: &[(f64, u32)]) -> Option<f64> {
    if let Some(rate) = known_rate(query) {
        return nearest(rate, modes.iter().map(|(kbit_s, _)| *kbit_s));
    }
    let (frames, bytes) = frames_of(query)?;
    if bytes <= SILENCE_BYTES * frames {
        return None;
    }
    let size = |bits: u32| 1.0 + frames * (1.0 + f64::from(bits.div_ceil(8)));
    let fitting = modes.iter().find(|(_, bits)| size(*bits) >= bytes).or(modes.last());
    fitting.map(|(kbit_s, _)| *kbit_s)
}

/// The slowest primary mode whose frame, with up to three bytes of header, is not smaller than the mean packet.
pub fn evs_rate(query: &CodecQuery) -> Option<f64> {
    if let Some(rate) = known_rate(query) {
        return nearest(rate, EVS_BYTES.iter().map(|(kbit_s, _)| *kbit_s));
    }
    let (frames, bytes) = frames_of(query)?;
    if bytes <= SILENCE_BYTES * frames {
        return None;
    }
    let fitting = EVS_BYTES.iter().find(|(_, size)| frames * (size + 3.0) >= bytes).or(EVS_BYTES.last());
    fitting.map(|(kbit_s, _)| *kbit_s)
}

/// Number of 20 ms frames in a packet (one if the packet time is unknown) and its payload.
fn frames_of(query: &CodecQuery) -> Option<(f64, f64)> {
    let bytes = query.payload_bytes.filter(|b| b.is_finite() && *b > 0.0)?;
    let frames = query.ptime.map_or(1.0, |p| (p.as_millis_f64() / 20.0).round().max(1.0));
    Some((frames, bytes))
}

fn known_rate(query: &CodecQuery) -> Option<f64> {
    query.kbit_s.filter(|rate| rate.is_finite() && *rate > 0.0)
}

fn nearest(rate: f64, rates: impl Iterator<Item = f64>) -> Option<f64> {
    rates.min_by(|a, b| (a - rate).abs().total_cmp(&(b - rate).abs()))
}

/// Bit rate in kbit/s, known or that of the payload, taking `usual_ms` where the packet time is unknown.
pub fn bit_rate(query: &CodecQuery, usual_ms: f64) -> Option<f64> {
    if let Some(rate) = known_rate(query) {
        return Some(rate);
    }
    let bytes = query.payload_bytes.filter(|b| b.is_finite() && *b > 0.0)?;
    let ptime = query.ptime.map_or(usual_ms, Nanos::as_millis_f64);
    (ptime > 0.0).then(|| bytes * 8.0 / ptime)
}

/// The fit of the nearest bit rate; the general row where no rate is known or only silence was sent.
pub fn opus_row(query: &CodecQuery) -> Option<&'static Published> {
    const FIT: &str = "Opus SWB VBR";
    let silent = query.kbit_s.is_none() && query.payload_bytes.is_some_and(|b| b <= SILENCE_BYTES);
    match bit_rate(query, 20.0).filter(|_| !silent) {
        None => PUBLISHED.iter().find(|r| r.name == "Opus"),
        Some(rate) => {
            let kbit_s = nearest(rate, PUBLISHED.iter().filter(|r| r.name == FIT).map(|r| r.kbit_s))?;
            PUBLISHED.iter().find(|r| r.name == FIT && r.kbit_s == kbit_s)
        }
    }
}
