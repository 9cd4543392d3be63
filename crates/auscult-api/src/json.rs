//! JSON twins of calls and their evidence: the contract with the page and with programs.

use super::json_figures::{RatedJson, RoundTripsJson, SipRttJson, reals};
use super::json_stream::{IntervalJson, LossAttributionJson, QualityJson, StreamJson};
use auscult_core::model::{LossRuns, endpoint_text};
use auscult_core::units::text::{clean, clean_lines};
use auscult_core::units::{Nanos, Ssrc, Timestamp};
use auscult_store::query::{CallDetail, CallSeries, CallTimeline, StoredCall, StoredRange, TimelineBucket, Window};
use auscult_store::rows::{RtcpRow, SipMessageRow};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use utoipa::ToSchema;

/// A JSON object that keeps the order of its entries.
#[derive(Clone, Debug, PartialEq)]
pub struct Ordered<T>(pub Vec<(String, T)>);

impl<T> Ordered<T> {
    pub(super) fn map<U>(self, change: impl Fn(T) -> U) -> Ordered<U> {
        Ordered(self.0.into_iter().map(|(name, value)| (name, change(value))).collect())
    }
}

impl<T: Serialize> Serialize for Ordered<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// The time range an answer is about, both ends inclusive.
#[derive(Serialize, ToSchema)]
pub struct WindowJson {
    from: String,
    to: String,
}

impl From<Window> for WindowJson {
    fn from(w: Window) -> WindowJson {
        WindowJson { from: w.from.to_rfc3339(), to: w.to.to_rfc3339() }
    }
}

/// Answer of `/range`; times are null when nothing is stored.
#[derive(Serialize, ToSchema)]
pub struct RangeJson {
    #[schema(required)]
    from: Option<String>,
    #[schema(required)]
    to: Option<String>,
    calls: u64,
    streams: u64,
}

impl From<StoredRange> for RangeJson {
    fn from(r: StoredRange) -> RangeJson {
        let text = |at: Option<Timestamp>| at.map(Timestamp::to_rfc3339);
        RangeJson { from: text(r.from), to: text(r.to), calls: r.calls, streams: r.streams }
    }
}

/// Answer of `/timeline`; empty buckets are there with zeros.
#[derive(Serialize, ToSchema)]
pub struct TimelineJson {
    from: String,
    to: String,
    bucket_s: i64,
    /// `groups`: read from counts of calls, but for the ends of the window. `raw`: from single calls, because counts do not have what
    /// the filter asks for, or some of the window is from before the store had counts.
    source: &'static str,
    buckets: Vec<BucketJson>,
    group_by: Vec<&'static str>,
    /// The calls of each group, most first, at most 50; empty without `group_by`.
    groups: Vec<SeriesJson>,
    /// There were more groups.
    truncated: bool,
}

/// The calls of one group.
#[derive(Serialize, ToSchema)]
pub struct SeriesJson {
    /// One value per entry of `group_by`.
    #[schema(value_type = BTreeMap<String, String>)]
    key: Ordered<String>,
    calls: u64,
    /// As many as those of all calls.
    buckets: Vec<BucketJson>,
}

/// Calls that began in the `bucket_s` seconds from `at`.
#[derive(Serialize, ToSchema)]
pub struct BucketJson {
    at: String,
    calls: u64,
    good: u64,
    fair: u64,
    poor: u64,
    failed: u64,
    not_answered: u64,
    unrated: u64,
}

impl TimelineJson {
    pub fn new(window: Window, bucket_s: i64, group_by: Vec<&'static str>, timeline: CallTimeline) -> TimelineJson {
        let buckets = |buckets: Vec<TimelineBucket>| buckets.into_iter().map(BucketJson::from).collect();
        let series = |series: CallSeries| SeriesJson {
            key: Ordered(group_by.iter().map(|n| (*n).to_owned()).zip(series.key.into_iter().map(shown)).collect()),
            calls: series.calls,
            buckets: buckets(series.buckets),
        };
        TimelineJson {
            from: window.from.to_rfc3339(),
            to: window.to.to_rfc3339(),
            bucket_s,
            source: timeline.source.name(),
            buckets: buckets(timeline.buckets),
            groups: timeline.groups.into_iter().map(series).collect(),
            group_by,
            truncated: timeline.truncated,
        }
    }
}

impl From<TimelineBucket> for BucketJson {
    fn from(b: TimelineBucket) -> BucketJson {
        BucketJson {
            at: b.at.to_rfc3339(),
            calls: b.calls,
            good: b.good,
            fair: b.fair,
            poor: b.poor,
            failed: b.failed,
            not_answered: b.not_answered,
            unrated: b.unrated,
        }
    }
}

/// Answer of `/calls`.
#[derive(Serialize, ToSchema)]
pub struct CallsJson {
    pub window: WindowJson,
    pub calls: Vec<CallJson>,
    /// Null after the last page.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// One side of a call; text is empty where the header had none.
#[derive(Debug, Serialize, ToSchema)]
pub struct PartyJson {
    pub uri: String,
    pub user: String,
    pub name: String,
    pub agent: String,
}

impl PartyJson {
    fn new(texts: [String; 4]) -> PartyJson {
        let [uri, user, name, agent] = texts.map(shown);
        PartyJson { uri, user, name, agent }
    }
}

/// One reason why a call was bad.
#[derive(Debug, Serialize, ToSchema)]
pub struct DiagnosisJson {
    pub code: String,
    /// 0 to 1.
    pub confidence: f32,
    pub evidence: String,
}

/// One SIP call. Times are those of the probe.
#[derive(Debug, Serialize, ToSchema)]
pub struct CallJson {
    pub id: String,
    pub call_id: String,
    /// URI of From, as in `caller`.
    pub from: String,
    /// URI of To, as in `callee`.
    pub to: String,
    pub caller: PartyJson,
    pub callee: PartyJson,
    pub state: String,
    #[schema(required)]
    pub final_code: Option<u16>,
    #[schema(required)]
    pub final_reason: Option<String>,
    pub transport: String,
    #[schema(required)]
    pub signalling_src: Option<String>,
    #[schema(required)]
    pub signalling_dst: Option<String>,
    pub first_at: String,
    pub last_at: String,
    #[schema(required)]
    pub invite_at: Option<String>,
    #[schema(required)]
    pub ringing_at: Option<String>,
    #[schema(required)]
    pub answered_at: Option<String>,
    #[schema(required)]
    pub ended_at: Option<String>,
    /// INVITE to the first answer that is not 100.
    #[schema(required)]
    pub pdd_ms: Option<f64>,
    #[schema(required)]
    pub setup_ms: Option<f64>,
    #[schema(required)]
    pub duration_ms: Option<f64>,
    /// BYE to its 2xx (session disconnect delay, RFC 6076).
    #[schema(required)]
    pub sdd_ms: Option<f64>,
    /// `caller`, `callee`, `timeout`: no BYE was seen. `capture_ended`, `probe_stopped`: the call was up when the capture
    /// file ended or the probe was stopped.
    #[schema(required)]
    pub released_by: Option<String>,
    #[schema(required)]
    pub release_reason: Option<String>,
    pub reinvites: u32,
    /// Challenges (401, 407) that were answered with credentials in this call.
    pub auth_rounds: u32,
    /// Id of the first attempt, when this INVITE answers its challenge but came more than 64 s after it; else null.
    #[schema(required)]
    pub retry_of: Option<String>,
    pub retransmissions: u32,
    /// Round trips of SIP transactions, see [SIP round trips](/docs/metrics#sip_rtt).
    pub sip_rtt_ms: SipRttJson,
    pub messages: u32,
    pub branches: u32,
    pub acked: bool,
    pub started_mid_call: bool,
    /// It was ended to make room in a full table of calls; null for rows of older versions.
    #[schema(required)]
    pub shed: Option<bool>,
    pub directions_seen: u8,
    pub stream_ids: Vec<String>,
    /// `auscult analyze` has them with the streams alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required, value_type = Vec<String>)]
    pub codecs: Option<Vec<String>>,
    /// Lowest listening MOS of its streams, on `mos_scale`.
    #[schema(required)]
    pub mos_worst: Option<f64>,
    /// `nb`, `wb` or `fb`.
    #[schema(required)]
    pub mos_scale: Option<String>,
    /// Lowest MOS of an interval of one of its streams.
    #[schema(required)]
    pub mos_worst_interval: Option<RatedJson>,
    /// Lowest MOS of a minute of one of its streams, see [worst minute](/docs/metrics#mos_worst_minute).
    #[schema(required)]
    pub mos_worst_minute: Option<RatedJson>,
    /// When that minute began.
    #[schema(required)]
    pub mos_worst_minute_at: Option<String>,
    /// `good`, `fair`, `poor`, `failed`, `not_answered` or `unrated`, see [class](/docs/metrics#class).
    pub class: String,
    #[schema(required)]
    pub pdv_p95_worst_ms: Option<f64>,
    #[schema(required)]
    pub loss_pct_worst: Option<f64>,
    #[schema(required)]
    pub loss_source: Option<String>,
    /// Of its signalling and its streams together; null for rows stored before this was kept.
    #[schema(required)]
    pub quality: Option<QualityJson>,
    /// First code of `diagnoses`.
    #[schema(required)]
    pub diagnosis: Option<String>,
    /// Worst first.
    pub diagnoses: Vec<DiagnosisJson>,
    /// 0 to 1000, what `sort=worst` sorts by.
    pub badness: i64,
    /// `auscult analyze` has no labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required, value_type = String)]
    pub probe: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required, value_type = String)]
    pub site: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required, value_type = String)]
    pub trunk: Option<String>,
}

impl From<StoredCall> for CallJson {
    fn from(call: StoredCall) -> CallJson {
        let (badness, StoredCall { row: c, codecs }) = (call.badness(), call);
        let quality = c.capture_drops.map(|capture_drops| QualityJson {
            capture_drops,
            duplicates_removed: c.duplicates_removed.unwrap_or_default(),
            one_sided: c.one_sided.unwrap_or_default(),
            snap_cut: c.snap_cut.unwrap_or_default(),
            started_mid_call: c.started_mid_call,
            shed: c.shed.unwrap_or_default(),
            clock_steps: c.clock_steps.unwrap_or_default(),
            timestamp_source: known(c.timestamp_source),
            timestamp_resolution_ns: c.timestamp_resolution_ns.unwrap_or_default(),
            timestamp_fault: known(c.timestamp_fault),
            timestamp_error_ms: reals(c.timestamp_error_ms),
            sampled_one_of: reals(c.sampled_one_of),
            loss_source: known(c.loss_source.clone()),
            loss_evidence: known(c.loss_evidence),
            loss_attribution: LossAttributionJson::new(
                (c.capture_lost, c.network_lost, c.undecided_lost),
                c.lost_by_evidence,
            ),
            measured_at: None,
        });
        let time = |ns: Option<i64>| ns.map(rfc3339);
        CallJson {
            id: hex_id(c.call_uid),
            call_id: shown(c.call_id),
            from: shown(c.caller_uri.clone()),
            to: shown(c.callee_uri.clone()),
            caller: PartyJson::new([c.caller_uri, c.caller_user, c.caller_name, c.caller_agent]),
            callee: PartyJson::new([c.callee_uri, c.callee_user, c.callee_name, c.callee_agent]),
            state: c.state,
            final_code: (c.final_code > 0).then_some(c.final_code),
            final_reason: known(c.final_reason),
            transport: c.transport,
            signalling_src: c.signalling_src_ip.map(|ip| endpoint(ip, c.signalling_src_port)),
            signalling_dst: c.signalling_dst_ip.map(|ip| endpoint(ip, c.signalling_dst_port)),
            first_at: rfc3339(c.first_at),
            last_at: rfc3339(c.last_at),
            invite_at: time(c.invite_at),
            ringing_at: time(c.ringing_at),
            answered_at: time(c.answered_at),
            ended_at: time(c.ended_at),
            pdd_ms: c.pdd_ms,
            setup_ms: c.setup_ms,
            duration_ms: c.duration_ms,
            sdd_ms: c.sdd_ms,
            released_by: known(c.released_by),
            release_reason: known(c.release_reason),
            reinvites: c.reinvites,
            auth_rounds: c.auth_rounds,
            retry_of: c.retry_of.map(|uid| format!("{uid:016x}")),
            retransmissions: c.retransmissions,
            sip_rtt_ms: SipRttJson {
                toward_caller: RoundTripsJson::new(
                    c.sip_rtt_toward_caller_samples,
                    c.sip_rtt_toward_caller_min_ms,
                    c.sip_rtt_toward_caller_max_ms,
                ),
                toward_callee: RoundTripsJson::new(
                    c.sip_rtt_toward_callee_samples,
                    c.sip_rtt_toward_callee_min_ms,
                    c.sip_rtt_toward_callee_max_ms,
                ),
            },
            messages: c.messages,
            branches: c.branches,
            acked: c.acked,
            started_mid_call: c.started_mid_call,
            shed: c.shed,
            directions_seen: c.directions_seen,
            stream_ids: c.streams.into_iter().map(hex_id).collect(),
            codecs: Some(codecs.into_iter().map(shown).collect()),
            mos_worst: reals(c.mos_worst),
            mos_scale: known(c.mos_scale),
            mos_worst_interval: RatedJson::new(c.mos_worst_interval, c.mos_worst_interval_scale),
            mos_worst_minute: RatedJson::new(c.mos_worst_minute, c.mos_worst_minute_scale),
            mos_worst_minute_at: time(c.mos_worst_minute_at),
            class: c.class,
            pdv_p95_worst_ms: reals(c.pdv_p95_worst_ms),
            loss_pct_worst: reals(c.loss_pct_worst),
            loss_source: known(c.loss_source),
            quality,
            diagnosis: known(c.diagnosis),
            diagnoses: c
                .diagnoses
                .into_iter()
                .map(|(code, confidence, evidence)| DiagnosisJson { code, confidence, evidence: shown(evidence) })
                .collect(),
            badness,
            probe: Some(c.probe),
            site: Some(c.site),
            trunk: Some(c.trunk),
        }
    }
}

/// Answer of `/calls/{id}`.
#[derive(Serialize, ToSchema)]
pub struct DetailJson {
    call: CallJson,
    streams: Vec<StreamJson>,
    /// By stream id.
    intervals: BTreeMap<String, Vec<IntervalJson>>,
    ladder: Vec<SipMessageJson>,
    /// SIP messages are left out, since they need the role investigator.
    messages_withheld: bool,
    rtcp: Vec<RtcpJson>,
    /// A list was cut: 64 streams, 5000 intervals, 1000 messages and 2000 reports are shown at most.
    truncated: bool,
}

impl DetailJson {
    pub fn new(d: CallDetail, with_messages: bool) -> DetailJson {
        let clock_rates: BTreeMap<u64, u32> =
            d.streams.iter().filter_map(|s| Some((s.stream_id, s.clock_rate.filter(|hz| *hz > 0)?))).collect();
        let mut intervals: BTreeMap<String, Vec<IntervalJson>> =
            d.streams.iter().map(|s| (hex_id(s.stream_id), Vec::new())).collect();
        let packet_times: BTreeMap<u64, f32> =
            d.streams.iter().filter_map(|s| Some((s.stream_id, s.ptime_ms?))).collect();
        for row in d.intervals {
            let ptime_ms = packet_times.get(&row.stream_id).copied();
            intervals.entry(hex_id(row.stream_id)).or_default().push(IntervalJson::new(row, ptime_ms));
        }
        let report = |row: RtcpRow| {
            let clock_rate = clock_rates.get(&row.stream_id).copied();
            RtcpJson::new(row, clock_rate)
        };
        DetailJson {
            call: d.call.into(),
            streams: d.streams.into_iter().map(StreamJson::from).collect(),
            intervals,
            messages_withheld: !with_messages && !d.messages.is_empty(),
            ladder: d.messages.into_iter().filter(|_| with_messages).map(SipMessageJson::from).collect(),
            rtcp: d.reports.into_iter().map(report).collect(),
            truncated: d.truncated,
        }
    }
}

/// One SIP message as seen. Its text is that of the sender: show it as text.
#[derive(Serialize, ToSchema)]
pub struct SipMessageJson {
    at: String,
    src: String,
    dst: String,
    transport: String,
    /// `request` or `response`.
    direction: String,
    method: String,
    #[schema(required)]
    status: Option<u16>,
    #[schema(required)]
    reason: Option<String>,
    cseq: u32,
    retransmission: bool,
    headers: String,
    sdp: String,
    cut_short: bool,
}

impl From<SipMessageRow> for SipMessageJson {
    fn from(m: SipMessageRow) -> SipMessageJson {
        SipMessageJson {
            at: rfc3339(m.at),
            src: endpoint(m.src_ip, m.src_port),
            dst: endpoint(m.dst_ip, m.dst_port),
            transport: m.transport,
            direction: m.direction,
            method: shown(m.method),
            status: (m.status > 0).then_some(m.status),
            reason: known(m.reason),
            cseq: m.cseq,
            retransmission: m.retransmission,
            headers: clean_lines(&m.headers, usize::MAX),
            sdp: clean_lines(&m.sdp, usize::MAX),
            cut_short: m.cut_short,
        }
    }
}

/// What one endpoint reported by RTCP.
#[derive(Serialize, ToSchema)]
pub struct RtcpJson {
    at: String,
    src: String,
    dst: String,
    kind: String,
    reporter_ssrc: String,
    #[schema(required)]
    about_ssrc: Option<String>,
    /// Id of the stream the report is about.
    #[schema(required)]
    stream: Option<String>,
    #[schema(required)]
    fraction_lost_pct: Option<f32>,
    #[schema(required)]
    cumulative_lost: Option<i32>,
    /// Null while the clock rate of the stream is unknown.
    #[schema(required)]
    jitter_ms: Option<f64>,
    #[schema(required)]
    rtt_probe_reporter_ms: Option<f32>,
    #[schema(required)]
    sent_packets: Option<u32>,
    #[schema(required)]
    voip: Option<VoipJson>,
    /// What a report by SIP (RFC 6035) says beyond that; null for RTCP.
    #[schema(required)]
    vq: Option<VqJson>,
    /// Why the report is not believed.
    #[schema(required)]
    implausible: Option<String>,
}

/// VoIP metrics (RFC 3611 section 4.7), and what a report by SIP (RFC 6035) says of the same.
#[derive(Default, PartialEq, Serialize, ToSchema)]
pub struct VoipJson {
    #[schema(required)]
    loss_pct: Option<f32>,
    #[schema(required)]
    discard_pct: Option<f32>,
    #[schema(required)]
    r: Option<u8>,
    #[schema(required)]
    mos_lq: Option<f32>,
    #[schema(required)]
    mos_cq: Option<f32>,
    #[schema(required)]
    round_trip_ms: Option<u16>,
    #[schema(required)]
    end_system_ms: Option<u16>,
    #[schema(required)]
    burst_ms: Option<u16>,
    #[schema(required)]
    gap_ms: Option<u16>,
    #[schema(required)]
    jb_nominal_ms: Option<u16>,
    /// Lost or discarded inside bursts and outside of them, and the Gmin that parts these.
    #[schema(required)]
    burst_density_pct: Option<f32>,
    #[schema(required)]
    gap_density_pct: Option<f32>,
    #[schema(required)]
    gmin: Option<u8>,
    /// Levels of speech and of noise, dBm0.
    #[schema(required)]
    signal_dbm: Option<i8>,
    #[schema(required)]
    noise_dbm: Option<i8>,
    /// Residual echo return loss.
    #[schema(required)]
    rerl_db: Option<u8>,
    /// R of the segment outside the packet network.
    #[schema(required)]
    external_r: Option<u8>,
    /// RFC 3611 section 4.7.6: bits 7-6 loss concealment, 5-4 adaptivity and 3-0 rate of the jitter buffer.
    #[schema(required)]
    rx_config: Option<u8>,
    #[schema(required)]
    jb_maximum_ms: Option<u16>,
    #[schema(required)]
    jb_absolute_maximum_ms: Option<u16>,
}

/// What a report by SIP (RFC 6035) says of one side.
#[derive(Serialize, ToSchema)]
pub struct VqJson {
    /// `local`: the reporter measured it; `remote`: its peer did and reported it. Null in rows from before this was kept.
    #[schema(required)]
    side: Option<String>,
    /// The time it is about.
    #[schema(required)]
    start_at: Option<String>,
    #[schema(required)]
    stop_at: Option<String>,
    /// OWD and SOWD.
    #[schema(required)]
    one_way_delay_ms: Option<u16>,
    #[schema(required)]
    symmetric_one_way_delay_ms: Option<u16>,
    /// IAJ and MAJ.
    #[schema(required)]
    interarrival_jitter_ms: Option<f32>,
    #[schema(required)]
    mean_absolute_jitter_ms: Option<f32>,
    /// RCQ: R with the delay. `voip.r` is RLQ.
    #[schema(required)]
    r_cq: Option<u8>,
    /// EXTRO. `voip.external_r` is EXTRI.
    #[schema(required)]
    external_r_out: Option<u8>,
    /// Kind of report, session description and algorithms: keys of the RFC, values as written.
    described: BTreeMap<String, String>,
}

impl RtcpJson {
    fn new(r: RtcpRow, clock_rate: Option<u32>) -> RtcpJson {
        let voip = VoipJson {
            loss_pct: r.voip_loss_pct,
            discard_pct: r.voip_discard_pct,
            r: r.voip_r,
            mos_lq: r.voip_mos_lq,
            mos_cq: r.voip_mos_cq,
            round_trip_ms: r.voip_round_trip_ms,
            end_system_ms: r.voip_end_system_ms,
            burst_ms: r.voip_burst_ms,
            gap_ms: r.voip_gap_ms,
            jb_nominal_ms: r.voip_jb_nominal_ms,
            burst_density_pct: r.voip_burst_density_pct,
            gap_density_pct: r.voip_gap_density_pct,
            gmin: r.voip_gmin,
            signal_dbm: r.voip_signal_dbm,
            noise_dbm: r.voip_noise_dbm,
            rerl_db: r.voip_rerl_db,
            external_r: r.voip_external_r,
            rx_config: r.voip_rx_config,
            jb_maximum_ms: r.voip_jb_maximum_ms,
            jb_absolute_maximum_ms: r.voip_jb_absolute_maximum_ms,
        };
        let vq = (r.kind == "vq_report").then(|| VqJson {
            side: known(r.vq_side),
            start_at: r.vq_start_at.map(rfc3339),
            stop_at: r.vq_stop_at.map(rfc3339),
            one_way_delay_ms: r.vq_one_way_delay_ms,
            symmetric_one_way_delay_ms: r.vq_symmetric_one_way_delay_ms,
            interarrival_jitter_ms: r.vq_interarrival_jitter_ms,
            mean_absolute_jitter_ms: r.vq_mean_absolute_jitter_ms,
            r_cq: r.vq_r_cq,
            external_r_out: r.vq_external_r_out,
            described: r.vq_described.into_iter().map(|(key, value)| (key, shown(value))).collect(),
        });
        RtcpJson {
            at: rfc3339(r.at),
            src: endpoint(r.src_ip, r.src_port),
            dst: endpoint(r.dst_ip, r.dst_port),
            kind: r.kind,
            reporter_ssrc: Ssrc(r.reporter_ssrc).to_string(),
            about_ssrc: r.about_ssrc.map(|ssrc| Ssrc(ssrc).to_string()),
            stream: (r.stream_id != 0).then(|| hex_id(r.stream_id)),
            fraction_lost_pct: r.fraction_lost_pct,
            cumulative_lost: r.cumulative_lost,
            jitter_ms: r.jitter_ticks.zip(clock_rate).map(|(ticks, hz)| f64::from(ticks) * 1000.0 / f64::from(hz)),
            rtt_probe_reporter_ms: r.rtt_probe_reporter_ms,
            sent_packets: r.sent_packets,
            // Most RTCP has none; a report by SIP may carry a MOS or a delay alone.
            voip: (voip != VoipJson::default()).then_some(voip),
            vq,
            implausible: known(r.implausible),
        }
    }
}

/// Identity of a call or stream: 16 hexadecimal digits.
pub(super) fn hex_id(id: u64) -> String {
    format!("{id:016x}")
}

pub(super) fn rfc3339(ns: i64) -> String {
    Timestamp(ns).to_rfc3339()
}

pub(super) fn endpoint(ip: Ipv6Addr, port: u16) -> String {
    endpoint_text(SocketAddr::new(IpAddr::V6(ip), port))
}

/// Text of a sender as it is shown. Rows of this version hold it clean; those that an earlier one wrote, or another program,
/// may not.
pub(super) fn shown(text: String) -> String {
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) { text } else { clean(&text, usize::MAX) }
}

/// Empty text in the tables means unknown.
pub(super) fn known(text: String) -> Option<String> {
    (!text.is_empty()).then(|| shown(text))
}

/// Bins that are not empty, by their name.
pub(super) fn loss_runs(counts: impl IntoIterator<Item = impl Into<u64>>) -> Ordered<u64> {
    let counted = counts.into_iter().take(LossRuns::BINS).map(Into::into).enumerate();
    Ordered(counted.filter(|(_, n)| *n > 0).map(|(bin, n)| (LossRuns::bin_name(bin), n)).collect())
}

/// Milliseconds, in the width the tables have.
pub(super) fn milliseconds(length: Option<Nanos>) -> Option<f32> {
    length.map(|length| length.as_millis_f64() as f32)
}
