//! A fixed jitter buffer, packet by packet: what the late counters of a monitor are held against.
//!
//! A packet is late when its delay, in whole nanoseconds, exceeds the base by more than the buffer holds. The base is what
//! a receiver could know: over the first 50 packets or the first second of a segment the lowest delay among them, looked at
//! before any is judged; in every later second the lowest delay of the last eight full seconds that had packets, or a lower
//! one already seen in the present second.
//!
//! Lowest is meant along the line of the sender's clock drift. It is level until 30 seconds had packets. From then
//! on, when a second ends, it has the slope of that edge of the lower convex hull of all the seconds' lowest delays that
//! spans their mean time, if this is at most 500 ppm and the lowest delays lie on the average at most 20 millionths of the
//! edge's length above it; else it is level. A second's lowest is lowest by the line that held in that second.
//!
//! A segment ends where the timestamp jumps against the arrival by a second, or by 200 ms at a marker or after a
//! pause of 2 s. Jumps among the packets that are looked at first cut these into segments, of which the last goes on.
//!
//! All of it is integers: delays in clock ticks times nanoseconds, slopes as fractions, the hull wrapped anew from all
//! lowest delays each second.

use crate::oracle::{BUFFERS_MS, PacketSeen};

const SETTLE_PACKETS: usize = 50;
const SECOND_NS: i64 = 1_000_000_000;
const WINDOW: usize = 8;
const DRIFT_SECONDS: usize = 30;
const MAX_PPM: i128 = 500;
const MAX_HEIGHT_PPM: i128 = 20;
const JUMP_NS: i64 = SECOND_NS;
const JUMP_AT_PAUSE_NS: i64 = 200_000_000;
const PAUSE_NS: i64 = 2 * SECOND_NS;

/// Late packets per buffer of [`BUFFERS_MS`]. `list` holds each audio packet once, in order of arrival, at one clock rate.
pub fn late(list: &[PacketSeen]) -> Vec<u64> {
    let above = above_base(list);
    BUFFERS_MS.iter().map(|ms| above.iter().filter(|ns| **ns > i64::from(*ms) * 1_000_000).count() as u64).collect()
}

/// Which packets of such a list a buffer of so many milliseconds finds late.
pub fn late_packets(list: &[PacketSeen], buffer_ms: u32) -> Vec<bool> {
    above_base(list).into_iter().map(|ns| ns > i64::from(buffer_ms) * 1_000_000).collect()
}

/// Delays above the base in whole nanoseconds, rounded down.
pub fn above_base(list: &[PacketSeen]) -> Vec<i64> {
    let mut above = Vec::with_capacity(list.len());
    let mut from = 0;
    while from < list.len() {
        // The packet that ends the first second still belongs to what is looked at first.
        let settled = (from..list.len())
            .find(|i| i - from + 1 == SETTLE_PACKETS || list[*i].at - list[from].at >= SECOND_NS)
            .map_or(list.len(), |i| i + 1);
        let jump = |i: &usize| jumps(&list[i - 1], &list[*i]);
        while let Some(cut) = (from + 1..settled).find(jump) {
            above.extend(segment(&list[from..cut], cut - from));
            from = cut;
        }
        let end = (settled..list.len()).find(jump).unwrap_or(list.len());
        above.extend(segment(&list[from..end], settled - from));
        from = end;
    }
    above
}

fn jumps(a: &PacketSeen, b: &PacketSeen) -> bool {
    let ticks = i128::from(b.ts.wrapping_sub(a.ts) as i32);
    let clock = i128::from(b.clock);
    let off = (i128::from(b.at - a.at) * clock - ticks * i128::from(SECOND_NS)).abs();
    off >= i128::from(JUMP_NS) * clock
        || off >= i128::from(JUMP_AT_PAUSE_NS) * clock && (b.marker || b.at - a.at >= PAUSE_NS)
}

/// A packet of a segment, or what is known of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    /// Nanoseconds since the first packet of the segment.
    at: i128,
    /// Nanoseconds times the clock rate, less that of the first packet.
    delay: i128,
}

/// A line through the first packet: `rise` in units of delay over `run` nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    rise: i128,
    run: i128,
}

impl Line {
    const LEVEL: Line = Line { rise: 0, run: 1 };

    /// Height of a point above the line, times its run.
    fn below(self, p: Point) -> i128 {
        p.delay * self.run - self.rise * p.at
    }
}

fn segment(list: &[PacketSeen], settling: usize) -> Vec<i64> {
    let clock = list.first().map_or(1, |p| i128::from(p.clock));
    let points = points(list);
    let mut line = Line::LEVEL;
    let mut base = points[..settling].iter().map(|p| line.below(*p)).min().unwrap_or(0);
    let mut seconds: Vec<Point> = Vec::new();
    let mut present: Vec<Point> = Vec::new();
    let mut ends = i128::from(SECOND_NS);
    let mut above = Vec::with_capacity(points.len());
    for p in points {
        if p.at >= ends {
            ends = (p.at / i128::from(SECOND_NS) + 1) * i128::from(SECOND_NS);
            if let Some(lowest) = present.drain(..).min_by_key(|p| line.below(*p)) {
                seconds.push(lowest);
                line = drift(&seconds, clock).unwrap_or(Line::LEVEL);
                base = seconds.iter().rev().take(WINDOW).map(|p| line.below(*p)).min().unwrap_or(base);
            }
        }
        present.push(p);
        base = base.min(line.below(p));
        above.push((line.below(p) - base).div_euclid(clock * line.run) as i64);
    }
    above
}

fn points(list: &[PacketSeen]) -> Vec<Point> {
    let Some(first) = list.first() else { return Vec::new() };
    let point = |p: &PacketSeen| {
        let at = i128::from(p.at - first.at);
        let media = i128::from(p.ts.wrapping_sub(first.ts) as i32) * i128::from(SECOND_NS);
        Point { at, delay: at * i128::from(p.clock) - media }
    };
    list.iter().map(point).collect()
}

/// The line along the lowest delays of all seconds so far, where there is one.
fn drift(seconds: &[Point], clock: i128) -> Option<Line> {
    if seconds.len() < DRIFT_SECONDS {
        return None;
    }
    let n = seconds.len() as i128;
    let sum_at: i128 = seconds.iter().map(|p| p.at).sum();
    let corners = lower_hull(seconds);
    let edge = corners.windows(2).find(|edge| edge[1].at * n >= sum_at)?;
    let line = Line { rise: edge[1].delay - edge[0].delay, run: edge[1].at - edge[0].at };
    let mean_height: i128 = seconds.iter().map(|p| line.below(*p) - line.below(edge[0])).sum();
    let million = 1_000_000;
    let straight = mean_height * million <= MAX_HEIGHT_PPM * line.run * line.run * n * clock;
    let possible = line.rise.abs() * million <= MAX_PPM * line.run * clock;
    (straight && possible).then_some(line)
}

/// Corners of the lower convex hull of points in order of time, wrapped from the left: the next corner is the point with
/// the least slope to it, of several the farthest.
fn lower_hull(points: &[Point]) -> Vec<Point> {
    let mut corners = Vec::from_iter(points.first().copied());
    let mut rest = points;
    while let [from, to @ ..] = rest {
        let slope = |p: &Point| (p.delay - from.delay, p.at - from.at);
        let mut next = 0;
        for (i, p) in to.iter().enumerate() {
            let ((rise, run), (best_rise, best_run)) = (slope(p), slope(&to[next]));
            if rise * best_run <= best_rise * run {
                next = i;
            }
        }
        corners.extend(to.get(next));
        rest = to.get(next..).unwrap_or_default();
    }
    corners
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Kind;

    fn list(delays_us: &[i64]) -> Vec<PacketSeen> {
        let one = |(i, delay): (usize, &i64)| PacketSeen {
            at: i as i64 * 20_000_000 + delay * 1_000,
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
        delays_us.iter().enumerate().map(one).collect()
    }

    #[test]
    fn a_late_first_packet_is_no_base_and_the_boundary_is_on_time() {
        let mut delays = vec![0; 100];
        (delays[0], delays[60], delays[61], delays[70]) = (45_000, 40_000, 41_000, 201_000);
        assert_eq!(late(&list(&delays)), [4, 3, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn a_longer_route_is_the_base_after_eight_seconds() {
        let delays: Vec<i64> = (0..1000).map(|i| if i < 250 { 0 } else { 50_000 }).collect();
        // Packets 250 to 647 arrive from second 5 on and before second 13, the first whose last eight are all of the
        // longer route.
        assert_eq!(late(&list(&delays)), [398, 398, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_slow_clock_rises_for_thirty_seconds_and_is_level_then() {
        // 200 ppm: 4 us a packet, 1.6 ms in eight seconds.
        let above = above_base(&list(&(0..3000).map(|i| 4 * i).collect::<Vec<_>>()));
        assert_eq!(
            above[1490],
            4_000 * 440,
            "the base is that of packet 1050, the first of the last eight full seconds"
        );
        assert!(above[1500..].iter().all(|ns| *ns == 0), "{:?}", &above[1500..1510]);
    }

    #[test]
    fn what_is_bent_or_steep_is_no_clock() {
        let bent: Vec<i64> = (0..3000).map(|i| 1_000 * (i % 250)).collect();
        let steep: Vec<i64> = (0..3000).map(|i| 11 * i).collect();
        for delays in [bent, steep] {
            assert!(above_base(&list(&delays))[2500..].iter().any(|ns| *ns > 3_000_000));
        }
    }

    #[test]
    fn a_jump_begins_anew_and_a_smaller_one_at_a_marker_too() {
        let mut jumps = list(&vec![0; 400]);
        jumps[100..].iter_mut().for_each(|p| p.ts = p.ts.wrapping_sub(8_000));
        jumps[200..].iter_mut().for_each(|p| p.ts = p.ts.wrapping_sub(1_600));
        jumps[200].marker = true;
        jumps[210..].iter_mut().for_each(|p| p.ts = p.ts.wrapping_sub(8_000));
        assert_eq!(late(&jumps), [0; 7]);
        jumps[300..].iter_mut().for_each(|p| p.ts = p.ts.wrapping_sub(1_599));
        assert_eq!(late(&jumps)[..6], [100; 6]);
    }

    #[test]
    fn the_hull_has_the_corners_below() {
        let points = [(0, 3), (1, 0), (2, 1), (3, 0), (4, 0), (5, 2), (6, 1)].map(|(at, delay)| Point { at, delay });
        assert_eq!(lower_hull(&points), [points[0], points[1], points[4], points[6]]);
    }
}
