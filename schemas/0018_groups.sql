-- Sums over many streams and calls, so that dashboards, alerts and statistics do not read a row per stream.
--
-- `media_groups` and `call_groups` hold what the probe adds up in one interval. Rows of one key and interval add up: a fact that is
-- known late is another row. Five minutes and hours are made from them by the store as the rows come in. The same batch
-- delivered twice is dropped in all three, because every table has a deduplication window and the
-- inserts set `deduplicate_blocks_in_dependent_materialized_views`.
-- A map or an array adds up by its keys or positions (`sumMap`, `sumForEach`).

CREATE TABLE IF NOT EXISTS {database}.media_groups{local} {on_cluster}
(
    stored_at                  DateTime('UTC') CODEC(Delta, ZSTD),
    probe                      LowCardinality(String),
    site                       LowCardinality(String),
    trunk                      LowCardinality(String),
    trunk_direction            LowCardinality(String) COMMENT 'from: the source is of the trunk; toward: the destination is; empty: no trunk',
    codec                      LowCardinality(String),
    mos_scale                  LowCardinality(String),
    start_at                   DateTime('UTC') CODEC(Delta, ZSTD),
    length_ms                  UInt32,
    streams                    UInt64 COMMENT 'streams present, each counted once in each interval',
    streams_begun              UInt64 COMMENT 'streams never seen before',
    present_before             Map(UInt32, UInt64) COMMENT 'streams by the start of the interval (seconds since 1970) they were last present in, 0: never; different streams from t on: the counts of key 0 and of keys below t',
    present_before_codec       Map(UInt32, UInt64) COMMENT 'the same, present with this codec',
    present_before_scale       Map(UInt32, UInt64) COMMENT 'the same, present on this MOS scale',
    present_before_codec_scale Map(UInt32, UInt64) COMMENT 'the same, present with both',
    packets                    UInt64,
    unique_packets             UInt64,
    expected                   UInt64,
    lost_network               UInt64 COMMENT 'lost packets by loss_source',
    lost_capture               UInt64,
    lost_suspected_capture     UInt64,
    reordered                  UInt64,
    duplicates_probe           UInt64,
    duplicates_network         UInt64,
    payload_bytes              UInt64,
    late                       Array(UInt64) COMMENT 'packets too late for buffers of 20, 40, 60, 80, 100, 150, 200 ms',
    loss_runs                  Array(UInt64) COMMENT 'runs of lost packets: 1 to 9, 10, 20, 50, 100, 500 and more',
    longest_loss_run           UInt32,
    pdv                        Array(UInt64) COMMENT 'delay variation of packets, bounds in histogram_buckets, version 1',
    pdv_max_ms                 Nullable(Float32),
    jitter                     Array(UInt64) COMMENT 'mean interarrival jitter of each stream, bounds in histogram_buckets, version 1',
    jitter_max_ms              Nullable(Float32),
    mos                        Map(UInt16, UInt64) COMMENT 'streams by listening MOS in hundredths',
    mos_under_3_6              UInt64 COMMENT 'streams with a MOS under 3.6',
    mos_under_3_1              UInt64 COMMENT 'and under 3.1',
    concealed_seconds          UInt64,
    severely_concealed_seconds UInt64,
    r_rated                    UInt64 COMMENT 'streams with a budget of R',
    r_clean_max_milli          Int64 COMMENT 'sums over them in thousandths of a point',
    r_cost_codec_milli         Int64,
    r_cost_loss_milli          Int64,
    r_cost_late_milli          Int64,
    r_cost_delay_milli         Int64,
    one_sided                  UInt64 COMMENT 'streams of which the opposite direction was not seen',
    capture_drops              UInt64 COMMENT 'frames the probe missed in an interval, at most',
    row_id                     UInt64,
    arrived_at                 DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when the row became visible, by the clock of the store'
)
ENGINE = {engine}
PARTITION BY toDate(stored_at)
ORDER BY (start_at, probe, site, trunk, trunk_direction, codec, mos_scale)
TTL stored_at + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, replicated_deduplication_window = 10000, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1, min_bytes_for_wide_part = 67108864,
    vertical_merge_algorithm_min_rows_to_activate = 1;

CREATE TABLE IF NOT EXISTS {database}.media_groups_5m{local} {on_cluster}
(
    stored_on                  Date,
    probe                      LowCardinality(String),
    site                       LowCardinality(String),
    trunk                      LowCardinality(String),
    trunk_direction            LowCardinality(String) COMMENT 'from: the source is of the trunk; toward: the destination is; empty: no trunk',
    codec                      LowCardinality(String),
    mos_scale                  LowCardinality(String),
    start_at                   DateTime('UTC'),
    streams                    SimpleAggregateFunction(sum, UInt64),
    streams_begun              SimpleAggregateFunction(sum, UInt64),
    present_before             SimpleAggregateFunction(sumMap, Map(UInt32, UInt64)),
    present_before_codec       SimpleAggregateFunction(sumMap, Map(UInt32, UInt64)),
    present_before_scale       SimpleAggregateFunction(sumMap, Map(UInt32, UInt64)),
    present_before_codec_scale SimpleAggregateFunction(sumMap, Map(UInt32, UInt64)),
    packets                    SimpleAggregateFunction(sum, UInt64),
    unique_packets             SimpleAggregateFunction(sum, UInt64),
    expected                   SimpleAggregateFunction(sum, UInt64),
    lost_network               SimpleAggregateFunction(sum, UInt64),
    lost_capture               SimpleAggregateFunction(sum, UInt64),
    lost_suspected_capture     SimpleAggregateFunction(sum, UInt64),
    reordered                  SimpleAggregateFunction(sum, UInt64),
    duplicates_probe           SimpleAggregateFunction(sum, UInt64),
    duplicates_network         SimpleAggregateFunction(sum, UInt64),
    payload_bytes              SimpleAggregateFunction(sum, UInt64),
    late                       AggregateFunction(sumForEach, Array(UInt64)),
    loss_runs                  AggregateFunction(sumForEach, Array(UInt64)),
    longest_loss_run           SimpleAggregateFunction(max, UInt32),
    pdv                        AggregateFunction(sumForEach, Array(UInt64)),
    pdv_max_ms                 SimpleAggregateFunction(max, Nullable(Float32)),
    jitter                     AggregateFunction(sumForEach, Array(UInt64)),
    jitter_max_ms              SimpleAggregateFunction(max, Nullable(Float32)),
    mos                        SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)),
    mos_under_3_6              SimpleAggregateFunction(sum, UInt64),
    mos_under_3_1              SimpleAggregateFunction(sum, UInt64),
    concealed_seconds          SimpleAggregateFunction(sum, UInt64),
    severely_concealed_seconds SimpleAggregateFunction(sum, UInt64),
    r_rated                    SimpleAggregateFunction(sum, UInt64),
    r_clean_max_milli          SimpleAggregateFunction(sum, Int64),
    r_cost_codec_milli         SimpleAggregateFunction(sum, Int64),
    r_cost_loss_milli          SimpleAggregateFunction(sum, Int64),
    r_cost_late_milli          SimpleAggregateFunction(sum, Int64),
    r_cost_delay_milli         SimpleAggregateFunction(sum, Int64),
    one_sided                  SimpleAggregateFunction(sum, UInt64),
    capture_drops              SimpleAggregateFunction(max, UInt64)
)
ENGINE = {aggregating_engine}
PARTITION BY stored_on
ORDER BY (start_at, probe, site, trunk, trunk_direction, codec, mos_scale, stored_on)
TTL stored_on + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, replicated_deduplication_window = 10000, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1, min_bytes_for_wide_part = 67108864,
    vertical_merge_algorithm_min_rows_to_activate = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.media_groups_5m_fill{local} {on_cluster} TO {database}.media_groups_5m{local} AS
WITH toStartOfFiveMinutes(g.start_at) AS bucket
SELECT
    toDate(stored_at) AS stored_on,
    probe,
    site,
    trunk,
    trunk_direction,
    codec,
    mos_scale,
    bucket AS start_at,
    sum(g.streams) AS streams,
    sum(g.streams_begun) AS streams_begun,
    sumMap(mapFilter((at, n) -> at = 0 OR at < toUnixTimestamp(bucket), g.present_before)) AS present_before,
    sumMap(mapFilter((at, n) -> at = 0 OR at < toUnixTimestamp(bucket), g.present_before_codec)) AS present_before_codec,
    sumMap(mapFilter((at, n) -> at = 0 OR at < toUnixTimestamp(bucket), g.present_before_scale)) AS present_before_scale,
    sumMap(mapFilter((at, n) -> at = 0 OR at < toUnixTimestamp(bucket), g.present_before_codec_scale)) AS present_before_codec_scale,
    sum(g.packets) AS packets,
    sum(g.unique_packets) AS unique_packets,
    sum(g.expected) AS expected,
    sum(g.lost_network) AS lost_network,
    sum(g.lost_capture) AS lost_capture,
    sum(g.lost_suspected_capture) AS lost_suspected_capture,
    sum(g.reordered) AS reordered,
    sum(g.duplicates_probe) AS duplicates_probe,
    sum(g.duplicates_network) AS duplicates_network,
    sum(g.payload_bytes) AS payload_bytes,
    sumForEachState(g.late) AS late,
    sumForEachState(g.loss_runs) AS loss_runs,
    max(g.longest_loss_run) AS longest_loss_run,
    sumForEachState(g.pdv) AS pdv,
    max(g.pdv_max_ms) AS pdv_max_ms,
    sumForEachState(g.jitter) AS jitter,
    max(g.jitter_max_ms) AS jitter_max_ms,
    sumMap(g.mos) AS mos,
    sum(g.mos_under_3_6) AS mos_under_3_6,
    sum(g.mos_under_3_1) AS mos_under_3_1,
    sum(g.concealed_seconds) AS concealed_seconds,
    sum(g.severely_concealed_seconds) AS severely_concealed_seconds,
    sum(g.r_rated) AS r_rated,
    sum(g.r_clean_max_milli) AS r_clean_max_milli,
    sum(g.r_cost_codec_milli) AS r_cost_codec_milli,
    sum(g.r_cost_loss_milli) AS r_cost_loss_milli,
    sum(g.r_cost_late_milli) AS r_cost_late_milli,
    sum(g.r_cost_delay_milli) AS r_cost_delay_milli,
    sum(g.one_sided) AS one_sided,
    max(g.capture_drops) AS capture_drops
FROM {database}.media_groups{local} AS g
GROUP BY stored_on, probe, site, trunk, trunk_direction, codec, mos_scale, bucket;

CREATE TABLE IF NOT EXISTS {database}.media_groups_1h{local} {on_cluster}
(
    stored_on                  Date,
    probe                      LowCardinality(String),
    site                       LowCardinality(String),
    trunk                      LowCardinality(String),
    trunk_direction            LowCardinality(String) COMMENT 'from: the source is of the trunk; toward: the destination is; empty: no trunk',
    codec                      LowCardinality(String),
    mos_scale                  LowCardinality(String),
    start_at                   DateTime('UTC'),
    streams                    SimpleAggregateFunction(sum, UInt64),
    streams_begun              SimpleAggregateFunction(sum, UInt64),
    present_before             SimpleAggregateFunction(sumMap, Map(UInt32, UInt64)),
    present_before_codec       SimpleAggregateFunction(sumMap, Map(UInt32, UInt64)),
    present_before_scale       SimpleAggregateFunction(sumMap, Map(UInt32, UInt64)),
    present_before_codec_scale SimpleAggregateFunction(sumMap, Map(UInt32, UInt64)),
    packets                    SimpleAggregateFunction(sum, UInt64),
    unique_packets             SimpleAggregateFunction(sum, UInt64),
    expected                   SimpleAggregateFunction(sum, UInt64),
    lost_network               SimpleAggregateFunction(sum, UInt64),
    lost_capture               SimpleAggregateFunction(sum, UInt64),
    lost_suspected_capture     SimpleAggregateFunction(sum, UInt64),
    reordered                  SimpleAggregateFunction(sum, UInt64),
    duplicates_probe           SimpleAggregateFunction(sum, UInt64),
    duplicates_network         SimpleAggregateFunction(sum, UInt64),
    payload_bytes              SimpleAggregateFunction(sum, UInt64),
    late                       AggregateFunction(sumForEach, Array(UInt64)),
    loss_runs                  AggregateFunction(sumForEach, Array(UInt64)),
    longest_loss_run           SimpleAggregateFunction(max, UInt32),
    pdv                        AggregateFunction(sumForEach, Array(UInt64)),
    pdv_max_ms                 SimpleAggregateFunction(max, Nullable(Float32)),
    jitter                     AggregateFunction(sumForEach, Array(UInt64)),
    jitter_max_ms              SimpleAggregateFunction(max, Nullable(Float32)),
    mos                        SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)),
    mos_under_3_6              SimpleAggregateFunction(sum, UInt64),
    mos_under_3_1              SimpleAggregateFunction(sum, UInt64),
    concealed_seconds          SimpleAggregateFunction(sum, UInt64),
    severely_concealed_seconds SimpleAggregateFunction(sum, UInt64),
    r_rated                    SimpleAggregateFunction(sum, UInt64),
    r_clean_max_milli          SimpleAggregateFunction(sum, Int64),
    r_cost_codec_milli         SimpleAggregateFunction(sum, Int64),
    r_cost_loss_milli          SimpleAggregateFunction(sum, Int64),
    r_cost_late_milli          SimpleAggregateFunction(sum, Int64),
    r_cost_delay_milli         SimpleAggregateFunction(sum, Int64),
    one_sided                  SimpleAggregateFunction(sum, UInt64),
    capture_drops              SimpleAggregateFunction(max, UInt64)
)
ENGINE = {aggregating_engine}
PARTITION BY toYYYYMM(stored_on)
ORDER BY (start_at, probe, site, trunk, trunk_direction, codec, mos_scale, stored_on)
TTL stored_on + INTERVAL 730 DAY
SETTINGS non_replicated_deduplication_window = 10000, replicated_deduplication_window = 10000, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1, min_bytes_for_wide_part = 67108864,
    vertical_merge_algorithm_min_rows_to_activate = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.media_groups_1h_fill{local} {on_cluster} TO {database}.media_groups_1h{local} AS
WITH toStartOfHour(g.start_at) AS bucket
SELECT
    toDate(stored_at) AS stored_on,
    probe,
    site,
    trunk,
    trunk_direction,
    codec,
    mos_scale,
    bucket AS start_at,
    sum(g.streams) AS streams,
    sum(g.streams_begun) AS streams_begun,
    sumMap(mapFilter((at, n) -> at = 0 OR at < toUnixTimestamp(bucket), g.present_before)) AS present_before,
    sumMap(mapFilter((at, n) -> at = 0 OR at < toUnixTimestamp(bucket), g.present_before_codec)) AS present_before_codec,
    sumMap(mapFilter((at, n) -> at = 0 OR at < toUnixTimestamp(bucket), g.present_before_scale)) AS present_before_scale,
    sumMap(mapFilter((at, n) -> at = 0 OR at < toUnixTimestamp(bucket), g.present_before_codec_scale)) AS present_before_codec_scale,
    sum(g.packets) AS packets,
    sum(g.unique_packets) AS unique_packets,
    sum(g.expected) AS expected,
    sum(g.lost_network) AS lost_network,
    sum(g.lost_capture) AS lost_capture,
    sum(g.lost_suspected_capture) AS lost_suspected_capture,
    sum(g.reordered) AS reordered,
    sum(g.duplicates_probe) AS duplicates_probe,
    sum(g.duplicates_network) AS duplicates_network,
    sum(g.payload_bytes) AS payload_bytes,
    sumForEachState(g.late) AS late,
    sumForEachState(g.loss_runs) AS loss_runs,
    max(g.longest_loss_run) AS longest_loss_run,
    sumForEachState(g.pdv) AS pdv,
    max(g.pdv_max_ms) AS pdv_max_ms,
    sumForEachState(g.jitter) AS jitter,
    max(g.jitter_max_ms) AS jitter_max_ms,
    sumMap(g.mos) AS mos,
    sum(g.mos_under_3_6) AS mos_under_3_6,
    sum(g.mos_under_3_1) AS mos_under_3_1,
    sum(g.concealed_seconds) AS concealed_seconds,
    sum(g.severely_concealed_seconds) AS severely_concealed_seconds,
    sum(g.r_rated) AS r_rated,
    sum(g.r_clean_max_milli) AS r_clean_max_milli,
    sum(g.r_cost_codec_milli) AS r_cost_codec_milli,
    sum(g.r_cost_loss_milli) AS r_cost_loss_milli,
    sum(g.r_cost_late_milli) AS r_cost_late_milli,
    sum(g.r_cost_delay_milli) AS r_cost_delay_milli,
    sum(g.one_sided) AS one_sided,
    max(g.capture_drops) AS capture_drops
FROM {database}.media_groups{local} AS g
GROUP BY stored_on, probe, site, trunk, trunk_direction, codec, mos_scale, bucket;

CREATE TABLE IF NOT EXISTS {database}.call_groups{local} {on_cluster}
(
    stored_at                  DateTime('UTC') CODEC(Delta, ZSTD),
    probe                      LowCardinality(String),
    site                       LowCardinality(String),
    trunk                      LowCardinality(String),
    trunk_direction            LowCardinality(String) COMMENT 'from: the source is of the trunk; toward: the destination is; empty: no trunk',
    start_at                   DateTime('UTC') CODEC(Delta, ZSTD),
    length_ms                  UInt32,
    attempts                   UInt64 COMMENT 'INVITEs with a final response, cancelled, or without one in time; in the interval of the response',
    answers                    UInt64,
    final_codes                Map(UInt16, UInt64) COMMENT 'attempts by final code, 0: none',
    cancelled                  UInt64,
    setup_timeouts             UInt64,
    pdd                        Map(UInt8, UInt64) COMMENT 'INVITE to the first response that is not 100, bounds in span_buckets',
    setup                      Map(UInt8, UInt64) COMMENT 'INVITE to 2xx, bounds in span_buckets',
    srd_failed                 Map(UInt8, UInt64) COMMENT 'INVITE to the failure response, bounds in span_buckets',
    ended                      UInt64 COMMENT 'calls that ended; this and what follows in the interval of the end',
    classes                    Map(String, UInt64),
    diagnoses                  Map(String, UInt64) COMMENT 'ended calls by every diagnosis they have',
    completed                  UInt64 COMMENT 'released by BYE',
    short                      UInt64 COMMENT 'answered and shorter than 20 s',
    duration                   Map(UInt8, UInt64) COMMENT '2xx to the end, bounds in span_buckets',
    sdd                        Map(UInt8, UInt64) COMMENT 'BYE to its 2xx, bounds in span_buckets',
    up_ms                      Int64 COMMENT 'time that answered calls were up within the interval, all together',
    up_max                     UInt32 COMMENT 'most calls up at once',
    row_id                     UInt64,
    arrived_at                 DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when the row became visible, by the clock of the store'
)
ENGINE = {engine}
PARTITION BY toDate(stored_at)
ORDER BY (start_at, probe, site, trunk, trunk_direction)
TTL stored_at + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, replicated_deduplication_window = 10000, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1, min_bytes_for_wide_part = 67108864,
    vertical_merge_algorithm_min_rows_to_activate = 1;

CREATE TABLE IF NOT EXISTS {database}.call_groups_5m{local} {on_cluster}
(
    stored_on                  Date,
    probe                      LowCardinality(String),
    site                       LowCardinality(String),
    trunk                      LowCardinality(String),
    trunk_direction            LowCardinality(String) COMMENT 'from: the source is of the trunk; toward: the destination is; empty: no trunk',
    start_at                   DateTime('UTC'),
    attempts                   SimpleAggregateFunction(sum, UInt64),
    answers                    SimpleAggregateFunction(sum, UInt64),
    final_codes                SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)),
    cancelled                  SimpleAggregateFunction(sum, UInt64),
    setup_timeouts             SimpleAggregateFunction(sum, UInt64),
    pdd                        SimpleAggregateFunction(sumMap, Map(UInt8, UInt64)),
    setup                      SimpleAggregateFunction(sumMap, Map(UInt8, UInt64)),
    srd_failed                 SimpleAggregateFunction(sumMap, Map(UInt8, UInt64)),
    ended                      SimpleAggregateFunction(sum, UInt64),
    classes                    SimpleAggregateFunction(sumMap, Map(String, UInt64)),
    diagnoses                  SimpleAggregateFunction(sumMap, Map(String, UInt64)),
    completed                  SimpleAggregateFunction(sum, UInt64),
    short                      SimpleAggregateFunction(sum, UInt64),
    duration                   SimpleAggregateFunction(sumMap, Map(UInt8, UInt64)),
    sdd                        SimpleAggregateFunction(sumMap, Map(UInt8, UInt64)),
    up_ms                      SimpleAggregateFunction(sum, Int64),
    up_max                     SimpleAggregateFunction(max, UInt32)
)
ENGINE = {aggregating_engine}
PARTITION BY stored_on
ORDER BY (start_at, probe, site, trunk, trunk_direction, stored_on)
TTL stored_on + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, replicated_deduplication_window = 10000, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1, min_bytes_for_wide_part = 67108864,
    vertical_merge_algorithm_min_rows_to_activate = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.call_groups_5m_fill{local} {on_cluster} TO {database}.call_groups_5m{local} AS
WITH toStartOfFiveMinutes(g.start_at) AS bucket
SELECT
    toDate(stored_at) AS stored_on,
    probe,
    site,
    trunk,
    trunk_direction,
    bucket AS start_at,
    sum(g.attempts) AS attempts,
    sum(g.answers) AS answers,
    sumMap(g.final_codes) AS final_codes,
    sum(g.cancelled) AS cancelled,
    sum(g.setup_timeouts) AS setup_timeouts,
    sumMap(g.pdd) AS pdd,
    sumMap(g.setup) AS setup,
    sumMap(g.srd_failed) AS srd_failed,
    sum(g.ended) AS ended,
    sumMap(g.classes) AS classes,
    sumMap(g.diagnoses) AS diagnoses,
    sum(g.completed) AS completed,
    sum(g.short) AS short,
    sumMap(g.duration) AS duration,
    sumMap(g.sdd) AS sdd,
    sum(g.up_ms) AS up_ms,
    max(g.up_max) AS up_max
FROM {database}.call_groups{local} AS g
GROUP BY stored_on, probe, site, trunk, trunk_direction, bucket;

CREATE TABLE IF NOT EXISTS {database}.call_groups_1h{local} {on_cluster}
(
    stored_on                  Date,
    probe                      LowCardinality(String),
    site                       LowCardinality(String),
    trunk                      LowCardinality(String),
    trunk_direction            LowCardinality(String) COMMENT 'from: the source is of the trunk; toward: the destination is; empty: no trunk',
    start_at                   DateTime('UTC'),
    attempts                   SimpleAggregateFunction(sum, UInt64),
    answers                    SimpleAggregateFunction(sum, UInt64),
    final_codes                SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)),
    cancelled                  SimpleAggregateFunction(sum, UInt64),
    setup_timeouts             SimpleAggregateFunction(sum, UInt64),
    pdd                        SimpleAggregateFunction(sumMap, Map(UInt8, UInt64)),
    setup                      SimpleAggregateFunction(sumMap, Map(UInt8, UInt64)),
    srd_failed                 SimpleAggregateFunction(sumMap, Map(UInt8, UInt64)),
    ended                      SimpleAggregateFunction(sum, UInt64),
    classes                    SimpleAggregateFunction(sumMap, Map(String, UInt64)),
    diagnoses                  SimpleAggregateFunction(sumMap, Map(String, UInt64)),
    completed                  SimpleAggregateFunction(sum, UInt64),
    short                      SimpleAggregateFunction(sum, UInt64),
    duration                   SimpleAggregateFunction(sumMap, Map(UInt8, UInt64)),
    sdd                        SimpleAggregateFunction(sumMap, Map(UInt8, UInt64)),
    up_ms                      SimpleAggregateFunction(sum, Int64),
    up_max                     SimpleAggregateFunction(max, UInt32)
)
ENGINE = {aggregating_engine}
PARTITION BY toYYYYMM(stored_on)
ORDER BY (start_at, probe, site, trunk, trunk_direction, stored_on)
TTL stored_on + INTERVAL 730 DAY
SETTINGS non_replicated_deduplication_window = 10000, replicated_deduplication_window = 10000, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1, min_bytes_for_wide_part = 67108864,
    vertical_merge_algorithm_min_rows_to_activate = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.call_groups_1h_fill{local} {on_cluster} TO {database}.call_groups_1h{local} AS
WITH toStartOfHour(g.start_at) AS bucket
SELECT
    toDate(stored_at) AS stored_on,
    probe,
    site,
    trunk,
    trunk_direction,
    bucket AS start_at,
    sum(g.attempts) AS attempts,
    sum(g.answers) AS answers,
    sumMap(g.final_codes) AS final_codes,
    sum(g.cancelled) AS cancelled,
    sum(g.setup_timeouts) AS setup_timeouts,
    sumMap(g.pdd) AS pdd,
    sumMap(g.setup) AS setup,
    sumMap(g.srd_failed) AS srd_failed,
    sum(g.ended) AS ended,
    sumMap(g.classes) AS classes,
    sumMap(g.diagnoses) AS diagnoses,
    sum(g.completed) AS completed,
    sum(g.short) AS short,
    sumMap(g.duration) AS duration,
    sumMap(g.sdd) AS sdd,
    sum(g.up_ms) AS up_ms,
    max(g.up_max) AS up_max
FROM {database}.call_groups{local} AS g
GROUP BY stored_on, probe, site, trunk, trunk_direction, bucket;

-- Time from the BYE to its 2xx (SDD of RFC 6076), and which way the INVITE went, seen from the trunk.

ALTER TABLE {database}.calls{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS sdd_ms Nullable(Float64) COMMENT 'BYE to its 2xx',
    ADD COLUMN IF NOT EXISTS trunk_direction LowCardinality(String) COMMENT 'from: the INVITE came from the trunk; toward: it went there; empty: no trunk, or a row from before';

-- Bounds of the histograms of spans: pdd, setup, srd_failed, duration, sdd. Bucket 0 is [0, 1.048576 ms), buckets 1..216 are eight
-- per octave from 2^20 ns, bucket 217 is the rest.

CREATE VIEW IF NOT EXISTS {database}.span_buckets {on_cluster} AS
WITH
    [0, 23, 48, 76, 106, 139, 175, 215] AS steps,
    n -> if(n = 0, toUInt64(0), bitShiftLeft(toUInt64(256 + steps[(n - 1) % 8 + 1]), toUInt8(12 + intDiv(n - 1, 8)))) AS lower
SELECT
    toUInt8(number) AS bucket,
    lower(number) AS low_ns,
    if(number = 217, toUInt64(18446744073709551615), lower(number + 1)) AS high_ns,
    multiIf(number = 0, 524288., number = 217, toFloat64(low_ns), floor(sqrt(toFloat64(low_ns) * toFloat64(high_ns)))) / 1e6 AS middle_ms
FROM numbers(218);

-- Numbers from their last digit, as they are looked for, and how bad a call was (0 to 1000), which lists are sorted by. The
-- projections are made in the background: until then calls from before are searched as they were.

ALTER TABLE {database}.calls{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS caller_reversed String MATERIALIZED reverseUTF8(replaceRegexpOne(lowerUTF8(replaceRegexpAll(caller_user, '[ ()./-]', '')), '^([+]|00)', '')) COMMENT 'user part of the caller from its end, without separators, + and 00',
    ADD COLUMN IF NOT EXISTS callee_reversed String MATERIALIZED reverseUTF8(replaceRegexpOne(lowerUTF8(replaceRegexpAll(callee_user, '[ ()./-]', '')), '^([+]|00)', '')) COMMENT 'the same of the callee',
    ADD COLUMN IF NOT EXISTS badness UInt16 MATERIALIZED toUInt16(greatest(
        if(mos_worst IS NULL, 0, round(1 + 999 * greatest(0, least(1, (if(mos_scale = 'nb', 4.41, 4.5) - ifNull(mos_worst, 0)) / (if(mos_scale = 'nb', 4.41, 4.5) - 1))))),
        arrayMax(arrayPushBack(arrayMap(c -> transform(c, ['no_media', 'one_way_media', 'no_response', 'media_interrupted', 'media_not_seen'], [1000, 950, 900, 800, 800], 100), tupleElement(diagnoses, 1)), 0)),
        multiIf(class = 'not_answered', 0, state = 'setup_timeout' OR (state = 'failed' AND (final_code >= 500 AND final_code < 600 OR final_code IN (0, 408))), 850, state = 'failed', 350, 0))) COMMENT '0 to 1000, what lists of the worst calls are sorted by';

ALTER TABLE {database}.calls{local} {on_cluster}
    ADD PROJECTION IF NOT EXISTS by_caller_digits (SELECT caller_reversed, first_at, call_uid ORDER BY caller_reversed);

ALTER TABLE {database}.calls{local} {on_cluster}
    ADD PROJECTION IF NOT EXISTS by_callee_digits (SELECT callee_reversed, first_at, call_uid ORDER BY callee_reversed);

ALTER TABLE {database}.calls{local} {on_cluster} MATERIALIZE PROJECTION by_caller_digits SETTINGS mutations_sync = 0;

ALTER TABLE {database}.calls{local} {on_cluster} MATERIALIZE PROJECTION by_callee_digits SETTINGS mutations_sync = 0;

ALTER TABLE {database}.calls{local} {on_cluster} MATERIALIZE COLUMN badness SETTINGS mutations_sync = 0;
