-- The same columns on the tables that spread over the local ones.

ALTER TABLE {database}.calls {on_cluster}
    ADD COLUMN IF NOT EXISTS shed            Nullable(Bool);

ALTER TABLE {database}.streams {on_cluster}
    ADD COLUMN IF NOT EXISTS shed            Bool DEFAULT false;

ALTER TABLE {database}.capture_intervals {on_cluster}
    ADD COLUMN IF NOT EXISTS streams_shed    Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS streams_refused Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS calls_shed      Nullable(UInt64),
    ADD COLUMN IF NOT EXISTS calls_refused   Nullable(UInt64);
