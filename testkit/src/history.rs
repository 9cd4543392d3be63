//! A NOC's history as SQL: rows of streams, calls and intervals with their sums, made inside the engine by `INSERT ... SELECT`.
//!
//! Streams last two minutes (12 intervals of 10 s), one after the other in so many slots; two slots are one call. Two of three
//! attempts are not answered. Everything follows from the seed and the number of a row.

/// How much. Intervals and their sums are there of the last 29 days, calls and streams of all.
#[derive(Clone, Copy, Debug)]
pub struct History {
    pub seed: u64,
    /// First second, a multiple of 86,400.
    pub from_s: i64,
    pub days: u32,
    /// Streams at a time, even.
    pub streams: u32,
}

/// Intervals of 10 s of a day, and of a stream.
const OF_DAY: u64 = 8_640;
const OF_STREAM: u64 = 12;
/// Days whose intervals are there: the store keeps them 30 days, calls and streams 90.
const INTERVAL_DAYS: u32 = 29;
/// Most rows of one insert.
const CHUNK: u64 = 120_000;
/// Most streams of the intervals that one insert of sums adds up.
const SUMS: u64 = 20_000;
/// How the engine is to cut a large insert, so that it takes little memory.
const SETTINGS: &str =
    "SETTINGS max_block_size = 8192, min_insert_block_size_rows = 12000, max_threads = 1, max_insert_threads = 1";

/// Codec, its MOS scale and the names of trunks by a number of 64 bits.
const CODEC: &str = "['PCMU', 'PCMA', 'G729', 'G722', 'opus', 'AMR', 'AMR-WB', 'iLBC'][s % 8 + 1]";
const SCALE: &str = "['nb', 'nb', 'nb', 'wb', 'fb', 'nb', 'wb', 'nb'][s % 8 + 1]";
const TRUNK: &str = "concat('trunk-', leftPad(toString(intDiv(s, 8) % 20), 2, '0'))";
/// A trunk ends at one site, where one probe sees it.
const SITE: &str = "['north', 'south', 'west'][intDiv(s, 8) % 20 % 3 + 1]";
const PROBE: &str = "concat('probe-', ['north', 'south', 'west'][intDiv(s, 8) % 20 % 3 + 1])";
/// Nine of ten intervals have the best MOS of their codec.
const MOS: &str =
    "round(toFloat32([4.41, 4.41, 4.1, 4.48, 4.5, 4.15, 4.39, 4.14][s % 8 + 1] - if(h % 10 = 0, h % 140, 0) / 100), 2)";
const DIRECTION: &str = "['from', 'toward'][intDiv(s, 480) % 2 + 1]";

impl History {
    pub fn intervals(&self) -> u64 {
        u64::from(self.days.min(INTERVAL_DAYS)) * OF_DAY * u64::from(self.streams)
    }

    pub fn until_s(&self) -> i64 {
        self.from_s + i64::from(self.days) * 86_400
    }

    /// The statements that fill a store, in order.
    pub fn statements(&self) -> Vec<String> {
        self.jobs().concat()
    }

    /// The same in pieces that do not depend on each other.
    pub fn jobs(&self) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        let slots = u64::from(self.streams);
        let steps = (CHUNK / slots).clamp(1, 360);
        let last = u64::from(self.days) * OF_DAY;
        let begin = u64::from(self.days.saturating_sub(INTERVAL_DAYS)) * OF_DAY;
        for first in (begin..last).step_by(steps as usize) {
            let rows = steps.min(last - first) * slots;
            let mut job = vec![self.interval_rows(first, rows)];
            // At most as many sums as there are streams.
            let summed = (SUMS / slots).max(1);
            for from in (first..(first + steps).min(last)).step_by(summed as usize) {
                job.push(sums_of_intervals(self.at(from), self.at((from + summed).min(first + steps))));
            }
            all.push(job);
        }
        let epochs = last / OF_STREAM;
        let steps = (CHUNK / slots).clamp(1, 30);
        for first in (0..epochs).step_by(steps as usize) {
            let count = steps.min(epochs - first);
            all.push(vec![
                self.stream_rows(first, count * slots),
                self.call_rows(first, count * slots / 2 * 3),
                sums_of_calls(self.at(first * OF_STREAM), self.at((first + count) * OF_STREAM)),
            ]);
        }
        all
    }

    /// Identity of a call from the middle of the days that have intervals.
    pub fn call_of_middle(&self) -> String {
        let days = u64::from(2 * self.days - self.days.min(INTERVAL_DAYS));
        format!("cityHash64({}, 'call', 0, {})", self.seed, days * OF_DAY / OF_STREAM / 2)
    }

    fn at(&self, interval: u64) -> i64 {
        self.from_s + 10 * interval as i64
    }

    fn interval_rows(&self, first: u64, rows: u64) -> String {
        let History { seed, from_s, streams, .. } = self;
        format!(
            "INSERT INTO stream_intervals (stored_at, probe, site, trunk, trunk_direction, codec, start_at, length_ms, stream_id, \
             call_uid, src_ip, src_port, dst_ip, dst_port, ssrc, packets, unique_packets, expected, lost, reordered, loss_runs, \
             longest_loss_run, jitter_last_ms, jitter_mean_ms, jitter_max_ms, pdv, histogram_version, pdv_max_ms, late, mos_lq, \
             mos_scale, one_sided, loss_source, concealed_seconds, row_id) \
             WITH {first} + intDiv(number, {streams}) AS step, number % {streams} AS slot, intDiv(step, {OF_STREAM}) AS epoch, \
             cityHash64({seed}, slot, epoch) AS s, cityHash64(s, step) AS h, if(h % 50 = 0, 1 + intDiv(h, 64) % 9, 0) AS gone \
             SELECT toDateTime({from_s} + 10 * step + 11, 'UTC'), {PROBE}, {SITE}, {TRUNK}, {DIRECTION}, {CODEC}, \
             toDateTime({from_s} + 10 * step, 'UTC'), 10000, s, cityHash64({seed}, 'call', intDiv(slot, 2), epoch), \
             toIPv6(concat('10.', toString(s % 250), '.', toString(intDiv(s, 250) % 250), '.1')), 20000, \
             toIPv6(concat('192.0.2.', toString(slot % 250))), 30000, toUInt32(s), 500 - gone, 500 - gone, 500, gone, h % 3, \
             arrayResize([toUInt32(gone > 0)], 14), gone, jitter, jitter, jitter * 3, \
             arrayConcat(arrayWithConstant(toUInt64(12 + intDiv(s, 8) % 20 + h % 6), toUInt32(0)), \
             arrayMap(at -> toUInt32(bitAnd(bitShiftRight(h, at * 7), 127) + 1), range(8))), 1, jitter * 9, \
             [toUInt32(h % 40), toUInt32(h % 9), 0, 0, 0, 0, 0], {MOS}, {SCALE}, h % 97 = 0, \
             if(gone > 0, 'network', 'none'), toUInt32(gone > 0), h \
             FROM (SELECT number, (0.3 + (cityHash64(number, {first}) % 4000) / 400)::Float32 AS jitter FROM numbers({rows})) {SETTINGS}"
        )
    }

    fn stream_rows(&self, first: u64, rows: u64) -> String {
        let History { seed, from_s, streams, .. } = self;
        format!(
            "INSERT INTO streams (stored_at, probe, site, trunk, stream_id, call_uid, src_ip, src_port, dst_ip, dst_port, ssrc, codec, \
             first_at, last_at, packets, unique_packets, expected, lost, mos_lq, mos_scale, mos_worst_minute, pdv_p95_ms, \
             histogram_version, loss_source, row_id) \
             WITH {first} + intDiv(number, {streams}) AS epoch, number % {streams} AS slot, cityHash64({seed}, slot, epoch) AS s, \
             {from_s} + 120 * epoch AS begin_s \
             SELECT toDateTime(begin_s + 125, 'UTC'), {PROBE}, {SITE}, {TRUNK}, s, cityHash64({seed}, 'call', intDiv(slot, 2), epoch), \
             toIPv6(concat('10.', toString(s % 250), '.', toString(intDiv(s, 250) % 250), '.1')), 20000, \
             toIPv6(concat('192.0.2.', toString(slot % 250))), 30000, toUInt32(s), {CODEC}, fromUnixTimestamp64Nano(begin_s * 1000000000), \
             fromUnixTimestamp64Nano((begin_s + 120) * 1000000000), 6000, 6000, 6000, s % 20, \
             round(toFloat32(4.4 - (s % 180) / 100), 2), {SCALE}, round(toFloat32(4.3 - (s % 200) / 100), 2), toFloat32(s % 90), 1, 'network', s \
             FROM numbers({rows}) {SETTINGS}"
        )
    }

    /// Of three attempts the first is answered and has the streams of a pair of slots.
    fn call_rows(&self, first: u64, rows: u64) -> String {
        let History { seed, from_s, streams, .. } = self;
        let pairs = streams / 2;
        format!(
            "INSERT INTO calls (stored_at, probe, site, trunk, trunk_direction, call_uid, call_id, caller_uri, caller_user, callee_uri, \
             callee_user, state, final_code, transport, signalling_src_ip, signalling_dst_ip, first_at, last_at, invite_at, answered_at, \
             ended_at, pdd_ms, setup_ms, duration_ms, released_by, streams, mos_worst, mos_scale, loss_pct_worst, pdv_p95_worst_ms, \
             loss_source, diagnosis, diagnoses, class, row_id) \
             WITH intDiv(number, 3) AS n, number % 3 = 0 AS answered, {first} + intDiv(n, {pairs}) AS epoch, n % {pairs} AS pair, \
             cityHash64({seed}, 'call', pair, epoch) AS uid, if(answered, uid, cityHash64(uid, number)) AS s, \
             ({from_s} + 120 * epoch) * 1000000000 + s % 4000000000 AS begin, \
             if(answered, 200, [486, 480, 404, 503, 487, 603][s % 6 + 1]) AS code, \
             begin + 2000000000 + s % 9000000000 AS final, toFloat32(4.4 - (s % 320) / 100) AS mos \
             SELECT toDateTime({from_s} + 120 * (epoch + 1) + 5, 'UTC'), {PROBE}, {SITE}, {TRUNK}, {DIRECTION}, s, \
             concat(hex(s), '@198.51.100.7'), concat('+4930', leftPad(toString(s % 10000000), 7, '0'), '@198.51.100.7'), \
             concat('+4930', leftPad(toString(s % 10000000), 7, '0')), \
             concat('0044', leftPad(toString(intDiv(s, 7) % 1000000000), 9, '0'), '@203.0.113.9'), \
             concat('0044', leftPad(toString(intDiv(s, 7) % 1000000000), 9, '0')), \
             multiIf(answered, 'completed', code = 487, 'cancelled', 'failed'), code, 'udp', toIPv6('198.51.100.7'), toIPv6('203.0.113.9'), \
             fromUnixTimestamp64Nano(begin), fromUnixTimestamp64Nano(if(answered, begin + 118000000000, final)), \
             fromUnixTimestamp64Nano(begin), if(answered, fromUnixTimestamp64Nano(final), NULL), \
             fromUnixTimestamp64Nano(if(answered, begin + 118000000000, final)), 300 + s % 5000, \
             if(answered, (final - begin) / 1e6, NULL), if(answered, (118000000000 - (final - begin)) / 1e6, NULL), \
             if(answered, 'caller', ''), if(answered, [cityHash64({seed}, 2 * pair, epoch), cityHash64({seed}, 2 * pair + 1, epoch)], []), \
             if(answered, round(mos, 2), NULL), if(answered, {SCALE}, ''), if(answered, toFloat32(s % 700) / 100, NULL), \
             if(answered, toFloat32(s % 90), NULL), 'network', \
             multiIf(answered AND mos < 3.1, 'random_loss', code = 503, 'setup_failed', ''), \
             if(answered AND mos < 3.1, [('random_loss', toFloat32(0.8), 'lost')], if(code = 503, [('setup_failed', toFloat32(0.9), '503')], [])), \
             multiIf(NOT answered, if(code = 503, 'failed', 'not_answered'), mos >= 4.024, 'good', mos >= 3.1, 'fair', 'poor'), s \
             FROM numbers({rows}) {SETTINGS}"
        )
    }
}

/// `media_groups` of the intervals that start in `[from, to)`. A stream is new in its first interval and was there in the one
/// before in every other.
fn sums_of_intervals(from: i64, to: i64) -> String {
    let present = "mapFilter((at, n) -> n > 0, map(toUInt32(0), begun, toUInt32(toUnixTimestamp(start_at) - 10), streams - begun))";
    // A stream keeps codec and scale.
    format!(
        "INSERT INTO media_groups (stored_at, probe, site, trunk, trunk_direction, codec, mos_scale, start_at, length_ms, streams, \
         streams_begun, present_before, present_before_codec, present_before_scale, present_before_codec_scale, packets, \
         unique_packets, expected, lost_network, lost_capture, lost_suspected_capture, reordered, late, loss_runs, longest_loss_run, \
         pdv, pdv_max_ms, jitter, jitter_max_ms, mos, mos_under_3_6, mos_under_3_1, concealed_seconds, r_rated, r_clean_max_milli, \
         r_cost_codec_milli, r_cost_loss_milli, r_cost_late_milli, one_sided, capture_drops, row_id) \
         WITH intDiv(toUnixTimestamp(start_at), 10) % {OF_STREAM} = 0 AS is_first, assumeNotNull(jitter_mean_ms) AS jitter_ms \
         SELECT any(stored_at), probe, site, trunk, trunk_direction, codec, mos_scale, start_at, 10000, count() AS streams, \
         countIf(is_first) AS begun, {present}, {present}, {present}, {present}, sum(packets), sum(unique_packets), sum(expected), \
         sumIf(lost, loss_source = 'network'), sumIf(lost, loss_source = 'capture'), sumIf(lost, loss_source = 'suspected_capture'), \
         sum(reordered), sumForEach(late), sumForEach(loss_runs), max(longest_loss_run), sumForEach(pdv), max(pdv_max_ms), \
         sumForEach(arrayConcat(arrayWithConstant(toUInt64(if(jitter_ms < 0.065536, 0, 1 + floor(8 * log2(jitter_ms / 0.065536)))), \
         toUInt64(0)), [toUInt64(1)])), max(jitter_max_ms), sumMap(map(toUInt16(round(assumeNotNull(mos_lq) * 100)), toUInt64(1))), countIf(mos_lq < 3.6), countIf(mos_lq < 3.1), \
         sum(concealed_seconds), count(), 93200 * count(), 5000 * count(), toInt64(300 * sum(lost)), 700 * count(), countIf(one_sided), max(capture_drops), cityHash64(start_at, probe, site, trunk, trunk_direction, codec, mos_scale) \
         FROM stream_intervals WHERE start_at >= toDateTime({from}, 'UTC') AND start_at < toDateTime({to}, 'UTC') \
         GROUP BY probe, site, trunk, trunk_direction, codec, mos_scale, start_at {SETTINGS}"
    )
}

/// `call_groups` of the calls that begin in `[from, to)`.
fn sums_of_calls(from: i64, to: i64) -> String {
    let span = |ms: &str, when: &str| {
        format!(
            "sumMapIf(map(toUInt8(least(217, greatest(0, 1 + floor(8 * log2(greatest(ifNull({ms}, 0), 0.001) / 1.048576))))), toUInt64(1)), \
             {ms} IS NOT NULL AND {when})"
        )
    };
    let (pdd, setup, duration) =
        (span("pdd_ms", "NOT is_end"), span("setup_ms", "NOT is_end"), span("duration_ms", "is_end"));
    let failed = span(
        "(toUnixTimestamp64Nano(ended_at) - toUnixTimestamp64Nano(invite_at)) / 1e6",
        "NOT is_end AND state = 'failed'",
    );
    format!(
        "INSERT INTO call_groups (stored_at, probe, site, trunk, trunk_direction, start_at, length_ms, attempts, answers, final_codes, \
         cancelled, pdd, setup, srd_failed, ended, classes, diagnoses, completed, short, duration, up_ms, up_max, row_id) \
         SELECT max(stored_at), probe, site, trunk, trunk_direction, toDateTime(intDiv(toUnixTimestamp(at), 10) * 10, 'UTC') AS start_at, 10000, \
         countIf(NOT is_end), countIf(NOT is_end AND answered_at IS NOT NULL), \
         sumMapIf(map(final_code, toUInt64(1)), NOT is_end), countIf(NOT is_end AND state = 'cancelled'), {pdd}, {setup}, {failed}, \
         countIf(is_end), sumMapIf(map(toString(class), toUInt64(1)), is_end), \
         sumMapIf(map(toString(diagnosis), toUInt64(1)), is_end AND diagnosis != ''), \
         countIf(is_end AND state = 'completed'), countIf(is_end AND duration_ms < 20000), {duration}, \
         toInt64(sumIf(ifNull(duration_ms, 0), is_end)), toUInt32(count()), cityHash64(start_at, probe, site, trunk, trunk_direction, 'calls') \
         FROM (SELECT *, arrayJoin([0, 1]) AS is_end, if(is_end = 1, ended_at, ifNull(answered_at, ended_at)) AS at FROM calls \
         WHERE first_at >= toDateTime64({from}, 9, 'UTC') AND first_at < toDateTime64({to}, 9, 'UTC')) \
         GROUP BY probe, site, trunk, trunk_direction, start_at {SETTINGS}"
    )
}
