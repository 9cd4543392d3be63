-- The same columns on the tables that spread over the local ones.

ALTER TABLE {database}.calls {on_cluster}
    ADD COLUMN IF NOT EXISTS capture_lost Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS network_lost Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS undecided_lost Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS lost_by_evidence Map(LowCardinality(String), UInt64);

ALTER TABLE {database}.streams {on_cluster}
    ADD COLUMN IF NOT EXISTS capture_lost Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS network_lost Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS undecided_lost Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS lost_by_evidence Map(LowCardinality(String), UInt64);

ALTER TABLE {database}.stream_intervals {on_cluster}
    ADD COLUMN IF NOT EXISTS capture_lost Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS network_lost Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS undecided_lost Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS lost_by_evidence Map(LowCardinality(String), UInt64);

ALTER TABLE {database}.capture_intervals {on_cluster}
    ADD COLUMN IF NOT EXISTS loss_floor_low_pct Nullable(Float32),
    ADD COLUMN IF NOT EXISTS loss_floor_high_pct Nullable(Float32);
