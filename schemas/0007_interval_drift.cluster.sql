-- The same columns on the table that spreads over the local ones.

ALTER TABLE {database}.stream_intervals {on_cluster}
    ADD COLUMN IF NOT EXISTS reorder_extent Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS drift_ppm      Nullable(Float32);
