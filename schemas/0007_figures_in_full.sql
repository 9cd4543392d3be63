-- What only whole streams had: how far packets came behind their place, and the clock drift as it was known then. And the
-- figures of VoIP metrics (RFC 3611 section 4.7, RFC 6035) that were read and not kept.
--
-- Rows from before read NULL (unknown).

ALTER TABLE {database}.stream_intervals{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS reorder_extent Nullable(UInt32)  COMMENT 'farthest a packet came behind its place, in sequence numbers' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS drift_ppm      Nullable(Float32) COMMENT 'of the sender''s clock, from the start of the segment to the end of this interval; NULL when not known' CODEC(ZSTD);

ALTER TABLE {database}.rtcp_reports{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS voip_burst_density_pct      Nullable(Float32) COMMENT 'lost or discarded inside bursts' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS voip_gap_density_pct        Nullable(Float32) COMMENT 'lost or discarded outside bursts' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS voip_gmin                   Nullable(UInt8)   CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS voip_signal_dbm             Nullable(Int8)    COMMENT 'dBm0' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS voip_noise_dbm              Nullable(Int8)    COMMENT 'dBm0' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS voip_rerl_db                Nullable(UInt8)   COMMENT 'residual echo return loss' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS voip_external_r             Nullable(UInt8)   COMMENT 'of the segment outside the packet network' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS voip_rx_config              Nullable(UInt8)   COMMENT 'RFC 3611 section 4.7.6: concealment, adaptivity and rate of the jitter buffer' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS voip_jb_maximum_ms          Nullable(UInt16)  CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS voip_jb_absolute_maximum_ms Nullable(UInt16)  CODEC(ZSTD);
