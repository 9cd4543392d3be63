-- How good a call was: good, fair, poor, failed, not_answered or unrated. The probe writes it; rows from before are read by the
-- same rule, from the default.

ALTER TABLE {database}.calls{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS class LowCardinality(String) DEFAULT multiIf(
        hasAny(tupleElement(diagnoses, 1), ['setup_failed', 'no_response', 'no_media', 'one_way_media']), 'failed',
        state = 'cancelled' OR (state = 'failed' AND final_code IN (404, 480, 484, 486, 487, 600, 603, 604)), 'not_answered',
        state IN ('failed', 'setup_timeout'), 'failed',
        mos_worst < toFloat32(3.1) OR has(tupleElement(diagnoses, 1), 'media_interrupted'), 'poor',
        mos_worst < toFloat32(4.024) OR hasAny(tupleElement(diagnoses, 1), ['random_loss', 'bursty_loss', 'high_delay_variation', 'reordering', 'low_quality_codec', 'long_delay', 'slow_setup']), 'fair',
        mos_worst IS NULL, 'unrated',
        'good');
