-- The same columns on the tables that spread over the local ones.

ALTER TABLE {database}.calls {on_cluster}
    ADD COLUMN IF NOT EXISTS timestamp_fault LowCardinality(String),
    ADD COLUMN IF NOT EXISTS timestamp_error_ms Nullable(Float32),
    ADD COLUMN IF NOT EXISTS sampled_one_of Nullable(Float32);

ALTER TABLE {database}.streams {on_cluster}
    ADD COLUMN IF NOT EXISTS timestamp_fault LowCardinality(String),
    ADD COLUMN IF NOT EXISTS timestamp_error_ms Nullable(Float32),
    ADD COLUMN IF NOT EXISTS sampled_one_of Nullable(Float32);

ALTER TABLE {database}.stream_intervals {on_cluster}
    ADD COLUMN IF NOT EXISTS timestamp_fault LowCardinality(String),
    ADD COLUMN IF NOT EXISTS timestamp_error_ms Nullable(Float32),
    ADD COLUMN IF NOT EXISTS sampled_one_of Nullable(Float32);

ALTER TABLE {database}.capture_intervals {on_cluster}
    ADD COLUMN IF NOT EXISTS blackout_ms Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS timestamp_fault LowCardinality(String),
    ADD COLUMN IF NOT EXISTS timestamp_error_ms Nullable(Float32),
    ADD COLUMN IF NOT EXISTS timestamp_granularity_ns Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS clock_steps Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS streams Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS one_sided_streams Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS mirror_copies Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS sampled_one_of Nullable(Float32);
