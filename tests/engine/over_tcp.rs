//! What comes over TCP besides plain SIP: RTP behind a length (RFC 4571), what a client exchanges with its TURN server (RFC 8656),
//! and SIP over WebSocket (RFC 7118); whatever the segments.

use super::*;
use auscult_core::model::{Ignored, Outcome, Transport};
use std::net::SocketAddr;
use testkit::frame::{self, Lower, Segment};
use testkit::scene::{Dialog, Scene, sdp};

const START: i64 = 1_790_000_000_000_000_000;
const MS: i64 = 1_000_000;

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// One direction of a TCP connection: bytes written at times, cut into segments.
struct Connection {
    src: SocketAddr,
    dst: SocketAddr,
    seq: u32,
    frames: Vec<Frame>,
}

impl Connection {
    fn new(src: &str, dst: &str) -> Connection {
        let mut connection = Connection { src: at(src), dst: at(dst), seq: 4_294_967_000, frames: Vec::new() };
        connection.segment(0, 0x02, &[]);
        connection.seq = connection.seq.wrapping_add(1);
        connection
    }

    fn segment(&mut self, ms: i64, flags: u8, payload: &[u8]) {
        let lower = Lower { id: 9, ttl: 64, dscp: 46, vlan: None };
        let segment = Segment { seq: self.seq, ack: 1, flags };
        let bytes = frame::tcp(self.src, self.dst, lower, segment, payload);
        self.frames.push(Frame { at: START + ms * MS, wire_len: bytes.len() as u32, bytes });
    }

    /// Bytes in segments of at most `most`.
    fn write(&mut self, ms: i64, bytes: &[u8], most: usize) {
        for piece in bytes.chunks(most) {
            self.segment(ms, 0x18, piece);
            self.seq = self.seq.wrapping_add(piece.len() as u32);
        }
    }

    /// Those without the first `n`, as if the connection had been up before.
    fn joined_after(mut self, n: usize) -> Vec<Frame> {
        self.frames.drain(..n);
        self.frames
    }
}

fn rtp(seq: u16, ssrc: u32) -> Vec<u8> {
    let mut bytes = vec![0x80, 0];
    bytes.extend(seq.to_be_bytes());
    bytes.extend((u32::from(seq) * 160).to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend((0..160).map(|i| (i ^ seq) as u8));
    bytes
}

fn behind_length(packet: &[u8]) -> Vec<u8> {
    [&(packet.len() as u16).to_be_bytes(), packet].concat()
}

fn channel_data(packet: &[u8]) -> Vec<u8> {
    let mut bytes = [&0x4000u16.to_be_bytes(), &(packet.len() as u16).to_be_bytes(), packet].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn stun(kind: u16, attributes: &[u8]) -> Vec<u8> {
    let length = attributes.len() as u16;
    [&kind.to_be_bytes()[..], &length.to_be_bytes(), &[0x21, 0x12, 0xa4, 0x42], &[7; 12], attributes].concat()
}

/// A Send indication with a packet in it.
fn send_indication(packet: &[u8]) -> Vec<u8> {
    let mut attribute = [&0x0013u16.to_be_bytes(), &(packet.len() as u16).to_be_bytes(), packet].concat();
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    stun(0x0016, &attribute)
}

/// Frames counted against their outcomes, and the one stream: packets, lost, whether it is of a call.
fn one_stream(frames: &[Frame]) -> (u64, u64, bool) {
    let run = run(frames, &Setup::default());
    assert_eq!(run.outcomes.total(), run.frames, "{:?}", run.outcomes);
    let streams = run.streams();
    let [stream] = streams[..] else { panic!("{} streams, {:?}", streams.len(), run.outcomes) };
    (stream.numbers.packets, stream.numbers.lost(), stream.call_uid.is_some())
}

const PACKETS: u16 = 300;

/// Packets written at their times through `framing`, in segments of at most `most` bytes, some of them together.
fn connection(begin: &[u8], framing: impl Fn(&[u8]) -> Vec<u8>, most: usize, together: u16) -> Connection {
    let mut connection = Connection::new("192.0.2.1:41000", "198.51.100.1:30000");
    connection.write(1, begin, most);
    let mut waiting = Vec::new();
    for i in 0..PACKETS {
        waiting.extend(framing(&rtp(100 + i, 7)));
        if (i + 1) % together == 0 {
            connection.write(10 + 20 * i64::from(i), &waiting, most);
            waiting.clear();
        }
    }
    connection
}

#[test]
fn rtp_behind_a_length_is_measured_whatever_the_segments() {
    for (most, together) in [(1_460, 1), (1_460, 5), (100, 1), (7, 3)] {
        let frames = connection(&[], behind_length, most, together).frames;
        assert_eq!(one_stream(&frames), (u64::from(PACKETS), 0, false), "{most} {together}");
    }
}

#[test]
fn what_a_turn_server_relays_over_tcp_is_measured() {
    let allocate = stun(0x0003, &[]);
    for (most, together) in [(1_460, 1), (1_460, 5), (64, 1)] {
        for framing in [channel_data, send_indication] {
            let frames = connection(&allocate, framing, most, together).frames;
            assert_eq!(one_stream(&frames), (u64::from(PACKETS), 0, false), "{most} {together}");
        }
    }
}

#[test]
fn a_connection_that_was_up_before_is_read_from_the_first_segment_that_begins_a_packet() {
    let frames = connection(&[], behind_length, 1_460, 1).joined_after(11);
    assert_eq!(one_stream(&frames), (u64::from(PACKETS) - 10, 0, false));
    let frames = connection(&stun(0x0003, &[]), channel_data, 1_460, 1).joined_after(12);
    assert_eq!(one_stream(&frames), (u64::from(PACKETS) - 10, 0, false));
}

#[test]
fn a_segment_that_the_probe_missed_is_loss_of_the_packets_in_it() {
    let mut frames = connection(&[], behind_length, 1_460, 1).frames;
    frames.drain(100..110);
    let (packets, lost, _) = one_stream(&frames);
    // Packets wait for the hole to close for two seconds, then are read on.
    assert_eq!((packets, lost), (u64::from(PACKETS) - 10, 10));
}

#[test]
fn the_call_of_a_stream_over_tcp_is_found_by_its_session_description() {
    let (a, b) = (at("192.0.2.1:5060"), at("198.51.100.1:5060"));
    // The active side has no port yet (RFC 4145 section 4.1).
    let tcp = |ip: &str, port: u16| sdp(ip, &[(port, "0|a=setup:actpass")]).replace("RTP/AVP", "TCP/RTP/AVP");
    let mut scene = Scene::new();
    scene.dialog(&Dialog {
        at_ms: 0,
        call_id: "c1",
        caller: a,
        callee: b,
        offer: &tcp("192.0.2.1", 9),
        answer: &tcp("198.51.100.1", 30_000),
        talk_ms: Some(7_000),
    });
    let mut frames = scene.frames();
    let begin = frames[0].at;
    let shift = |f: Frame| Frame { at: f.at - START + begin + 150 * MS, ..f };
    frames.extend(connection(&[], behind_length, 1_460, 1).frames.into_iter().map(shift));
    frames.sort_by_key(|f| f.at);
    assert_eq!(one_stream(&frames), (u64::from(PACKETS), 0, true));
}

#[test]
fn other_connections_are_left_alone() {
    let tls = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 1, 1, 1, 1, 1, 1];
    for bytes in
        [&tls[..], b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", b"SSH-2.0-x\r\n", &[0; 2_000], &[0x80; 2_000]]
    {
        let mut connection = Connection::new("192.0.2.1:41000", "198.51.100.1:443");
        connection.write(1, bytes, 500);
        for i in 0..20 {
            connection.write(2 + i, &[0xa7; 700], 1_000);
        }
        let run = run(&connection.frames, &Setup::default());
        assert_eq!(run.outcomes.total(), run.frames);
        let other = run.outcomes.get(Outcome::Ignored(Ignored::OtherTcp));
        assert!(run.streams().is_empty() && other + 4 >= run.frames, "{:?}", run.outcomes);
    }
}

fn web_frame(opcode: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![opcode];
    if payload.len() < 126 {
        bytes.push(masked | payload.len() as u8);
    } else {
        bytes.push(masked | 126);
        bytes.extend((payload.len() as u16).to_be_bytes());
    }
    bytes.extend(mask.iter().flatten());
    let mask = mask.unwrap_or_default();
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    bytes
}

fn message(start: &str, cseq: &str, to_tag: &str, body: &str) -> Vec<u8> {
    let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{start}\r\nVia: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK{}\r\nFrom: <sip:a@example.com>;tag=f\r\n\
         To: <sip:b@example.com>{to_tag}\r\nCall-ID: ws1\r\nCSeq: {cseq}\r\n{content}Content-Length: {}\r\n\r\n{body}",
        cseq.replace(' ', ""),
        body.len()
    )
    .into_bytes()
}

/// A call over one WebSocket, in segments of at most `most` bytes; frames of the first `n` segments of each side left out.
fn web_call(most: usize, fragment: bool, n: usize) -> Vec<Frame> {
    let (phone, server) = ("192.0.2.1:50000", "198.51.100.1:8080");
    let (mut up, mut down) = (Connection::new(phone, server), Connection::new(server, phone));
    let (ask, grant) = (
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: sip\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    );
    up.write(1, ask.as_bytes(), 2_000);
    down.write(2, grant.as_bytes(), 2_000);
    let mask = Some([0xde, 0xad, 0xbe, 0xef]);
    let framed = |mask, text: Vec<u8>| {
        if !fragment {
            return web_frame(0x81, mask, &text);
        }
        let (a, b) = text.split_at(text.len() / 2);
        [web_frame(0x01, mask, a), web_frame(0x8a, mask, b""), web_frame(0x80, mask, b)].concat()
    };
    let (offer, answer) = (sdp("192.0.2.1", &[(20_000, "0")]), sdp("198.51.100.1", &[(30_000, "0")]));
    let (tag, uri) = (";tag=t", "sip:b@example.com SIP/2.0");
    up.write(10, &framed(mask, message(&format!("INVITE {uri}"), "1 INVITE", "", &offer)), most);
    down.write(30, &framed(None, message("SIP/2.0 180 Ringing", "1 INVITE", tag, "")), most);
    down.write(60, &framed(None, message("SIP/2.0 200 OK", "1 INVITE", tag, &answer)), most);
    up.write(70, &framed(mask, message(&format!("ACK {uri}"), "1 ACK", tag, "")), most);
    up.write(80, &web_frame(0x81, mask, b"\r\n\r\n"), most);
    down.write(900, &framed(None, message("BYE sip:a@example.com SIP/2.0", "1 BYE", tag, "")), most);
    up.write(910, &framed(mask, message("SIP/2.0 200 OK", "1 BYE", tag, "")), most);
    let mut frames: Vec<Frame> = up.joined_after(n).into_iter().chain(down.joined_after(n)).collect();
    frames.sort_by_key(|f| f.at);
    frames
}

#[test]
fn a_call_over_a_websocket_is_a_call() {
    for (most, fragment) in [(1_460, false), (1_460, true), (50, false), (1, true)] {
        let run = run(&web_call(most, fragment, 0), &Setup::rested());
        assert_eq!(run.outcomes.total(), run.frames);
        let [call] = run.calls()[..] else { panic!("{} calls: {:?}", run.calls().len(), run.outcomes) };
        let read = (call.state.name(), call.final_code, call.transport, call.messages, call.acked);
        assert_eq!(read, ("completed", 200, Transport::Ws, 6, true), "{most} {fragment}");
    }
    // The handshake was before the capture.
    let run = run(&web_call(1_460, false, 2), &Setup::rested());
    let [call] = run.calls()[..] else { panic!("{} calls: {:?}", run.calls().len(), run.outcomes) };
    assert_eq!((call.state.name(), call.messages), ("completed", 6));
}
