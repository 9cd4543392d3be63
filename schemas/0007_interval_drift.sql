-- What only whole streams had: how far packets came behind their place, and the clock drift as it was known then.
--
-- Rows from before read NULL (unknown).

ALTER TABLE {database}.stream_intervals{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS reorder_extent Nullable(UInt32)  COMMENT 'farthest a packet came behind its place, in sequence numbers' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS drift_ppm      Nullable(Float32) COMMENT 'of the sender''s clock, from the start of the segment to the end of this interval; NULL when not known' CODEC(ZSTD);
