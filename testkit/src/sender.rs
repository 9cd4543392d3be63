//! One sender's packets: audio, silence, digits, pauses, changes of codec, SSRC, sequence and timestamps.

use crate::codec::{COMFORT_NOISE, Codec, TELEPHONE_EVENT};
use crate::oracle::Kind;
use crate::path::MS;
use crate::rng::Rng;

/// How one side of a call sends. Times are ms since the start of its media.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Habits {
    /// Sends nothing at all: one-way audio.
    pub mute: bool,
    /// Media starts this much later than it should.
    pub late_ms: i64,
    /// Stops sending at this time while the call goes on.
    pub stops_at_ms: Option<i64>,
    /// Silence is not sent, only described.
    pub dtx: bool,
    /// Its clock is this much fast.
    pub drift_ppm: i32,
    /// Digits (0-9 * # A-D) and when they start.
    pub digits: Vec<(i64, String)>,
    /// New SSRC, sequence and timestamp.
    pub ssrc_change_ms: Option<i64>,
    /// Sequence numbers go on somewhere else, SSRC and timestamps stay.
    pub seq_restart_ms: Option<i64>,
    /// Timestamps jump by this many ticks, with a marker.
    pub ts_jump: Option<(i64, u32)>,
    /// The source port becomes another (NAT binding lost).
    pub nat_rebind_ms: Option<i64>,
    /// First sequence number, for wrap-around; random when absent.
    pub first_seq: Option<u16>,
    /// First timestamp; random when absent.
    pub first_ts: Option<u32>,
    /// 46 (EF) when absent.
    pub dscp: Option<u8>,
    /// TTL or hop limit at the probe; 60 when absent.
    pub ttl: Option<u8>,
}

/// One packet as sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sent {
    pub at: i64,
    pub ssrc: u32,
    pub seq: u16,
    pub ts: u32,
    pub pt: u8,
    pub clock: u32,
    pub kind: Kind,
    pub marker: bool,
    /// From the port after the NAT lost its binding.
    pub rebound: bool,
    pub payload: Vec<u8>,
}

impl Sent {
    pub fn rtp(&self) -> Vec<u8> {
        let mut out = vec![0x80, self.pt | if self.marker { 0x80 } else { 0 }];
        out.extend(self.seq.to_be_bytes());
        out.extend(self.ts.to_be_bytes());
        out.extend(self.ssrc.to_be_bytes());
        out.extend(&self.payload);
        out
    }
}

/// From when on a side sends what (`None`: nothing).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Phase {
    pub from: i64,
    pub codec: Option<Codec>,
}

/// Ticks an event lasts before its three end packets.
const EVENT_TICKS: u64 = 5;
/// Ticks from one digit to the next.
const DIGIT_TICKS: u64 = EVENT_TICKS + 6;
/// Comfort noise and silence descriptors come this often.
const SILENCE_UPDATE_MS: i64 = 400;

/// Everything sent from `start` to `end` (true times, ns). Phases are in order of time, the first starts the stream.
pub(crate) fn send(habits: &Habits, phases: &[Phase], end: i64, ptime_ms: u32, rng: &mut Rng) -> Vec<Sent> {
    let mut out: Vec<Sent> = Vec::new();
    let Some(first) = phases.first().filter(|_| !habits.mute) else { return out };
    let start = first.from + habits.late_ms * MS;
    let ptime = i64::from(ptime_ms) * MS;
    let mut ssrc = rng.next_u32();
    let mut seq = habits.first_seq.unwrap_or(rng.next_u32() as u16);
    let mut ts_base = habits.first_ts.unwrap_or(rng.next_u32());
    let mut clock_from = 0;
    let mut codec = first.codec.unwrap_or(Codec::Pcmu);
    let mut voice = Voice::new(habits.dtx, rng.fork(1));
    let mut silent_ticks = 0;
    let (mut changed, mut restarted, mut jumped) = (false, false, false);
    for tick in 0.. {
        let nominal = tick as i64 * ptime;
        let at = start + nominal - (i128::from(nominal) * i128::from(habits.drift_ppm) / 1_000_000) as i64;
        let ms = nominal / MS;
        if at >= end || habits.stops_at_ms.is_some_and(|stop| ms >= stop) {
            break;
        }
        let phase = phases.iter().rev().find(|p| p.from <= at).unwrap_or(first);
        let Some(now) = phase.codec else {
            silent_ticks += 1;
            continue;
        };
        let mut marker = tick == 0 || silent_ticks > 0;
        let due = |when: Option<i64>, done: &mut bool| {
            let hit = when.is_some_and(|w| ms >= w) && !*done;
            *done |= hit;
            hit
        };
        // RFC 7160: a sender that changes the clock rate takes a new SSRC.
        if due(habits.ssrc_change_ms, &mut changed) || now.clock() != codec.clock() {
            (ssrc, seq, ts_base) = (rng.next_u32(), rng.next_u32() as u16, rng.next_u32());
            clock_from = tick;
            marker = true;
        }
        codec = now;
        if due(habits.seq_restart_ms, &mut restarted) {
            seq = seq.wrapping_add(rng.range(5_000, 60_000) as u16);
        }
        if due(habits.ts_jump.map(|(at, _)| at), &mut jumped) {
            ts_base = ts_base.wrapping_add(habits.ts_jump.map_or(0, |(_, by)| by));
            marker = true;
        }
        let samples = codec.clock() / 1_000 * ptime_ms;
        let ts_at = |tick: u64| ts_base.wrapping_add(((tick - clock_from) as u32).wrapping_mul(samples));
        let mut packet = Sent {
            at,
            ssrc,
            seq,
            ts: ts_at(tick),
            pt: codec.payload_type(),
            clock: codec.clock(),
            kind: Kind::Audio,
            marker,
            rebound: habits.nat_rebind_ms.is_some_and(|w| ms >= w),
            payload: Vec::new(),
        };
        if let Some((code, into)) = digit_at(&habits.digits, tick, u64::from(ptime_ms)) {
            let ended = into >= EVENT_TICKS;
            let duration = (into + 1).min(EVENT_TICKS) as u32 * samples;
            packet.kind = Kind::Event;
            packet.pt = TELEPHONE_EVENT;
            packet.ts = ts_at(tick - into);
            packet.marker = into == 0;
            packet.payload = vec![code, if ended { 0x8A } else { 0x0A }, (duration >> 8) as u8, duration as u8];
        } else if voice.silent(ms) {
            let since = voice.silent_for(ms);
            let update = since < i64::from(ptime_ms)
                || since / SILENCE_UPDATE_MS != (since - i64::from(ptime_ms)) / SILENCE_UPDATE_MS;
            silent_ticks += 1;
            if !update {
                continue;
            }
            packet.marker = false;
            if codec.silence_is_comfort_noise() {
                (packet.kind, packet.pt) = (Kind::Noise, COMFORT_NOISE);
            }
            packet.payload = codec.silence_payload();
        } else {
            silent_ticks = 0;
            packet.payload = codec.payload(tick, ptime_ms);
        }
        seq = seq.wrapping_add(1);
        out.push(packet);
    }
    out
}

/// The event code sent at a tick, and how many ticks into it. Three end packets follow [`EVENT_TICKS`] updates.
fn digit_at(digits: &[(i64, String)], tick: u64, ptime_ms: u64) -> Option<(u8, u64)> {
    digits.iter().find_map(|(at_ms, text)| {
        let since = tick.checked_sub(*at_ms as u64 / ptime_ms)?;
        let digit = text.chars().nth((since / DIGIT_TICKS) as usize)?;
        let into = since % DIGIT_TICKS;
        (into < EVENT_TICKS + 3).then_some((event_code(digit), into))
    })
}

/// RFC 4733 section 3.2.
fn event_code(digit: char) -> u8 {
    match digit {
        '*' => 10,
        '#' => 11,
        'A'..='D' => digit as u8 - b'A' + 12,
        _ => digit as u8 - b'0',
    }
}

/// Talk and silence in turn.
struct Voice {
    dtx: bool,
    rng: Rng,
    talking: bool,
    since_ms: i64,
    until_ms: i64,
}

impl Voice {
    fn new(dtx: bool, mut rng: Rng) -> Voice {
        let until_ms = rng.range(1_500, 3_500);
        Voice { dtx, rng, talking: true, since_ms: 0, until_ms }
    }

    fn silent(&mut self, ms: i64) -> bool {
        while self.dtx && ms >= self.until_ms {
            self.talking = !self.talking;
            self.since_ms = self.until_ms;
            self.until_ms += if self.talking { self.rng.range(1_200, 3_500) } else { self.rng.range(800, 2_500) };
        }
        !self.talking
    }

    fn silent_for(&self, ms: i64) -> i64 {
        ms - self.since_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(habits: &Habits, seconds: i64) -> Vec<Sent> {
        let phases = [Phase { from: 0, codec: Some(Codec::Pcmu) }];
        send(habits, &phases, seconds * 1_000 * MS, 20, &mut Rng::new(3))
    }

    #[test]
    fn plain_audio_is_regular() {
        let out = sent(&Habits { first_seq: Some(65_530), ..Habits::default() }, 2);
        assert_eq!(out.len(), 100);
        assert!(out.windows(2).all(|w| w[1].seq == w[0].seq.wrapping_add(1) && w[1].ts == w[0].ts.wrapping_add(160)));
        assert!(out[0].marker && out[1..].iter().all(|p| !p.marker));
    }

    #[test]
    fn a_fast_clock_sends_more() {
        let out = sent(&Habits { drift_ppm: 10_000, ..Habits::default() }, 10);
        assert_eq!(out.len(), 506);
    }

    #[test]
    fn a_digit_is_five_updates_and_three_ends() {
        let out = sent(&Habits { digits: vec![(200, "5#".into())], ..Habits::default() }, 2);
        let events: Vec<_> = out.iter().filter(|p| p.kind == Kind::Event).collect();
        assert_eq!(events.len(), 16);
        assert!(events[..8].iter().all(|p| p.ts == events[0].ts && p.payload[0] == 5));
        assert_eq!(events[..8].iter().filter(|p| p.payload[1] & 0x80 != 0).count(), 3);
        let lengths: Vec<u16> = events[..8].iter().map(|p| u16::from_be_bytes([p.payload[2], p.payload[3]])).collect();
        assert_eq!(lengths, [160, 320, 480, 640, 800, 800, 800, 800]);
        assert_eq!((events[8].payload[0], events[8].marker), (11, true));
        assert_eq!(out.len(), 100, "sequence goes on through the events");
    }

    #[test]
    fn silence_is_described_every_400_ms() {
        let out = sent(&Habits { dtx: true, ..Habits::default() }, 30);
        let noise: Vec<_> = out.windows(2).filter(|w| w[0].kind == Kind::Noise && w[1].kind == Kind::Noise).collect();
        assert!(noise.len() > 5);
        assert!(noise.iter().all(|w| (w[1].at - w[0].at) == 400 * MS));
        assert!(out.windows(2).all(|w| w[1].seq == w[0].seq.wrapping_add(1)));
        assert!(out.windows(2).filter(|w| w[0].kind == Kind::Noise && w[1].kind == Kind::Audio).all(|w| w[1].marker));
    }

    #[test]
    fn pauses_keep_the_timestamps_running() {
        let phases = [
            Phase { from: 0, codec: Some(Codec::G729) },
            Phase { from: 1_000 * MS, codec: None },
            Phase { from: 3_000 * MS, codec: Some(Codec::G729) },
        ];
        let out = send(&Habits::default(), &phases, 4_000 * MS, 20, &mut Rng::new(1));
        assert_eq!(out.len(), 100);
        assert_eq!(out[50].ts.wrapping_sub(out[49].ts), 101 * 160);
        assert_eq!(out[50].seq, out[49].seq.wrapping_add(1));
        assert!(out[50].marker);
    }

    #[test]
    fn changes_of_identity() {
        let out = sent(&Habits { ssrc_change_ms: Some(500), ..Habits::default() }, 1);
        assert!(out[24].ssrc == out[0].ssrc && out[25].ssrc != out[0].ssrc);
        let out = sent(&Habits { seq_restart_ms: Some(500), ..Habits::default() }, 1);
        let jump = out[25].seq.wrapping_sub(out[24].seq);
        assert!((5_000..=60_001).contains(&jump) && out[25].ssrc == out[0].ssrc);
        let out = sent(&Habits { ts_jump: Some((500, 1 << 30)), ..Habits::default() }, 1);
        assert_eq!(out[25].ts.wrapping_sub(out[24].ts), (1 << 30) + 160);
    }
}
