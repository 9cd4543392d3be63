-- The same column on the table that spreads over the local ones.

ALTER TABLE {database}.streams {on_cluster}
    ADD COLUMN IF NOT EXISTS clock_rate_signalled Nullable(UInt32);
