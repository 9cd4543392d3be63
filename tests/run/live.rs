//! A call over the loopback interface, captured as it happens.

use crate::program::{Program, TOKEN, capture_user, deliver, reaches, sql};
use crate::{engine, temporary};
use auscult_capture::CaptureError;
use auscult_capture::live::{LiveCapture, LiveConfig};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// Packets of each direction: one second of 20 ms.
const PACKETS: u16 = 50;

#[test]
fn a_call_on_the_loopback_interface_is_stored_with_its_two_streams() {
    if !engine() {
        return;
    }
    if let Err(e @ CaptureError::NotPermitted { .. }) = LiveCapture::open(&LiveConfig::new("lo")) {
        testkit::skip(e);
        return;
    }
    let dir = temporary();
    let phones = [Phone::new(), Phone::new()];
    let mut program = Program::run(dir.path(), &["-i", "lo", "-c", &settings(dir.path(), &phones)]);
    let api = program.api();
    call(&phones);
    // The row of a call comes some seconds after its end, for late messages.
    assert!(reaches(api, "auscult_calls_ended_total{state=\"completed\"}", 1), "it goes on");
    let end = program.terminate();
    assert_eq!((end.code, end.said.iter().any(|line| line.starts_with("! "))), (0, false), "{end:?}");
    deliver(dir.path());
    let (_store, address) = Program::store(&dir.path().join("clickhouse"), "127.0.0.1:0");
    let ask = |statement: &str| sql(address, Some(TOKEN), statement).1.trim().to_owned();
    assert_eq!(
        ask("SELECT state, final_code, messages, length(streams), acked FROM calls FORMAT TSV"),
        "completed\t200\t7\t2\ttrue"
    );
    let columns =
        "src_port, dst_port, codec, unique_packets, expected, lost, duplicates_network, reordered, capture_drops";
    let of = "FROM streams WHERE call_uid = (SELECT call_uid FROM calls) ORDER BY src_port FORMAT TSV";
    let mut ports = [phones[0].media_port(), phones[1].media_port()];
    ports.sort_unstable();
    let line = |from: u16, to: u16| format!("{from}\t{to}\tPCMU\t{PACKETS}\t{PACKETS}\t0\t0\t0\t0");
    let [low, high] = ports;
    assert_eq!(ask(&format!("SELECT {columns} {of}")), format!("{}\n{}", line(low, high), line(high, low)));
    let drops = "SELECT count() > 0, sum(dropped_ring + dropped_interface + dropped_queue), sum(frames) >= FRAMES, \
                 uniqExact(interface), any(interface) FROM capture_intervals FORMAT TSV";
    // Two directions of media and the messages.
    let sent = 2 * u64::from(PACKETS) + 7;
    assert_eq!(ask(&drops.replace("FRAMES", &sent.to_string())), "1\t0\t1\t1\tlo");
}

/// The capture is stopped while a call is up: the row says so, and finds no fault in it.
#[test]
fn a_call_that_is_up_when_the_probe_stops_is_marked() {
    if !engine() {
        return;
    }
    if let Err(e @ CaptureError::NotPermitted { .. }) = LiveCapture::open(&LiveConfig::new("lo")) {
        testkit::skip(e);
        return;
    }
    let dir = temporary();
    let phones = [Phone::new(), Phone::new()];
    let mut program = Program::run(dir.path(), &["-i", "lo", "-c", &settings(dir.path(), &phones)]);
    let api = program.api();
    set_up(&phones);
    assert!(reaches(api, "auscult_streams_measured", 2), "its media is seen");
    let end = program.terminate();
    assert_eq!((end.code, end.said.iter().any(|line| line.starts_with("! "))), (0, false), "{end:?}");
    deliver(dir.path());
    let (_store, address) = Program::store(&dir.path().join("clickhouse"), "127.0.0.1:0");
    let ask = |statement: &str| sql(address, Some(TOKEN), statement).1.trim().to_owned();
    // A host that is busy makes delay; what must not be there is a fault that only the stop made.
    let absent = "hasAny(arrayMap(d -> d.1, diagnoses), ['missing_bye', 'missing_ack', 'no_media', 'one_way_media'])";
    assert_eq!(
        ask(&format!("SELECT state, released_by, {absent}, acked, ended_at > answered_at FROM calls FORMAT TSV")),
        "unfinished\tprobe_stopped\t0\ttrue\t1"
    );
}

/// Only what these two send: tests that run meanwhile use the same interface.
fn settings(dir: &std::path::Path, phones: &[Phone; 2]) -> String {
    let ports = phones.iter().flat_map(|phone| [phone.sip_at().port(), phone.media_port()]);
    let filter = ports.map(|port| format!("port {port}")).collect::<Vec<_>>().join(" or ");
    let file = dir.join("auscult.toml");
    std::fs::write(&file, format!("[capture]\nfilter = {filter:?}\n{}\n", capture_user(dir))).expect("a file");
    file.display().to_string()
}

struct Phone {
    sip: UdpSocket,
    media: UdpSocket,
}

impl Phone {
    fn new() -> Phone {
        let socket = || UdpSocket::bind("127.0.0.1:0").expect("a port");
        // RTP wants an even port (RFC 3550, section 11).
        let media = std::iter::repeat_with(socket).find(|s| s.local_addr().is_ok_and(|a| a.port() % 2 == 0));
        Phone { sip: socket(), media: media.expect("an even port") }
    }

    fn sip_at(&self) -> SocketAddr {
        self.sip.local_addr().expect("an address")
    }

    fn uri(&self) -> String {
        format!("sip:+12025550102@{}", self.sip_at())
    }

    fn media_port(&self) -> u16 {
        self.media.local_addr().expect("an address").port()
    }
}

/// INVITE, 100, 180, 200, ACK, a second of G.711 both ways, BYE, 200.
fn call(phones: &[Phone; 2]) {
    set_up(phones);
    let [caller, callee] = phones;
    send_message(phones, caller, &format!("BYE {} SIP/2.0", callee.uri()), "2 BYE", true, false);
    send_message(phones, callee, "SIP/2.0 200 OK", "2 BYE", true, false);
}

/// The same call up to its last packet of media.
fn set_up(phones: &[Phone; 2]) {
    let [caller, callee] = phones;
    send_message(phones, caller, &format!("INVITE {} SIP/2.0", callee.uri()), "1 INVITE", false, true);
    send_message(phones, callee, "SIP/2.0 100 Trying", "1 INVITE", false, false);
    send_message(phones, callee, "SIP/2.0 180 Ringing", "1 INVITE", true, false);
    send_message(phones, callee, "SIP/2.0 200 OK", "1 INVITE", true, true);
    send_message(phones, caller, &format!("ACK {} SIP/2.0", callee.uri()), "1 ACK", true, false);
    for n in 0..PACKETS {
        for (from, to, ssrc) in [(caller, callee, 0x0A0B_0C0Du32), (callee, caller, 0x1A1B_1C1D)] {
            let mut packet = vec![0x80, 0];
            packet.extend((1000 + n).to_be_bytes());
            packet.extend((160 * u32::from(n)).to_be_bytes());
            packet.extend(ssrc.to_be_bytes());
            packet.extend([0xD5; 160]);
            from.media.send_to(&packet, ("127.0.0.1", to.media_port())).expect("sent");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One message to the other phone.
fn send_message(phones: &[Phone; 2], from: &Phone, first: &str, cseq: &str, tagged: bool, sdp: bool) {
    let [caller, callee] = phones;
    let to = if from.sip_at() == caller.sip_at() { callee } else { caller };
    let body = if sdp { offer(from.media_port()) } else { String::new() };
    let kind = if sdp { "Content-Type: application/sdp\r\n" } else { "" };
    let tag = if tagged { ";tag=b" } else { "" };
    let at = caller.sip_at();
    let text = format!(
        "{first}\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{}\r\nMax-Forwards: 70\r\n\
         From: <sip:+12025550101@example.com>;tag=a\r\nTo: <sip:+12025550102@example.com>{tag}\r\n\
         Call-ID: live-call@example.com\r\nCSeq: {cseq}\r\nContact: <sip:x@{}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        cseq.replace(' ', ""),
        from.sip_at(),
        body.len()
    );
    from.sip.send_to(text.as_bytes(), to.sip_at()).expect("sent");
    std::thread::sleep(Duration::from_millis(20));
}

fn offer(port: u16) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\n"
    )
}
