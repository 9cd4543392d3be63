-- When a row became visible, by the clock of the store, and which way a stream goes, seen from its trunk.
--
-- `stored_at` is the clock of the probe, before the spool: after an outage of the store it is earlier than anybody could
-- read the row. Rows from before read 1970-01-01, which means unknown. A default of now64() alone would be computed anew at every
-- read of a part without the column; so old parts get the constant first, and the default is changed when that is done on every node. The
-- default is set back first, so that the step can be run again.

ALTER TABLE {database}.calls{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS arrived_at DateTime64(3, 'UTC') DEFAULT toDateTime64(0, 3, 'UTC') COMMENT 'when the row became visible, by the clock of the store; 1970-01-01 is unknown';

ALTER TABLE {database}.calls{local} {on_cluster}
    MODIFY COLUMN arrived_at DateTime64(3, 'UTC') DEFAULT toDateTime64(0, 3, 'UTC');

ALTER TABLE {database}.calls{local} {on_cluster} MATERIALIZE COLUMN arrived_at
    SETTINGS mutations_sync = 2, distributed_ddl_task_timeout = 3600;

ALTER TABLE {database}.calls{local} {on_cluster}
    MODIFY COLUMN arrived_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC');

ALTER TABLE {database}.streams{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS arrived_at DateTime64(3, 'UTC') DEFAULT toDateTime64(0, 3, 'UTC') COMMENT 'when the row became visible, by the clock of the store; 1970-01-01 is unknown';

ALTER TABLE {database}.streams{local} {on_cluster}
    MODIFY COLUMN arrived_at DateTime64(3, 'UTC') DEFAULT toDateTime64(0, 3, 'UTC');

ALTER TABLE {database}.streams{local} {on_cluster} MATERIALIZE COLUMN arrived_at
    SETTINGS mutations_sync = 2, distributed_ddl_task_timeout = 3600;

ALTER TABLE {database}.streams{local} {on_cluster}
    MODIFY COLUMN arrived_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC');

ALTER TABLE {database}.stream_intervals{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS arrived_at DateTime64(3, 'UTC') DEFAULT toDateTime64(0, 3, 'UTC') COMMENT 'when the row became visible, by the clock of the store; 1970-01-01 is unknown';

ALTER TABLE {database}.stream_intervals{local} {on_cluster}
    MODIFY COLUMN arrived_at DateTime64(3, 'UTC') DEFAULT toDateTime64(0, 3, 'UTC');

ALTER TABLE {database}.stream_intervals{local} {on_cluster} MATERIALIZE COLUMN arrived_at
    SETTINGS mutations_sync = 2, distributed_ddl_task_timeout = 3600;

ALTER TABLE {database}.stream_intervals{local} {on_cluster}
    MODIFY COLUMN arrived_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC');

ALTER TABLE {database}.sip_messages{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS arrived_at DateTime64(3, 'UTC') DEFAULT toDateTime64(0, 3, 'UTC') COMMENT 'when the row became visible, by the clock of the store; 1970-01-01 is unknown';

ALTER TABLE {database}.sip_messages{local} {on_cluster}
    MODIFY COLUMN arrived_at DateTime64(3, 'UTC') DEFAULT toDateTime64(0, 3, 'UTC');

ALTER TABLE {database}.sip_messages{local} {on_cluster} MATERIALIZE COLUMN arrived_at
    SETTINGS mutations_sync = 2, distributed_ddl_task_timeout = 3600;

ALTER TABLE {database}.sip_messages{local} {on_cluster}
    MODIFY COLUMN arrived_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC');

ALTER TABLE {database}.rtcp_reports{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS arrived_at DateTime64(3, 'UTC') DEFAULT toDateTime64(0, 3, 'UTC') COMMENT 'when the row became visible, by the clock of the store; 1970-01-01 is unknown';

ALTER TABLE {database}.rtcp_reports{local} {on_cluster}
    MODIFY COLUMN arrived_at DateTime64(3, 'UTC') DEFAULT toDateTime64(0, 3, 'UTC');

ALTER TABLE {database}.rtcp_reports{local} {on_cluster} MATERIALIZE COLUMN arrived_at
    SETTINGS mutations_sync = 2, distributed_ddl_task_timeout = 3600;

ALTER TABLE {database}.rtcp_reports{local} {on_cluster}
    MODIFY COLUMN arrived_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC');

ALTER TABLE {database}.capture_intervals{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS arrived_at DateTime64(3, 'UTC') DEFAULT toDateTime64(0, 3, 'UTC') COMMENT 'when the row became visible, by the clock of the store; 1970-01-01 is unknown';

ALTER TABLE {database}.capture_intervals{local} {on_cluster}
    MODIFY COLUMN arrived_at DateTime64(3, 'UTC') DEFAULT toDateTime64(0, 3, 'UTC');

ALTER TABLE {database}.capture_intervals{local} {on_cluster} MATERIALIZE COLUMN arrived_at
    SETTINGS mutations_sync = 2, distributed_ddl_task_timeout = 3600;

ALTER TABLE {database}.capture_intervals{local} {on_cluster}
    MODIFY COLUMN arrived_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC');

ALTER TABLE {database}.stream_intervals{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS trunk_direction LowCardinality(String) COMMENT 'from: the source is of the trunk; toward: the destination is; empty: no trunk, or a row from before';
