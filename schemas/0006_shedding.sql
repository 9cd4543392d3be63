-- What full tables ended early or refused: a mark on the rows that were cut short, and counts per interval.
--
-- A call's row and an interval from before read NULL (unknown). A stream from before reads false: none was shed then.

ALTER TABLE {database}.calls{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS shed            Nullable(Bool) COMMENT 'ended to make room in a full table; it was not up' CODEC(ZSTD);

ALTER TABLE {database}.streams{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS shed            Bool DEFAULT false COMMENT 'ended to make room in a full table; what came after is not in this row';

ALTER TABLE {database}.capture_intervals{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS streams_shed    Nullable(UInt64) COMMENT 'streams ended to make room for others' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS streams_refused Nullable(UInt64) COMMENT 'times a stream was recognised and found no room' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS calls_shed      Nullable(UInt64) COMMENT 'calls that were not up and ended to make room for others' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS calls_refused   Nullable(UInt64) COMMENT 'messages that would have begun a call and found no room' CODEC(ZSTD);
