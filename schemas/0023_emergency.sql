-- Marks rows of emergency calls (`urn:service:sos` and configured numbers), which may be kept for another time than the rest
-- (docs/operations.md, "How long rows are kept"). Rows from before read false.

ALTER TABLE {database}.calls{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS emergency Bool DEFAULT false COMMENT 'to urn:service:sos or a configured number';

ALTER TABLE {database}.streams{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS emergency Bool DEFAULT false COMMENT 'of an emergency call';

ALTER TABLE {database}.stream_intervals{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS emergency Bool DEFAULT false COMMENT 'of an emergency call';

ALTER TABLE {database}.sip_messages{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS emergency Bool DEFAULT false COMMENT 'of an emergency call';

ALTER TABLE {database}.rtcp_reports{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS emergency Bool DEFAULT false COMMENT 'of an emergency call';
