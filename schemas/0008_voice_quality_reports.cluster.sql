-- The same columns on the tables that spread over the local ones.

ALTER TABLE {database}.rtcp_reports {on_cluster}
    ADD COLUMN IF NOT EXISTS vq_side                       LowCardinality(String),
    ADD COLUMN IF NOT EXISTS vq_start_at                   Nullable(DateTime64(9, 'UTC')),
    ADD COLUMN IF NOT EXISTS vq_stop_at                    Nullable(DateTime64(9, 'UTC')),
    ADD COLUMN IF NOT EXISTS vq_one_way_delay_ms           Nullable(UInt16),
    ADD COLUMN IF NOT EXISTS vq_symmetric_one_way_delay_ms Nullable(UInt16),
    ADD COLUMN IF NOT EXISTS vq_interarrival_jitter_ms     Nullable(Float32),
    ADD COLUMN IF NOT EXISTS vq_mean_absolute_jitter_ms    Nullable(Float32),
    ADD COLUMN IF NOT EXISTS vq_r_cq                       Nullable(UInt8),
    ADD COLUMN IF NOT EXISTS vq_external_r_out             Nullable(UInt8),
    ADD COLUMN IF NOT EXISTS vq_described                  Map(LowCardinality(String), String);
