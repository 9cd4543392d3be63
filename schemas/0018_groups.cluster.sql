-- The tables everybody reads and writes on a cluster. Sums of one trunk spread by their rows; the views fill the local tables.

CREATE TABLE IF NOT EXISTS {database}.media_groups {on_cluster} AS {database}.media_groups_local
ENGINE = Distributed('{cluster}', '{database}', 'media_groups_local', row_id);

CREATE TABLE IF NOT EXISTS {database}.media_groups_5m {on_cluster} AS {database}.media_groups_5m_local
ENGINE = Distributed('{cluster}', '{database}', 'media_groups_5m_local');

CREATE TABLE IF NOT EXISTS {database}.media_groups_1h {on_cluster} AS {database}.media_groups_1h_local
ENGINE = Distributed('{cluster}', '{database}', 'media_groups_1h_local');

CREATE TABLE IF NOT EXISTS {database}.call_groups {on_cluster} AS {database}.call_groups_local
ENGINE = Distributed('{cluster}', '{database}', 'call_groups_local', row_id);

CREATE TABLE IF NOT EXISTS {database}.call_groups_5m {on_cluster} AS {database}.call_groups_5m_local
ENGINE = Distributed('{cluster}', '{database}', 'call_groups_5m_local');

CREATE TABLE IF NOT EXISTS {database}.call_groups_1h {on_cluster} AS {database}.call_groups_1h_local
ENGINE = Distributed('{cluster}', '{database}', 'call_groups_1h_local');

ALTER TABLE {database}.calls {on_cluster}
    ADD COLUMN IF NOT EXISTS sdd_ms Nullable(Float64),
    ADD COLUMN IF NOT EXISTS trunk_direction LowCardinality(String);

ALTER TABLE {database}.calls {on_cluster}
    ADD COLUMN IF NOT EXISTS caller_reversed String MATERIALIZED '',
    ADD COLUMN IF NOT EXISTS callee_reversed String MATERIALIZED '',
    ADD COLUMN IF NOT EXISTS badness UInt16 MATERIALIZED 0;
