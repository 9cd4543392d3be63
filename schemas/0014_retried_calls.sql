-- The call whose challenge (401, 407) this call's INVITE answers, where it came too late to be one row with it. Rows from
-- before read NULL.

ALTER TABLE {database}.calls{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS retry_of Nullable(UInt64) COMMENT 'call_uid of the first attempt' CODEC(ZSTD);
