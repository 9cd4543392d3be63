//! Live capture on the loopback interface, with the privilege to do so; and giving the privilege up.

use auscult_capture::live::{LiveCapture, LiveConfig, LiveWorker};
use auscult_capture::{CaptureError, drop_privileges};
use auscult_core::units::{Nanos, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};
use testkit::network::ip;

/// Set for a copy of this program that runs one test as a process of its own.
const CHILD: &str = "AUSCULT_TEST_CHILD";

fn opened(config: &LiveConfig) -> Option<Vec<LiveWorker>> {
    match LiveCapture::open(config) {
        Ok(workers) => Some(workers),
        Err(e @ CaptureError::NotPermitted { .. }) => {
            testkit::skip(e);
            None
        }
        Err(e) => panic!("{e}"),
    }
}

/// A loopback frame that is UDP to a port: its source port and payload.
fn datagram(frame: &[u8], port: u16) -> Option<(u16, &[u8])> {
    let ip = frame.get(14..).filter(|ip| ip.first() == Some(&0x45) && ip.get(9) == Some(&17))?;
    let word = |at: usize| ip.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
    (word(22)? == port).then_some((word(20)?, ip.get(28..)?))
}

#[test]
fn two_hundred_datagrams_over_loopback_are_all_seen() {
    let config = LiveConfig { filter: Some("udp".to_owned()), ..LiveConfig::new("lo") };
    let Some(mut workers) = opened(&config) else { return };
    let worker = &mut workers[0];
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let to = receiver.local_addr().expect("an address");
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a port");
    for n in 0..200u32 {
        sender.send_to(&n.to_be_bytes(), to).expect("sent");
    }
    let (mut numbers, mut times, mut idle) = (Vec::new(), Vec::new(), 0);
    while idle < 3 {
        let frames = worker.next_batch(64, &mut |frame| {
            if let Some((_, payload)) = datagram(frame.bytes, to.port()) {
                numbers.push(u32::from_be_bytes(payload.try_into().expect("four bytes")));
                times.push(frame.at);
                assert_eq!((frame.wire_len as usize, frame.link), (frame.bytes.len(), auscult_core::wire::LinkType(1)));
            }
        });
        let frames = frames.expect("a running interface");
        assert!(frames <= 64);
        idle = if frames == 0 { idle + 1 } else { 0 };
    }
    numbers.dedup();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    assert!(times.is_sorted());
    assert!(times[0] > Timestamp::parse_rfc3339("2020-01-01T00:00:00Z").expect("a time"));
    assert_eq!(worker.resolution_ns(), 1);
    assert!(times.iter().any(|t| t.0 % 1000 != 0), "nanoseconds");
    let counters = worker.counters().expect("counters");
    assert!(counters.received >= 200, "{counters:?}");
    assert_eq!(counters.ring_dropped, 0);
    assert!(counters.nic.is_some());
    assert!(worker.counters().expect("counters").received < 200, "counters are differences");
}

#[test]
fn a_flow_has_one_worker_for_life() {
    let config = LiveConfig { workers: 4, ring_bytes: 4 << 20, ..LiveConfig::new("lo") };
    let Some(mut workers) = opened(&config) else { return };
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let to = receiver.local_addr().expect("an address");
    let senders: Vec<_> = (0..64).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a port")).collect();
    for n in 0..10u32 {
        for sender in &senders {
            sender.send_to(&n.to_be_bytes(), to).expect("sent");
        }
    }
    let mut flows: BTreeMap<u16, (BTreeSet<usize>, BTreeSet<u32>)> = BTreeMap::new();
    for (number, worker) in workers.iter_mut().enumerate() {
        drain(worker, |bytes| {
            if let Some((from, payload)) = datagram(bytes, to.port()) {
                let (on, numbers) = flows.entry(from).or_default();
                on.insert(number);
                numbers.insert(u32::from_be_bytes(payload.try_into().expect("four bytes")));
            }
        });
        assert_eq!(worker.counters().expect("counters").nic.is_some(), number == 0);
    }
    assert_eq!(flows.len(), 64);
    assert!(flows.values().all(|(on, numbers)| on.len() == 1 && numbers.len() == 10), "{flows:?}");
    let used: BTreeSet<_> = flows.values().flat_map(|(on, _)| on).collect();
    assert!(used.len() > 1, "all flows went to one worker");
}

#[test]
fn a_quiet_interface_comes_back_and_a_stop_ends_all_workers() {
    let config = LiveConfig {
        filter: Some("udp port 9 and host 192.0.2.77".to_owned()),
        workers: 2,
        latency: Nanos::from_millis(20),
        ..LiveConfig::new("lo")
    };
    let Some(mut workers) = opened(&config) else { return };
    assert_eq!(workers[0].next_batch(10, &mut |_| {}).expect("a running interface"), 0);
    workers[0].stop_handle().stop();
    assert!(workers[1].stop_handle().is_stopped());
    assert_eq!(workers[1].next_batch(10, &mut |_| {}).expect("a running interface"), 0);
}

#[test]
fn a_filter_that_is_none_is_refused_with_an_example() {
    let config = LiveConfig { filter: Some("udp prot 5060".to_owned()), ..LiveConfig::new("lo") };
    match LiveCapture::open(&config) {
        Err(e @ CaptureError::Filter { .. }) => assert!(e.to_string().contains("udp prot 5060"), "{e}"),
        Err(e @ CaptureError::NotPermitted { .. }) => testkit::skip(e),
        Err(e) => panic!("{e}"),
        Ok(_) => panic!("taken for a filter"),
    }
}

/// A network of its own for this thread, with the two ends of a cable.
fn own_network() -> Option<()> {
    testkit::network::own_network().map_err(testkit::skip).ok()
}

/// An Ethernet frame to nobody we know with a UDP datagram to port 5060 behind VLAN tags.
fn tagged(tags: &[u16], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8];
    for tag in tags {
        frame.extend([tag.to_be_bytes(), [0, 7]].concat());
    }
    let total = (28 + payload.len()) as u16;
    frame.extend([8, 0, 0x45, 0]);
    frame.extend(total.to_be_bytes());
    frame.extend([0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    frame.extend([0x13, 0xc4, 0x13, 0xc4]);
    frame.extend([(total - 20).to_be_bytes(), [0, 0]].concat());
    frame.extend(payload);
    frame
}

/// Empties a ring of all that came before now, and what the kernel is late with.
#[expect(clippy::disallowed_methods, reason = "frames carry the host's time")]
fn drain(worker: &mut LiveWorker, mut each: impl FnMut(&[u8])) -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let late = Timestamp(since_1970.as_nanos() as i64) + Nanos::from_millis(200);
    let mut frames = 0;
    while worker.complete_until() < late {
        frames += worker.next_batch(4096, &mut |frame| each(frame.bytes)).expect("a running interface") as u64;
    }
    frames
}

#[test]
fn a_filter_on_a_mirror_port_sees_tagged_frames_whole() {
    let Some(()) = own_network() else { return };
    let config = LiveConfig { filter: Some("udp port 5060".to_owned()), ..LiveConfig::new("cable1") };
    let mut worker = opened(&config).expect("root may").remove(0);
    let mut out = pcap::Capture::from_device("cable0").and_then(pcap::Capture::open).expect("root may");
    let sent =
        [tagged(&[], b"0"), tagged(&[0x8100], b"1"), tagged(&[0x8100, 0x8100], b"2"), tagged(&[0x88a8, 0x8100], b"q")];
    for frame in &sent {
        out.sendpacket(&frame[..]).expect("sent");
    }
    let mut other = tagged(&[0x8100], b"x");
    other[38..42].copy_from_slice(&[0, 9, 0, 9]);
    out.sendpacket(&other[..]).expect("sent");
    let mut seen = Vec::new();
    drain(&mut worker, |bytes| seen.push(bytes.to_vec()));
    assert_eq!(seen, sent);
}

#[test]
fn what_a_full_ring_dropped_is_counted_to_the_frame() {
    let Some(()) = own_network() else { return };
    let config = LiveConfig {
        filter: Some("udp port 5060".to_owned()),
        ring_bytes: 2 << 20,
        snap_len: 2048,
        ..LiveConfig::new("cable1")
    };
    let mut worker = opened(&config).expect("root may").remove(0);
    let mut out = pcap::Capture::from_device("cable0").and_then(pcap::Capture::open).expect("root may");
    let frame = tagged(&[], &[0x55; 1000]);
    let sent = 6000;
    for _ in 0..sent {
        out.sendpacket(&frame[..]).expect("sent");
    }
    let delivered = drain(&mut worker, |_| {});
    let counters = worker.counters().expect("counters");
    assert_eq!(counters.received, sent);
    assert_eq!(delivered + counters.ring_dropped, sent, "{counters:?}");
    assert!(counters.ring_dropped > 0 && delivered > 0, "{counters:?}");
    for _ in 0..10 {
        out.sendpacket(&frame[..]).expect("sent");
    }
    assert_eq!(drain(&mut worker, |_| {}), 10, "and it goes on");
    assert_eq!(worker.counters().expect("counters").ring_dropped, 0);
}

#[test]
fn an_interface_that_goes_away_is_an_error_and_not_silence() {
    let Some(()) = own_network() else { return };
    let mut worker = opened(&LiveConfig::new("cable1")).expect("root may").remove(0);
    drain(&mut worker, |_| {});
    ip("link del cable0").expect("deleted");
    let gone = (0..50).find_map(|_| worker.next_batch(10, &mut |_| {}).err()).expect("an error");
    assert!(gone.to_string().starts_with("cannot capture on cable1: "), "{gone}");
    println!("{gone}");
}

#[test]
fn privileges_once_given_up_are_gone() {
    if std::env::var_os(CHILD).is_some() {
        let mut workers = LiveCapture::open(&LiveConfig::new("lo")).expect("root may");
        drop_privileges("nobody").expect("root can");
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("a status");
        let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).expect("a field").trim().to_owned();
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:"] {
            assert_eq!(field(set), "0000000000000000", "{set}");
        }
        assert_eq!(field("NoNewPrivs:"), "1");
        assert!(field("Uid:").split_whitespace().all(|id| id != "0"));
        workers[0].next_batch(10, &mut |_| {}).expect("an open ring stays open");
        workers[0].counters().expect("and can be asked");
        let Err(error) = LiveCapture::open(&LiveConfig::new("lo")) else { panic!("opened without privileges") };
        assert!(matches!(error, CaptureError::NotPermitted { .. }), "{error}");
        println!("child done: {error}");
        return;
    }
    // SAFETY: a call that returns a number.
    if unsafe { libc::geteuid() } != 0 {
        testkit::skip("this needs root");
        return;
    }
    let Output { status, stdout, stderr } = child("live::privileges_once_given_up_are_gone");
    let text = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
    assert!(status.success() && text.contains("child done: no permission to capture on lo"), "{text}");
}

#[test]
fn a_user_that_is_not_there_or_is_root_is_refused() {
    for user in ["nobody-has-this-name", "", "root"] {
        let error = drop_privileges(user).expect_err("no such user");
        assert!(matches!(error, CaptureError::Privileges { .. }), "{error}");
    }
}

fn child(test: &str) -> Output {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, "1");
    command.output().expect("a child")
}
