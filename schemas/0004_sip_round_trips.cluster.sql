-- The same columns on the table that spreads over the local ones.

ALTER TABLE {database}.calls {on_cluster}
    ADD COLUMN IF NOT EXISTS sip_rtt_toward_caller_samples Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS sip_rtt_toward_caller_min_ms  Nullable(Float32),
    ADD COLUMN IF NOT EXISTS sip_rtt_toward_caller_max_ms  Nullable(Float32),
    ADD COLUMN IF NOT EXISTS sip_rtt_toward_callee_samples Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS sip_rtt_toward_callee_min_ms  Nullable(Float32),
    ADD COLUMN IF NOT EXISTS sip_rtt_toward_callee_max_ms  Nullable(Float32);
