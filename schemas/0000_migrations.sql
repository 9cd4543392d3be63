-- Which migrations were applied here. Written by the program, once per migration and applying program.

CREATE DATABASE IF NOT EXISTS {database} {on_cluster};

CREATE TABLE IF NOT EXISTS {database}.schema_migrations {on_cluster}
(
    version    UInt32,
    name       LowCardinality(String),
    applied_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = {engine}
ORDER BY version;
