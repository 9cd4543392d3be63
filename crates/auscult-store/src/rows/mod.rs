//! Records as rows: one struct per table, made from `model` types and the operator's labels.

mod groups;
mod layout;
mod media;
mod tables;

pub use layout::{EditedRows, RowFate, RowSpan, RowView, edit_rows, replace_texts, row_spans};
pub use tables::{
    AlertRow, CallGroupRow, CallRow, CaptureRow, IntervalRow, MediaGroupRow, RtcpRow, SipMessageRow, StreamRow,
};

use super::rowbinary::{RowBinary, RowKey, Unencodable};
use auscult_core::groups::Group;
use auscult_core::model::{
    AlertRecord, CallGroup, CallRecord, CallUid, CaptureInterval, Event, IntervalReport, Labels, LossEvidence,
    MediaGroup, Party, RatedMos, ReleasedBy, RtcpKind, RtcpRecord, Scale, SipDirection, SipMessageRecord, StreamId,
    StreamReport, VqSide, mapped,
};
use auscult_core::units::{BUCKETS, Nanos, Timestamp};
use siphasher::sip::SipHasher24;
use std::hash::Hasher;
use std::net::SocketAddr;

/// The tables rows go to, the most precious first: what is dropped last when space runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    Calls,
    Streams,
    Alerts,
    CallGroups,
    MediaGroups,
    CaptureIntervals,
    SipMessages,
    RtcpReports,
    StreamIntervals,
}

impl Table {
    pub const ALL: [Table; 9] = [
        Table::Calls,
        Table::Streams,
        Table::Alerts,
        Table::CallGroups,
        Table::MediaGroups,
        Table::CaptureIntervals,
        Table::SipMessages,
        Table::RtcpReports,
        Table::StreamIntervals,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Table::Calls => "calls",
            Table::Streams => "streams",
            Table::Alerts => "alerts",
            Table::CallGroups => "call_groups",
            Table::MediaGroups => "media_groups",
            Table::CaptureIntervals => "capture_intervals",
            Table::SipMessages => "sip_messages",
            Table::RtcpReports => "rtcp_reports",
            Table::StreamIntervals => "stream_intervals",
        }
    }

    pub fn from_name(name: &str) -> Option<Table> {
        Table::ALL.into_iter().find(|table| table.name() == name)
    }

    /// What one insert may hold, so that the embedded engine takes it with less than [`INSERT_MEMORY`] whatever else
    /// runs; `tests/store/insert_memory.rs` holds it on the engine.
    pub fn insert_limit(self) -> InsertLimit {
        // Measured per table in docs/performance.md: about 15 MiB and 1.5 to 3 bytes for each byte of RowBinary.
        let rows = match self {
            Table::Calls | Table::Streams | Table::Alerts | Table::CaptureIntervals => 10_000,
            Table::CallGroups | Table::MediaGroups => 5_000,
            Table::SipMessages | Table::RtcpReports | Table::StreamIntervals => 20_000,
        };
        InsertLimit { rows, bytes: 12 << 20 }
    }

    /// One row per finished call or stream, per alert, or for many of them: delivered first, dropped last.
    pub fn is_summary(self) -> bool {
        matches!(self, Table::Calls | Table::Streams | Table::Alerts | Table::CallGroups | Table::MediaGroups)
    }
}

/// Memory of the embedded engine that one insert may take, bytes.
pub const INSERT_MEMORY: u64 = super::budget::INSERT_MEMORY_BYTES;

/// Bounds of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InsertLimit {
    pub rows: u32,
    /// Bytes of RowBinary.
    pub bytes: usize,
}

/// What kind of call a record belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallKind {
    /// Also records of no call.
    #[default]
    Ordinary,
    /// To an emergency service: its rows may be kept for another time.
    Emergency,
}

/// A record that is stored.
#[derive(Clone, Debug)]
pub enum Record {
    Call(Box<CallRecord>),
    Stream(Box<StreamReport>),
    Interval(Box<IntervalReport>),
    SipMessage(Box<SipMessageRecord>),
    Rtcp(Box<RtcpRecord>),
    Capture(Box<CaptureInterval>),
    CallGroup(Box<CallGroup>),
    MediaGroup(Box<MediaGroup>),
    Alert(Box<AlertRecord>),
}

impl From<Group> for Record {
    fn from(group: Group) -> Record {
        match group {
            Group::Calls(group) => Record::CallGroup(group),
            Group::Media(group) => Record::MediaGroup(group),
        }
    }
}

impl Record {
    /// The record of an event, `None` for events that only the live view needs.
    pub fn from_event(event: Event) -> Option<Record> {
        match event {
            Event::CallChanged(_) | Event::StreamStarted(_) => None,
            Event::CallEnded(r) => Some(Record::Call(r)),
            Event::StreamEnded(r) => Some(Record::Stream(r)),
            Event::Interval(r) => Some(Record::Interval(r)),
            Event::SipMessage(r) => Some(Record::SipMessage(r)),
            Event::Rtcp(r) => Some(Record::Rtcp(r)),
            Event::Capture(r) => Some(Record::Capture(r)),
        }
    }

    pub fn table(&self) -> Table {
        match self {
            Record::Call(_) => Table::Calls,
            Record::Stream(_) => Table::Streams,
            Record::Interval(_) => Table::StreamIntervals,
            Record::SipMessage(_) => Table::SipMessages,
            Record::Rtcp(_) => Table::RtcpReports,
            Record::Capture(_) => Table::CaptureIntervals,
            Record::CallGroup(_) => Table::CallGroups,
            Record::MediaGroup(_) => Table::MediaGroups,
            Record::Alert(_) => Table::Alerts,
        }
    }

    /// Bytes of memory the record takes, its texts and lists among them; what several records share is left out but for the
    /// Call-ID, of which this record may be the last that has it.
    pub fn held_bytes(&self) -> usize {
        const HISTOGRAM: usize = 4 * BUCKETS;
        let texts = |texts: &[&String]| texts.iter().map(|text| text.capacity()).sum::<usize>();
        size_of::<Record>()
            + match self {
                Record::Call(r) => {
                    let party = |p: &Party| texts(&[&p.uri, &p.user, &p.display_name, &p.user_agent]);
                    let evidence: usize = r.diagnoses.iter().map(|d| size_of_val(d) + d.evidence.capacity()).sum();
                    size_of_val(&**r)
                        + party(&r.caller)
                        + party(&r.callee)
                        + r.call_id.len()
                        + texts(&[&r.final_reason, &r.release_reason])
                        + size_of::<StreamId>() * r.streams.capacity()
                        + evidence
                }
                Record::Stream(r) => {
                    let types = size_of_val(r.payload_types.as_slice());
                    size_of_val(&**r) + r.call_id.len() + types + HISTOGRAM
                }
                Record::Interval(r) => size_of_val(&**r) + r.call_id.len() + HISTOGRAM,
                Record::SipMessage(r) => r.held_bytes(),
                Record::Rtcp(r) => {
                    let described = |item: &(&str, String)| size_of_val(item) + item.1.capacity();
                    let vq =
                        r.vq.as_deref()
                            .map_or(0, |vq| size_of_val(vq) + vq.described.iter().map(described).sum::<usize>());
                    size_of_val(&**r) + r.implausible.capacity() + vq
                }
                Record::Capture(r) => size_of_val(&**r) + r.interface.capacity() + 64 * r.outcomes.0.len(),
                Record::CallGroup(r) => size_of_val(&**r) + groups::held_by_calls(&r.figures),
                Record::MediaGroup(r) => size_of_val(&**r) + 2 * HISTOGRAM + groups::held_by_media(&r.figures),
                Record::Alert(r) => size_of_val(&**r) + r.held_bytes(),
            }
    }

    /// The call that this is a record of, or of a part of it.
    pub fn call_uid(&self) -> Option<CallUid> {
        match self {
            Record::Call(r) => Some(r.uid),
            Record::Stream(r) => r.call_uid,
            Record::Interval(r) => r.call_uid,
            Record::SipMessage(r) => Some(r.call_uid),
            Record::Rtcp(r) => r.call_uid,
            Record::Capture(_) | Record::CallGroup(_) | Record::MediaGroup(_) | Record::Alert(_) => None,
        }
    }

    /// Adds the row of this record, of no emergency call, to a batch.
    pub fn encode(&self, labels: &Labels, stored_at: Timestamp, rows: &mut RowBinary) -> Result<(), Unencodable> {
        self.encode_of(CallKind::Ordinary, labels, stored_at, rows)
    }

    /// Adds the row of this record to a batch.
    pub fn encode_of(
        &self,
        kind: CallKind,
        labels: &Labels,
        stored_at: Timestamp,
        rows: &mut RowBinary,
    ) -> Result<(), Unencodable> {
        macro_rules! add {
            ($row:expr) => {{
                let row = $row;
                rows.push_keyed(&row, RowKey { row_id: row.row_id, stored_at: row.stored_at })
            }};
        }
        let emergency = kind == CallKind::Emergency;
        match self {
            Record::Call(r) => add!(CallRow { emergency, ..CallRow::new(r, labels, stored_at) }),
            Record::Stream(r) => add!(StreamRow { emergency, ..StreamRow::new(r, labels, stored_at) }),
            Record::Interval(r) => add!(IntervalRow { emergency, ..IntervalRow::new(r, labels, stored_at) }),
            Record::SipMessage(r) => add!(SipMessageRow { emergency, ..SipMessageRow::new(r, labels, stored_at) }),
            Record::Rtcp(r) => add!(RtcpRow { emergency, ..RtcpRow::new(r, labels, stored_at) }),
            Record::Capture(r) => add!(CaptureRow::new(r, labels, stored_at)),
            Record::CallGroup(r) => add!(CallGroupRow::new(r, labels, stored_at)),
            Record::MediaGroup(r) => add!(MediaGroupRow::new(r, labels, stored_at)),
            Record::Alert(r) => add!(AlertRow::new(r, labels, stored_at)),
        }
    }
}

impl CallRow {
    pub fn new(call: &CallRecord, labels: &Labels, stored_at: Timestamp) -> CallRow {
        let mut id = RowId::new(Table::Calls, labels);
        id.number(call.uid.0);
        let time = |at: Option<Timestamp>| at.map(|t| t.0);
        let ip = |at: Option<SocketAddr>| at.map(|a| mapped(a.ip()));
        let port = |at: Option<SocketAddr>| at.map_or(0, |a| a.port());
        let rated = |mos: Option<RatedMos>| finite(mos.map(|rated| rated.lq));
        let scale = |mos: Option<RatedMos>| mos.map_or("", |rated| rated.scale.name()).to_owned();
        CallRow {
            stored_at: seconds(stored_at),
            probe: labels.probe.clone(),
            site: labels.site.clone(),
            trunk: labels.trunk_of_call(call).name.to_owned(),
            call_uid: call.uid.0,
            call_id: call.call_id.to_string(),
            caller_uri: call.caller.uri.clone(),
            caller_user: call.caller.user.clone(),
            caller_name: call.caller.display_name.clone(),
            caller_agent: call.caller.user_agent.clone(),
            callee_uri: call.callee.uri.clone(),
            callee_user: call.callee.user.clone(),
            callee_name: call.callee.display_name.clone(),
            callee_agent: call.callee.user_agent.clone(),
            state: call.state.name().to_owned(),
            final_code: call.final_code,
            final_reason: call.final_reason.clone(),
            transport: call.transport.name().to_owned(),
            signalling_src_ip: ip(call.signalling_src),
            signalling_src_port: port(call.signalling_src),
            signalling_dst_ip: ip(call.signalling_dst),
            signalling_dst_port: port(call.signalling_dst),
            first_at: call.first_at.0,
            last_at: call.last_at.0,
            invite_at: time(call.invite_at),
            ringing_at: time(call.ringing_at),
            answered_at: time(call.answered_at),
            ended_at: time(call.ended_at),
            pdd_ms: call.pdd().map(Nanos::as_millis_f64),
            setup_ms: call.setup().map(Nanos::as_millis_f64),
            duration_ms: call.duration().map(Nanos::as_millis_f64),
            released_by: call.released_by.map_or("", ReleasedBy::name).to_owned(),
            release_reason: call.release_reason.clone(),
            reinvites: call.reinvites,
            auth_rounds: call.auth_rounds,
            retransmissions: call.retransmissions,
            messages: call.messages,
            messages_dropped: call.messages_dropped,
            branches: call.branches,
            acked: call.acked,
            started_mid_call: call.started_mid_call,
            directions_seen: call.directions_seen,
            streams: call.streams.iter().map(|s| s.0).collect(),
            mos_worst: finite(call.mos_worst),
            mos_scale: call.mos_worst_scale.map_or("", Scale::name).to_owned(),
            pdv_p95_worst_ms: call.pdv_p95_worst.map(millis),
            loss_pct_worst: finite(call.loss_pct_worst),
            loss_source: call.quality.loss_source.name().to_owned(),
            diagnosis: call.diagnoses.first().map_or("", |d| d.code.name()).to_owned(),
            diagnoses: call
                .diagnoses
                .iter()
                .map(|d| (d.code.name().to_owned(), finite(Some(d.confidence)).unwrap_or(0.0), d.evidence.clone()))
                .collect(),
            row_id: id.finish(),
            mos_worst_interval: rated(call.mos_worst_interval),
            mos_worst_interval_scale: scale(call.mos_worst_interval),
            mos_worst_minute: rated(call.mos_worst_minute),
            mos_worst_minute_scale: scale(call.mos_worst_minute),
            sip_rtt_toward_caller_samples: call.sip_rtt_toward_caller.map(|t| t.samples),
            sip_rtt_toward_caller_min_ms: call.sip_rtt_toward_caller.map(|t| millis(t.min)),
            sip_rtt_toward_caller_max_ms: call.sip_rtt_toward_caller.map(|t| millis(t.max)),
            sip_rtt_toward_callee_samples: call.sip_rtt_toward_callee.map(|t| t.samples),
            sip_rtt_toward_callee_min_ms: call.sip_rtt_toward_callee.map(|t| millis(t.min)),
            sip_rtt_toward_callee_max_ms: call.sip_rtt_toward_callee.map(|t| millis(t.max)),
            capture_drops: Some(call.quality.capture_drops),
            duplicates_removed: Some(call.quality.duplicates_removed),
            one_sided: Some(call.quality.one_sided),
            snap_cut: Some(call.quality.snap_cut),
            clock_steps: Some(call.quality.clock_steps),
            timestamp_source: call.quality.timestamp_source.name().to_owned(),
            timestamp_resolution_ns: Some(call.quality.timestamp_resolution_ns),
            loss_evidence: call.quality.loss_evidence.map_or("", LossEvidence::name).to_owned(),
            shed: Some(call.evicted),
            retry_of: call.retry_of.map(|uid| uid.0),
            mos_worst_minute_at: call.mos_worst_minute_at.map(|at| at.0),
            class: call.class().name().to_owned(),
            sdd_ms: call.sdd().map(Nanos::as_millis_f64),
            trunk_direction: labels.trunk_of_call(call).direction_name().to_owned(),
            capture_lost: Some(call.quality.loss.capture),
            network_lost: Some(call.quality.loss.network),
            undecided_lost: Some(call.quality.loss.undecided),
            lost_by_evidence: media::by_evidence(&call.quality.loss),
            timestamp_fault: media::timestamp_fault(call.quality.timestamps),
            timestamp_error_ms: media::timestamp_error(call.quality.timestamps),
            sampled_one_of: call.quality.sampled_one_of,
            emergency: false,
        }
    }
}

impl SipMessageRow {
    pub fn new(message: &SipMessageRecord, labels: &Labels, stored_at: Timestamp) -> SipMessageRow {
        let mut id = RowId::new(Table::SipMessages, labels);
        id.time(message.at).text(&message.call_id).address(message.src).address(message.dst);
        id.text(&message.method).number(u64::from(message.status)).number(u64::from(message.cseq));
        SipMessageRow {
            stored_at: seconds(stored_at),
            probe: labels.probe.clone(),
            site: labels.site.clone(),
            at: message.at.0,
            call_uid: message.call_uid.0,
            call_id: message.call_id.to_string(),
            src_ip: mapped(message.src.ip()),
            src_port: message.src.port(),
            dst_ip: mapped(message.dst.ip()),
            dst_port: message.dst.port(),
            transport: message.transport.name().to_owned(),
            direction: match message.direction {
                SipDirection::Request => "request",
                SipDirection::Response => "response",
            }
            .to_owned(),
            method: message.method.clone(),
            status: message.status,
            reason: message.reason.clone(),
            cseq: message.cseq,
            retransmission: message.retransmission,
            headers: message.headers.clone(),
            sdp: message.sdp.clone(),
            cut_short: message.cut_short,
            row_id: id.finish(),
            emergency: false,
        }
    }
}

impl RtcpRow {
    pub fn new(report: &RtcpRecord, labels: &Labels, stored_at: Timestamp) -> RtcpRow {
        let kind = match report.kind {
            RtcpKind::SenderReport => "sender_report",
            RtcpKind::ReceiverReport => "receiver_report",
            RtcpKind::Bye => "bye",
            RtcpKind::VoipMetrics => "voip_metrics",
            RtcpKind::VqReport => "vq_report",
        };
        let (block, voip) = (report.block, report.voip);
        let vq = report.vq.as_deref();
        let about = block.map(|b| b.ssrc).or(voip.map(|v| v.ssrc)).map(|s| s.0);
        let mut id = RowId::new(Table::RtcpReports, labels);
        id.time(report.at).address(report.src).address(report.dst).text(kind);
        id.number(u64::from(report.reporter.0)).number(about.map_or(u64::MAX, u64::from));
        if vq.is_some_and(|v| v.side == VqSide::Remote) {
            // Both sides may be without an SSRC.
            id.text(VqSide::Remote.name());
        }
        // RFC 3611 section 4.7.1: rates are 1/256.
        let rate = |value: u8| f32::from(value) * 100.0 / 256.0;
        RtcpRow {
            stored_at: seconds(stored_at),
            probe: labels.probe.clone(),
            site: labels.site.clone(),
            at: report.at.0,
            src_ip: mapped(report.src.ip()),
            src_port: report.src.port(),
            dst_ip: mapped(report.dst.ip()),
            dst_port: report.dst.port(),
            kind: kind.to_owned(),
            reporter_ssrc: report.reporter.0,
            call_uid: report.call_uid.map_or(0, |uid| uid.0),
            stream_id: report.stream.map_or(0, |s| s.0),
            ntp: report.ntp.map(|t| t.0),
            rtp_timestamp: report.rtp_timestamp,
            sent_packets: report.sent_packets,
            sent_octets: report.sent_octets,
            about_ssrc: about,
            fraction_lost_pct: block.map(|b| rate(b.fraction_lost)),
            cumulative_lost: block.map(|b| b.cumulative_lost),
            highest_seq: block.map(|b| b.highest_seq),
            jitter_ticks: block.map(|b| b.jitter_ticks),
            rtt_probe_reporter_ms: report.rtt_probe_reporter.map(millis),
            voip_loss_pct: voip.and_then(|v| finite(v.loss_pct)),
            voip_discard_pct: voip.and_then(|v| finite(v.discard_pct)),
            voip_burst_ms: voip.and_then(|v| v.burst_ms),
            voip_gap_ms: voip.and_then(|v| v.gap_ms),
            voip_round_trip_ms: voip.and_then(|v| v.round_trip_ms),
            voip_end_system_ms: voip.and_then(|v| v.end_system_ms),
            voip_r: voip.and_then(|v| v.r),
            voip_mos_lq: voip.and_then(|v| finite(v.mos_lq)),
            voip_mos_cq: voip.and_then(|v| finite(v.mos_cq)),
            voip_jb_nominal_ms: voip.and_then(|v| v.jitter_buffer_nominal_ms),
            implausible: report.implausible.clone(),
            row_id: id.finish(),
            voip_burst_density_pct: voip.and_then(|v| finite(v.burst_density_pct)),
            voip_gap_density_pct: voip.and_then(|v| finite(v.gap_density_pct)),
            voip_gmin: voip.and_then(|v| v.gmin),
            voip_signal_dbm: voip.and_then(|v| v.signal_dbm),
            voip_noise_dbm: voip.and_then(|v| v.noise_dbm),
            voip_rerl_db: voip.and_then(|v| v.residual_echo_return_loss_db),
            voip_external_r: voip.and_then(|v| v.external_r),
            voip_rx_config: voip.and_then(|v| v.rx_config),
            voip_jb_maximum_ms: voip.and_then(|v| v.jitter_buffer_maximum_ms),
            voip_jb_absolute_maximum_ms: voip.and_then(|v| v.jitter_buffer_absolute_maximum_ms),
            vq_side: vq.map_or("", |v| v.side.name()).to_owned(),
            vq_start_at: vq.and_then(|v| v.start).map(|at| at.0),
            vq_stop_at: vq.and_then(|v| v.stop).map(|at| at.0),
            vq_one_way_delay_ms: vq.and_then(|v| v.one_way_delay_ms),
            vq_symmetric_one_way_delay_ms: vq.and_then(|v| v.symmetric_one_way_delay_ms),
            vq_interarrival_jitter_ms: vq.and_then(|v| finite(v.interarrival_jitter_ms)),
            vq_mean_absolute_jitter_ms: vq.and_then(|v| finite(v.mean_absolute_jitter_ms)),
            vq_r_cq: vq.and_then(|v| v.r_cq),
            vq_external_r_out: vq.and_then(|v| v.external_r_out),
            vq_described: vq.map_or_else(Vec::new, |v| {
                v.described.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
            }),
            emergency: false,
        }
    }
}

impl CaptureRow {
    pub fn new(capture: &CaptureInterval, labels: &Labels, stored_at: Timestamp) -> CaptureRow {
        let mut id = RowId::new(Table::CaptureIntervals, labels);
        id.text(&capture.interface).time(capture.start);
        let condition = &capture.condition;
        CaptureRow {
            stored_at: seconds(stored_at),
            probe: labels.probe.clone(),
            site: labels.site.clone(),
            start_at: seconds(capture.start),
            length_ms: whole_millis(capture.length),
            interface: capture.interface.clone(),
            frames: capture.frames,
            bytes: capture.bytes,
            dropped_ring: capture.dropped_ring,
            dropped_interface: capture.dropped_interface,
            dropped_queue: capture.dropped_queue,
            outcomes: capture.outcomes.0.iter().map(|(outcome, frames)| (outcome.name(), *frames)).collect(),
            row_id: id.finish(),
            streams_shed: Some(capture.shedding.streams_shed),
            streams_refused: Some(capture.shedding.streams_refused),
            calls_shed: Some(capture.shedding.calls_shed),
            calls_refused: Some(capture.shedding.calls_refused),
            loss_floor_low_pct: condition.loss_floor.map(|floor| 100.0 * floor.low),
            loss_floor_high_pct: condition.loss_floor.map(|floor| 100.0 * floor.high),
            blackout_ms: Some(whole_millis(condition.blackout)),
            timestamp_fault: media::timestamp_fault(condition.timestamps),
            timestamp_error_ms: media::timestamp_error(condition.timestamps),
            timestamp_granularity_ns: condition.timestamp_granularity_ns,
            clock_steps: Some(condition.clock_steps),
            streams: Some(condition.streams),
            one_sided_streams: Some(condition.one_sided_streams),
            mirror_copies: Some(condition.copies),
            sampled_one_of: condition.sampled_one_of,
        }
    }
}

impl AlertRow {
    pub fn new(alert: &AlertRecord, labels: &Labels, stored_at: Timestamp) -> AlertRow {
        let mut id = RowId::new(Table::Alerts, labels);
        id.number(alert.fingerprint).time(alert.at);
        let known = |value: Option<f64>| value.filter(|value| value.is_finite());
        AlertRow {
            stored_at: seconds(stored_at),
            probe: labels.probe.clone(),
            site: labels.site.clone(),
            at: seconds(alert.at),
            fingerprint: alert.fingerprint,
            rule: alert.rule.clone(),
            rule_hash: alert.rule_hash.clone(),
            severity: alert.severity.clone(),
            labels: alert.group.clone(),
            state: alert.state.to_owned(),
            previous: alert.previous.to_owned(),
            judgement: alert.judgement.to_owned(),
            measure: alert.measure.clone(),
            unit: alert.unit.clone(),
            fired_at: alert.fired_at.map(seconds),
            window_from: seconds(alert.from),
            window_to: seconds(alert.until),
            value: known(alert.value),
            low: known(alert.low),
            high: known(alert.high),
            fire_limit: known(alert.limit),
            samples: alert.samples,
            sample_unit: alert.sample_unit.clone(),
            capture_loss_pct: known(Some(alert.capture_loss_pct)).unwrap_or(0.0),
            baseline: known(alert.baseline),
            baseline_spread: known(alert.baseline_spread),
            peak: known(alert.peak),
            inhibited_by: alert.inhibited_by.clone(),
            silenced_by: alert.silenced_by.clone(),
            error: alert.error.clone(),
            summary: alert.summary.clone(),
            worst_calls: alert.worst_calls.iter().map(|uid| uid.0).collect(),
            row_id: id.finish(),
        }
    }
}

/// Hash of what makes a row this row, the same in every run and version of the program.
struct RowId(SipHasher24);

impl RowId {
    fn new(table: Table, labels: &Labels) -> RowId {
        let mut id = RowId(SipHasher24::new());
        id.text(table.name()).text(&labels.probe);
        id
    }

    fn number(&mut self, value: u64) -> &mut RowId {
        self.0.write(&value.to_le_bytes());
        self
    }

    fn time(&mut self, at: Timestamp) -> &mut RowId {
        self.0.write(&at.0.to_le_bytes());
        self
    }

    fn text(&mut self, text: &str) -> &mut RowId {
        self.number(text.len() as u64).0.write(text.as_bytes());
        self
    }

    fn address(&mut self, at: SocketAddr) -> &mut RowId {
        self.0.write(&mapped(at.ip()).octets());
        self.number(u64::from(at.port()))
    }

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

/// `DateTime` holds 1970 to 2106; other times are moved to its ends.
fn seconds(at: Timestamp) -> u32 {
    at.0.div_euclid(1_000_000_000).clamp(0, i64::from(u32::MAX)) as u32
}

fn whole_millis(length: Nanos) -> u32 {
    (length.0 / 1_000_000).clamp(0, i64::from(u32::MAX)) as u32
}

fn millis(length: Nanos) -> f32 {
    length.as_millis_f64() as f32
}

/// A figure that is no number is not stored.
fn finite(value: Option<f32>) -> Option<f32> {
    value.filter(|v| v.is_finite())
}
