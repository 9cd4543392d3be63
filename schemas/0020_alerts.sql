-- Evaluations of rules of alerts: each change of state, and each evaluation of a group that is not ok; fewer where very many groups
-- are not judged. States live in the probe; this is their history.

CREATE TABLE IF NOT EXISTS {database}.alerts{local} {on_cluster}
(
    stored_at          DateTime('UTC') CODEC(Delta, ZSTD),
    probe              LowCardinality(String) COMMENT 'the evaluator',
    site               LowCardinality(String) COMMENT 'of the evaluator',
    at                 DateTime('UTC') CODEC(Delta, ZSTD),
    fingerprint        UInt64 COMMENT 'rule and labels, the same for every evaluator',
    rule               LowCardinality(String),
    rule_hash          LowCardinality(String) COMMENT 'of the text of the rule',
    severity           LowCardinality(String),
    labels             Map(LowCardinality(String), String) COMMENT 'the group: labels of the rule''s by',
    state              LowCardinality(String) COMMENT 'ok, pending, firing, keeping, blind, few, no_data, error',
    previous           LowCardinality(String) COMMENT 'the state before; equal to state in the evaluations before an alert',
    judgement          LowCardinality(String) COMMENT 'what the window alone says',
    measure            LowCardinality(String),
    unit               LowCardinality(String),
    fired_at           Nullable(DateTime('UTC')) COMMENT 'when the alert fired that goes on, or ends here',
    window_from        DateTime('UTC') CODEC(Delta, ZSTD),
    window_to          DateTime('UTC') CODEC(Delta, ZSTD),
    value              Nullable(Float64),
    low                Nullable(Float64) COMMENT 'the true value lies between low and high; NULL: open',
    high               Nullable(Float64),
    fire_limit         Nullable(Float64) COMMENT 'value and bound must be beyond it to fire',
    samples            UInt64,
    sample_unit        LowCardinality(String),
    capture_loss_pct   Float64,
    baseline           Nullable(Float64) COMMENT 'median of the same hour of the week',
    baseline_spread    Nullable(Float64),
    peak               Nullable(Float64) COMMENT 'farthest beyond the limit so far',
    inhibited_by       LowCardinality(String),
    silenced_by        LowCardinality(String),
    error              String COMMENT 'why the window was not judged: what a statement said, or what the capture did not see' CODEC(ZSTD),
    summary            String CODEC(ZSTD),
    worst_calls        Array(UInt64) COMMENT 'call_uid, the worst first',
    row_id             UInt64,
    arrived_at         DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when the row became visible, by the clock of the store',
    INDEX by_fingerprint fingerprint TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {engine}
PARTITION BY toDate(stored_at)
ORDER BY (at, rule, fingerprint)
TTL stored_at + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, replicated_deduplication_window = 10000, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1, min_bytes_for_wide_part = 67108864,
    vertical_merge_algorithm_min_rows_to_activate = 1;
