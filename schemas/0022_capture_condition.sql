-- How far the times of packets are wrong, and whether the capture sees all of them: on each row, and of the probe in
-- capture_intervals, whose counts stand on the row of the first interface. Rows from before read NULL or ''.

ALTER TABLE {database}.calls{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS timestamp_fault LowCardinality(String) COMMENT 'what is wrong with the times of packets: none, clumped, coarse; empty: not known' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS timestamp_error_ms Nullable(Float32) COMMENT 'times of packets may be wrong by so much' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS sampled_one_of Nullable(Float32) COMMENT 'the capture saw one packet of so many' CODEC(ZSTD);

ALTER TABLE {database}.streams{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS timestamp_fault LowCardinality(String) COMMENT 'what is wrong with the times of packets: none, clumped, coarse; empty: not known' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS timestamp_error_ms Nullable(Float32) COMMENT 'times of packets may be wrong by so much' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS sampled_one_of Nullable(Float32) COMMENT 'the capture saw one packet of so many' CODEC(ZSTD);

ALTER TABLE {database}.stream_intervals{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS timestamp_fault LowCardinality(String) COMMENT 'what is wrong with the times of packets: none, clumped, coarse; empty: not known' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS timestamp_error_ms Nullable(Float32) COMMENT 'times of packets may be wrong by so much' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS sampled_one_of Nullable(Float32) COMMENT 'the capture saw one packet of so many' CODEC(ZSTD);

ALTER TABLE {database}.capture_intervals{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS blackout_ms Nullable(UInt32) COMMENT 'time without any frame while streams went on, in the interval of its end' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS timestamp_fault LowCardinality(String) COMMENT 'what is wrong with the times of packets: none, clumped, coarse; empty: not known' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS timestamp_error_ms Nullable(Float32) COMMENT 'times of packets may be wrong by so much' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS timestamp_granularity_ns Nullable(UInt32) COMMENT 'all times are multiples of it' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS clock_steps Nullable(UInt32) COMMENT 'times the clock of the capture was set' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS streams Nullable(UInt32) COMMENT 'streams with packets' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS one_sided_streams Nullable(UInt32) COMMENT 'streams with no stream the other way' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS mirror_copies Nullable(UInt64) COMMENT 'RTP packets that the mirror copied' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS sampled_one_of Nullable(Float32) COMMENT 'the capture saw one packet of so many' CODEC(ZSTD);
