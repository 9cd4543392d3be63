//! A fixed jitter buffer, packet by packet: what the late counters of a monitor are held against.
//!
//! A packet is late when its delay exceeds the base by more than the buffer holds. The base is what a receiver could
//! know: over the first 50 packets or the first second the lowest delay among them, looked at before any is judged;
//! in every later second the lowest delay of the last eight full seconds that had packets, or a lower one already seen
//! in the present second. Delays are exact: integers in clock ticks times nanoseconds. Neither clock drift nor jumps
//! of the timestamp are followed here: give it less than 30 s of one segment.

use crate::oracle::{BUFFERS_MS, PacketSeen};

const SETTLE_PACKETS: usize = 50;
const SECOND_NS: i64 = 1_000_000_000;
const WINDOW: usize = 8;

/// Late packets per buffer of [`BUFFERS_MS`]. `list` holds each audio packet once, in order of arrival, at one clock rate.
pub fn late(list: &[PacketSeen]) -> Vec<u64> {
    let above = above_base(list);
    let clock = list.first().map_or(1, |p| i128::from(p.clock));
    BUFFERS_MS
        .iter()
        .map(|ms| above.iter().filter(|d| **d > i128::from(*ms) * 1_000_000 * clock).count() as u64)
        .collect()
}

/// Which packets of such a list a buffer of so many milliseconds finds late.
pub fn late_packets(list: &[PacketSeen], buffer_ms: u32) -> Vec<bool> {
    let clock = list.first().map_or(1, |p| i128::from(p.clock));
    above_base(list).into_iter().map(|d| d > i128::from(buffer_ms) * 1_000_000 * clock).collect()
}

/// Delays above the base, in nanoseconds times the clock rate.
fn above_base(list: &[PacketSeen]) -> Vec<i128> {
    let Some(first) = list.first() else { return Vec::new() };
    let delay = |p: &PacketSeen| {
        let media = i128::from(p.ts.wrapping_sub(first.ts) as i32) * i128::from(SECOND_NS);
        i128::from(p.at - first.at) * i128::from(p.clock) - media
    };
    let settling = 1 + list[1..].iter().take(SETTLE_PACKETS - 1).take_while(|p| p.at - first.at < SECOND_NS).count();
    // The packet that ends the first second still belongs to what is looked at first.
    let settling = if settling < SETTLE_PACKETS { (settling + 1).min(list.len()) } else { settling };
    let mut base = list[..settling].iter().map(&delay).min().unwrap_or(0);
    let mut seconds: Vec<i128> = Vec::new();
    let mut present: Option<i128> = None;
    let mut ends = SECOND_NS;
    let mut above = Vec::with_capacity(list.len());
    for p in list {
        let at = p.at - first.at;
        if at >= ends {
            ends = at - at.rem_euclid(SECOND_NS) + SECOND_NS;
            if let Some(lowest) = present.take() {
                seconds.push(lowest);
                base = seconds.iter().rev().take(WINDOW).copied().min().unwrap_or(lowest);
            }
        }
        let d = delay(p);
        present = Some(present.map_or(d, |lowest| lowest.min(d)));
        base = base.min(d);
        above.push(d - base);
    }
    above
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Kind;

    fn list(delays_ms: &[i64]) -> Vec<PacketSeen> {
        let one = |(i, delay): (usize, &i64)| PacketSeen {
            at: i as i64 * 20_000_000 + delay * 1_000_000,
            sent_at: None,
            seq: i as u16,
            ts: i as u32 * 160,
            pt: 0,
            marker: false,
            kind: Kind::Audio,
            clock: 8_000,
            payload_len: 160,
            fingerprint: i as u64,
            cut_short: false,
        };
        delays_ms.iter().enumerate().map(one).collect()
    }

    #[test]
    fn a_late_first_packet_is_no_base_and_the_boundary_is_on_time() {
        let mut delays = vec![0; 100];
        (delays[0], delays[60], delays[61], delays[70]) = (45, 40, 41, 201);
        assert_eq!(late(&list(&delays)), [4, 3, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn a_longer_route_is_the_base_after_eight_seconds() {
        let delays: Vec<i64> = (0..1000).map(|i| if i < 250 { 0 } else { 50 }).collect();
        // Packets 250 to 647 arrive from second 5 on and before second 13, the first whose last eight are all of the
        // longer route.
        assert_eq!(late(&list(&delays)), [398, 398, 0, 0, 0, 0, 0]);
    }
}
