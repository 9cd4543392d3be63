-- The same columns on the tables that spread over the local ones.

ALTER TABLE {database}.calls {on_cluster}
    ADD COLUMN IF NOT EXISTS capture_drops              Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS duplicates_removed         Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS one_sided                  Nullable(Bool),
    ADD COLUMN IF NOT EXISTS snap_cut                   Nullable(Bool),
    ADD COLUMN IF NOT EXISTS clock_steps                Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS timestamp_source           LowCardinality(String),
    ADD COLUMN IF NOT EXISTS timestamp_resolution_ns    Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS loss_evidence              LowCardinality(String);

ALTER TABLE {database}.streams {on_cluster}
    ADD COLUMN IF NOT EXISTS timestamp_source           LowCardinality(String),
    ADD COLUMN IF NOT EXISTS ipdv_samples               Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS mapdv2_above_ms            Nullable(Float32),
    ADD COLUMN IF NOT EXISTS mapdv2_above_samples       Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS mapdv2_below_ms            Nullable(Float32),
    ADD COLUMN IF NOT EXISTS mapdv2_below_samples       Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS lost_late_buffer_ms        Nullable(UInt16),
    ADD COLUMN IF NOT EXISTS lost_late_bursts           Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS lost_late_burst_packets    Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS lost_late_burst_bad        Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS lost_late_gap_packets      Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS lost_late_gap_bad          Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS lost_late_gap_periods      Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS lost_late_burst_duration_ms Nullable(Float32),
    ADD COLUMN IF NOT EXISTS lost_late_gap_duration_ms  Nullable(Float32),
    ADD COLUMN IF NOT EXISTS lost_late_gap_duration_a2_ms Nullable(Float32),
    ADD COLUMN IF NOT EXISTS lost_late_burst_ratio      Nullable(Float32);

ALTER TABLE {database}.stream_intervals {on_cluster}
    ADD COLUMN IF NOT EXISTS timestamp_source           LowCardinality(String),
    ADD COLUMN IF NOT EXISTS timestamp_resolution_ns    Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS started_mid_call           Nullable(Bool),
    ADD COLUMN IF NOT EXISTS ipdv_samples               Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS mapdv2_above_ms            Nullable(Float32),
    ADD COLUMN IF NOT EXISTS mapdv2_above_samples       Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS mapdv2_below_ms            Nullable(Float32),
    ADD COLUMN IF NOT EXISTS mapdv2_below_samples       Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS lost_late_buffer_ms        Nullable(UInt16),
    ADD COLUMN IF NOT EXISTS lost_late_bursts           Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS lost_late_burst_packets    Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS lost_late_burst_bad        Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS lost_late_gap_packets      Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS lost_late_gap_bad          Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS lost_late_gap_periods      Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS lost_late_burst_ratio      Nullable(Float32);
