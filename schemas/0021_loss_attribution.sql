-- Lost packets by cause. capture_lost, network_lost and undecided_lost add up to the packets lost; those of a call are the sums over its
-- streams. loss_source and loss_evidence stay: they name the majority. Rows from before read NULL.

ALTER TABLE {database}.calls{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS capture_lost Nullable(UInt64) COMMENT 'packets that the capture lost, of lost' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS network_lost Nullable(UInt64) COMMENT 'packets that the network lost' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS undecided_lost Nullable(UInt64) COMMENT 'lost packets without evidence for either' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_by_evidence Map(LowCardinality(String), UInt64) COMMENT 'lost packets by kind of evidence' CODEC(ZSTD);

ALTER TABLE {database}.streams{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS capture_lost Nullable(UInt64) COMMENT 'packets that the capture lost, of lost' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS network_lost Nullable(UInt64) COMMENT 'packets that the network lost' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS undecided_lost Nullable(UInt64) COMMENT 'lost packets without evidence for either' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_by_evidence Map(LowCardinality(String), UInt64) COMMENT 'lost packets by kind of evidence' CODEC(ZSTD);

ALTER TABLE {database}.stream_intervals{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS capture_lost Nullable(UInt64) COMMENT 'packets that the capture lost, of lost' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS network_lost Nullable(UInt64) COMMENT 'packets that the network lost' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS undecided_lost Nullable(UInt64) COMMENT 'lost packets without evidence for either' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS lost_by_evidence Map(LowCardinality(String), UInt64) COMMENT 'lost packets by kind of evidence' CODEC(ZSTD);

-- Of all packets of the interval: what the capture may have lost of them singly. NULL where too few far ends were measured.
ALTER TABLE {database}.capture_intervals{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS loss_floor_low_pct Nullable(Float32) COMMENT 'least share of all packets that the capture lost singly' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS loss_floor_high_pct Nullable(Float32) COMMENT 'largest share of all packets that the capture may have lost singly' CODEC(ZSTD);
