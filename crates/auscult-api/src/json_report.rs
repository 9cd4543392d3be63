//! The JSON of calls and streams made from the engine's own records, as `auscult analyze` writes it: the types are those of the
//! API, the numbers are rounded from 64 bits.

use super::json::{CallJson, DiagnosisJson, PartyJson, loss_runs};
use super::json_figures::{
    BudgetJson, BurstsJson, IpdvJson, LostOrLateJson, Mapdv2PartsJson, RatedJson, RemoteJson, RoundTripsJson,
    SipRttJson, density_pct, late_pct, share_pct,
};
use super::json_stream::{
    BaseMovementJson, DelayVariationJson, JitterJson, LossAttributionJson, MosJson, QualityJson, RelationJson,
    StreamJson,
};
use auscult_core::model::burst::BurstSummary;
use auscult_core::model::{
    CallRecord, LossEvidence, Party, Quality, RPoints, RatedMos, Relation, RemoteView, RoundTrips, StreamReport,
    StreamStats, endpoint_text,
};
use auscult_core::units::{Nanos, Timestamp};
use auscult_store::query::badness;
use std::sync::Arc;

impl CallJson {
    /// `measured_at` is where the frames were captured.
    pub fn of_record(c: &CallRecord, measured_at: &Arc<str>) -> CallJson {
        let time = |at: Option<Timestamp>| at.map(Timestamp::to_rfc3339);
        CallJson {
            id: c.uid.to_string(),
            call_id: c.call_id.to_string(),
            from: c.caller.uri.clone(),
            to: c.callee.uri.clone(),
            caller: PartyJson::of_party(&c.caller),
            callee: PartyJson::of_party(&c.callee),
            state: c.state.name().to_owned(),
            final_code: (c.final_code > 0).then_some(c.final_code),
            final_reason: Some(c.final_reason.clone()),
            transport: c.transport.name().to_owned(),
            signalling_src: c.signalling_src.map(endpoint_text),
            signalling_dst: c.signalling_dst.map(endpoint_text),
            first_at: c.first_at.to_rfc3339(),
            last_at: c.last_at.to_rfc3339(),
            invite_at: time(c.invite_at),
            ringing_at: time(c.ringing_at),
            answered_at: time(c.answered_at),
            ended_at: time(c.ended_at),
            pdd_ms: c.pdd().map(ms),
            setup_ms: c.setup().map(ms),
            duration_ms: c.duration().map(ms),
            sdd_ms: c.sdd().map(ms),
            released_by: c.released_by.map(|by| by.name().to_owned()),
            release_reason: text(&c.release_reason),
            reinvites: c.reinvites,
            auth_rounds: c.auth_rounds,
            retry_of: c.retry_of.map(|uid| uid.to_string()),
            retransmissions: c.retransmissions,
            sip_rtt_ms: SipRttJson {
                toward_caller: c.sip_rtt_toward_caller.map(RoundTripsJson::of_trips),
                toward_callee: c.sip_rtt_toward_callee.map(RoundTripsJson::of_trips),
            },
            messages: c.messages,
            branches: c.branches,
            acked: c.acked,
            started_mid_call: c.started_mid_call,
            shed: Some(c.evicted),
            directions_seen: c.directions_seen,
            stream_ids: c.streams.iter().map(ToString::to_string).collect(),
            codecs: None,
            mos_worst: three(c.mos_worst),
            mos_scale: c.mos_worst_scale.map(|scale| scale.name().to_owned()),
            mos_worst_interval: c.mos_worst_interval.map(RatedJson::of_rated),
            mos_worst_minute: c.mos_worst_minute.map(RatedJson::of_rated),
            mos_worst_minute_at: time(c.mos_worst_minute_at),
            class: c.class().name().to_owned(),
            pdv_p95_worst_ms: c.pdv_p95_worst.map(ms),
            loss_pct_worst: c.loss_pct_worst.map(|pct| round(f64::from(pct), 4)),
            loss_source: Some(c.quality.loss_source.name().to_owned()),
            quality: Some(QualityJson::of_quality(&c.quality, measured_at)),
            diagnosis: c.diagnoses.first().map(|d| d.code.name().to_owned()),
            diagnoses: c
                .diagnoses
                .iter()
                .map(|d| DiagnosisJson {
                    code: d.code.name().to_owned(),
                    confidence: d.confidence,
                    evidence: d.evidence.clone(),
                })
                .collect(),
            badness: badness(c),
            probe: None,
            site: None,
            trunk: None,
        }
    }
}

impl PartyJson {
    fn of_party(p: &Party) -> PartyJson {
        PartyJson {
            uri: p.uri.clone(),
            user: p.user.clone(),
            name: p.display_name.clone(),
            agent: p.user_agent.clone(),
        }
    }
}

impl RatedJson {
    fn of_rated(rated: RatedMos) -> RatedJson {
        RatedJson { lq: round(f64::from(rated.lq), 3), scale: Some(rated.scale.name().to_owned()) }
    }
}

impl RoundTripsJson {
    fn of_trips(trips: RoundTrips) -> RoundTripsJson {
        RoundTripsJson { samples: trips.samples, min: ms(trips.min), max: ms(trips.max) }
    }
}

impl StreamJson {
    /// `measured_at` is where the frames were captured.
    pub fn of_report(s: &StreamReport, measured_at: &Arc<str>) -> StreamJson {
        let n = &s.numbers;
        let delays_known = n.pdv.total();
        let jitter = |ns: f64| (n.jitter.samples > 0).then(|| millis(ns));
        StreamJson {
            id: s.id.to_string(),
            call_id: s.call_uid.map(|_| s.call_id.to_string()),
            call: s.call_uid.map(|uid| uid.to_string()),
            src: endpoint_text(s.src),
            dst: endpoint_text(s.dst),
            ssrc: s.ssrc.to_string(),
            codec: text(&s.codec),
            clock_rate: s.clock_rate,
            clock_source: s.clock_source.map(|source| source.name().to_owned()),
            clock_rate_signalled: s.clock_rate_signalled,
            payload_types: s.payload_types.iter().map(|(pt, _)| pt.0).collect(),
            packets_by_payload_type: s.payload_types.iter().map(|(pt, packets)| (pt.0, *packets)).collect(),
            ptime_ms: s.ptime.map(ms),
            first_at: s.first_at.to_rfc3339(),
            last_at: s.last_at.to_rfc3339(),
            packets: n.packets,
            unique: n.unique,
            expected: n.expected,
            lost: n.lost(),
            loss_pct: n.loss_pct().map(|pct| round(pct, 4)),
            duplicates: n.duplicates(),
            duplicates_probe: n.duplicates_probe,
            duplicates_network: n.duplicates_network,
            reordered: n.reordered,
            reorder_extent: n.reorder_extent,
            restarts: n.restarts,
            strays: n.strays,
            sent_elsewhere: s.redirected,
            relation: Some(s.relation.map(RelationJson::of_relation)),
            loss_runs: loss_runs(n.loss_runs.counts),
            longest_loss_run: n.loss_runs.longest,
            bursts: Some(BurstsJson::of_summary(&n.burst.summary(), s.ptime)),
            bursts_lost_or_late: n
                .lost_or_late()
                .map(|bursts| LostOrLateJson::new(s.late_buffer_ms, BurstsJson::of_summary(&bursts, s.ptime))),
            concealed_seconds: Some(n.concealed_seconds),
            severely_concealed_seconds: Some(n.severely_concealed_seconds),
            jitter_ms: JitterJson {
                last: jitter(n.jitter.last_ns),
                mean: n.jitter.mean_ns().and_then(jitter),
                max: jitter(n.jitter.max_ns),
            },
            delay_variation_ms: DelayVariationJson::of_numbers(n),
            ipdv_ms: IpdvJson {
                mean: n.variation.ipdv_mean_ns().map(millis),
                max: n.variation.ipdv_mean_ns().map(|_| millis(n.variation.ipdv_max_ns)),
                samples: Some(n.variation.ipdv_samples),
            },
            mapdv2_ms: n.variation.mapdv2_ns().map(millis),
            mapdv2_parts: Mapdv2PartsJson {
                above_ms: n.variation.above_mean_ns().map(millis),
                above_samples: Some(n.variation.above_samples),
                below_ms: n.variation.below_mean_ns().map(millis),
                below_samples: Some(n.variation.below_samples),
            },
            late_pct: late_pct(&n.late, delays_known).map(|share| share.map(|pct| round(pct, 4))),
            discarded_adaptive_pct: share_pct(n.discarded_adaptive, delays_known).map(|pct| round(pct, 4)),
            adaptive_buffer_ms: n.adaptive_size().map(ms),
            base_movement: (delays_known > 0).then(|| BaseMovementJson {
                rise_ms: ms(n.base_rise),
                fall_ms: ms(n.base_fall),
                steps: n.base_steps,
            }),
            max_gap_ms: Some(ms(n.max_gap)),
            max_delta_ms: Some(ms(n.max_delta)),
            max_skew_ms: Some(millis(n.variation.skew_max_ns)),
            drift_ppm: three(s.drift_ppm),
            telephone_events: n.telephone_events,
            comfort_noise: n.comfort_noise,
            digits: Some(n.digits),
            talkspurts: Some(n.talkspurts),
            silence_ms: Some(ms(n.silence)),
            dscp: s.dscp,
            dscp_changes: s.dscp_changes,
            ttl: [s.ttl_min, s.ttl_max],
            vlan: (s.vlan > 0).then_some(s.vlan),
            tunnel: s.tunnel.map(|tunnel| tunnel.name().to_owned()),
            rtt_ms: s.rtt.map(ms),
            remote: s.remote.as_ref().map(RemoteJson::of_view),
            r: three(s.mos.r),
            r_budget: s.mos.budget.map(BudgetJson::of_points),
            mos: MosJson::of_report(s),
            quality: QualityJson::of_quality(&s.quality, measured_at),
            probe: None,
            site: None,
            trunk: None,
        }
    }
}

impl RelationJson {
    fn of_relation(r: Relation) -> RelationJson {
        RelationJson { kind: r.kind.name(), stream: r.other.to_string(), lost_at_move: r.lost_at_move }
    }
}

impl BurstsJson {
    fn of_summary(b: &BurstSummary, ptime: Option<Nanos>) -> BurstsJson {
        let six = |v: f64| round(v, 6);
        let markov = b.markov();
        let density = |bad, packets| density_pct(Some(bad), Some(packets)).map(|pct| round(pct, 4));
        BurstsJson {
            count: b.bursts,
            density_pct: density(b.burst_bad, b.burst_packets),
            gap_density_pct: density(b.gap_bad, b.gap_packets),
            duration_ms: ptime.map(|p| ms(b.burst_duration(p))),
            gap_duration_ms: ptime.map(|p| ms(b.gap_duration_mean_of_periods(p))),
            gap_duration_a2_ms: ptime.map(|p| ms(b.gap_duration_a2_style(p))),
            burst_ratio: Some(six(b.burst_ratio())),
            markov_p: markov.p.map(six),
            markov_q: markov.q.map(six),
            mean_loss_run: b.mean_run().map(six),
            mean_loss_distance: b.mean_distance().map(six),
        }
    }
}

impl DelayVariationJson {
    fn of_numbers(n: &StreamStats) -> DelayVariationJson {
        let (pdv, max) = (&n.pdv, n.pdv_max);
        // A bucket is read back as its middle, which may lie above the largest value seen.
        let at = |q: f64| pdv.quantile(q).map(|delay| round(delay.min(max.max(Nanos::ZERO)).as_millis_f64(), 4));
        DelayVariationJson {
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: (pdv.total() > 0).then(|| ms(max)),
        }
    }
}

impl MosJson {
    fn of_report(s: &StreamReport) -> MosJson {
        let m = &s.mos;
        MosJson {
            lq: three(m.lq),
            cq: three(m.cq),
            scale: text(m.scale_name()),
            worst_interval: three(s.mos_worst_interval),
            worst_minute: three(s.mos_worst_minute),
            worst_minute_at: s.mos_worst_minute_at.map(Timestamp::to_rfc3339),
            bounds: m.bounds.map(|(low, high)| [low, high].map(|v| round(f64::from(v), 3))),
            model: text(m.model_name()),
            reason_null: text(m.null_reason_name()),
            ie: three(m.ie),
            bpl: three(m.bpl),
            burst_ratio: three(m.burst_ratio),
            effective_loss_pct: three(m.effective_loss_pct),
            codec_status: text(m.codec_status_name()),
            delay_source: text(m.delay_source_name()),
            delay_ms: three(m.delay_ms),
            jitter_buffer: Some(m.jitter_buffer_name()).filter(|name| !name.is_empty()),
            jitter_buffer_ms: m.jitter_buffer_ms,
            beyond_model: m.lq.map(|_| m.beyond_model),
        }
    }
}

impl RemoteJson {
    fn of_view(r: &RemoteView) -> RemoteJson {
        RemoteJson {
            reports: r.reports,
            expected: Some(r.expected),
            lost: Some(r.lost),
            loss_pct: Some(round(f64::from(r.loss_pct), 4)),
            jitter_last_ms: r.jitter_last.map(ms),
            jitter_max_ms: r.jitter_max.map(ms),
            lost_before_probe: Some(r.lost_before_probe),
            lost_behind_probe: Some(r.lost_behind_probe),
            loss_side: Some(r.side.name().to_owned()),
        }
    }
}

impl BudgetJson {
    fn of_points(b: RPoints) -> BudgetJson {
        let [clean_max, codec, loss, late, delay] =
            [b.clean_max, b.codec, b.loss, b.late, b.delay].map(|points| round(f64::from(points), 3));
        BudgetJson { clean_max, codec, loss, late, delay }
    }
}

impl QualityJson {
    fn of_quality(q: &Quality, measured_at: &Arc<str>) -> QualityJson {
        QualityJson {
            capture_drops: q.capture_drops,
            duplicates_removed: q.duplicates_removed,
            one_sided: q.one_sided,
            snap_cut: q.snap_cut,
            started_mid_call: q.started_mid_call,
            shed: q.evicted,
            clock_steps: q.clock_steps,
            timestamp_source: Some(q.timestamp_source.name().to_owned()),
            timestamp_resolution_ns: q.timestamp_resolution_ns,
            timestamp_fault: q.timestamps.map(|check| check.fault.name().to_owned()),
            timestamp_error_ms: q.timestamps.map(|check| ms(check.error)),
            sampled_one_of: q.sampled_one_of.map(super::json_figures::real),
            loss_source: Some(q.loss_source.name().to_owned()),
            loss_evidence: q.loss_evidence.map(LossEvidence::name).map(str::to_owned),
            loss_attribution: Some(LossAttributionJson {
                capture: q.loss.capture,
                network: q.loss.network,
                undecided: q.loss.undecided,
                evidence: q.loss.evidence().map(|(evidence, count)| (evidence.name().to_owned(), count)).collect(),
            }),
            measured_at: Some(measured_at.clone()),
        }
    }
}

/// Milliseconds to the nanosecond.
fn ms(span: Nanos) -> f64 {
    round(span.as_millis_f64(), 6)
}

/// Milliseconds of so many nanoseconds.
fn millis(ns: f64) -> f64 {
    round(ns / 1e6, 4)
}

fn three(value: Option<f32>) -> Option<f64> {
    value.map(|value| round(f64::from(value), 3))
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// Empty text means unknown.
fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
