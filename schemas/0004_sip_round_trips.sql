-- Round trips of SIP transactions between the probe and each side, a second witness beside those of RTCP.
--
-- Rows from before read NULL (unknown).

ALTER TABLE {database}.calls{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS sip_rtt_toward_caller_samples Nullable(UInt32) COMMENT 'requests towards the caller whose automatic answer was timed; NULL when none' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS sip_rtt_toward_caller_min_ms  Nullable(Float32) COMMENT 'request to answer at the probe, with the processing time of what answered' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS sip_rtt_toward_caller_max_ms  Nullable(Float32) CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS sip_rtt_toward_callee_samples Nullable(UInt32) COMMENT 'the same towards the callee' CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS sip_rtt_toward_callee_min_ms  Nullable(Float32) CODEC(ZSTD),
    ADD COLUMN IF NOT EXISTS sip_rtt_toward_callee_max_ms  Nullable(Float32) CODEC(ZSTD);
