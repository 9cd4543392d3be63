-- The same columns on the tables that spread over the local ones. They fill in the time themselves, when they take a row.

ALTER TABLE {database}.calls {on_cluster}
    ADD COLUMN IF NOT EXISTS arrived_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC');

ALTER TABLE {database}.streams {on_cluster}
    ADD COLUMN IF NOT EXISTS arrived_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC');

ALTER TABLE {database}.stream_intervals {on_cluster}
    ADD COLUMN IF NOT EXISTS arrived_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC');

ALTER TABLE {database}.sip_messages {on_cluster}
    ADD COLUMN IF NOT EXISTS arrived_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC');

ALTER TABLE {database}.rtcp_reports {on_cluster}
    ADD COLUMN IF NOT EXISTS arrived_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC');

ALTER TABLE {database}.capture_intervals {on_cluster}
    ADD COLUMN IF NOT EXISTS arrived_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC');

ALTER TABLE {database}.stream_intervals {on_cluster}
    ADD COLUMN IF NOT EXISTS trunk_direction LowCardinality(String);
