//! Why a call was bad: reasons from its signalling and its streams, each with the numbers that speak for it.
//!
//! A reason is given only where somebody can act on it: a busy callee is no fault, and a low MOS is no reason
//! but a sign. Impairments are judged where they were measured, at this probe.

use super::correlator::Unnegotiated;
use super::one_way::{SideEvidence, missing_media};
use crate::model::{
    CallRecord, CallState, Diagnosis, DiagnosisCode, GOOD_MOS, IntervalReport, LossAttribution, LossEvidence,
    LossSource, PayloadKind, ReleasedBy, Scale, StreamReport, Transport, endpoint_text, is_a_persons_outcome,
};
use crate::signal::Side;
use crate::units::{Nanos, Timestamp};
use std::fmt;
use std::net::SocketAddr;

/// Loss worth a reason, percent of the expected packets (NOC practice: warn at 1 %).
const LOSS_PCT: f64 = 1.0;
/// Burst ratio from which loss is called bursty (random loss is 1).
const BURSTY: f64 = 1.5;
/// p95 of delay variation a usual buffer of 60 ms does not leave room for.
const PDV_P95: Nanos = Nanos::from_millis(40);
/// Mean size of the adaptive jitter buffer that goes with it: 20 ms of it are the packet time.
const WAITS: Nanos = Nanos::from_millis(60);
/// Share discarded by the adaptive jitter buffer, percent.
const LATE_PCT: f64 = 1.0;
/// The base is the smallest delay of so long.
const BASE_LAG: Nanos = Nanos::from_secs(8);
/// Rise of the delay worth a finding: talkers notice 100 ms more (G.114).
const BASE_RISE: Nanos = Nanos::from_millis(100);
/// Equipment impairment Ie from which a codec that nothing else disturbs is named, points of R: narrowband MOS is then below
/// 3.8 (some users dissatisfied, G.109).
const CODEC_COST: f32 = 20.0;
/// Listening MOS below which many users are dissatisfied (G.109).
const LOW_LQ: f32 = 3.6;
const REORDERED_PCT: f64 = 1.0;
const LONG_RTT: Nanos = Nanos::from_millis(300);
const SLOW_SETUP: Nanos = Nanos::from_secs(6);
/// Silence of a stream while the call went on.
const INTERRUPTION: Nanos = Nanos::from_secs(2);
/// Silence up to the end of the call, or up to now.
const INTERRUPTED_AFTER: Nanos = Nanos::from_secs(5);
/// Shorter calls are not judged for missing media.
pub const MEDIA_EXPECTED_AFTER: Nanos = Nanos::from_secs(2);
/// Expected packets from which shares of them are judged.
pub const ENOUGH: u64 = 25;

/// What is known about a call besides its record.
pub struct Evidence<'a> {
    pub streams: &'a [StreamReport],
    /// Streams sent by the caller and by the callee.
    pub from_caller: usize,
    pub from_callee: usize,
    /// An offer and an answer agreed on media that both sides send.
    pub both_send: bool,
    /// Some media was agreed on at all.
    pub media_agreed: bool,
    /// The call was on hold at some time.
    pub held: bool,
    /// Media from the side that is not seen, or to its peer, is seen in other calls.
    pub passes: bool,
    /// The capture sees most streams one way only.
    pub one_sided_capture: bool,
    /// Streams whose payload type is in no description.
    pub unnegotiated: &'a [Unnegotiated],
    /// Of the caller and of the callee.
    pub side_evidence: &'a [SideEvidence; 2],
    /// The time, where the call goes on.
    pub now: Option<Timestamp>,
}

impl Evidence<'_> {
    pub fn witness(&self, side: Side) -> &SideEvidence {
        let [caller, callee] = self.side_evidence;
        match side {
            Side::Caller => caller,
            Side::Callee => callee,
        }
    }
}

/// Whether an interval of a stream may change the verdict of its call, whatever came before.
pub fn is_suspicious(row: &IntervalReport, rtt: Option<Nanos>) -> bool {
    let n = &row.numbers;
    n.lost() > 0
        || n.packets == 0
        || n.reordered > 0
        || n.discarded_adaptive > 0
        || n.base_steps > 0
        || n.base_rise > Nanos::ZERO
        || n.pdv_max > PDV_P95
        || rtt.is_some_and(|rtt| rtt > LONG_RTT)
        || row.mos.lq.is_some_and(|lq| lq < GOOD_MOS)
}

/// Reasons, worst first.
///
/// A call that was cut (by the end of the capture or the stop of the probe) gets no reason whose evidence is that
/// something did not come: it may have come later. So no `missing_bye`, `missing_ack` or `setup_failed`, and `no_response` only
/// where an ICMP error says so;
/// `no_media` and `one_way_media` only where the call was up for [`MEDIA_EXPECTED_AFTER`], as for any other call. What
/// was measured until then (loss, delay, holes, the wait before the first ring) stands.
pub fn diagnose(call: &CallRecord, evidence: &Evidence<'_>) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    signalling(call, &mut found);
    if call.answered_at.is_some() && call.quality.sampled_one_of.is_none() {
        missing_media(call, evidence, evidence.now.or(call.ended_at).unwrap_or(call.last_at), &mut found);
    }
    // What repairs media is no media: its loss costs nothing that the media's own loss does not show.
    for stream in evidence.streams.iter().filter(|stream| !PayloadKind::is_repair(&stream.codec)) {
        stream_reasons(call, stream, evidence, &mut found);
    }
    for stream in evidence.unnegotiated {
        let which = Ends(stream.src, stream.dst);
        let evidence = format!("{which}: payload type {} is in neither SDP", stream.payload_type.0);
        add(&mut found, 90, DiagnosisCode::UnnegotiatedPayload, 0.8, evidence);
    }
    low_mos(call, evidence, &mut found);
    found.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.confidence.total_cmp(&a.1.confidence)));
    let mut seen = Vec::new();
    found.retain(|(_, d)| {
        !seen.contains(&d.code) && {
            seen.push(d.code);
            true
        }
    });
    found.into_iter().map(|(_, d)| d).collect()
}

/// Both ends of a stream. Most calls need no text: it is written only where a reason is found.
#[derive(Clone, Copy)]
struct Ends(SocketAddr, SocketAddr);

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", endpoint_text(self.0), endpoint_text(self.1))
    }
}

/// Reasons with their weight.
pub type Found = Vec<(u32, Diagnosis)>;

pub fn add(found: &mut Found, weight: u32, code: DiagnosisCode, confidence: f32, evidence: String) {
    found.push((weight, Diagnosis { code, confidence, evidence }));
}

fn signalling(call: &CallRecord, found: &mut Found) {
    // Missing messages prove nothing where the capture ended, or sees only some of the packets.
    let sampled = call.quality.sampled_one_of.is_some();
    if no_setup(call, sampled, found) {
        return;
    }
    missing_messages(call, sampled, found);
    slow_setup(call, found);
}

/// Reasons why the call was not set up. `true`: the INVITE was not delivered, and nothing else is a reason.
fn no_setup(call: &CallRecord, sampled: bool, found: &mut Found) -> bool {
    // A transport error is an answer: 503 to the caller's program (RFC 3261 section 8.1.3.1).
    if let (true, Some(error)) = (call.unanswered, call.undelivered) {
        let evidence = format!(
            "INVITE not delivered: ICMP {} from {}, {} retransmissions",
            error.why.name(),
            error.by,
            call.retransmissions
        );
        add(found, 1000, DiagnosisCode::NoResponse, 0.95, evidence);
        return true;
    }
    // The states of the first match are those of calls that ended, never of one that was cut.
    match call.state {
        CallState::Failed if !is_a_persons_outcome(call.final_code) => add(
            found,
            1000,
            DiagnosisCode::SetupFailed,
            1.0,
            format!("{} {} after {}", call.final_code, call.final_reason, seconds(call.pdd())),
        ),
        CallState::SetupTimeout | CallState::Cancelled if sampled => {}
        CallState::SetupTimeout if call.unanswered => {
            // Over UDP a caller repeats its INVITE (timer A): without that the probe may have missed more than the answer.
            let repeated = call.retransmissions > 0 || call.transport != Transport::Udp;
            let evidence = format!(
                "INVITE unanswered for 32 s (timer B), {} retransmissions{}",
                call.retransmissions,
                if repeated { "" } else { ": the capture may lack packets" }
            );
            add(found, 1000, DiagnosisCode::NoResponse, if repeated { 0.9 } else { 0.5 }, evidence);
        }
        CallState::Cancelled if call.unanswered && call.retransmissions > 0 => add(
            found,
            1000,
            DiagnosisCode::NoResponse,
            0.8,
            format!(
                "INVITE and CANCEL unanswered; cancelled by the caller after {}, {} retransmissions",
                since(call.invite_at, call.ended_at.unwrap_or(call.last_at)),
                call.retransmissions
            ),
        ),
        CallState::SetupTimeout => add(
            found,
            900,
            DiagnosisCode::SetupFailed,
            0.7,
            format!("no final answer within {} of the INVITE", since(call.invite_at, call.last_at)),
        ),
        _ => {}
    }
    false
}

fn missing_messages(call: &CallRecord, sampled: bool, found: &mut Found) {
    let cut = sampled || call.released_by.is_some_and(ReleasedBy::is_cut);
    if !cut
        && call.answered_at.is_some()
        && !call.acked
        && !call.started_mid_call
        && call.duration().is_some_and(|d| d > Nanos::from_millis(500))
    {
        add(found, 150, DiagnosisCode::MissingAck, 0.6, "answered with 2xx, no ACK seen at this probe".to_owned());
    }
    if !sampled && call.state == CallState::Unfinished && call.released_by == Some(ReleasedBy::Timeout) {
        let evidence = format!("no BYE; last packet {} after the answer", since(call.answered_at, call.last_at));
        add(found, 100, DiagnosisCode::MissingBye, 0.6, evidence);
    }
}

fn slow_setup(call: &CallRecord, found: &mut Found) {
    if let Some(pdd) = call.pdd().map(|pdd| Nanos(pdd.0 - call.auth_wait.0)).filter(|pdd| *pdd > SLOW_SETUP) {
        let waited = match call.auth_wait {
            Nanos::ZERO => String::new(),
            wait => format!(", without {:.1} s in which the caller had not sent credentials", wait.as_secs_f64()),
        };
        let evidence = format!("{:.1} s from INVITE to the first ring or answer{waited}", pdd.as_secs_f64());
        add(found, 200, DiagnosisCode::SlowSetup, 0.9, evidence);
    }
}

/// Interarrival jitter (RFC 3550) from which a receiver's report alone shows delay variation: that of [`PDV_P95`].
const REPORTED_JITTER: Nanos = Nanos::from_millis(20);

/// Of a verdict on loss most of which may be the capture's as well.
const UNDECIDED_CONFIDENCE: f32 = 0.6;

fn stream_reasons(call: &CallRecord, stream: &StreamReport, evidence: &Evidence<'_>, found: &mut Found) {
    let n = &stream.numbers;
    let which = Ends(stream.src, stream.dst);
    if n.expected < ENOUGH {
        return;
    }
    let loss = n.loss_pct().unwrap_or(0.0);
    let sampled = stream.quality.sampled_one_of.is_some();
    if loss >= LOSS_PCT && !sampled {
        loss_reasons(stream, which, loss, found);
    }
    // Each delay may be wrong by the error either way.
    let wrong = stream.quality.timestamps.filter(|check| !check.allows_delays());
    let error = Nanos(2 * wrong.map_or(0, |check| check.error.0));
    movement(stream, which, error, found);
    let late = 100.0 * n.discarded_adaptive as f64 / n.pdv.total().max(1) as f64;
    let p95 = n.pdv.quantile(0.95).unwrap_or(Nanos::ZERO);
    // A delay that moved, or that began anew after a pause, lies above the base for a while, but no receiver waits for it.
    let waits = n.adaptive_size().is_some_and(|size| size > WAITS);
    let variation = p95 - above_base_by_movement(stream) - error;
    if variation > PDV_P95 && waits || late >= LATE_PCT && (error == Nanos::ZERO || variation > PDV_P95) {
        let evidence = format!(
            "{which}: {late:.1} % discarded by an adaptive jitter buffer; delay variation p95 {:.0}, p99 {:.0}, max {:.0} ms",
            p95.as_millis_f64(),
            n.pdv.quantile(0.99).unwrap_or(Nanos::ZERO).as_millis_f64(),
            n.pdv_max.as_millis_f64()
        );
        add(found, 350 + (late * 5.0).min(200.0) as u32, DiagnosisCode::HighDelayVariation, 0.85, evidence);
    }
    reported_jitter(stream, which, error, found);
    let reordered = 100.0 * n.reordered as f64 / n.unique.max(1) as f64;
    if reordered >= REORDERED_PCT {
        let evidence = format!("{which}: {reordered:.1} % reordered, displacement up to {}", n.reorder_extent);
        add(found, 250, DiagnosisCode::Reordering, 0.9, evidence);
    }
    if let Some(rtt) = stream.rtt.filter(|rtt| *rtt - error > LONG_RTT) {
        let evidence = format!("{which}: round trip {:.0} ms by RTCP", rtt.as_millis_f64());
        add(found, 300, DiagnosisCode::LongDelay, 0.8, evidence);
    }
    if let Some(ie) = stream.mos.ie
        && ie >= CODEC_COST
        && loss < LOSS_PCT
        && stream.mos.scale == Some(Scale::Nb)
    {
        let evidence = format!("{which}: {}: codec impairment Ie = {ie:.0}", stream.codec);
        add(found, 120, DiagnosisCode::LowQualityCodec, 0.7, evidence);
    }
    if let (Some(shown), Some(said)) = (stream.clock_rate, stream.clock_rate_signalled) {
        let evidence = format!("{which}: SDP says {}/{said}, timestamps run at {shown} Hz", stream.codec);
        add(found, 50, DiagnosisCode::ClockMismatch, 0.95, evidence);
    }
    if !sampled {
        interruption(call, stream, evidence, which, found);
    }
}

/// Loss of at least [`LOSS_PCT`], by the capture, in the network, or both.
fn loss_reasons(stream: &StreamReport, which: Ends, loss: f64, found: &mut Found) {
    let n = &stream.numbers;
    let runs = n.loss_runs.runs().max(1);
    let mean_run = n.lost() as f64 / runs as f64;
    let burst_ratio = mean_run * (1.0 - loss / 100.0);
    let numbers = format!(
        "{which}: {loss:.1} % lost ({} of {}), {runs} loss bursts, longest {} packets",
        n.lost(),
        n.expected,
        n.loss_runs.longest
    );
    let of = &stream.quality.loss;
    let numbers = format!("{numbers}{}", whose(of));
    let pct = |lost: u64| 100.0 * lost as f64 / n.expected.max(1) as f64;
    let weight = |pct: f64| 400 + (pct * 10.0).min(300.0) as u32;
    let mostly = stream.quality.loss_source != LossSource::Network;
    let (capture, network) = (pct(of.capture), pct(of.network + of.undecided));
    // Each by itself; where neither is enough alone, most of the loss.
    if capture >= LOSS_PCT || mostly {
        let evidence = format!("{numbers}; {}", why_capture(stream));
        add(found, weight(if mostly { loss } else { capture }), DiagnosisCode::CaptureLoss, 0.7, evidence);
    }
    if network >= LOSS_PCT || !mostly {
        // Long runs may be those of the capture, where it lost most.
        let bursty = burst_ratio >= BURSTY && !mostly;
        let code = if bursty { DiagnosisCode::BurstyLoss } else { DiagnosisCode::RandomLoss };
        let confidence = if of.undecided > of.network { UNDECIDED_CONFIDENCE } else { 0.9 };
        add(found, weight(if mostly { network } else { loss }), code, confidence, numbers);
    }
}

/// Where the capture's times are wrong, the receiver's report of its own jitter stands for them.
fn reported_jitter(stream: &StreamReport, which: Ends, error: Nanos, found: &mut Found) {
    let jitter = stream.remote.as_ref().and_then(|remote| remote.jitter_max).filter(|jitter| *jitter > REPORTED_JITTER);
    if let (Some(jitter), true) = (jitter, error > Nanos::ZERO) {
        let evidence = format!(
            "{which}: the receiver reports jitter up to {:.0} ms; times of this capture are wrong by up to {:.0} ms",
            jitter.as_millis_f64(),
            error.as_millis_f64() / 2.0
        );
        add(found, 350, DiagnosisCode::HighDelayVariation, 0.7, evidence);
    }
}

/// A MOS that dissatisfies (G.109: many users) never stands without a cause: what was found, or else what was ruled out.
fn low_mos(call: &CallRecord, evidence: &Evidence<'_>, found: &mut Found) {
    use DiagnosisCode::{BurstyLoss, CaptureLoss, HighDelayVariation, LowQualityCodec, MediaInterrupted, RandomLoss};
    let causes = [RandomLoss, BurstyLoss, HighDelayVariation, LowQualityCodec, CaptureLoss, MediaInterrupted];
    let Some(lq) = call.mos_worst.filter(|lq| *lq < LOW_LQ) else { return };
    if found.iter().any(|(_, d)| causes.contains(&d.code)) {
        return;
    }
    let worst = evidence.streams.iter().find(|stream| stream.mos_worst_minute == Some(lq));
    let Some(stream) = worst else { return };
    let n = &stream.numbers;
    let which = Ends(stream.src, stream.dst);
    let evidence = format!(
        "{which}: MOS-LQ {lq:.2} in the worst minute; over the call {:.1} % lost (longest burst {}), {:.1} % discarded by the jitter \
         buffer, codec impairment Ie {:.0}: none alone reaches its threshold",
        n.loss_pct().unwrap_or(0.0),
        n.loss_runs.longest,
        100.0 * n.discarded_adaptive as f64 / n.pdv.total().max(1) as f64,
        stream.mos.ie.unwrap_or(0.0)
    );
    add(found, 130, DiagnosisCode::LowMos, 0.5, evidence);
}

/// How far delays lie above the base because it moved: it follows a longer route or a growing queue after [`BASE_LAG`].
fn above_base_by_movement(stream: &StreamReport) -> Nanos {
    let n = &stream.numbers;
    if n.base_steps > 0 {
        return n.base_rise;
    }
    let followed = (stream.last_at - stream.first_at - BASE_LAG).max(BASE_LAG);
    Nanos((n.base_rise.0 as f64 * BASE_LAG.0 as f64 / followed.0 as f64) as i64)
}

/// The delay itself moved: no loss, but a queue that fills or a route that changed.
/// Moves within `error` of the times are none.
fn movement(stream: &StreamReport, which: Ends, error: Nanos, found: &mut Found) {
    let n = &stream.numbers;
    let (rise, fall) = (n.base_rise.as_millis_f64(), n.base_fall.as_millis_f64());
    if n.base_rise.max(n.base_fall) <= error {
        return;
    }
    if n.base_steps > 0 {
        let evidence =
            format!("{which}: {} steps in delay of 20 ms or more; {rise:.0} ms up, {fall:.0} ms down", n.base_steps);
        add(found, 60, DiagnosisCode::RouteChange, 0.6, evidence);
    } else if n.base_rise >= BASE_RISE {
        let lasted = (stream.last_at - stream.first_at).as_secs_f64();
        let evidence = format!("{which}: delay rose by {rise:.0} ms and fell by {fall:.0} ms in {lasted:.0} s");
        add(found, 70, DiagnosisCode::QueueBuildUp, 0.6, evidence);
    }
}

/// Whose loss is whose, where it is not all of one.
fn whose(loss: &LossAttribution) -> String {
    let parts = [(loss.capture, "by the capture"), (loss.network, "in the network"), (loss.undecided, "undecided")];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, place)| format!("{count} {place}")).collect();
    if parts.len() > 1 { format!("; {}", parts.join(", ")) } else { String::new() }
}

fn why_capture(stream: &StreamReport) -> String {
    match stream.quality.loss.strongest(true) {
        Some(LossEvidence::ReceiverGotThem) => "its receiver reports them as received".to_owned(),
        Some(LossEvidence::ManyStreamsAtOnce) => "unrelated streams have gaps at the same moments".to_owned(),
        Some(LossEvidence::BothDirectionsAtOnce) => "both directions have gaps at the same moments".to_owned(),
        _ => format!("the probe missed {} frames at that time", stream.quality.capture_drops),
    }
}

/// Media that stopped, or had a hole, while the call went on and was not on hold.
fn interruption(call: &CallRecord, stream: &StreamReport, evidence: &Evidence<'_>, which: Ends, found: &mut Found) {
    let ptime = stream.ptime.unwrap_or(Nanos::from_millis(20));
    let hole = Nanos(ptime.0 * i64::from(stream.numbers.loss_runs.longest));
    let of = &stream.quality.loss;
    let captures = of.capture > 0 && u64::from(stream.numbers.loss_runs.longest) > of.network + of.undecided;
    if hole >= INTERRUPTION && !captures {
        let evidence = format!("{which}: {:.1} s audio gap", hole.as_secs_f64());
        add(found, 700, DiagnosisCode::MediaInterrupted, 0.9, evidence);
        return;
    }
    if evidence.held {
        return;
    }
    let same_direction_later =
        evidence.streams.iter().any(|s| s.id != stream.id && s.dst == stream.dst && s.last_at > stream.last_at);
    // While a call goes on, a sender that leaves out silence may only be silent.
    let (until, ending) = match evidence.now {
        Some(now) if stream.numbers.silence == Nanos::ZERO => (Some(now), "the call goes on"),
        Some(_) => (None, ""),
        None => (call.ended_at.filter(|_| call.state == CallState::Completed), "before the call ended"),
    };
    if let (Some(_), Some(until)) = (call.answered_at, until)
        && !same_direction_later
        && until - stream.last_at > INTERRUPTED_AFTER
    {
        let evidence = format!("{which}: {:.1} s without media, {ending}", (until - stream.last_at).as_secs_f64());
        add(found, 600, DiagnosisCode::MediaInterrupted, 0.6, evidence);
    }
}

fn seconds(span: Option<Nanos>) -> String {
    span.map_or_else(|| "an unknown time".to_owned(), |s| format!("{:.2} s", s.as_secs_f64()))
}

fn since(from: Option<Timestamp>, to: Timestamp) -> String {
    seconds(from.map(|from| to - from))
}
