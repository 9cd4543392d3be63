-- Calls, streams, intervals and their evidence.
--
-- {database}, {on_cluster}, {local} and {engine} are filled in by the program; nothing else differs between the
-- embedded engine, a server and a cluster. {local} is empty, or `_local` on a cluster, where a table of the plain
-- name spreads over the local ones (0001_spine.cluster.sql). Times are UTC. A value that could not be known is NULL,
-- never 0.
-- Rows are kept for a time that counts from `stored_at`, so a capture from last year stays; partitions
-- follow `stored_at` too, so one batch is one partition and an expired day is dropped whole.
-- An insert is synced before it is acknowledged, because its spool segment is removed then.
-- `row_id` is the identity of a row: a batch delivered twice past the deduplication window still shows.

CREATE DATABASE IF NOT EXISTS {database} {on_cluster};

CREATE TABLE IF NOT EXISTS {database}.calls{local} {on_cluster}
(
    stored_at          DateTime('UTC') CODEC(Delta, ZSTD),
    probe              LowCardinality(String),
    site               LowCardinality(String),
    trunk              LowCardinality(String)  COMMENT 'configured name of the far side, empty if none',
    call_uid           UInt64                  COMMENT 'identity of the call, shown as 16 hex digits',
    call_id            String CODEC(ZSTD),
    caller_uri         String CODEC(ZSTD),
    caller_user        String CODEC(ZSTD),
    caller_name        String CODEC(ZSTD),
    caller_agent       LowCardinality(String),
    callee_uri         String CODEC(ZSTD),
    callee_user        String CODEC(ZSTD),
    callee_name        String CODEC(ZSTD),
    callee_agent       LowCardinality(String),
    state              LowCardinality(String),
    final_code         UInt16                  COMMENT 'last final status of the initial INVITE, 0 if none',
    final_reason       LowCardinality(String),
    transport          LowCardinality(String),
    signalling_src_ip  Nullable(IPv6),
    signalling_src_port UInt16,
    signalling_dst_ip  Nullable(IPv6),
    signalling_dst_port UInt16,
    first_at           DateTime64(9, 'UTC') CODEC(Delta, ZSTD),
    last_at            DateTime64(9, 'UTC') CODEC(Delta, ZSTD),
    invite_at          Nullable(DateTime64(9, 'UTC')),
    ringing_at         Nullable(DateTime64(9, 'UTC')),
    answered_at        Nullable(DateTime64(9, 'UTC')),
    ended_at           Nullable(DateTime64(9, 'UTC')),
    pdd_ms             Nullable(Float64)       COMMENT 'INVITE to the first answer that is not 100',
    setup_ms           Nullable(Float64)       COMMENT 'INVITE to 2xx',
    duration_ms        Nullable(Float64)       COMMENT '2xx to the end',
    released_by        LowCardinality(String),
    release_reason     String,
    reinvites          UInt32,
    auth_rounds        UInt32,
    retransmissions    UInt32,
    messages           UInt32,
    messages_dropped   UInt32,
    branches           UInt32,
    acked              Bool,
    started_mid_call   Bool,
    directions_seen    UInt8,
    streams            Array(UInt64),
    mos_worst          Nullable(Float32)       COMMENT 'lowest listening MOS of its streams, on mos_scale',
    mos_scale          LowCardinality(String)  COMMENT 'nb, wb or fb; empty when withheld',
    pdv_p95_worst_ms   Nullable(Float32),
    loss_pct_worst     Nullable(Float32),
    loss_source        LowCardinality(String),
    diagnosis          LowCardinality(String)  COMMENT 'first code of the verdict, empty when nothing was wrong',
    diagnoses          Array(Tuple(String, Float32, String)) COMMENT 'code, confidence 0..1, evidence; worst first',
    row_id             UInt64,
    INDEX by_call_id call_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_caller caller_user TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_callee callee_user TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_uid call_uid TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = {engine}
PARTITION BY toDate(stored_at)
ORDER BY (first_at, call_uid)
TTL stored_at + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, replicated_deduplication_window = 10000, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS {database}.streams{local} {on_cluster}
(
    stored_at          DateTime('UTC') CODEC(Delta, ZSTD),
    probe              LowCardinality(String),
    site               LowCardinality(String),
    trunk              LowCardinality(String),
    stream_id          UInt64,
    call_uid           UInt64                  COMMENT '0 when no call was seen',
    call_id            String CODEC(ZSTD),
    src_ip             IPv6,
    src_port           UInt16,
    dst_ip             IPv6,
    dst_port           UInt16,
    ssrc               UInt32,
    codec              LowCardinality(String),
    clock_rate         Nullable(UInt32),
    clock_source       LowCardinality(String),
    payload_types      Array(Tuple(UInt8, UInt64)) COMMENT 'payload type and its packets, most frequent first',
    ptime_ms           Nullable(Float32),
    first_at           DateTime64(9, 'UTC') CODEC(Delta, ZSTD),
    last_at            DateTime64(9, 'UTC') CODEC(Delta, ZSTD),
    packets            UInt64 CODEC(T64, ZSTD),
    unique_packets     UInt64 CODEC(T64, ZSTD),
    expected           UInt64 CODEC(T64, ZSTD),
    lost               UInt64 CODEC(T64, ZSTD),
    duplicates_probe   UInt64,
    duplicates_network UInt64,
    reordered          UInt64,
    reorder_extent     UInt32,
    restarts           UInt32,
    strays             UInt64,
    sent_elsewhere     UInt64,
    loss_runs          Array(UInt32)           COMMENT 'runs of 1..9, 10-19, 20-49, 50-99, 100-499, 500+ lost packets',
    longest_loss_run   UInt32,
    jitter_last_ms     Nullable(Float32),
    jitter_mean_ms     Nullable(Float32),
    jitter_max_ms      Nullable(Float32),
    pdv                Array(UInt32) COMMENT 'delay-variation histogram; bounds by histogram_version' CODEC(ZSTD),
    histogram_version  UInt8,
    pdv_p50_ms         Nullable(Float32),
    pdv_p95_ms         Nullable(Float32),
    pdv_p99_ms         Nullable(Float32),
    pdv_max_ms         Nullable(Float32),
    late               Array(UInt64)           COMMENT 'packets too late for fixed buffers of 20, 40, 60, 80, 100, 150, 200 ms',
    max_gap_ms         Nullable(Float32),
    drift_ppm          Nullable(Float32),
    payload_bytes      UInt64,
    telephone_events   UInt64,
    comfort_noise      UInt64,
    dscp               UInt8,
    dscp_changes       UInt32,
    ttl_min            UInt8,
    ttl_max            UInt8,
    vlan               UInt16,
    tunnel             LowCardinality(String),
    rtt_ms             Nullable(Float32),
    r                  Nullable(Float32),
    mos_lq             Nullable(Float32),
    mos_cq             Nullable(Float32),
    mos_scale          LowCardinality(String),
    mos_null_reason    LowCardinality(String),
    mos_worst_interval Nullable(Float32),
    ie                 Nullable(Float32),
    bpl                Nullable(Float32),
    burst_ratio        Nullable(Float32),
    effective_loss_pct Nullable(Float32),
    codec_status       LowCardinality(String),
    delay_source       LowCardinality(String),
    capture_drops      UInt64,
    one_sided          Bool,
    snap_cut           Bool,
    started_mid_call   Bool,
    clock_steps        UInt32,
    timestamp_resolution_ns UInt32,
    loss_source        LowCardinality(String),
    row_id             UInt64,
    INDEX by_stream stream_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_call call_uid TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = {engine}
PARTITION BY toDate(stored_at)
ORDER BY (first_at, stream_id)
TTL stored_at + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, replicated_deduplication_window = 10000, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS {database}.stream_intervals{local} {on_cluster}
(
    stored_at          DateTime('UTC') CODEC(Delta, ZSTD),
    probe              LowCardinality(String),
    site               LowCardinality(String),
    trunk              LowCardinality(String),
    codec              LowCardinality(String),
    start_at           DateTime('UTC') CODEC(Delta, ZSTD),
    length_ms          UInt32,
    stream_id          UInt64,
    call_uid           UInt64,
    call_id            String CODEC(ZSTD),
    src_ip             IPv6 CODEC(ZSTD),
    src_port           UInt16,
    dst_ip             IPv6 CODEC(ZSTD),
    dst_port           UInt16,
    ssrc               UInt32,
    packets            UInt32 CODEC(T64, ZSTD),
    unique_packets     UInt32 CODEC(T64, ZSTD),
    expected           UInt32 CODEC(T64, ZSTD),
    lost               UInt32 CODEC(T64, ZSTD),
    duplicates_probe   UInt32,
    duplicates_network UInt32,
    reordered          UInt32,
    restarts           UInt32,
    loss_runs          Array(UInt32) CODEC(ZSTD),
    longest_loss_run   UInt32,
    jitter_last_ms     Nullable(Float32),
    jitter_mean_ms     Nullable(Float32),
    jitter_max_ms      Nullable(Float32),
    pdv                Array(UInt32) CODEC(ZSTD),
    histogram_version  UInt8,
    pdv_max_ms         Nullable(Float32),
    late               Array(UInt32) CODEC(ZSTD),
    max_gap_ms         Nullable(Float32),
    payload_bytes      UInt64,
    r                  Nullable(Float32),
    mos_lq             Nullable(Float32),
    mos_cq             Nullable(Float32),
    mos_scale          LowCardinality(String),
    mos_null_reason    LowCardinality(String),
    burst_ratio        Nullable(Float32),
    capture_drops      UInt64,
    one_sided          Bool,
    snap_cut           Bool,
    loss_source        LowCardinality(String),
    row_id             UInt64,
    INDEX by_stream stream_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_call call_uid TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = {engine}
PARTITION BY toDate(stored_at)
ORDER BY (start_at, trunk, codec, stream_id)
TTL stored_at + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000, replicated_deduplication_window = 10000, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS {database}.sip_messages{local} {on_cluster}
(
    stored_at          DateTime('UTC') CODEC(Delta, ZSTD),
    probe              LowCardinality(String),
    site               LowCardinality(String),
    at                 DateTime64(9, 'UTC') CODEC(Delta, ZSTD),
    call_uid           UInt64,
    call_id            String CODEC(ZSTD),
    src_ip             IPv6,
    src_port           UInt16,
    dst_ip             IPv6,
    dst_port           UInt16,
    transport          LowCardinality(String),
    direction          LowCardinality(String),
    method             LowCardinality(String),
    status             UInt16,
    reason             LowCardinality(String),
    cseq               UInt32,
    retransmission     Bool,
    headers            String CODEC(ZSTD(3)),
    sdp                String CODEC(ZSTD(3)),
    cut_short          Bool,
    row_id             UInt64,
    INDEX by_call_id call_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = {engine}
PARTITION BY toDate(stored_at)
ORDER BY (call_uid, at)
TTL stored_at + INTERVAL 7 DAY
SETTINGS non_replicated_deduplication_window = 10000, replicated_deduplication_window = 10000, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS {database}.rtcp_reports{local} {on_cluster}
(
    stored_at          DateTime('UTC') CODEC(Delta, ZSTD),
    probe              LowCardinality(String),
    site               LowCardinality(String),
    at                 DateTime64(9, 'UTC') CODEC(Delta, ZSTD),
    src_ip             IPv6,
    src_port           UInt16,
    dst_ip             IPv6,
    dst_port           UInt16,
    kind               LowCardinality(String),
    reporter_ssrc      UInt32,
    call_uid           UInt64                  COMMENT '0 when no call was seen',
    stream_id          UInt64                  COMMENT 'stream the report is about, 0 when it was not seen',
    ntp                Nullable(UInt64),
    rtp_timestamp      Nullable(UInt32),
    sent_packets       Nullable(UInt32),
    sent_octets        Nullable(UInt32),
    about_ssrc         Nullable(UInt32),
    fraction_lost_pct  Nullable(Float32),
    cumulative_lost    Nullable(Int32),
    highest_seq        Nullable(UInt32),
    jitter_ticks       Nullable(UInt32),
    rtt_probe_reporter_ms Nullable(Float32),
    voip_loss_pct      Nullable(Float32),
    voip_discard_pct   Nullable(Float32),
    voip_burst_ms      Nullable(UInt16),
    voip_gap_ms        Nullable(UInt16),
    voip_round_trip_ms Nullable(UInt16),
    voip_end_system_ms Nullable(UInt16),
    voip_r             Nullable(UInt8),
    voip_mos_lq        Nullable(Float32),
    voip_mos_cq        Nullable(Float32),
    voip_jb_nominal_ms Nullable(UInt16),
    implausible        LowCardinality(String)  COMMENT 'why the report is not believed, empty when plausible',
    row_id             UInt64
)
ENGINE = {engine}
PARTITION BY toDate(stored_at)
ORDER BY (call_uid, at)
TTL stored_at + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000, replicated_deduplication_window = 10000, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS {database}.capture_intervals{local} {on_cluster}
(
    stored_at          DateTime('UTC') CODEC(Delta, ZSTD),
    probe              LowCardinality(String),
    site               LowCardinality(String),
    start_at           DateTime('UTC') CODEC(Delta, ZSTD),
    length_ms          UInt32,
    interface          LowCardinality(String),
    frames             UInt64,
    bytes              UInt64,
    dropped_ring       UInt64,
    dropped_interface  UInt64,
    dropped_queue      UInt64,
    outcomes           Map(LowCardinality(String), UInt64),
    row_id             UInt64
)
ENGINE = {engine}
PARTITION BY toDate(stored_at)
ORDER BY (start_at, probe, interface)
TTL stored_at + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, replicated_deduplication_window = 10000, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1;
