-- The tables everybody reads and writes on a cluster: each spreads over the `_local` tables of every shard.
--
-- Rows of one call meet on one shard; rows without a call spread by their own identity. {cluster} is the name of
-- the cluster in the servers' configuration, whose shards must have `internal_replication` set.

CREATE TABLE IF NOT EXISTS {database}.calls {on_cluster} AS {database}.calls_local
ENGINE = Distributed('{cluster}', '{database}', 'calls_local', cityHash64(call_uid));

CREATE TABLE IF NOT EXISTS {database}.streams {on_cluster} AS {database}.streams_local
ENGINE = Distributed('{cluster}', '{database}', 'streams_local', cityHash64(if(call_uid = 0, stream_id, call_uid)));

CREATE TABLE IF NOT EXISTS {database}.stream_intervals {on_cluster} AS {database}.stream_intervals_local
ENGINE = Distributed('{cluster}', '{database}', 'stream_intervals_local', cityHash64(if(call_uid = 0, stream_id, call_uid)));

CREATE TABLE IF NOT EXISTS {database}.sip_messages {on_cluster} AS {database}.sip_messages_local
ENGINE = Distributed('{cluster}', '{database}', 'sip_messages_local', cityHash64(call_uid));

CREATE TABLE IF NOT EXISTS {database}.rtcp_reports {on_cluster} AS {database}.rtcp_reports_local
ENGINE = Distributed('{cluster}', '{database}', 'rtcp_reports_local', cityHash64(if(call_uid = 0, row_id, call_uid)));

CREATE TABLE IF NOT EXISTS {database}.capture_intervals {on_cluster} AS {database}.capture_intervals_local
ENGINE = Distributed('{cluster}', '{database}', 'capture_intervals_local', row_id);
