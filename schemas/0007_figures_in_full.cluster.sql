-- The same columns on the tables that spread over the local ones.

ALTER TABLE {database}.stream_intervals {on_cluster}
    ADD COLUMN IF NOT EXISTS reorder_extent Nullable(UInt32),
    ADD COLUMN IF NOT EXISTS drift_ppm      Nullable(Float32);

ALTER TABLE {database}.rtcp_reports {on_cluster}
    ADD COLUMN IF NOT EXISTS voip_burst_density_pct      Nullable(Float32),
    ADD COLUMN IF NOT EXISTS voip_gap_density_pct        Nullable(Float32),
    ADD COLUMN IF NOT EXISTS voip_gmin                   Nullable(UInt8),
    ADD COLUMN IF NOT EXISTS voip_signal_dbm             Nullable(Int8),
    ADD COLUMN IF NOT EXISTS voip_noise_dbm              Nullable(Int8),
    ADD COLUMN IF NOT EXISTS voip_rerl_db                Nullable(UInt8),
    ADD COLUMN IF NOT EXISTS voip_external_r             Nullable(UInt8),
    ADD COLUMN IF NOT EXISTS voip_rx_config              Nullable(UInt8),
    ADD COLUMN IF NOT EXISTS voip_jb_maximum_ms          Nullable(UInt16),
    ADD COLUMN IF NOT EXISTS voip_jb_absolute_maximum_ms Nullable(UInt16);
