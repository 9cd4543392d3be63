//! What comes over TCP: SIP, SIP over WebSocket (RFC 7118), and framed packets (RFC 4571, RFC 8656).
//!
//! A segment has one outcome, whatever it brings: that of the first RTP packet in it, else that of the last message or packet.

use super::{Core, Sink, packet_of};
use crate::model::{Ignored, Outcome, OverLimit, Transport};
use crate::signal::CapturedMessage;
use crate::units::Timestamp;
use crate::wire::classify::{Class, classify};
use crate::wire::rtp::{RtpError, RtpHeader};
use crate::wire::sip::{Framing, FramingLimits, looks_like_sip};
use crate::wire::tcp::{Protocol, Reassembler, TcpFlow, TcpOutcome, TcpStream};
use crate::wire::units::{Unit, Units};
use crate::wire::websocket::WsStep;
use crate::wire::{Datagram, Segment};

const OTHER: Outcome = Outcome::Ignored(Ignored::OtherTcp);
const PART: Outcome = Outcome::Ignored(Ignored::TcpPart);

/// When the first hole is given up; [`Timestamp::MAX`] where there is none.
pub(super) fn deadline(tcp: &Reassembler) -> Timestamp {
    tcp.next_deadline().unwrap_or(Timestamp::MAX)
}

impl Core {
    pub(super) fn segment(&mut self, at: Timestamp, segment: &Segment<'_>, tcp: &mut Reassembler, out: &mut dyn Sink) {
        self.flush(out);
        let outcome = match tcp.push(at, segment) {
            TcpOutcome::Done(outcome) => Some(outcome),
            TcpOutcome::Buffered(Some(Protocol::Packets(_) | Protocol::WebSocket)) => Some(PART),
            TcpOutcome::Buffered(_) => Some(Outcome::Sip),
            TcpOutcome::Readable(stream) => self.stream(at, stream, true, out),
        };
        self.tcp_deadline = deadline(tcp);
        if let Some(outcome) = outcome {
            self.count(outcome);
        }
        self.flush(out);
        self.deadline = self.next_deadline();
    }

    /// Gives up holes in TCP streams whose missing bytes did not come in time.
    pub(super) fn release_tcp(&mut self, at: Timestamp, tcp: &mut Reassembler, out: &mut dyn Sink) {
        while let Some(stream) = tcp.release(at) {
            self.stream(at, stream, false, out);
        }
        self.tcp_deadline = deadline(tcp);
        self.flush(out);
    }

    /// Reads what there is of a stream. `is_outcome`: it stands for a segment; then `None` is that an RTP packet has its outcome.
    fn stream(
        &mut self,
        at: Timestamp,
        stream: TcpStream<'_>,
        is_outcome: bool,
        out: &mut dyn Sink,
    ) -> Option<Outcome> {
        match stream.protocol() {
            Protocol::Sip => Some(self.sip_stream(at, stream, out)),
            Protocol::WebSocket => Some(self.web_socket(at, stream, out)),
            Protocol::Packets(units) => self.packets(at, stream, units, is_outcome, out),
        }
    }

    /// Reads packets off a stream.
    fn packets(
        &mut self,
        at: Timestamp,
        mut stream: TcpStream<'_>,
        units: Units,
        mut is_outcome: bool,
        out: &mut dyn Sink,
    ) -> Option<Outcome> {
        let (flow, path) = (stream.flow(), stream.path());
        let mut outcome = Some(PART);
        let mut taken = false;
        loop {
            match stream.unit(units) {
                Unit::Need => {
                    if stream.ends_in_hole() {
                        stream.resync();
                    }
                    break;
                }
                Unit::Packet { header, len, total } => {
                    let payload = stream.bytes().get(header..header + len).unwrap_or_default();
                    let datagram = Datagram { src: flow.src, dst: flow.dst, path, payload, wire_len: len };
                    match self.packet(at, &datagram, is_outcome, out) {
                        Some(other) => outcome = Some(other),
                        None => (taken, is_outcome) = (true, false),
                    }
                    stream.consume(total);
                }
                Unit::Broken => {
                    outcome = Some(OTHER);
                    stream.reject();
                    break;
                }
            }
        }
        outcome.filter(|_| !taken)
    }

    /// One packet off a stream. `None`: it is RTP, and its stream says what became of it.
    fn packet(
        &mut self,
        at: Timestamp,
        datagram: &Datagram<'_>,
        is_outcome: bool,
        out: &mut dyn Sink,
    ) -> Option<Outcome> {
        let mut rtp = |core: &mut Core, datagram: &Datagram<'_>, header: &RtpHeader| {
            let packet = packet_of(at, datagram, header);
            core.enqueue(super::Packet { is_outcome, ..packet }, out);
            None
        };
        let (inner, class) = match classify(datagram.payload, datagram.wire_len) {
            // What a TURN server relays; relays inside relays are not looked at.
            Class::Relayed { payload, wire_len } => {
                (Datagram { payload, wire_len, ..*datagram }, classify(payload, wire_len))
            }
            class => (*datagram, class),
        };
        match class {
            Class::Rtp(header) | Class::MalformedRtp(RtpError::Padding(header)) => rtp(self, &inner, &header),
            Class::Rtcp => {
                self.flush(out);
                Some(self.rtcp_at_once(at, &inner, out))
            }
            Class::Stun => Some(Outcome::Ignored(Ignored::Stun)),
            Class::Dtls => Some(Outcome::Ignored(Ignored::Dtls)),
            Class::KeepAlive => Some(Outcome::Ignored(Ignored::KeepAlive)),
            Class::Relayed { .. } => Some(Outcome::OverLimit(OverLimit::EncapsulationDepth)),
            _ => Some(OTHER),
        }
    }

    /// Reads SIP messages off a WebSocket.
    fn web_socket(&mut self, at: Timestamp, mut stream: TcpStream<'_>, out: &mut dyn Sink) -> Outcome {
        let (TcpFlow { src, dst, .. }, transport) = (stream.flow(), Transport::Ws);
        let mut outcome = PART;
        loop {
            match stream.web_socket(self.limits.message_bytes) {
                WsStep::Need => {
                    if stream.ends_in_hole() {
                        stream.resync();
                    }
                    return outcome;
                }
                WsStep::Skip(_) => {}
                WsStep::TooLong(_) => outcome = Outcome::OverLimit(OverLimit::MessageSize),
                WsStep::Message(_) => {
                    let message = stream.message();
                    // RFC 7118 section 5: a message of its own, or a keep-alive.
                    outcome = if looks_like_sip(message) {
                        self.sip(CapturedMessage { at, src, dst, transport, bytes: message, cut_short: false }, out)
                    } else if message.iter().all(|b| matches!(b, b'\r' | b'\n')) {
                        Outcome::Ignored(Ignored::KeepAlive)
                    } else {
                        stream.reject();
                        return OTHER;
                    };
                }
                WsStep::Broken => {
                    stream.reject();
                    return OTHER;
                }
            }
        }
    }

    /// Reads whole messages off a TCP stream.
    fn sip_stream(&mut self, at: Timestamp, mut stream: TcpStream<'_>, out: &mut dyn Sink) -> Outcome {
        let (TcpFlow { src, dst, .. }, transport) = (stream.flow(), Transport::Tcp);
        let limits = FramingLimits { message: self.limits.message_bytes, headers: self.limits.header_bytes };
        // A segment has one outcome: that of a limit before that of the last message, and that before what was passed over.
        let mut outcome = None;
        let mut over_limit = None;
        let mut ended = |outcome: &mut Option<Outcome>, new: Outcome| match new {
            Outcome::OverLimit(_) => over_limit = Some(new),
            _ => *outcome = Some(new),
        };
        loop {
            match stream.frame(&limits) {
                Framing::Need => {
                    if stream.ends_in_hole() && !stream.bytes().is_empty() {
                        let bytes = stream.bytes();
                        let cut = self.sip(CapturedMessage { at, src, dst, transport, bytes, cut_short: true }, out);
                        ended(&mut outcome, cut);
                        stream.resync();
                    }
                    break;
                }
                Framing::Message(len) => {
                    let bytes = stream.bytes().get(..len).unwrap_or_default();
                    let whole = self.sip(CapturedMessage { at, src, dst, transport, bytes, cut_short: false }, out);
                    ended(&mut outcome, whole);
                    stream.consume(len);
                }
                Framing::Skip(len) => stream.consume(len),
                Framing::Junk(len) => {
                    outcome = outcome.or(Some(Outcome::Ignored(Ignored::OtherTcp)));
                    stream.consume(len);
                }
                Framing::TooLong(len) => {
                    ended(&mut outcome, Outcome::OverLimit(OverLimit::MessageSize));
                    stream.consume(len);
                }
                Framing::HeadersTooLong(len) => {
                    ended(&mut outcome, Outcome::OverLimit(OverLimit::HeaderSize));
                    stream.consume(len);
                }
                Framing::NotSip => {
                    outcome = Some(Outcome::Ignored(Ignored::OtherTcp));
                    stream.reject();
                    break;
                }
            }
        }
        over_limit.or(outcome).unwrap_or(Outcome::Sip)
    }
}
