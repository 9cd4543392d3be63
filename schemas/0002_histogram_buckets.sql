-- Bounds of the delay-variation histogram, so that a percentile is plain SQL over sumForEach(pdv).
--
-- Version 1: bucket 0 is [0, 65.536 us), buckets 1..128 are eight per octave from 2^16 ns, bucket 129 is the rest.
-- `middle_ms` is what a bucket is read back as: the geometric middle, half of bucket 0, the lower bound of the last.

CREATE VIEW IF NOT EXISTS {database}.histogram_buckets {on_cluster} AS
WITH
    [0, 23, 48, 76, 106, 139, 175, 215] AS steps,
    n -> if(n = 0, toUInt64(0), bitShiftLeft(toUInt64(256 + steps[(n - 1) % 8 + 1]), toUInt8(8 + intDiv(n - 1, 8)))) AS lower
SELECT
    toUInt8(1) AS version,
    toUInt8(number) AS bucket,
    lower(number) AS low_ns,
    if(number = 129, toUInt64(18446744073709551615), lower(number + 1)) AS high_ns,
    multiIf(number = 0, 32768., number = 129, toFloat64(low_ns), floor(sqrt(toFloat64(low_ns) * toFloat64(high_ns)))) / 1e6 AS middle_ms
FROM numbers(130);
