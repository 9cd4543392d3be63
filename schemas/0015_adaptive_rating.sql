-- The rating by the adaptive jitter buffer, and how the base of the delays moved. From this version on jitter_buffer_ms is the
-- mean size of that buffer unless a fixed one is configured, lost_late_buffer_ms reads 0 for it, and mos_worst_minute is rated
-- by the minute's own packets. Rows from before keep their figures and read NULL here.

ALTER TABLE {database}.calls{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS mos_worst_minute_at Nullable(DateTime64(9, 'UTC')) COMMENT 'start of the minute of mos_worst_minute' CODEC(ZSTD);

ALTER TABLE {database}.streams{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS mos_beyond_model Nullable(Bool) COMMENT 'the narrowband model is used where G.107 does not vouch for it' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS adaptive_buffer_ms Nullable(Float32) COMMENT 'mean size of the adaptive jitter buffer' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS base_rise_ms Nullable(Float32) COMMENT 'how much the base of the delays rose, in moves of 10 ms and more' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS base_fall_ms Nullable(Float32) COMMENT 'the same downwards' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS base_steps Nullable(UInt32) COMMENT 'moves of 20 ms and more within a second' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS mos_worst_minute_at Nullable(DateTime64(9, 'UTC')) COMMENT 'start of the minute of mos_worst_minute' CODEC(ZSTD);

ALTER TABLE {database}.stream_intervals{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS mos_beyond_model Nullable(Bool) COMMENT 'the narrowband model is used where G.107 does not vouch for it' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS adaptive_buffer_ms Nullable(Float32) COMMENT 'mean size of the adaptive jitter buffer' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS base_rise_ms Nullable(Float32) COMMENT 'how much the base of the delays rose, in moves of 10 ms and more' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS base_fall_ms Nullable(Float32) COMMENT 'the same downwards' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS base_steps Nullable(UInt32) COMMENT 'moves of 20 ms and more within a second' CODEC(ZSTD);
