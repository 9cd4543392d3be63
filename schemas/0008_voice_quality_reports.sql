-- What reports by SIP (RFC 6035) say beyond RTCP XR. One row for the reporter's own figures, one for those its peer told it.
--
-- Rows from before have no side and read NULL here; in those of the kind vq_report a figure that was not named reads 0.

ALTER TABLE {database}.rtcp_reports{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS vq_side                       LowCardinality(String) COMMENT 'local: the reporter measured it; remote: its peer did; empty: RTCP',
    ADD COLUMN IF NOT EXISTS vq_start_at                   Nullable(DateTime64(9, 'UTC')) CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS vq_stop_at                    Nullable(DateTime64(9, 'UTC')) CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS vq_one_way_delay_ms           Nullable(UInt16)  COMMENT 'OWD' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS vq_symmetric_one_way_delay_ms Nullable(UInt16)  COMMENT 'SOWD: from round trip and end systems' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS vq_interarrival_jitter_ms     Nullable(Float32) COMMENT 'IAJ' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS vq_mean_absolute_jitter_ms    Nullable(Float32) COMMENT 'MAJ' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS vq_r_cq                       Nullable(UInt8)   COMMENT 'RCQ; voip_r is RLQ' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS vq_external_r_out             Nullable(UInt8)   COMMENT 'EXTRO; voip_external_r is EXTRI' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS vq_described                  Map(LowCardinality(String), String) COMMENT 'kind of report, session description, algorithms: keys of RFC 6035, values as written' CODEC(ZSTD);
