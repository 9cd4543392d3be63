//! Long outages and stalls: what numbers, timestamps and arrivals together show, and what only looks like them.

use super::*;
use auscult_core::model::DiagnosisCode;
use testkit::World;
use testkit::call::{CallSpec, Party};
use testkit::codec::Codec;
use testkit::observe;

const MS: i64 = 1_000_000;
const SECOND: i64 = 1000 * MS;

/// One PCMU call over a quiet path, and its RTP from the caller as indices into the frames.
struct OneCall {
    frames: Vec<Frame>,
    forward: Vec<usize>,
}

fn one_call(talk_s: i64, ptime_ms: u32) -> OneCall {
    let caller = Party::new("A", "+12025550101", "192.0.2.10", 20_000);
    let callee = Party::new("B", "+12025550102", "198.51.100.20", 30_000);
    // Without RTCP nobody says that the packets which the test takes out of the capture were received.
    let spec = CallSpec {
        codec: Codec::Pcmu,
        rtcp: None,
        ptime_ms,
        talk_ms: talk_s * 1000,
        ..CallSpec::new(0, caller, callee)
    };
    let source = spec.caller.media;
    let frames = World::new(7).call(spec).build().frames;
    let forward = (0..frames.len())
        .filter(|i| observe::rtp_of(&frames[*i], &|_| 8000).is_some_and(|((src, ..), _)| src == source))
        .collect();
    OneCall { frames, forward }
}

impl OneCall {
    /// Sets number and timestamp of a frame's RTP header, which stands behind Ethernet, IPv4 and UDP.
    fn renumber(&mut self, index: usize, seq: u16, timestamp: u32) {
        self.frames[index].bytes[44..46].copy_from_slice(&seq.to_be_bytes());
        self.frames[index].bytes[46..50].copy_from_slice(&timestamp.to_be_bytes());
    }

    fn header(&self, index: usize) -> (u16, u32) {
        let bytes = &self.frames[index].bytes;
        let seq = u16::from_be_bytes([bytes[44], bytes[45]]);
        (seq, u32::from_be_bytes([bytes[46], bytes[47], bytes[48], bytes[49]]))
    }

    /// The first packets, by number, of a stretch that begins `from_ms` after the first one.
    fn stretch(&self, from_ms: i64, length_ms: i64) -> Vec<usize> {
        let start = self.frames[self.forward[0]].at;
        let inside =
            |i: &usize| (start + from_ms * MS..start + (from_ms + length_ms) * MS).contains(&self.frames[*i].at);
        self.forward.iter().copied().filter(inside).collect()
    }

    /// The call without some frames, each at its time.
    fn run_without(mut self, gone: &[usize]) -> Run {
        let gone: std::collections::BTreeSet<usize> = gone.iter().copied().collect();
        let mut kept: Vec<Frame> =
            self.frames.drain(..).enumerate().filter(|(i, _)| !gone.contains(i)).map(|(_, f)| f).collect();
        kept.sort_by_key(|f| f.at);
        run(&kept, &Setup::default())
    }
}

fn from_caller(run: &Run) -> Vec<&StreamReport> {
    run.streams().into_iter().filter(|s| s.src.port() == 20_000).collect()
}

fn codes(run: &Run) -> Vec<DiagnosisCode> {
    run.calls().iter().flat_map(|c| c.diagnoses.iter().map(|d| d.code)).collect()
}

#[test]
fn an_outage_is_loss_however_long_it_is() {
    // 3,000 numbers, the stream timeout of 60 s, and the 65,536 numbers of a cycle are no limits.
    for (ptime, talk_s, outage_s) in [(20, 90, 55), (20, 100, 61), (20, 200, 150), (10, 60, 31), (10, 760, 700)] {
        let call = one_call(talk_s, ptime);
        let gone = call.stretch(15_000, outage_s * 1000);
        assert_eq!(gone.len() as i64, outage_s * 1000 / i64::from(ptime));
        let run = call.run_without(&gone);
        let streams = from_caller(&run);
        assert_eq!(streams.len(), 1, "{ptime} ms, {outage_s} s");
        let n = &streams[0].numbers;
        assert_eq!((n.lost(), n.restarts, n.strays), (gone.len() as u64, 0, 0), "{ptime} ms, {outage_s} s");
        assert_eq!((n.loss_runs.runs(), n.loss_runs.longest as usize), (1, gone.len()));
        assert!(n.concealed_seconds.abs_diff(outage_s as u64) <= 1, "{}", n.concealed_seconds);
        assert_eq!(n.late, [0; 7]);
        assert!(streams[0].mos.lq < Some(2.0), "{:?}", streams[0].mos.lq);
        assert!(codes(&run).contains(&DiagnosisCode::MediaInterrupted), "{:?}", codes(&run));
    }
}

#[test]
fn a_sender_that_began_anew_lost_nothing() {
    let mut call = one_call(120, 20);
    let gone = call.stretch(15_000, 65_000);
    let after: Vec<usize> = call.forward.iter().copied().filter(|i| *i > *gone.last().unwrap()).collect();
    for (n, index) in after.iter().enumerate() {
        call.renumber(*index, 40_000 + n as u16, 0x1234_5678 + 160 * n as u32);
    }
    let run = call.run_without(&gone);
    let lost: u64 = from_caller(&run).iter().map(|s| s.numbers.lost()).sum();
    assert_eq!(lost, 0);
}

#[test]
fn a_silence_without_packets_is_not_loss() {
    // Silence suppression: timestamps go on with the time, numbers do not.
    let mut call = one_call(120, 20);
    let gone = call.stretch(15_000, 70_000);
    let after: Vec<usize> = call.forward.iter().copied().filter(|i| *i > *gone.last().unwrap()).collect();
    for index in after {
        let (seq, timestamp) = call.header(index);
        call.renumber(index, seq.wrapping_sub(gone.len() as u16), timestamp);
    }
    let run = call.run_without(&gone);
    let streams = from_caller(&run);
    assert_eq!(streams.len(), 1);
    assert_eq!((streams[0].numbers.lost(), streams[0].numbers.late), (0, [0; 7]));
}

#[test]
fn a_clock_that_stood_still_is_neither_loss_nor_delay() {
    // A sender on hold whose numbers and timestamps wait.
    for hold_ms in [1_500, 5_000, 70_000] {
        let mut call = one_call(120, 20);
        let gone = call.stretch(15_000, hold_ms);
        let after: Vec<usize> = call.forward.iter().copied().filter(|i| *i > *gone.last().unwrap()).collect();
        for index in after {
            let (seq, timestamp) = call.header(index);
            let by = gone.len();
            call.renumber(index, seq.wrapping_sub(by as u16), timestamp.wrapping_sub(160 * by as u32));
        }
        let run = call.run_without(&gone);
        let streams = from_caller(&run);
        assert_eq!(streams.len(), 1);
        assert_eq!((streams[0].numbers.lost(), streams[0].numbers.late), (0, [0; 7]), "{hold_ms} ms");
    }
}

#[test]
fn a_stall_is_delay_however_long_it_is() {
    for stall_ms in [400, 900, 1_200, 2_000, 5_000] {
        let mut call = one_call(60, 20);
        let held = call.stretch(20_000, stall_ms);
        let released = call.frames[held[0]].at + stall_ms * MS;
        let mut late = [0u64; 7];
        for (n, index) in held.iter().enumerate() {
            let arrives = released + n as i64 * 100_000;
            let delay = arrives - call.frames[*index].at;
            for (count, size) in late.iter_mut().zip(auscult_core::model::DISCARD_BUFFERS_MS) {
                *count += u64::from(delay > i64::from(size) * MS);
            }
            call.frames[*index].at = arrives;
        }
        // What follows waits behind the queue.
        let queue_end = released + held.len() as i64 * 100_000;
        let next: Vec<usize> =
            call.forward.iter().copied().skip_while(|i| i <= held.last().unwrap()).take(50).collect();
        for index in next {
            let delay = queue_end - call.frames[index].at;
            late[0] += u64::from(delay > 20 * MS);
            call.frames[index].at += delay.max(0);
        }
        let run = call.run_without(&[]);
        let streams = from_caller(&run);
        let n = &streams[0].numbers;
        assert_eq!((n.lost(), n.reordered), (0, 0));
        assert_eq!(n.late, late, "{stall_ms} ms");
        assert!((n.pdv_max.0 - stall_ms * MS).abs() < 60 * MS, "{stall_ms} ms: {:?}", n.pdv_max);
    }
}

#[test]
fn a_packet_is_late_whether_by_less_or_more_than_a_second() {
    for late_ms in [990, 1_010, 1_500] {
        let mut call = one_call(60, 20);
        let some: Vec<usize> = call.forward.iter().copied().skip(100).step_by(50).collect();
        let some = &some[..some.len() - 3];
        for index in some {
            call.frames[*index].at += late_ms * MS;
        }
        let run = call.run_without(&[]);
        let n = &from_caller(&run)[0].numbers;
        assert_eq!((n.lost(), n.reordered as usize), (0, some.len()), "{late_ms} ms");
        assert_eq!(n.late, [some.len() as u64; 7], "{late_ms} ms");
    }
}

#[test]
fn a_queue_that_was_dropped_is_loss() {
    // The sender dropped 119 packets it had queued: numbers and timestamps skip them, the next comes on the beat.
    let mut call = one_call(60, 20);
    let gone = call.stretch(20_000, 119 * 20);
    assert_eq!(gone.len(), 119);
    let earlier = 119 * 20 * MS;
    let after: Vec<usize> = call.forward.iter().copied().filter(|i| *i > *gone.last().unwrap()).collect();
    for index in after {
        call.frames[index].at -= earlier;
    }
    let run = call.run_without(&gone);
    let n = &from_caller(&run)[0].numbers;
    assert_eq!((n.lost(), n.loss_runs.longest, n.restarts), (119, 119, 0));
    assert_eq!(n.late, [0; 7]);
    assert!(n.pdv_max < Nanos(SECOND / 100), "{:?}", n.pdv_max);
}

#[test]
fn a_timestamp_that_jumps_alone_begins_a_segment() {
    let mut call = one_call(60, 20);
    let after: Vec<usize> = call.forward.iter().copied().skip(1_000).collect();
    for index in after {
        let (seq, timestamp) = call.header(index);
        call.renumber(index, seq, timestamp.wrapping_add(123_456));
    }
    let run = call.run_without(&[]);
    let n = &from_caller(&run)[0].numbers;
    assert_eq!((n.lost(), n.late), (0, [0; 7]));
    assert!(n.pdv_max < Nanos(SECOND / 100), "{:?}", n.pdv_max);
}
