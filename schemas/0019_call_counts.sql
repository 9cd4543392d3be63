-- Calls by the time they began: how many of each class, state and final code, for five minutes and for an hour. Views fill both from
-- `calls`; calls that were stored before this step have no counts and are read one by one.

CREATE TABLE IF NOT EXISTS {database}.call_counts_5m{local} {on_cluster}
(
    stored_on                  Date,
    probe                      LowCardinality(String),
    site                       LowCardinality(String),
    trunk                      LowCardinality(String),
    trunk_direction            LowCardinality(String) COMMENT 'from: the INVITE came from the trunk; toward: it went there; empty: no trunk',
    start_at                   DateTime('UTC') COMMENT 'of the five minutes that first_at lies in',
    class                      LowCardinality(String),
    state                      LowCardinality(String),
    final_code                 UInt16,
    calls                      SimpleAggregateFunction(sum, UInt64)
)
ENGINE = {aggregating_engine}
PARTITION BY stored_on
ORDER BY (start_at, trunk, trunk_direction, site, probe, class, state, final_code, stored_on)
TTL stored_on + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, replicated_deduplication_window = 10000, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1, min_bytes_for_wide_part = 67108864,
    vertical_merge_algorithm_min_rows_to_activate = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.call_counts_5m_fill{local} {on_cluster} TO {database}.call_counts_5m{local} AS
SELECT
    toDate(stored_at) AS stored_on,
    probe,
    site,
    trunk,
    trunk_direction,
    toDateTime(intDiv(least(greatest(toUnixTimestamp64Nano(first_at), 0), 4294967295000000000), 300000000000) * 300, 'UTC') AS start_at,
    class,
    state,
    final_code,
    count() AS calls
FROM {database}.calls{local}
GROUP BY stored_on, probe, site, trunk, trunk_direction, start_at, class, state, final_code;

CREATE TABLE IF NOT EXISTS {database}.call_counts_1h{local} {on_cluster}
(
    stored_on                  Date,
    probe                      LowCardinality(String),
    site                       LowCardinality(String),
    trunk                      LowCardinality(String),
    trunk_direction            LowCardinality(String) COMMENT 'from: the INVITE came from the trunk; toward: it went there; empty: no trunk',
    start_at                   DateTime('UTC') COMMENT 'of the hour that first_at lies in',
    class                      LowCardinality(String),
    state                      LowCardinality(String),
    final_code                 UInt16,
    calls                      SimpleAggregateFunction(sum, UInt64)
)
ENGINE = {aggregating_engine}
PARTITION BY toYYYYMM(stored_on)
ORDER BY (start_at, trunk, trunk_direction, site, probe, class, state, final_code, stored_on)
TTL stored_on + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, replicated_deduplication_window = 10000, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1, min_bytes_for_wide_part = 67108864,
    vertical_merge_algorithm_min_rows_to_activate = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.call_counts_1h_fill{local} {on_cluster} TO {database}.call_counts_1h{local} AS
SELECT
    toDate(stored_at) AS stored_on,
    probe,
    site,
    trunk,
    trunk_direction,
    toDateTime(intDiv(least(greatest(toUnixTimestamp64Nano(first_at), 0), 4294967295000000000), 3600000000000) * 3600, 'UTC') AS start_at,
    class,
    state,
    final_code,
    count() AS calls
FROM {database}.calls{local}
GROUP BY stored_on, probe, site, trunk, trunk_direction, start_at, class, state, final_code;

-- Look-ups by number and by call open every part of every day. A day that gets no more rows becomes one part, once, three hours after
-- its last.

ALTER TABLE {database}.calls{local} {on_cluster}
    MODIFY SETTING min_age_to_force_merge_seconds = 10800, min_age_to_force_merge_on_partition_only = 1;

ALTER TABLE {database}.streams{local} {on_cluster}
    MODIFY SETTING min_age_to_force_merge_seconds = 10800, min_age_to_force_merge_on_partition_only = 1;
