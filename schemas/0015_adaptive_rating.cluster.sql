-- The same columns on the tables that spread over the local ones.

ALTER TABLE {database}.calls {on_cluster}
    ADD COLUMN IF NOT EXISTS mos_worst_minute_at Nullable(DateTime64(9, 'UTC'));

ALTER TABLE {database}.streams {on_cluster}
    ADD COLUMN IF NOT EXISTS mos_beyond_model Nullable(Bool),
    ADD COLUMN IF NOT EXISTS adaptive_buffer_ms Nullable(Float32),
    ADD COLUMN IF NOT EXISTS base_rise_ms Nullable(Float32),
    ADD COLUMN IF NOT EXISTS base_fall_ms Nullable(Float32),
    ADD COLUMN IF NOT EXISTS base_steps Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS mos_worst_minute_at Nullable(DateTime64(9, 'UTC'));

ALTER TABLE {database}.stream_intervals {on_cluster}
    ADD COLUMN IF NOT EXISTS mos_beyond_model Nullable(Bool),
    ADD COLUMN IF NOT EXISTS adaptive_buffer_ms Nullable(Float32),
    ADD COLUMN IF NOT EXISTS base_rise_ms Nullable(Float32),
    ADD COLUMN IF NOT EXISTS base_fall_ms Nullable(Float32),
    ADD COLUMN IF NOT EXISTS base_steps Nullable(UInt32);
