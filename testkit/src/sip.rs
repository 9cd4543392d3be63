//! One dialog's messages: INVITE and its answers, challenges, re-INVITEs, REFER, CANCEL, BYE (RFC 3261, 3264, 3515).

use crate::call::{CallSpec, Change, Outcome, Party, Relay, Side, Transport, What};
use crate::codec::{COMFORT_NOISE, Codec, TELEPHONE_EVENT};
use crate::path::MS;
use crate::rng::Rng;
use crate::truth::CallTruth;
use std::fmt::Write;
use std::net::SocketAddr;

/// A message as captured.
pub(crate) struct Message {
    pub at: i64,
    pub from_caller: bool,
    pub text: String,
}

/// One leg: who speaks to whom, and how its times differ from those of the first leg.
pub(crate) struct Leg<'a> {
    pub number: u8,
    pub caller: Party,
    pub callee: Party,
    pub spec: &'a CallSpec,
    pub call_id: String,
    /// Added to messages from the caller, taken from those of the callee, ns.
    pub shift: i64,
}

/// The one or two legs of a call.
pub(crate) fn legs<'a>(spec: &'a CallSpec, call: usize, rng: &mut Rng) -> Vec<Leg<'a>> {
    let at = |party: &Party, sip, media| Party { sip, media, agent: "ExampleSBC/9.1".into(), ..party.clone() };
    let mut leg = |number: u8, caller: Party, callee: Party| {
        let call_id = format!("{:016x}-{call}@{}", rng.next_u64(), bare_host(&caller.sip));
        Leg { number, caller, callee, spec, call_id, shift: i64::from(number) * 12 * MS }
    };
    match &spec.relay {
        None => vec![leg(0, spec.caller.clone(), spec.callee.clone())],
        Some(Relay { outer_sip, outer_media, inner_sip, inner_media, .. }) => vec![
            leg(0, spec.caller.clone(), at(&spec.callee, *outer_sip, *outer_media)),
            leg(1, at(&spec.caller, *inner_sip, *inner_media), spec.callee.clone()),
        ],
    }
}

/// All messages of a leg in order of time, and what is true about it. `base` is the start of the world.
pub(crate) fn play(leg: &Leg, base: i64, rng: Rng) -> (Vec<Message>, CallTruth) {
    let mut dialog = Dialog::new(leg, rng);
    dialog.truth.transport = if leg.spec.transport == Transport::Tcp { "tcp" } else { "udp" };
    dialog.setup(base + leg.spec.start_ms * MS);
    let mut messages = dialog.out;
    messages.sort_by_key(|m| m.at);
    let mut truth = dialog.truth;
    truth.messages = messages.len() as u32;
    let span = |a: Option<i64>, b: Option<i64>| Some((b? - a?) as f64 / 1e6);
    truth.setup_ms = span(Some(truth.invite_at), truth.answer_at);
    truth.duration_ms = span(truth.answer_at, truth.end_at);
    (messages, truth)
}

/// A request already sent: what an answer repeats.
#[derive(Clone)]
struct Request {
    at: i64,
    from_caller: bool,
    method: &'static str,
    branch: String,
    cseq: u32,
    repeated: bool,
}

struct Dialog<'a> {
    leg: &'a Leg<'a>,
    rng: Rng,
    from_tag: String,
    to_tag: String,
    cseq: [u32; 2],
    sdp_version: u32,
    codec: Codec,
    out: Vec<Message>,
    truth: CallTruth,
}

impl<'a> Dialog<'a> {
    fn new(leg: &'a Leg<'a>, mut rng: Rng) -> Dialog<'a> {
        let truth = CallTruth {
            call_id: leg.call_id.clone(),
            leg: leg.number,
            from_user: leg.caller.user.clone(),
            to_user: leg.callee.user.clone(),
            ..CallTruth::default()
        };
        let (from_tag, to_tag) = (format!("{:08x}", rng.next_u32()), format!("{:08x}", rng.next_u32()));
        let codec = leg.spec.codec;
        Dialog { leg, rng, from_tag, to_tag, cseq: [0, 100], sdp_version: 1, codec, out: Vec::new(), truth }
    }

    fn setup(&mut self, t: i64) {
        let spec = self.leg.spec;
        let offer = self.sdp(true, "sendrecv", &[spec.codec, Codec::Pcma, Codec::Pcmu]);
        let mut t0 = t;
        let mut credentials = String::new();
        let outer = self.leg.number == 0;
        if spec.auth {
            t0 = t + 40 * MS;
        }
        if spec.auth && outer {
            let first = self.request(t, true, "INVITE", "", &offer);
            self.truth.invite_at = first.at;
            let nonce = format!("{:016x}", self.rng.next_u64());
            let challenge =
                format!("Proxy-Authenticate: Digest realm=\"{}\", nonce=\"{nonce}\"\r\n", self.leg.callee.domain);
            self.answer(t + 20 * MS, &first, 407, &challenge, "");
            self.ack_refusal(t + 30 * MS, &first);
            let response = format!("{:016x}{:016x}", self.rng.next_u64(), self.rng.next_u64());
            credentials = format!(
                "Proxy-Authorization: Digest username=\"{}\", realm=\"{}\", nonce=\"{nonce}\", uri=\"{}\", response=\"{response}\"\r\n",
                self.leg.caller.user,
                self.leg.callee.domain,
                self.leg.callee.uri()
            );
            self.truth.auth_rounds = 1;
        }
        let unanswered = spec.outcome == Outcome::NoResponse;
        let mut copies = match (spec.transport, unanswered) {
            (Transport::Tcp, _) => 0,
            (_, true) => 6,
            (_, false) => spec.retransmits,
        };
        let heard = if copies > 0 { t0 + ((1 << copies) - 1) * 500 * MS } else { t0 };
        if !outer {
            (t0, copies) = (heard, 0);
        }
        let mut invite = self.request(t0, true, "INVITE", &credentials, &offer);
        invite.repeated = copies > 0;
        if self.truth.auth_rounds == 0 {
            self.truth.invite_at = invite.at;
        }
        let text = self.out.last().map_or(String::new(), |m| m.text.clone());
        for n in 1..=copies {
            let at = invite.at + ((1 << n) - 1) * 500 * MS;
            self.out.push(Message { at, from_caller: true, text: text.clone() });
        }
        self.truth.retransmissions = copies;
        if unanswered {
            self.truth.state = "setup_timeout";
            return;
        }
        // A hop answers 100 by itself, whatever the leg behind it does.
        let trying = heard + 8 * MS + 2 * self.leg.shift;
        self.answer(trying, &invite, 100, "", "");
        let ring = (t + spec.ring_ms * MS).max(trying + 5 * MS);
        let fin = (t + spec.answer_ms * MS).max(ring + 5 * MS);
        let answer_sdp = self.sdp(false, "sendrecv", &[spec.codec]);
        if spec.ring_ms < spec.answer_ms {
            let (code, body) = if spec.early_media { (183, answer_sdp.as_str()) } else { (180, "") };
            self.truth.ring_at = Some(self.answer(ring, &invite, code, "", body));
        }
        match spec.outcome {
            Outcome::Answered => self.talk(fin, &invite, &answer_sdp),
            Outcome::Refused(code) => {
                self.truth.final_code = code;
                self.truth.state = "failed";
                let extra = match code {
                    503 => "Retry-After: 30\r\n",
                    480 => "Reason: Q.850;cause=19;text=\"No answer from user\"\r\n",
                    _ => "",
                };
                self.truth.end_at = Some(self.answer(fin, &invite, code, extra, ""));
                self.ack_refusal(fin + 15 * MS, &invite);
            }
            Outcome::Cancelled => {
                let mut cancel = Request { method: "CANCEL", repeated: false, ..invite.clone() };
                cancel.at = self.send_request(fin, &cancel, "Reason: SIP;cause=487\r\n", "");
                self.truth.end_at = Some(cancel.at);
                self.answer(fin + 30 * MS, &cancel, 200, "", "");
                self.answer(fin + 35 * MS, &invite, 487, "", "");
                self.ack_refusal(fin + 50 * MS, &invite);
                self.truth.final_code = 487;
                self.truth.state = "cancelled";
            }
            Outcome::NoResponse => {}
        }
    }

    fn talk(&mut self, answered: i64, invite: &Request, sdp: &str) {
        let spec = self.leg.spec;
        self.truth.answer_at = Some(self.answer(answered, invite, 200, "", sdp));
        self.truth.final_code = 200;
        self.truth.acked = spec.acked;
        if spec.acked {
            self.ack(answered + 25 * MS, invite);
        }
        for change in &spec.changes {
            self.change(answered + change.at_ms * MS, change);
        }
        if let Some((at_ms, target)) = &spec.transfer {
            self.transfer(answered + at_ms * MS, target);
        }
        let end = answered + spec.talk_ms * MS;
        let Some(side) = spec.released_by else {
            self.truth.state = "unfinished";
            return;
        };
        let by_caller = side == Side::Caller;
        let bye = self.request(end, by_caller, "BYE", "Reason: Q.850;cause=16;text=\"Normal call clearing\"\r\n", "");
        self.answer(end + 30 * MS, &bye, 200, "", "");
        self.truth.end_at = Some(bye.at);
        self.truth.state = "completed";
        self.truth.released_by = Some(if by_caller { "caller" } else { "callee" });
    }

    fn change(&mut self, at: i64, change: &Change) {
        let by_caller = change.by == Side::Caller;
        let (offered, answered) = match change.what {
            What::Hold { music: true } => ("sendonly", "recvonly"),
            What::Hold { music: false } => ("inactive", "inactive"),
            What::Resume => ("sendrecv", "sendrecv"),
            What::Codec(codec) => {
                self.codec = codec;
                ("sendrecv", "sendrecv")
            }
        };
        self.sdp_version += 1;
        let offer = self.sdp(by_caller, offered, &[self.codec]);
        let answer = self.sdp(!by_caller, answered, &[self.codec]);
        let invite = self.request(at, by_caller, "INVITE", "", &offer);
        self.answer(at + 30 * MS, &invite, 200, "", &answer);
        self.ack(at + 50 * MS, &invite);
        self.truth.reinvites += 1;
    }

    /// RFC 3515: REFER, 202, and NOTIFYs about how the new call fares.
    fn transfer(&mut self, at: i64, target: &str) {
        let refer = self.request(at, false, "REFER", &format!("Refer-To: <{target}>\r\n"), "");
        self.answer(at + 30 * MS, &refer, 202, "", "");
        for (after, state, line) in [
            (60, "active;expires=60", "SIP/2.0 100 Trying\r\n"),
            (1_500, "terminated;reason=noresource", "SIP/2.0 200 OK\r\n"),
        ] {
            let extra =
                format!("Event: refer\r\nSubscription-State: {state}\r\nContent-Type: message/sipfrag;version=2.0\r\n");
            let notify = self.request(at + after * MS, true, "NOTIFY", &extra, line);
            self.answer(at + (after + 30) * MS, &notify, 200, "", "");
        }
    }

    fn request(&mut self, at: i64, from_caller: bool, method: &'static str, extra: &str, body: &str) -> Request {
        let counter = &mut self.cseq[usize::from(!from_caller)];
        *counter += 1;
        let cseq = *counter;
        let branch = format!("z9hG4bK{:012x}", self.rng.next_u64() >> 16);
        let mut request = Request { at, from_caller, method, branch, cseq, repeated: false };
        request.at = self.send_request(at, &request, extra, body);
        request
    }

    fn ack(&mut self, at: i64, invite: &Request) {
        let branch = format!("z9hG4bK{:012x}", self.rng.next_u64() >> 16);
        self.send_request(at, &Request { method: "ACK", branch, ..invite.clone() }, "", "");
    }

    /// RFC 3261 section 17.1.1.3: the ACK of a refusal belongs to the INVITE's transaction.
    fn ack_refusal(&mut self, at: i64, invite: &Request) {
        self.send_request(at, &Request { method: "ACK", ..invite.clone() }, "", "");
    }

    fn send_request(&mut self, at: i64, r: &Request, extra: &str, body: &str) -> i64 {
        let (me, peer) = self.ends(r.from_caller);
        let target = SocketAddr::to_string(&peer.sip);
        let user = &peer.user;
        let mut text = format!("{} sip:{user}@{target} SIP/2.0\r\n", r.method);
        text += &self.common(r, r.method != "INVITE" || self.truth.answer_at.is_some());
        let _ = write!(text, "Max-Forwards: 70\r\nUser-Agent: {}\r\n", me.agent);
        self.finish(Message { at, from_caller: r.from_caller, text }, r.method, extra, body)
    }

    fn answer(&mut self, at: i64, r: &Request, code: u16, extra: &str, body: &str) -> i64 {
        let (me, _) = self.ends(!r.from_caller);
        let mut text = format!("SIP/2.0 {code} {}\r\n", reason(code));
        text += &self.common(r, code != 100);
        let _ = write!(text, "Server: {}\r\n", me.agent);
        let message = Message { at, from_caller: !r.from_caller, text };
        let at = self.finish(message, if code < 300 { r.method } else { "" }, extra, body);
        let automatic = matches!((r.method, code), ("INVITE", 100) | ("BYE" | "CANCEL" | "NOTIFY", _));
        if automatic && !r.repeated {
            let trips = &mut self.truth.sip_rtt_ms;
            let half = if r.from_caller { &mut trips.toward_callee } else { &mut trips.toward_caller };
            half.push((at - r.at) as f64 / 1e6);
        }
        at
    }

    /// Headers a request and its answers share.
    fn common(&self, r: &Request, to_tag: bool) -> String {
        let (me, _) = self.ends(r.from_caller);
        let leg = self.leg;
        let via = if leg.spec.transport == Transport::Tcp { "TCP" } else { "UDP" };
        let mut caller = format!("\"{}\" <{}>;tag={}", leg.caller.name, leg.caller.uri(), self.from_tag);
        let mut callee = format!("<{}>", leg.callee.uri());
        let cancel = r.method == "CANCEL";
        if to_tag && !cancel {
            let _ = write!(callee, ";tag={}", self.to_tag);
        }
        if !r.from_caller {
            std::mem::swap(&mut caller, &mut callee);
        }
        format!(
            "Via: SIP/2.0/{via} {};branch={};rport\r\nFrom: {caller}\r\nTo: {callee}\r\nCall-ID: {}\r\nCSeq: {} {}\r\n",
            me.sip, r.branch, leg.call_id, r.cseq, r.method
        )
    }

    /// Adds the end of the headers and the body; the time at which the message is sent.
    fn finish(&mut self, message: Message, method: &str, extra: &str, body: &str) -> i64 {
        let Message { at, from_caller, mut text } = message;
        let (me, _) = self.ends(from_caller);
        if matches!(method, "INVITE" | "REFER" | "NOTIFY") {
            let _ = write!(text, "Contact: <sip:{}@{}>\r\n", me.user, me.sip);
        }
        text += extra;
        if body.starts_with("v=0") {
            text += "Content-Type: application/sdp\r\n";
        }
        let _ = write!(text, "Content-Length: {}\r\n\r\n{body}", body.len());
        let at = if from_caller { at + self.leg.shift } else { at - self.leg.shift };
        self.out.push(Message { at, from_caller, text });
        at
    }

    fn ends(&self, from_caller: bool) -> (&'a Party, &'a Party) {
        let (caller, callee) = (&self.leg.caller, &self.leg.callee);
        if from_caller { (caller, callee) } else { (callee, caller) }
    }

    fn sdp(&self, of_caller: bool, direction: &str, codecs: &[Codec]) -> String {
        let (me, _) = self.ends(of_caller);
        let spec = self.leg.spec;
        let ip = me.media.ip();
        let family = if ip.is_ipv6() { "IP6" } else { "IP4" };
        let mut list: Vec<Codec> = Vec::new();
        for codec in codecs {
            if !list.contains(codec) {
                list.push(*codec);
            }
        }
        let dtx = (spec.forward.habits.dtx || spec.backward.habits.dtx) && list[0].silence_is_comfort_noise();
        let mut types: Vec<String> = list.iter().map(|c| c.payload_type().to_string()).collect();
        types.extend(dtx.then(|| COMFORT_NOISE.to_string()));
        types.push(TELEPHONE_EVENT.to_string());
        let mut out = format!(
            "v=0\r\no=- {} {} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\nm=audio {} RTP/AVP {}\r\n",
            4_000 + u32::from(me.media.port()),
            self.sdp_version,
            me.media.port(),
            types.join(" ")
        );
        for codec in &list {
            let pt = codec.payload_type();
            let _ = write!(out, "a=rtpmap:{pt} {}\r\n", codec.rtpmap());
            if let Some(fmtp) = codec.fmtp() {
                let _ = write!(out, "a=fmtp:{pt} {fmtp}\r\n");
            }
        }
        let clock = list[0].clock();
        let _ = write!(out, "a=rtpmap:{TELEPHONE_EVENT} telephone-event/{clock}\r\na=fmtp:{TELEPHONE_EVENT} 0-15\r\n");
        let _ = write!(out, "a=ptime:{}\r\na={direction}\r\n", spec.ptime_ms);
        if spec.rtcp.is_some_and(|r| r.mux) {
            out += "a=rtcp-mux\r\n";
        }
        out
    }
}

fn bare_host(at: &SocketAddr) -> String {
    match at {
        SocketAddr::V4(a) => a.ip().to_string(),
        SocketAddr::V6(a) => format!("[{}]", a.ip()),
    }
}

fn reason(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        403 => "Forbidden",
        404 => "Not Found",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        480 => "Temporarily Unavailable",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        603 => "Decline",
        _ => "Refused",
    }
}
