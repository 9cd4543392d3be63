//! Facts as rows: one struct per table, made from `model` types and the operator's labels.

mod labels;
mod tables;

pub use labels::{Cidr, Labels, mapped};
pub use tables::{CallRow, CaptureRow, IntervalRow, RtcpRow, SipMessageRow, StreamRow};

use super::rowbinary::{RowBinary, Unencodable};
use crate::model::{
    CallRecord, CaptureInterval, ClockSource, Event, IntervalReport, ReleasedBy, RtcpKind, RtcpRecord, SipDirection,
    SipMessageRecord, StreamReport,
};
use crate::units::{DelayHistogram, HISTOGRAM_VERSION, Nanos, Timestamp};
use siphasher::sip::SipHasher24;
use std::hash::Hasher;
use std::net::SocketAddr;

/// The tables rows go to, the most precious first: what is dropped last when space runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    Calls,
    Streams,
    CaptureIntervals,
    SipMessages,
    RtcpReports,
    StreamIntervals,
}

impl Table {
    pub const ALL: [Table; 6] = [
        Table::Calls,
        Table::Streams,
        Table::CaptureIntervals,
        Table::SipMessages,
        Table::RtcpReports,
        Table::StreamIntervals,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Table::Calls => "calls",
            Table::Streams => "streams",
            Table::CaptureIntervals => "capture_intervals",
            Table::SipMessages => "sip_messages",
            Table::RtcpReports => "rtcp_reports",
            Table::StreamIntervals => "stream_intervals",
        }
    }

    pub fn from_name(name: &str) -> Option<Table> {
        Table::ALL.into_iter().find(|table| table.name() == name)
    }

    /// One row per finished call or stream: delivered first, dropped last.
    pub fn is_summary(self) -> bool {
        matches!(self, Table::Calls | Table::Streams)
    }
}

/// A fact that is stored.
#[derive(Clone, Debug)]
pub enum Record {
    Call(Box<CallRecord>),
    Stream(Box<StreamReport>),
    Interval(Box<IntervalReport>),
    SipMessage(Box<SipMessageRecord>),
    Rtcp(Box<RtcpRecord>),
    Capture(Box<CaptureInterval>),
}

impl Record {
    /// The fact of an event, `None` for events that only the live view needs.
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
        }
    }

    /// Adds the row of this fact to a batch.
    pub fn encode(&self, labels: &Labels, stored_at: Timestamp, rows: &mut RowBinary) -> Result<(), Unencodable> {
        match self {
            Record::Call(r) => rows.push(&CallRow::new(r, labels, stored_at)),
            Record::Stream(r) => rows.push(&StreamRow::new(r, labels, stored_at)),
            Record::Interval(r) => rows.push(&IntervalRow::new(r, labels, stored_at)),
            Record::SipMessage(r) => rows.push(&SipMessageRow::new(r, labels, stored_at)),
            Record::Rtcp(r) => rows.push(&RtcpRow::new(r, labels, stored_at)),
            Record::Capture(r) => rows.push(&CaptureRow::new(r, labels, stored_at)),
        }
    }
}

impl CallRow {
    pub fn new(call: &CallRecord, labels: &Labels, stored_at: Timestamp) -> CallRow {
        let mut id = RowId::new(Table::Calls, labels);
        id.number(call.uid);
        let sides = [call.signalling_src, call.signalling_dst];
        let time = |at: Option<Timestamp>| at.map(|t| t.0);
        let ip = |at: Option<SocketAddr>| at.map(|a| mapped(a.ip()));
        let port = |at: Option<SocketAddr>| at.map_or(0, |a| a.port());
        CallRow {
            stored_at: seconds(stored_at),
            probe: labels.probe.clone(),
            site: labels.site.clone(),
            trunk: labels.trunk(sides.into_iter().flatten().map(|a| a.ip())).to_owned(),
            call_uid: call.uid,
            call_id: call.call_id.clone(),
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
            mos_scale: call.mos_worst_scale.to_owned(),
            pdv_p95_worst_ms: call.pdv_p95_worst.map(millis),
            loss_pct_worst: finite(call.loss_pct_worst),
            loss_source: call.loss_source.name().to_owned(),
            diagnosis: call.diagnoses.first().map_or("", |d| d.code.name()).to_owned(),
            diagnoses: call
                .diagnoses
                .iter()
                .map(|d| (d.code.name().to_owned(), finite(Some(d.confidence)).unwrap_or(0.0), d.evidence.clone()))
                .collect(),
            row_id: id.finish(),
        }
    }
}

impl StreamRow {
    pub fn new(stream: &StreamReport, labels: &Labels, stored_at: Timestamp) -> StreamRow {
        let mut id = RowId::new(Table::Streams, labels);
        id.number(stream.id.0).time(stream.first_at);
        let n = &stream.numbers;
        let quantile = |q| n.pdv.quantile(q).map(millis);
        StreamRow {
            stored_at: seconds(stored_at),
            probe: labels.probe.clone(),
            site: labels.site.clone(),
            trunk: labels.trunk([stream.src.ip(), stream.dst.ip()]).to_owned(),
            stream_id: stream.id.0,
            call_uid: stream.call_uid.unwrap_or(0),
            call_id: stream.call_id.clone(),
            src_ip: mapped(stream.src.ip()),
            src_port: stream.src.port(),
            dst_ip: mapped(stream.dst.ip()),
            dst_port: stream.dst.port(),
            ssrc: stream.ssrc.0,
            codec: stream.codec.to_string(),
            clock_rate: stream.clock_rate,
            clock_source: stream.clock_source.map_or("", ClockSource::name).to_owned(),
            payload_types: stream.payload_types.iter().map(|(pt, packets)| (pt.0, *packets)).collect(),
            ptime_ms: stream.ptime.map(millis),
            first_at: stream.first_at.0,
            last_at: stream.last_at.0,
            packets: n.packets,
            unique_packets: n.unique,
            expected: n.expected,
            lost: n.lost(),
            duplicates_probe: n.duplicates_probe,
            duplicates_network: n.duplicates_network,
            reordered: n.reordered,
            reorder_extent: n.reorder_extent,
            restarts: n.restarts,
            strays: n.strays,
            sent_elsewhere: stream.sent_elsewhere,
            loss_runs: n.loss_runs.counts.to_vec(),
            longest_loss_run: n.loss_runs.longest,
            jitter_last_ms: jitter(n, n.jitter.last_ns),
            jitter_mean_ms: n.jitter.mean_ns().and_then(|ns| jitter(n, ns)),
            jitter_max_ms: jitter(n, n.jitter.max_ns),
            pdv: n.pdv.trimmed().to_vec(),
            histogram_version: HISTOGRAM_VERSION,
            pdv_p50_ms: quantile(0.5),
            pdv_p95_ms: quantile(0.95),
            pdv_p99_ms: quantile(0.99),
            pdv_max_ms: measured(&n.pdv, n.pdv_max),
            late: n.late.to_vec(),
            max_gap_ms: (n.packets > 1).then(|| millis(n.max_gap)),
            drift_ppm: finite(stream.drift_ppm),
            payload_bytes: n.payload_bytes,
            telephone_events: n.telephone_events,
            comfort_noise: n.comfort_noise,
            dscp: stream.dscp,
            dscp_changes: stream.dscp_changes,
            ttl_min: stream.ttl_min,
            ttl_max: stream.ttl_max,
            vlan: stream.vlan,
            tunnel: stream.tunnel.to_owned(),
            rtt_ms: stream.rtt.map(millis),
            r: finite(stream.mos.r),
            mos_lq: finite(stream.mos.lq),
            mos_cq: finite(stream.mos.cq),
            mos_scale: stream.mos.scale.to_owned(),
            mos_null_reason: stream.mos.null_reason.to_owned(),
            mos_worst_interval: finite(stream.mos_worst_interval),
            ie: finite(stream.mos.ie),
            bpl: finite(stream.mos.bpl),
            burst_ratio: finite(stream.mos.burst_ratio),
            effective_loss_pct: finite(stream.mos.effective_loss_pct),
            codec_status: stream.mos.codec_status.to_owned(),
            delay_source: stream.mos.delay_source.to_owned(),
            capture_drops: stream.quality.capture_drops,
            one_sided: stream.quality.one_sided,
            snap_cut: stream.quality.snap_cut,
            started_mid_call: stream.quality.started_mid_call,
            clock_steps: stream.quality.clock_steps,
            timestamp_resolution_ns: stream.quality.timestamp_resolution_ns,
            loss_source: stream.quality.loss_source.name().to_owned(),
            row_id: id.finish(),
        }
    }
}

impl IntervalRow {
    pub fn new(interval: &IntervalReport, labels: &Labels, stored_at: Timestamp) -> IntervalRow {
        let mut id = RowId::new(Table::StreamIntervals, labels);
        id.number(interval.stream.0).time(interval.start);
        let n = &interval.numbers;
        IntervalRow {
            stored_at: seconds(stored_at),
            probe: labels.probe.clone(),
            site: labels.site.clone(),
            trunk: labels.trunk([interval.src.ip(), interval.dst.ip()]).to_owned(),
            codec: interval.codec.to_string(),
            start_at: seconds(interval.start),
            length_ms: whole_millis(interval.length),
            stream_id: interval.stream.0,
            call_uid: interval.call_uid.unwrap_or(0),
            call_id: interval.call_id.clone(),
            src_ip: mapped(interval.src.ip()),
            src_port: interval.src.port(),
            dst_ip: mapped(interval.dst.ip()),
            dst_port: interval.dst.port(),
            ssrc: interval.ssrc.0,
            packets: narrow(n.packets),
            unique_packets: narrow(n.unique),
            expected: narrow(n.expected),
            lost: narrow(n.lost()),
            duplicates_probe: narrow(n.duplicates_probe),
            duplicates_network: narrow(n.duplicates_network),
            reordered: narrow(n.reordered),
            restarts: n.restarts,
            loss_runs: n.loss_runs.counts.to_vec(),
            longest_loss_run: n.loss_runs.longest,
            jitter_last_ms: jitter(n, n.jitter.last_ns),
            jitter_mean_ms: n.jitter.mean_ns().and_then(|ns| jitter(n, ns)),
            jitter_max_ms: jitter(n, n.jitter.max_ns),
            pdv: n.pdv.trimmed().to_vec(),
            histogram_version: HISTOGRAM_VERSION,
            pdv_max_ms: measured(&n.pdv, n.pdv_max),
            late: n.late.iter().map(|packets| narrow(*packets)).collect(),
            max_gap_ms: (n.packets > 1).then(|| millis(n.max_gap)),
            payload_bytes: n.payload_bytes,
            r: finite(interval.mos.r),
            mos_lq: finite(interval.mos.lq),
            mos_cq: finite(interval.mos.cq),
            mos_scale: interval.mos.scale.to_owned(),
            mos_null_reason: interval.mos.null_reason.to_owned(),
            burst_ratio: finite(interval.mos.burst_ratio),
            capture_drops: interval.quality.capture_drops,
            one_sided: interval.quality.one_sided,
            snap_cut: interval.quality.snap_cut,
            loss_source: interval.quality.loss_source.name().to_owned(),
            row_id: id.finish(),
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
            call_uid: message.call_uid,
            call_id: message.call_id.clone(),
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
        let about = block.map(|b| b.ssrc).or(voip.map(|v| v.ssrc)).map(|s| s.0);
        let mut id = RowId::new(Table::RtcpReports, labels);
        id.time(report.at).address(report.src).address(report.dst).text(kind);
        id.number(u64::from(report.reporter.0)).number(about.map_or(u64::MAX, u64::from));
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
            call_uid: report.call_uid.unwrap_or(0),
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
            voip_loss_pct: voip.map(|v| rate(v.loss_rate)),
            voip_discard_pct: voip.map(|v| rate(v.discard_rate)),
            voip_burst_ms: voip.map(|v| v.burst_ms),
            voip_gap_ms: voip.map(|v| v.gap_ms),
            voip_round_trip_ms: voip.and_then(|v| v.round_trip_ms),
            voip_end_system_ms: voip.and_then(|v| v.end_system_ms),
            voip_r: voip.and_then(|v| v.r),
            voip_mos_lq: voip.and_then(|v| finite(v.mos_lq)),
            voip_mos_cq: voip.and_then(|v| finite(v.mos_cq)),
            voip_jb_nominal_ms: voip.map(|v| v.jitter_buffer_nominal_ms),
            implausible: report.implausible.clone(),
            row_id: id.finish(),
        }
    }
}

impl CaptureRow {
    pub fn new(capture: &CaptureInterval, labels: &Labels, stored_at: Timestamp) -> CaptureRow {
        let mut id = RowId::new(Table::CaptureIntervals, labels);
        id.text(&capture.interface).time(capture.start);
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

/// Jitter in milliseconds, `None` before the second packet.
fn jitter(numbers: &crate::model::StreamNumbers, ns: f64) -> Option<f32> {
    finite((numbers.jitter.samples > 0).then(|| (ns / 1e6) as f32))
}

/// The largest delay variation, `None` when none was measured.
fn measured(histogram: &DelayHistogram, max: Nanos) -> Option<f32> {
    (!histogram.trimmed().is_empty()).then(|| millis(max))
}

/// A count of one interval, at most 60 s long: above 2^32 it stays there.
fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
