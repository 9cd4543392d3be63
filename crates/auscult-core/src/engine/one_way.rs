//! Whether the parties of a call hear each other, by all evidence: RTP at this probe, RTCP of the receivers,
//! ICMP errors, and the addresses of the session descriptions.
//!
//! That RTP was not seen at the probe is not that it was not received: it may take another path. So each rule names its
//! witness, and "not seen" without any other witness is a verdict of its own.

use super::verdict::{Evidence, Found, MEDIA_EXPECTED_AFTER, add};
use crate::model::{CallRecord, DiagnosisCode, RtcpKind, RtcpRecord, Undelivered};
use crate::signal::Side;
use crate::units::{Nanos, Timestamp};
use crate::wire::IcmpError;
use std::net::IpAddr;

/// Reports from which on it is believed that they name no source, or are no sender reports: the first may be sent before media.
const REPORTS_ENOUGH: u32 = 2;

/// Evidence for and against that one side of a call hears the other.
#[derive(Clone, Debug, Default)]
pub struct SideEvidence {
    /// RTCP reports of this side that say how it hears a source, and those that name none.
    with_source: u32,
    without_source: u32,
    /// Sender reports of this side, and receiver reports, which it sends while it sends no media (RFC 3550 section 6.4).
    sender_reports: u32,
    receiver_reports: u32,
    /// ICMP errors about media to this side.
    refused: Option<Refused>,
    /// Where this side wants its media, by its latest session description.
    announced: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug)]
struct Refused {
    why: Undelivered,
    by: IpAddr,
    packets: u32,
    first_at: Timestamp,
    last_at: Timestamp,
}

impl SideEvidence {
    /// Where this side wants its media.
    pub fn announced(&self) -> Option<IpAddr> {
        self.announced
    }

    pub fn announces(&mut self, address: IpAddr) {
        self.announced = Some(address);
    }

    /// Takes an RTCP report that this side sent. Returns whether it says something new.
    pub fn reports(&mut self, record: &RtcpRecord) -> bool {
        let before = (self.with_source > 0, self.without_source >= REPORTS_ENOUGH);
        match record.kind {
            RtcpKind::SenderReport => self.sender_reports = self.sender_reports.saturating_add(1),
            RtcpKind::ReceiverReport => self.receiver_reports = self.receiver_reports.saturating_add(1),
            _ => return false,
        }
        match record.block {
            Some(block) if block.ssrc != record.reporter => self.with_source = self.with_source.saturating_add(1),
            Some(_) => {}
            None => self.without_source = self.without_source.saturating_add(1),
        }
        before != (self.with_source > 0, self.without_source >= REPORTS_ENOUGH)
    }

    /// Takes an ICMP error about media to this side. Returns whether it says something new.
    pub fn refuses(&mut self, at: Timestamp, error: &IcmpError<'_>) -> bool {
        match &mut self.refused {
            Some(refused) => {
                let before = refused.lasted() >= MEDIA_EXPECTED_AFTER;
                refused.packets = refused.packets.saturating_add(1);
                refused.last_at = refused.last_at.max(at);
                before != (refused.lasted() >= MEDIA_EXPECTED_AFTER)
            }
            None => {
                // A loop is a fault of the way, and not known to last.
                if error.why == Undelivered::TimeExceeded {
                    return false;
                }
                self.refused = Some(Refused { why: error.why, by: error.from, packets: 1, first_at: at, last_at: at });
                true
            }
        }
    }

    /// Errors over some time while the call was up: a port that is closed a moment before or after the call proves nothing.
    fn lasting_refusal(&self, call: &CallRecord, until: Timestamp) -> Option<Refused> {
        let answered = call.answered_at?;
        let refused = self.refused.filter(|r| r.last_at > answered && r.first_at < until)?;
        (refused.last_at.min(until) - refused.first_at.max(answered) >= MEDIA_EXPECTED_AFTER).then_some(refused)
    }
}

impl Refused {
    fn lasted(&self) -> Nanos {
        self.last_at - self.first_at
    }

    fn text(&self) -> String {
        format!("ICMP {} from {} for {} packets", self.why.name(), self.by, self.packets)
    }
}

fn name(side: Side) -> &'static str {
    match side {
        Side::Caller => "caller",
        Side::Callee => "callee",
    }
}

/// Reasons why a side does not hear the other. The call was answered; `until`: its end, or now.
pub fn missing_media(call: &CallRecord, evidence: &Evidence<'_>, until: Timestamp, found: &mut Found) {
    let lasted = until - call.answered_at.unwrap_or(until);
    if lasted < MEDIA_EXPECTED_AFTER || !evidence.media_agreed {
        return;
    }
    let sides = [Side::Caller, Side::Callee];
    // RTP to a side passes the probe, and its host has no use for it.
    let refusal = |side: Side| evidence.witness(side).lasting_refusal(call, until).map(|refused| (side, refused));
    match (evidence.from_caller, evidence.from_callee) {
        (0, 0) => no_media(evidence, lasted, sides.into_iter().find_map(refusal), found),
        (caller, callee) if (caller == 0 || callee == 0) && evidence.both_send => {
            let sender = if caller == 0 { Side::Caller } else { Side::Callee };
            one_direction(evidence, lasted, sender, refusal(sender.other()), found);
        }
        (1.., 1..) => {
            if let Some((side, refused)) = sides.into_iter().find_map(refusal) {
                let evidence = format!("RTP to the {} is seen and not delivered: {}", name(side), refused.text());
                add(found, 850, DiagnosisCode::OneWayMedia, 0.9, evidence);
            }
        }
        _ => {}
    }
}

fn no_media(evidence: &Evidence<'_>, lasted: Nanos, refusal: Option<(Side, Refused)>, found: &mut Found) {
    let seconds = lasted.as_secs_f64();
    let hears = [Side::Caller, Side::Callee].into_iter().find(|side| evidence.witness(*side).with_source > 0);
    if let Some((side, refused)) = refusal {
        let text = format!("answered for {seconds:.1} s, no RTP seen; media to the {}: {}", name(side), refused.text());
        add(found, 800, DiagnosisCode::NoMedia, 0.9, text);
    } else if let Some(side) = hears {
        let text = format!(
            "no RTP seen at this probe in {seconds:.1} s; {} RTCP reports of the {} say that it hears the other side",
            evidence.witness(side).with_source,
            name(side)
        );
        add(found, 40, DiagnosisCode::MediaElsewhere, 0.9, text);
    } else {
        let text = format!("answered for {seconds:.1} s, no RTP seen at this probe; media may bypass this probe");
        add(found, 800, DiagnosisCode::NoMedia, 0.6, text);
    }
}

/// RTP of one side only was seen.
fn one_direction(
    evidence: &Evidence<'_>,
    lasted: Nanos,
    sender: Side,
    refusal: Option<(Side, Refused)>,
    found: &mut Found,
) {
    let (listener, seconds) = (sender.other(), lasted.as_secs_f64());
    let seen = format!("RTP from the {} only; none from the {} in {seconds:.1} s", name(listener), name(sender));
    let (of_listener, of_sender) = (evidence.witness(listener), evidence.witness(sender));
    // On hold neither side needs to hear the other.
    let sure = |confidence: f32| if evidence.held { confidence.min(0.5) } else { confidence };
    let mut not_received = |confidence: f32, why: String| {
        add(found, 850, DiagnosisCode::OneWayMedia, sure(confidence), format!("{seen}; {why}"));
    };
    if let Some((_, refused)) = refusal {
        not_received(0.95, format!("media to the {}: {}", name(listener), refused.text()));
    } else if of_listener.with_source > 0 {
        let text = format!(
            "{seen} at this probe; {} RTCP reports of the {} say that it hears the other side",
            of_listener.with_source,
            name(listener)
        );
        add(found, 40, DiagnosisCode::MediaElsewhere, 0.9, text);
    } else if of_listener.without_source >= REPORTS_ENOUGH {
        not_received(
            0.95,
            format!("{} RTCP reports of the {} name no source it hears", of_listener.without_source, name(listener)),
        );
    } else if of_sender.sender_reports == 0 && of_sender.receiver_reports >= REPORTS_ENOUGH {
        let reports = of_sender.receiver_reports;
        not_received(0.9, format!("the {} sends {reports} RTCP receiver reports and no sender report", name(sender)));
    } else if let Some((announced, seen_at)) = unreachable(of_listener, evidence) {
        let why = format!("the {} wants its media at {announced} and sends from {seen_at}", name(listener));
        not_received(0.8, why);
    } else if evidence.passes {
        let why =
            format!("media from the {} or to the {} passes this probe in other calls", name(sender), name(listener));
        not_received(0.7, why);
    } else if !evidence.one_sided_capture {
        // Where the capture sees most streams one way only, that is no finding about a call.
        let text = format!("{seen} at this probe; no RTCP, ICMP or SDP says whether it was received");
        add(found, 750, DiagnosisCode::MediaNotSeen, sure(0.6), text);
    }
}

/// The address that a side announced, where it is private and the side is seen at another one: behind a NAT that nobody
/// corrects, the other side has nowhere to send.
fn unreachable(witness: &SideEvidence, evidence: &Evidence<'_>) -> Option<(IpAddr, IpAddr)> {
    let announced = witness.announced.filter(is_private)?;
    // Streams of one direction only: all are of this side.
    let seen_at = evidence.streams.iter().map(|stream| stream.src.ip().to_canonical()).find(|ip| *ip != announced)?;
    (!is_private(&seen_at)).then_some((announced, seen_at))
}

/// Addresses that are not routed in the Internet (RFC 1918, RFC 6598, RFC 3927, RFC 4193), and none at all.
fn is_private(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_link_local()
                || v4.is_loopback()
                || v4.is_unspecified()
                || a == 100 && b & 0xc0 == 64
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback() || v6.is_unspecified(),
    }
}
