-- The tables everybody reads on a cluster; the views fill the local ones.

CREATE TABLE IF NOT EXISTS {database}.call_counts_5m {on_cluster} AS {database}.call_counts_5m_local
ENGINE = Distributed('{cluster}', '{database}', 'call_counts_5m_local');

CREATE TABLE IF NOT EXISTS {database}.call_counts_1h {on_cluster} AS {database}.call_counts_1h_local
ENGINE = Distributed('{cluster}', '{database}', 'call_counts_1h_local');
