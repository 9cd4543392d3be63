-- How far to trust a row: what stood on streams and intervals stands on calls as well, and every row says whose clock
-- stamped its frames. Consecutive delay differences and MAPDV2 come with the numbers they are means of, and bursts also
-- as packets that were lost or too late for one fixed jitter buffer make them.
--
-- Rows from before read NULL (unknown), text reads empty.

ALTER TABLE {database}.calls{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS capture_drops              Nullable(UInt64) COMMENT 'frames the probe missed in the intervals of the call' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS duplicates_removed         Nullable(UInt64) COMMENT 'copies of its RTP and RTCP by the mirror' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS one_sided                  Nullable(Bool) COMMENT 'media of one direction only' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS snap_cut                   Nullable(Bool) CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS clock_steps                Nullable(UInt32) COMMENT 'times the capture clock was set, back or forward' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS timestamp_source           LowCardinality(String) COMMENT 'capture_file, kernel or adapter; empty: not known',
    ADD COLUMN IF NOT EXISTS timestamp_resolution_ns    Nullable(UInt32) CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS loss_evidence              LowCardinality(String) COMMENT 'what speaks for loss_source, empty where nothing does';

ALTER TABLE {database}.streams{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS timestamp_source           LowCardinality(String) COMMENT 'capture_file, kernel or adapter; empty: not known',
    ADD COLUMN IF NOT EXISTS ipdv_samples               Nullable(UInt64) COMMENT 'differences ipdv_mean_ms is of' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS mapdv2_above_ms            Nullable(Float32) COMMENT 'mean deviation above the running mean of the delay' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS mapdv2_above_samples       Nullable(UInt64) CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS mapdv2_below_ms            Nullable(Float32) COMMENT 'mean deviation below it; mapdv2_ms is the sum of both' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS mapdv2_below_samples       Nullable(UInt64) CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_late_buffer_ms        Nullable(UInt16) COMMENT 'fixed jitter buffer of the columns lost_late_*: packets later than this count as bad; NULL where no delay is known' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_late_bursts           Nullable(UInt64) COMMENT 'RFC 3611 4.7.2, Gmin 16, of packets lost or too late for that buffer' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_late_burst_packets    Nullable(UInt64) COMMENT 'packets inside these bursts' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_late_burst_bad        Nullable(UInt64) COMMENT 'lost or late packets inside them' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_late_gap_packets      Nullable(UInt64) COMMENT 'packets outside these bursts' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_late_gap_bad          Nullable(UInt64) COMMENT 'lost or late packets outside them' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_late_gap_periods      Nullable(UInt64) COMMENT 'stretches outside them' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_late_burst_duration_ms Nullable(Float32) CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_late_gap_duration_ms  Nullable(Float32) CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_late_gap_duration_a2_ms Nullable(Float32) CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_late_burst_ratio      Nullable(Float32) COMMENT 'BurstR of the lost and late packets' CODEC(ZSTD);

ALTER TABLE {database}.stream_intervals{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS timestamp_source           LowCardinality(String) COMMENT 'capture_file, kernel or adapter; empty: not known',
    ADD COLUMN IF NOT EXISTS timestamp_resolution_ns    Nullable(UInt32) CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS started_mid_call           Nullable(Bool) CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS ipdv_samples               Nullable(UInt32) COMMENT 'differences ipdv_mean_ms is of' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS mapdv2_above_ms            Nullable(Float32) COMMENT 'mean deviation above the running mean of the delay' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS mapdv2_above_samples       Nullable(UInt32) CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS mapdv2_below_ms            Nullable(Float32) COMMENT 'mean deviation below it; mapdv2_ms is the sum of both' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS mapdv2_below_samples       Nullable(UInt32) CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_late_buffer_ms        Nullable(UInt16) COMMENT 'fixed jitter buffer of the columns lost_late_*: packets later than this count as bad; NULL where no delay is known' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_late_bursts           Nullable(UInt32) COMMENT 'RFC 3611 4.7.2, Gmin 16, of packets lost or too late for that buffer' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_late_burst_packets    Nullable(UInt32) COMMENT 'packets inside these bursts' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_late_burst_bad        Nullable(UInt32) COMMENT 'lost or late packets inside them' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_late_gap_packets      Nullable(UInt32) COMMENT 'packets outside these bursts' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_late_gap_bad          Nullable(UInt32) COMMENT 'lost or late packets outside them' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_late_gap_periods      Nullable(UInt32) COMMENT 'stretches outside them' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_late_burst_ratio      Nullable(Float32) COMMENT 'BurstR of the lost and late packets' CODEC(ZSTD);
