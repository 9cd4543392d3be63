-- Inserts and merges of wide tables in less memory.
--
-- A wide part keeps write buffers of about 2 MiB for each column while it is written: an insert of 10 MiB into `streams`
-- (139 columns) took 523 MiB, a merge 700 MiB. Below 64 MiB parts are now compact (one file for all columns: 30 MiB), and
-- larger ones are merged column by column (55 MiB).

ALTER TABLE {database}.calls{local} {on_cluster}
    MODIFY SETTING min_bytes_for_wide_part = 67108864, vertical_merge_algorithm_min_rows_to_activate = 1;

ALTER TABLE {database}.streams{local} {on_cluster}
    MODIFY SETTING min_bytes_for_wide_part = 67108864, vertical_merge_algorithm_min_rows_to_activate = 1;

ALTER TABLE {database}.stream_intervals{local} {on_cluster}
    MODIFY SETTING min_bytes_for_wide_part = 67108864, vertical_merge_algorithm_min_rows_to_activate = 1;

ALTER TABLE {database}.sip_messages{local} {on_cluster}
    MODIFY SETTING min_bytes_for_wide_part = 67108864, vertical_merge_algorithm_min_rows_to_activate = 1;

ALTER TABLE {database}.rtcp_reports{local} {on_cluster}
    MODIFY SETTING min_bytes_for_wide_part = 67108864, vertical_merge_algorithm_min_rows_to_activate = 1;

ALTER TABLE {database}.capture_intervals{local} {on_cluster}
    MODIFY SETTING min_bytes_for_wide_part = 67108864, vertical_merge_algorithm_min_rows_to_activate = 1;
