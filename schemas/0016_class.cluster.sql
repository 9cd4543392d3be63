-- The same column on the table that spreads over the local ones.

ALTER TABLE {database}.calls {on_cluster}
    ADD COLUMN IF NOT EXISTS class LowCardinality(String);
