//! The functions a reader may call.
//!
//! A function is listed if it computes its result from its arguments alone, in time and memory in proportion to them,
//! or says what a client asks for when it connects. Not listed: what reads files, dictionaries, models, other tables,
//! settings or the host; what takes code, a format or a data type as a computed string; what waits or logs; what costs
//! more than its arguments are long.

use std::collections::HashMap;
use std::sync::OnceLock;

/// Functions of one row, spelled as the engine spells them.
pub const PLAIN: &str = "
    abs accurateCast accurateCastOrDefault accurateCastOrNull acos acosh addDate addDays addHours addInterval
    addMicroseconds addMilliseconds addMinutes addMonths addNanoseconds addQuarters addSeconds addWeeks addYears age
    alphaTokens and appendTrailingCharIfAbsent array arrayAll arrayAvg arrayCompact arrayConcat arrayCount arrayCumSum
    arrayCumSumNonNegative arrayDifference arrayDistinct arrayDotProduct arrayElement arrayElementOrNull arrayEnumerate
    arrayEnumerateDense arrayEnumerateUniq arrayExists arrayFill arrayFilter arrayFirst arrayFirstIndex
    arrayFirstOrNull arrayFlatten arrayIntersect arrayJoin arrayLast arrayLastIndex arrayLastOrNull arrayMap arrayMax
    arrayMin arrayPopBack arrayPopFront arrayProduct arrayPushBack arrayPushFront arrayResize arrayReverse
    arrayReverseFill arrayReverseSort arrayReverseSplit arrayRotateLeft arrayRotateRight arrayShiftLeft arrayShiftRight
    arraySlice arraySort arraySplit arrayStringConcat arraySum arrayUniq arrayWithConstant arrayZip arrayZipUnaligned
    ascii asin asinh assumeNotNull atan atan2 atanh bar base64Decode base64Encode bin bitAnd bitCount bitHammingDistance
    bitNot bitOr bitRotateLeft bitRotateRight bitShiftLeft bitShiftRight bitTest bitXor bitmaskToArray bitmaskToList
    byteSize byteSwap CAST cbrt ceil ceiling char CHARACTER_LENGTH CHAR_LENGTH cityHash64 clamp coalesce concat
    concatWithSeparator concat_ws conv cos cosh countDigits countEqual countSubstrings countSubstringsCaseInsensitive
    CRC32 CRC64 curdate currentDatabase currentUser current_date current_timestamp cutFragment cutIPv6 cutQueryString
    cutQueryStringAndFragment cutToFirstSignificantSubdomain cutURLParameter cutWWW DATABASE DATE dateDiff dateName
    dateTrunc DATE_DIFF date_diff DATE_FORMAT DATE_TRUNC DAY DAYOFMONTH DAYOFWEEK DAYOFYEAR decodeURLComponent degrees
    digits displayName divide divideDecimal divideOrNull domain domainWithoutWWW e empty emptyArrayDate
    emptyArrayDateTime emptyArrayFloat32 emptyArrayFloat64 emptyArrayInt16 emptyArrayInt32 emptyArrayInt64
    emptyArrayInt8 emptyArrayString emptyArrayUInt16 emptyArrayUInt32 emptyArrayUInt64 emptyArrayUInt8
    encodeURLComponent endsWith endsWithCaseInsensitive endsWithUTF8 equals erf erfc exp exp10 exp2 extract extractAll
    extractURLParameter extractURLParameterNames extractURLParameters factorial farmFingerprint64 farmHash64
    finalizeAggregation firstSignificantSubdomain flatten floor format formatDateTime formatReadableDecimalSize
    formatReadableQuantity formatReadableSize formatReadableTimeDelta fragment FROM_UNIXTIME fromUnixTimestamp
    fromUnixTimestamp64Micro fromUnixTimestamp64Milli fromUnixTimestamp64Nano fromUnixTimestamp64Second
    fromUTCTimestamp gcd generateUUIDv4 greatCircleDistance greater greaterOrEquals greatest halfMD5 has hasAll hasAny
    hasSubsequence hasToken hasTokenCaseInsensitive hex HOUR hypot identity if ifNotFinite ifNull ignore ilike indexHint
    indexOf initcap INET_ATON INET_NTOA INET6_ATON INET6_NTOA instr intDiv intDivOrNull intDivOrZero intExp10 intExp2
    intHash32 intHash64 IPv4CIDRToRange IPv4NumToString IPv4NumToStringClassC IPv4StringToNum IPv4StringToNumOrDefault
    IPv4StringToNumOrNull IPv4ToIPv6 IPv6CIDRToRange IPv6NumToString IPv6StringToNum IPv6StringToNumOrDefault
    IPv6StringToNumOrNull isDistinctFrom isFinite isInfinite isIPAddressInRange isIPv4String isIPv6String isNaN
    isNotDistinctFrom isNotNull isNull isNullable isValidJSON isValidUTF8 isZeroOrNull javaHash JSONArrayLength
    JSONExtractArrayRaw JSONExtractBool JSONExtractFloat JSONExtractInt JSONExtractKeys JSONExtractKeysAndValuesRaw
    JSONExtractRaw JSONExtractString JSONExtractUInt JSONHas JSONKey JSONLength JSONType LAST_DAY lcase lcm least left
    leftPad leftPadUTF8 leftUTF8 length lengthUTF8 less lessOrEquals lgamma like ln locate log log10 log1p log2 lower
    lowerUTF8 lpad ltrim makeDate makeDate32 makeDateTime makeDateTime64 map mapAdd mapConcat mapContains
    mapContainsKey mapContainsValue mapFilter mapFromArrays mapKeys mapSort mapUpdate mapValues match materialize max2
    MD5 mid min2 minus MINUTE mod modulo moduloOrNull moduloOrZero MONTH monthName multiIf multiply multiplyDecimal
    murmurHash2_32 murmurHash2_64 murmurHash3_32 murmurHash3_64 negate netloc not notEmpty notEquals notILike notLike
    now now64 nullIf OCTET_LENGTH or parseDateTime parseDateTime32BestEffort parseDateTime32BestEffortOrNull
    parseDateTime32BestEffortOrZero parseDateTime64BestEffort parseDateTime64BestEffortOrNull
    parseDateTime64BestEffortOrZero parseDateTimeBestEffort parseDateTimeBestEffortOrNull
    parseDateTimeBestEffortOrZero parseDateTimeOrNull parseDateTimeOrZero parseReadableSize parseReadableSizeOrNull
    parseReadableSizeOrZero parseTimeDelta path pathFull pi plus pmod port position positionCaseInsensitive
    positionCaseInsensitiveUTF8 positionUTF8 positiveModulo pow power protocol QUARTER queryString
    queryStringAndFragment radians rand rand32 rand64 randCanonical range regexpExtract REGEXP_EXTRACT REGEXP_MATCHES
    REGEXP_REPLACE reinterpretAsInt64 reinterpretAsUInt64 repeat replace replaceAll replaceOne replaceRegexpAll
    replaceRegexpOne reverse reverseUTF8 revision right rightPad rightPadUTF8 rightUTF8 round roundAge roundBankers
    roundDown roundDuration roundToExp2 rowNumberInAllBlocks rowNumberInBlock rpad rtrim SCHEMA SECOND serverTimezone
    SHA1 SHA224 SHA256 SHA512 sigmoid sign simpleJSONExtractBool simpleJSONExtractFloat simpleJSONExtractInt
    simpleJSONExtractRaw simpleJSONExtractString simpleJSONExtractUInt simpleJSONHas sin sinh sipHash128 sipHash64
    space splitByChar splitByRegexp splitByString splitByWhitespace sqrt startsWith startsWithCaseInsensitive
    startsWithUTF8 str_to_map subDate substr substring substringIndex substringUTF8 SUBSTRING_INDEX subtractDays
    subtractHours subtractInterval subtractMicroseconds subtractMilliseconds subtractMinutes subtractMonths
    subtractNanoseconds subtractQuarters subtractSeconds subtractWeeks subtractYears tan tanh tgamma timeDiff
    TIMESTAMP_DIFF timeSlot timezone timeZone timezoneOf timezoneOffset timeZoneOf timeZoneOffset toBool toColumnTypeName
    toDate toDate32 toDate32OrDefault toDate32OrNull toDate32OrZero toDateOrDefault toDateOrNull toDateOrZero toDateTime
    toDateTime32 toDateTime64 toDateTime64OrDefault toDateTime64OrNull toDateTime64OrZero toDateTimeOrDefault
    toDateTimeOrNull toDateTimeOrZero toDayOfMonth toDayOfWeek toDayOfYear toDaysInMonth toDecimal128 toDecimal32
    toDecimal64 toDecimalString toFixedString toFloat32 toFloat32OrDefault toFloat32OrNull toFloat32OrZero toFloat64
    toFloat64OrDefault toFloat64OrNull toFloat64OrZero toHour toIPv4 toIPv4OrDefault toIPv4OrNull toIPv4OrZero toIPv6
    toIPv6OrDefault toIPv6OrNull toIPv6OrZero toISOWeek toISOYear toInt128 toInt16 toInt16OrDefault toInt16OrNull
    toInt16OrZero toInt256 toInt32 toInt32OrDefault toInt32OrNull toInt32OrZero toInt64 toInt64OrDefault toInt64OrNull
    toInt64OrZero toInt8 toInt8OrDefault toInt8OrNull toInt8OrZero toIntervalDay toIntervalHour toIntervalMicrosecond
    toIntervalMillisecond toIntervalMinute toIntervalMonth toIntervalNanosecond toIntervalQuarter toIntervalSecond
    toIntervalWeek toIntervalYear toJSONString toLastDayOfMonth toLastDayOfWeek toLowCardinality toMicrosecond
    toMillisecond toMinute toMonday toMonth toNanosecond toNullable toQuarter toRelativeDayNum toRelativeHourNum
    toRelativeMinuteNum toRelativeMonthNum toRelativeQuarterNum toRelativeSecondNum toRelativeWeekNum
    toRelativeYearNum toSecond toStartOfDay toStartOfFifteenMinutes toStartOfFiveMinute toStartOfFiveMinutes
    toStartOfHour toStartOfISOYear toStartOfInterval toStartOfMicrosecond toStartOfMillisecond toStartOfMinute
    toStartOfMonth toStartOfNanosecond toStartOfQuarter toStartOfSecond toStartOfTenMinutes toStartOfWeek toStartOfYear
    toString toStringCutToZero toTime toTimeZone toTimezone toTypeName toUInt128 toUInt16 toUInt16OrDefault
    toUInt16OrNull toUInt16OrZero toUInt256 toUInt32 toUInt32OrDefault toUInt32OrNull toUInt32OrZero toUInt64
    toUInt64OrDefault toUInt64OrNull toUInt64OrZero toUInt8 toUInt8OrDefault toUInt8OrNull toUInt8OrZero toUTCTimestamp
    toUUID toUUIDOrDefault toUUIDOrNull toUUIDOrZero toUnixTimestamp toUnixTimestamp64Micro toUnixTimestamp64Milli
    toUnixTimestamp64Nano toUnixTimestamp64Second toValidUTF8 toWeek toYYYYMM toYYYYMMDD toYYYYMMDDhhmmss toYear
    toYearWeek today topLevelDomain TO_UNIXTIME transform translate trim trimBoth trimLeft trimRight trunc truncate tuple
    tupleConcat tupleElement tupleHammingDistance tupleMinus tupleNames tuplePlus ucase unbin unhex upper upperUTF8
    uptime user UTCTimestamp UUIDNumToString UUIDStringToNum version visibleWidth WEEK widthBucket xor xxHash32 xxHash64
    YEAR yesterday";

/// Aggregate functions; [`COMBINATORS`] may follow their names.
pub const AGGREGATES: &str = "
    any anyHeavy anyLast anyLastRespectNulls anyRespectNulls any_value approx_top_count approx_top_k approx_top_sum
    argMax argMin array_agg array_concat_agg avg avgWeighted boundingRatio contingency corr corrStable count covarPop
    covarPopStable covarSamp covarSampStable cramersV cramersVBiasCorrected deltaSum deltaSumTimestamp entropy
    exponentialMovingAverage exponentialTimeDecayedAvg exponentialTimeDecayedCount exponentialTimeDecayedMax
    exponentialTimeDecayedSum first_value first_value_respect_nulls groupArray groupArrayInsertAt groupArrayIntersect
    groupArrayLast groupArrayMovingAvg groupArrayMovingSum groupArraySample groupArraySorted groupBitAnd groupBitOr
    groupBitXor groupConcat groupUniqArray group_concat histogram intervalLengthSum kurtPop
    kurtSamp largestTriangleThreeBuckets last_value last_value_respect_nulls lttb mannWhitneyUTest max maxIntersections
    maxIntersectionsPosition max_by meanZTest median medianBFloat16 medianDD medianDeterministic medianExact
    medianExactHigh medianExactLow medianExactWeighted medianGK medianInterpolatedWeighted medianTDigest
    medianTDigestWeighted medianTiming medianTimingWeighted min min_by quantile quantileBFloat16 quantileDD
    quantileDeterministic quantileExact quantileExactExclusive quantileExactHigh quantileExactInclusive quantileExactLow
    quantileExactWeighted quantileExactWeightedInterpolated quantileGK quantileInterpolatedWeighted
    quantilePrometheusHistogram quantileTDigest quantileTDigestWeighted quantileTiming quantileTimingWeighted quantiles
    quantilesBFloat16 quantilesDD quantilesDeterministic quantilesExact quantilesExactExclusive quantilesExactHigh
    quantilesExactInclusive quantilesExactLow quantilesExactWeighted quantilesExactWeightedInterpolated quantilesGK
    quantilesInterpolatedWeighted quantilesPrometheusHistogram quantilesTDigest quantilesTDigestWeighted quantilesTiming
    quantilesTimingWeighted rankCorr retention sequenceCount sequenceMatch simpleLinearRegression singleValueOrNull
    skewPop skewSamp sparkbar STD STDDEV stddevPop stddevPopStable stddevSamp stddevSampStable STDDEV_POP STDDEV_SAMP
    string_agg studentTTest studentTTestOneSample sum sumCount sumKahan sumMapFiltered sumMapWithOverflow
    sumMappedArrays sumWithOverflow theilsU topK topKWeighted uniq uniqCombined uniqCombined64 uniqExact uniqHLL12
    uniqUpTo varPop varPopStable varSamp varSampStable VAR_POP VAR_SAMP welchTTest windowFunnel";

/// Functions of a window only.
pub const WINDOW: &str = "
    cume_dist dense_rank lag lagInFrame lead leadInFrame nth_value ntile percent_rank rank row_number
    exponentialTimeDecayedAvg nonNegativeDerivative";

/// Suffixes of aggregate functions.
pub const COMBINATORS: &[&str] = &[
    "ArgMax",
    "ArgMin",
    "Array",
    "Distinct",
    "ForEach",
    "If",
    "Map",
    "Merge",
    "OrDefault",
    "OrNull",
    "Resample",
    "SimpleState",
    "State",
    "Tuple",
];

/// Most suffixes of one name.
const MOST_COMBINATORS: usize = 4;

/// What a name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    No,
    Unrestricted(&'static str),
    /// An aggregate function, with its combinators in the order written.
    Aggregate(&'static str, Vec<&'static str>),
    Window(&'static str),
}

/// Looks a name up, in any case; with combinators in the exact case.
pub fn listed(name: &str) -> Listed {
    let tables = tables();
    if let Some(found) = tables.exact.get(name) {
        return Listed::Unrestricted(found);
    }
    let lower = name.to_ascii_lowercase();
    if let Some(found) = tables.aggregates.get(&lower) {
        return Listed::Aggregate(found, Vec::new());
    }
    if let Some(found) = tables.plain.get(&lower) {
        return Listed::Unrestricted(found);
    }
    if let Some(found) = tables.window.get(&lower) {
        return Listed::Window(found);
    }
    match combined(name, MOST_COMBINATORS) {
        Some((base, suffixes)) => Listed::Aggregate(base, suffixes),
        None => Listed::No,
    }
}

fn combined(name: &str, left: usize) -> Option<(&'static str, Vec<&'static str>)> {
    let known =
        |base: &str| tables().aggregates.get(&base.to_ascii_lowercase()).filter(|known| **known == base).copied();
    if let Some(base) = known(name) {
        return Some((base, Vec::new()));
    }
    if left == 0 {
        return None;
    }
    COMBINATORS.iter().find_map(|suffix| {
        let (base, mut suffixes) = combined(name.strip_suffix(suffix)?, left - 1)?;
        suffixes.push(suffix);
        Some((base, suffixes))
    })
}

/// How many leading arguments of a function are free. The arguments after them have to be literals, because one of
/// them is a time zone (`file:/path` opens a file of any path) or a data type. `None`: all are free.
pub fn free_arguments(name: &str) -> Option<usize> {
    let one = [
        "accurateCast",
        "accurateCastOrDefault",
        "accurateCastOrNull",
        "CAST",
        "DATE",
        "DATE_FORMAT",
        "DAY",
        "DAYOFMONTH",
        "DAYOFWEEK",
        "DAYOFYEAR",
        "formatDateTime",
        "FROM_UNIXTIME",
        "HOUR",
        "LAST_DAY",
        "MINUTE",
        "MONTH",
        "monthName",
        "QUARTER",
        "SECOND",
        "timeSlot",
        "timezoneOf",
        "timezoneOffset",
        "timeZoneOf",
        "timeZoneOffset",
        "TO_UNIXTIME",
        "WEEK",
        "YEAR",
    ];
    let zero = [
        "curdate",
        "current_date",
        "current_timestamp",
        "now",
        "now64",
        "serverTimezone",
        "timezone",
        "timeZone",
        "today",
        "UTCTimestamp",
        "yesterday",
    ];
    let three = ["age", "dateDiff", "DATE_DIFF", "date_diff", "TIMESTAMP_DIFF"];
    match name {
        "dateName" | "dateTrunc" | "DATE_TRUNC" | "toStartOfInterval" => Some(2),
        "makeDateTime" | "makeDateTime64" => Some(6),
        "toDecimalString" | "toFixedString" | "toJSONString" | "toTypeName" | "toValidUTF8" | "toColumnTypeName" => {
            None
        }
        name if zero.contains(&name) => Some(0),
        name if three.contains(&name) => Some(3),
        name if ["add", "subtract", "subDate"].iter().any(|start| name.starts_with(start)) => Some(2),
        name if one.contains(&name) => Some(1),
        // Every conversion and every part of a date takes a time zone last.
        name if ["to", "from", "parseDateTime"].iter().any(|start| name.starts_with(start)) => {
            let converts_free =
                name.starts_with("toInterval") || name.ends_with("OrDefault") && name.starts_with("toIPv");
            (!converts_free).then_some(1)
        }
        _ => None,
    }
}

/// Functions that search for one of their arguments, or match it, at a cost that grows with the product of both lengths:
/// it has to be a short literal. The place of that argument, from 0.
pub fn short_needle_at(name: &str) -> Option<usize> {
    match name {
        "locate" | "splitByString" | "splitByRegexp" => Some(0),
        "position"
        | "positionUTF8"
        | "positionCaseInsensitive"
        | "positionCaseInsensitiveUTF8"
        | "instr"
        | "countSubstrings"
        | "countSubstringsCaseInsensitive"
        | "hasToken"
        | "hasTokenCaseInsensitive"
        | "like"
        | "notLike"
        | "ilike"
        | "notILike"
        | "match"
        | "REGEXP_MATCHES"
        | "extract"
        | "extractAll"
        | "regexpExtract"
        | "REGEXP_EXTRACT"
        | "replaceAll"
        | "replace"
        | "replaceOne"
        | "replaceRegexpAll"
        | "replaceRegexpOne"
        | "REGEXP_REPLACE" => Some(1),
        _ => None,
    }
}

/// Functions that compare each element of one array with each of the other: one of the two has to be written out.
pub fn needs_short_array(name: &str) -> bool {
    ["hasAll", "hasAny"].contains(&name)
}

/// Every listed name in lower case, for `system.functions`.
pub fn all() -> impl Iterator<Item = &'static str> {
    let tables = tables();
    tables.plain.values().chain(tables.aggregates.values()).chain(tables.window.values()).copied()
}

struct Tables {
    /// Names of [`PLAIN`] as they are spelled; some differ in case only (`timezone`, `timeZone`).
    exact: HashMap<&'static str, &'static str>,
    plain: HashMap<String, &'static str>,
    aggregates: HashMap<String, &'static str>,
    window: HashMap<String, &'static str>,
}

fn tables() -> &'static Tables {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    let map = |list: &'static str| list.split_whitespace().map(|name| (name.to_ascii_lowercase(), name)).collect();
    let exact = PLAIN.split_whitespace().map(|name| (name, name)).collect();
    TABLES.get_or_init(|| Tables { exact, plain: map(PLAIN), aggregates: map(AGGREGATES), window: map(WINDOW) })
}
