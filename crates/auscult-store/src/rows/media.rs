//! Rows of streams and of their intervals.

use super::{IntervalRow, RowId, StreamRow, Table, finite, millis, seconds, whole_millis};
use auscult_core::model::{
    ClockSource, IntervalReport, Labels, LossAttribution, LossEvidence, RPoints, StreamReport, StreamStats,
    TimestampCheck, Tunnel, mapped,
};
use auscult_core::units::{DelayHistogram, HISTOGRAM_VERSION, Nanos, Timestamp};

impl StreamRow {
    pub fn new(stream: &StreamReport, labels: &Labels, stored_at: Timestamp) -> StreamRow {
        let mut id = RowId::new(Table::Streams, labels);
        id.number(stream.id.0).time(stream.first_at);
        let n = &stream.numbers;
        let (mos, burst, remote) = (&stream.mos, n.burst.summary(), stream.remote.as_ref());
        let late = n.lost_or_late();
        let cost = |part: fn(&RPoints) -> f32| finite(mos.budget.as_ref().map(part));
        let delay_known = |span: Nanos| (n.pdv.total() > 0).then(|| millis(span));
        // A bucket is read back as its middle, which may lie above the largest value seen.
        let quantile = |q| n.pdv.quantile(q).map(|delay| millis(delay.min(n.pdv_max.max(Nanos::ZERO))));
        StreamRow {
            stored_at: seconds(stored_at),
            probe: labels.probe.clone(),
            site: labels.site.clone(),
            trunk: labels.trunk_of(stream.src, stream.dst).name.to_owned(),
            stream_id: stream.id.0,
            call_uid: stream.call_uid.map_or(0, |uid| uid.0),
            call_id: stream.call_id.to_string(),
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
            sent_elsewhere: stream.redirected,
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
            tunnel: stream.tunnel.map_or("", Tunnel::name).to_owned(),
            rtt_ms: stream.rtt.map(millis),
            r: finite(mos.r),
            mos_lq: finite(mos.lq),
            mos_cq: finite(mos.cq),
            mos_scale: mos.scale_name().to_owned(),
            mos_null_reason: mos.null_reason_name().to_owned(),
            mos_worst_interval: finite(stream.mos_worst_interval),
            ie: finite(mos.ie),
            bpl: finite(mos.bpl),
            burst_ratio: finite(mos.burst_ratio),
            effective_loss_pct: finite(mos.effective_loss_pct),
            codec_status: mos.codec_status_name().to_owned(),
            delay_source: mos.delay_source_name().to_owned(),
            capture_drops: stream.quality.capture_drops,
            one_sided: stream.quality.one_sided,
            snap_cut: stream.quality.snap_cut,
            started_mid_call: stream.quality.started_mid_call,
            clock_steps: stream.quality.clock_steps,
            timestamp_resolution_ns: stream.quality.timestamp_resolution_ns,
            loss_source: stream.quality.loss_source.name().to_owned(),
            row_id: id.finish(),
            pdv_p999_ms: quantile(0.999),
            discarded_adaptive: Some(n.discarded_adaptive),
            ipdv_mean_ms: nanos(n.variation.ipdv_mean_ns()),
            ipdv_max_ms: nanos(n.variation.ipdv_mean_ns().map(|_| n.variation.ipdv_max_ns)),
            mapdv2_ms: nanos(n.variation.mapdv2_ns()),
            max_delta_ms: (n.packets > 1).then(|| millis(n.max_delta)),
            max_skew_ms: nanos((n.packets > 1).then_some(n.variation.skew_max_ns)),
            bursts: Some(burst.bursts),
            burst_packets: Some(burst.burst_packets),
            burst_lost: Some(burst.burst_bad),
            gap_packets: Some(burst.gap_packets),
            gap_lost: Some(burst.gap_bad),
            gap_periods: Some(burst.gap_periods),
            burst_duration_ms: stream.ptime.map(|p| millis(burst.burst_duration(p))),
            gap_duration_ms: stream.ptime.map(|p| millis(burst.gap_duration_mean_of_periods(p))),
            gap_duration_a2_ms: stream.ptime.map(|p| millis(burst.gap_duration_a2_style(p))),
            burst_ratio_measured: Some(burst.burst_ratio() as f32),
            markov_p: burst.markov().p.map(|p| p as f32),
            markov_q: burst.markov().q.map(|q| q as f32),
            mean_loss_run: burst.mean_run().map(|run| run as f32),
            mean_loss_distance: burst.mean_distance().map(|distance| distance as f32),
            concealed_seconds: Some(n.concealed_seconds),
            severely_concealed_seconds: Some(n.severely_concealed_seconds),
            digits: Some(n.digits),
            talkspurts: Some(n.talkspurts),
            silence_ms: Some(n.silence.as_millis_f64()),
            mos_model: mos.model_name().to_owned(),
            mos_delay_ms: finite(mos.delay_ms),
            jitter_buffer_ms: mos.jitter_buffer_ms,
            mos_low: finite(mos.bounds.map(|(low, _)| low)),
            mos_high: finite(mos.bounds.map(|(_, high)| high)),
            mos_worst_minute: finite(stream.mos_worst_minute),
            r_clean_max: cost(|b| b.clean_max),
            r_cost_codec: cost(|b| b.codec),
            r_cost_loss: cost(|b| b.loss),
            r_cost_late: cost(|b| b.late),
            r_cost_delay: cost(|b| b.delay),
            loss_evidence: stream.quality.loss_evidence.map_or("", LossEvidence::name).to_owned(),
            remote_reports: remote.map(|r| r.reports),
            remote_expected: remote.map(|r| r.expected),
            remote_lost: remote.map(|r| r.lost),
            remote_loss_pct: finite(remote.map(|r| r.loss_pct)),
            remote_jitter_last_ms: remote.and_then(|r| r.jitter_last).map(millis),
            remote_jitter_max_ms: remote.and_then(|r| r.jitter_max).map(millis),
            remote_lost_before_probe: remote.map(|r| r.lost_before_probe),
            remote_lost_behind_probe: remote.map(|r| r.lost_behind_probe),
            remote_loss_side: remote.map_or("", |r| r.side.name()).to_owned(),
            timestamp_source: stream.quality.timestamp_source.name().to_owned(),
            ipdv_samples: Some(n.variation.ipdv_samples),
            mapdv2_above_ms: nanos(n.variation.above_mean_ns()),
            mapdv2_above_samples: Some(n.variation.above_samples),
            mapdv2_below_ms: nanos(n.variation.below_mean_ns()),
            mapdv2_below_samples: Some(n.variation.below_samples),
            lost_late_buffer_ms: late.map(|_| stream.late_buffer_ms),
            lost_late_bursts: late.map(|b| b.bursts),
            lost_late_burst_packets: late.map(|b| b.burst_packets),
            lost_late_burst_bad: late.map(|b| b.burst_bad),
            lost_late_gap_packets: late.map(|b| b.gap_packets),
            lost_late_gap_bad: late.map(|b| b.gap_bad),
            lost_late_gap_periods: late.map(|b| b.gap_periods),
            lost_late_burst_duration_ms: late.zip(stream.ptime).map(|(b, p)| millis(b.burst_duration(p))),
            lost_late_gap_duration_ms: late.zip(stream.ptime).map(|(b, p)| millis(b.gap_duration_mean_of_periods(p))),
            lost_late_gap_duration_a2_ms: late.zip(stream.ptime).map(|(b, p)| millis(b.gap_duration_a2_style(p))),
            lost_late_burst_ratio: late.map(|b| b.burst_ratio() as f32),
            shed: stream.quality.evicted,
            clock_rate_signalled: stream.clock_rate_signalled,
            mos_beyond_model: mos.lq.map(|_| mos.beyond_model),
            adaptive_buffer_ms: n.adaptive_size().map(millis),
            base_rise_ms: delay_known(n.base_rise),
            base_fall_ms: delay_known(n.base_fall),
            base_steps: (n.pdv.total() > 0).then_some(n.base_steps),
            mos_worst_minute_at: stream.mos_worst_minute_at.map(|at| at.0),
            capture_lost: Some(stream.quality.loss.capture),
            network_lost: Some(stream.quality.loss.network),
            undecided_lost: Some(stream.quality.loss.undecided),
            lost_by_evidence: by_evidence(&stream.quality.loss),
            timestamp_fault: timestamp_fault(stream.quality.timestamps),
            timestamp_error_ms: timestamp_error(stream.quality.timestamps),
            sampled_one_of: stream.quality.sampled_one_of,
            emergency: false,
        }
    }
}

impl IntervalRow {
    pub fn new(interval: &IntervalReport, labels: &Labels, stored_at: Timestamp) -> IntervalRow {
        let mut id = RowId::new(Table::StreamIntervals, labels);
        id.number(interval.stream.0).time(interval.start);
        let n = &interval.numbers;
        let (mos, burst) = (&interval.mos, n.burst.summary());
        let late = n.lost_or_late();
        let trunk = labels.trunk_of(interval.src, interval.dst);
        let cost = |part: fn(&RPoints) -> f32| finite(mos.budget.as_ref().map(part));
        let delay_known = |span: Nanos| (n.pdv.total() > 0).then(|| millis(span));
        let count = |packets: u64| Some(narrow(packets));
        IntervalRow {
            stored_at: seconds(stored_at),
            probe: labels.probe.clone(),
            site: labels.site.clone(),
            trunk: trunk.name.to_owned(),
            codec: interval.codec.to_string(),
            start_at: seconds(interval.start),
            length_ms: whole_millis(interval.length),
            stream_id: interval.stream.0,
            call_uid: interval.call_uid.map_or(0, |uid| uid.0),
            call_id: interval.call_id.to_string(),
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
            r: finite(mos.r),
            mos_lq: finite(mos.lq),
            mos_cq: finite(mos.cq),
            mos_scale: mos.scale_name().to_owned(),
            mos_null_reason: mos.null_reason_name().to_owned(),
            burst_ratio: finite(mos.burst_ratio),
            capture_drops: interval.quality.capture_drops,
            one_sided: interval.quality.one_sided,
            snap_cut: interval.quality.snap_cut,
            loss_source: interval.quality.loss_source.name().to_owned(),
            row_id: id.finish(),
            discarded_adaptive: count(n.discarded_adaptive),
            ipdv_mean_ms: nanos(n.variation.ipdv_mean_ns()),
            ipdv_max_ms: nanos(n.variation.ipdv_mean_ns().map(|_| n.variation.ipdv_max_ns)),
            mapdv2_ms: nanos(n.variation.mapdv2_ns()),
            max_delta_ms: (n.packets > 1).then(|| millis(n.max_delta)),
            max_skew_ms: nanos((n.packets > 1).then_some(n.variation.skew_max_ns)),
            bursts: count(burst.bursts),
            burst_packets: count(burst.burst_packets),
            burst_lost: count(burst.burst_bad),
            gap_packets: count(burst.gap_packets),
            gap_lost: count(burst.gap_bad),
            gap_periods: count(burst.gap_periods),
            burst_ratio_measured: Some(burst.burst_ratio() as f32),
            markov_p: burst.markov().p.map(|p| p as f32),
            markov_q: burst.markov().q.map(|q| q as f32),
            mean_loss_run: burst.mean_run().map(|run| run as f32),
            mean_loss_distance: burst.mean_distance().map(|distance| distance as f32),
            concealed_seconds: count(n.concealed_seconds),
            severely_concealed_seconds: count(n.severely_concealed_seconds),
            digits: count(n.digits),
            talkspurts: count(n.talkspurts),
            silence_ms: Some(n.silence.as_millis_f64()),
            clock_steps: Some(interval.quality.clock_steps),
            mos_model: mos.model_name().to_owned(),
            mos_delay_ms: finite(mos.delay_ms),
            jitter_buffer_ms: mos.jitter_buffer_ms,
            mos_low: finite(mos.bounds.map(|(low, _)| low)),
            mos_high: finite(mos.bounds.map(|(_, high)| high)),
            ie: finite(mos.ie),
            bpl: finite(mos.bpl),
            effective_loss_pct: finite(mos.effective_loss_pct),
            codec_status: mos.codec_status_name().to_owned(),
            delay_source: mos.delay_source_name().to_owned(),
            r_clean_max: cost(|b| b.clean_max),
            r_cost_codec: cost(|b| b.codec),
            r_cost_loss: cost(|b| b.loss),
            r_cost_late: cost(|b| b.late),
            r_cost_delay: cost(|b| b.delay),
            loss_evidence: interval.quality.loss_evidence.map_or("", LossEvidence::name).to_owned(),
            timestamp_source: interval.quality.timestamp_source.name().to_owned(),
            timestamp_resolution_ns: Some(interval.quality.timestamp_resolution_ns),
            started_mid_call: Some(interval.quality.started_mid_call),
            ipdv_samples: count(n.variation.ipdv_samples),
            mapdv2_above_ms: nanos(n.variation.above_mean_ns()),
            mapdv2_above_samples: count(n.variation.above_samples),
            mapdv2_below_ms: nanos(n.variation.below_mean_ns()),
            mapdv2_below_samples: count(n.variation.below_samples),
            lost_late_buffer_ms: late.map(|_| interval.late_buffer_ms),
            lost_late_bursts: late.map(|b| narrow(b.bursts)),
            lost_late_burst_packets: late.map(|b| narrow(b.burst_packets)),
            lost_late_burst_bad: late.map(|b| narrow(b.burst_bad)),
            lost_late_gap_packets: late.map(|b| narrow(b.gap_packets)),
            lost_late_gap_bad: late.map(|b| narrow(b.gap_bad)),
            lost_late_gap_periods: late.map(|b| narrow(b.gap_periods)),
            lost_late_burst_ratio: late.map(|b| b.burst_ratio() as f32),
            reorder_extent: Some(n.reorder_extent),
            drift_ppm: finite(interval.drift_ppm),
            mos_beyond_model: mos.lq.map(|_| mos.beyond_model),
            adaptive_buffer_ms: n.adaptive_size().map(millis),
            base_rise_ms: delay_known(n.base_rise),
            base_fall_ms: delay_known(n.base_fall),
            base_steps: (n.pdv.total() > 0).then_some(n.base_steps),
            trunk_direction: trunk.direction_name().to_owned(),
            capture_lost: Some(interval.quality.loss.capture),
            network_lost: Some(interval.quality.loss.network),
            undecided_lost: Some(interval.quality.loss.undecided),
            lost_by_evidence: by_evidence(&interval.quality.loss),
            timestamp_fault: timestamp_fault(interval.quality.timestamps),
            timestamp_error_ms: timestamp_error(interval.quality.timestamps),
            sampled_one_of: interval.quality.sampled_one_of,
            emergency: false,
        }
    }
}

/// Counts above 0 by name.
pub(super) fn by_evidence(loss: &LossAttribution) -> Vec<(String, u64)> {
    loss.evidence().map(|(evidence, count)| (evidence.name().to_owned(), count)).collect()
}

/// Name of the fault; empty where it is not known.
pub(super) fn timestamp_fault(check: Option<TimestampCheck>) -> String {
    check.map_or("", |check| check.fault.name()).to_owned()
}

/// Milliseconds.
pub(super) fn timestamp_error(check: Option<TimestampCheck>) -> Option<f32> {
    finite(check.map(|check| check.error.as_millis_f64() as f32))
}

/// Jitter in milliseconds, `None` before the second packet.
fn jitter(numbers: &StreamStats, ns: f64) -> Option<f32> {
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

/// Nanoseconds in milliseconds.
fn nanos(ns: Option<f64>) -> Option<f32> {
    finite(ns.map(|ns| (ns / 1e6) as f32))
}
