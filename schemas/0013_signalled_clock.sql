-- The clock rate that signalling names, where timestamps and arrivals refute it; clock_rate is then the one they show
-- and clock_source reads 'wire'. Rows from before read NULL.

ALTER TABLE {database}.streams{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS clock_rate_signalled Nullable(UInt32) COMMENT 'Hz; only where clock_source is wire' CODEC(ZSTD);
