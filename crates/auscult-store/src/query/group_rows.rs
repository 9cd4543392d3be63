//! Rows of sums as they were written, for rules that are evaluated over history.

use super::statement::{Statement, Value};
use super::{QueryError, Session};
use crate::rows::{CallGroupRow, MediaGroupRow};
use auscult_core::units::Timestamp;
use clickhouse::Row;
use serde::Deserialize;

/// Rows of one span, with the time each became visible (milliseconds since 1970, 0: unknown).
#[derive(Debug, Default)]
pub struct GroupRows {
    pub media: Vec<(MediaGroupRow, i64)>,
    pub calls: Vec<(CallGroupRow, i64)>,
    pub capture: Vec<CaptureSeen>,
}

/// Frames of one probe and interface during one interval.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct CaptureSeen {
    pub probe: String,
    pub site: String,
    pub start_s: i64,
    pub length_ms: u32,
    pub frames: u64,
    pub missed: u64,
    pub shed: u64,
    pub arrived_ms: i64,
}

#[derive(Row, Deserialize)]
struct Arrived {
    arrived_ms: i64,
}

/// Bounds of a span in whole seconds, which rows begin in; `probe` narrows to one.
macro_rules! span {
    ($table:literal) => {
        concat!(
            " FROM ",
            $table,
            " WHERE start_at >= toDateTime({from_s:Int64}, 'UTC') AND start_at < toDateTime({to_s:Int64}, 'UTC') \
             AND ({probe:String} = '' OR probe = {probe:String}) ORDER BY start_at, row_id"
        )
    };
}

const MEDIA: &str = concat!(
    "SELECT stored_at, probe, site, trunk, trunk_direction, codec, mos_scale, start_at, length_ms, streams, streams_begun, \
     present_before, present_before_codec, present_before_scale, present_before_codec_scale, packets, unique_packets, expected, \
     lost_network, lost_capture, lost_suspected_capture, reordered, duplicates_probe, duplicates_network, payload_bytes, late, \
     loss_runs, longest_loss_run, pdv, pdv_max_ms, jitter, jitter_max_ms, mos, mos_under_3_6, mos_under_3_1, \
     concealed_seconds, severely_concealed_seconds, r_rated, r_clean_max_milli, r_cost_codec_milli, r_cost_loss_milli, \
     r_cost_late_milli, r_cost_delay_milli, one_sided, capture_drops, row_id",
    span!("media_groups")
);

const CALLS: &str = concat!(
    "SELECT stored_at, probe, site, trunk, trunk_direction, start_at, length_ms, attempts, answers, final_codes, cancelled, \
     setup_timeouts, pdd, setup, srd_failed, ended, classes, diagnoses, completed, short, duration, sdd, up_ms, up_max, row_id",
    span!("call_groups")
);

/// Hours as rows of an hour. Sums of several parts of an hour add up.
const CALL_HOURS: &str = "SELECT toDateTime(0, 'UTC') AS stored_at, probe, site, trunk, trunk_direction, start_at, \
     toUInt32(3600000) AS length_ms, sum(attempts) AS attempts, sum(answers) AS answers, sumMap(final_codes) AS final_codes, \
     sum(cancelled) AS cancelled, sum(setup_timeouts) AS setup_timeouts, sumMap(pdd) AS pdd, sumMap(setup) AS setup, \
     sumMap(srd_failed) AS srd_failed, sum(ended) AS ended, sumMap(classes) AS classes, sumMap(diagnoses) AS diagnoses, \
     sum(completed) AS completed, sum(short) AS short, sumMap(duration) AS duration, sumMap(sdd) AS sdd, sum(up_ms) AS up_ms, \
     max(up_max) AS up_max, toUInt64(0) AS row_id FROM call_groups_1h AS h \
     WHERE start_at >= toDateTime({from_s:Int64}, 'UTC') AND start_at < toDateTime({to_s:Int64}, 'UTC') \
     AND ({probe:String} = '' OR probe = {probe:String}) \
     GROUP BY probe, site, trunk, trunk_direction, start_at ORDER BY start_at";

const CAPTURE: &str = concat!(
    "SELECT probe, site, toInt64(toUnixTimestamp(start_at)) AS start_s, length_ms, frames, \
     dropped_ring + dropped_interface + dropped_queue \
     + toUInt64(frames * greatest(ifNull(toFloat64(sampled_one_of), 1) - 1, 0) \
     + frames * least(ifNull(blackout_ms, 0), length_ms) / greatest(toInt64(length_ms) - least(ifNull(blackout_ms, 0), length_ms), 1)) AS missed, \
     ifNull(streams_shed, 0) + ifNull(streams_refused, 0) + ifNull(calls_shed, 0) + ifNull(calls_refused, 0) AS shed, \
     toUnixTimestamp64Milli(arrived_at) AS arrived_ms",
    span!("capture_intervals")
);

const ARRIVED: [&str; 2] = [
    concat!("SELECT toUnixTimestamp64Milli(arrived_at) AS arrived_ms", span!("media_groups")),
    concat!("SELECT toUnixTimestamp64Milli(arrived_at) AS arrived_ms", span!("call_groups")),
];

fn within(sql: &'static str, from: Timestamp, to: Timestamp, probe: &str) -> Statement {
    let second = |at: Timestamp| Value::Int(at.0.div_euclid(1_000_000_000).clamp(0, i64::from(u32::MAX)));
    Statement::new(sql)
        .value("from_s", second(from))
        .value("to_s", second(to))
        .value("probe", Value::Text(probe.to_owned()))
}

impl Session {
    /// Rows of sums and of the capture that begin in `[from, to)`; of all probes where `probe` is empty.
    ///
    /// # Errors
    /// When rows came in between the statements, or the store does not answer.
    pub async fn group_rows(&self, from: Timestamp, to: Timestamp, probe: &str) -> Result<GroupRows, QueryError> {
        let client = self.sums();
        let media: Vec<MediaGroupRow> = within(MEDIA, from, to, probe).fetch_all(&client).await?;
        let calls: Vec<CallGroupRow> = within(CALLS, from, to, probe).fetch_all(&client).await?;
        let media_at: Vec<Arrived> = within(ARRIVED[0], from, to, probe).fetch_all(&client).await?;
        let calls_at: Vec<Arrived> = within(ARRIVED[1], from, to, probe).fetch_all(&client).await?;
        let capture = within(CAPTURE, from, to, probe).fetch_all(&client).await?;
        if media.len() != media_at.len() || calls.len() != calls_at.len() {
            return Err(QueryError::BadRequest("rows came in while they were read: ask again".to_owned()));
        }
        let with = |at: Vec<Arrived>| at.into_iter().map(|at| at.arrived_ms);
        Ok(GroupRows {
            media: media.into_iter().zip(with(media_at)).collect(),
            calls: calls.into_iter().zip(with(calls_at)).collect(),
            capture,
        })
    }

    /// Calls by whole hours that begin in `[from, to)`.
    pub async fn call_hours(
        &self,
        from: Timestamp,
        to: Timestamp,
        probe: &str,
    ) -> Result<Vec<CallGroupRow>, QueryError> {
        within(CALL_HOURS, from, to, probe).fetch_all(&self.sums()).await
    }
}
