-- The table everybody reads and writes on a cluster.

CREATE TABLE IF NOT EXISTS {database}.alerts {on_cluster} AS {database}.alerts_local
ENGINE = Distributed('{cluster}', '{database}', 'alerts_local', row_id);
