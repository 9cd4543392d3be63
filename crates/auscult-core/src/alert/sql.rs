//! The measures as SQL, by trunk: for people who want to see what a rule saw. `tests/store/alerts.rs` holds them to the evaluator.

use super::measure::{Figure, Kind, Measure, Source};

/// How a figure is added up over the rows of a trunk.
enum Sum {
    /// Numerator, denominator, and the rows that have any.
    Share(String, String, &'static str),
    /// Counts by bucket as an array, and the rows that have any.
    Array(&'static str),
    /// Counts by bucket as a map.
    Map(&'static str),
    Count(&'static str),
}

/// Rows of these times are added up.
const IN_WINDOW: &str = "start_at >= {from:DateTime('UTC')} AND start_at < {to:DateTime('UTC')}";

impl Measure {
    /// One statement with the parameters `from` and `to`, with the columns `trunk`, `value` and `samples`; `None` for measures of the
    /// program and of the time since a frame.
    pub fn sql(&self) -> Option<String> {
        let (table, by) = (self.source.name(), if self.source == Source::Capture { "probe" } else { "trunk" });
        Some(match self.figure.sum()? {
            Sum::Share(num, den, rows) => {
                let samples = if self.source == Source::Media { self.new_streams() } else { den.clone() };
                format!(
                    "SELECT {by}, 100 * {num} / {den} AS value, {samples} AS samples FROM {table} \
                     WHERE {IN_WINDOW} AND {rows} GROUP BY {by} HAVING {den} > 0 ORDER BY {by}"
                )
            }
            Sum::Count(count) if self.kind == Kind::PerMinute => format!(
                "SELECT {by}, 60 * sum({count}) / dateDiff('second', {{from:DateTime('UTC')}}, {{to:DateTime('UTC')}}) AS value, \
                 sum({count}) AS samples FROM {table} WHERE {IN_WINDOW} GROUP BY {by} ORDER BY {by}"
            ),
            Sum::Count(count) => format!(
                "SELECT {by}, sum({count}) AS value, count() AS samples FROM {table} WHERE {IN_WINDOW} GROUP BY {by} ORDER BY {by}"
            ),
            Sum::Array(column) => format!(
                "WITH (SELECT groupArray(middle_ms) FROM (SELECT middle_ms FROM histogram_buckets WHERE version = 1 ORDER BY bucket)) \
                 AS middle SELECT {by}, middle[{}] AS value, \
                 samples FROM (SELECT {by}, arrayCumSum(sumForEach({column})) AS upto, {} AS samples FROM {table} \
                 WHERE {IN_WINDOW} AND notEmpty({column}) GROUP BY {by}) WHERE upto[-1] > 0 ORDER BY {by}",
                self.quantile_index(),
                self.new_streams()
            ),
            Sum::Map(column) => format!(
                "WITH (SELECT groupArray(middle_ms) FROM (SELECT middle_ms FROM span_buckets ORDER BY bucket)) AS middle \
                 SELECT {by}, middle[1 + mapKeys(spans)[{}]] \
                 AS value, upto[-1] AS samples FROM (SELECT {by}, sumMap({column}) AS spans, arrayCumSum(mapValues(spans)) AS upto \
                 FROM {table} WHERE {IN_WINDOW} GROUP BY {by}) WHERE notEmpty(upto) ORDER BY {by}",
                self.quantile_index()
            ),
        })
    }

    /// Number of streams that were not in the window before, so that each counts once.
    fn new_streams(&self) -> String {
        let scale = matches!(self.figure, Figure::MosUnder36 | Figure::MosUnder31);
        let present = if scale { "present_before_scale" } else { "present_before" };
        format!(
            "arraySum((at, n) -> if(at = 0 OR at < toUnixTimestamp({{from:DateTime('UTC')}}), n, 0), \
             mapKeys(sumMap({present})), mapValues(sumMap({present})))"
        )
    }

    /// Index, from 1, of the bucket that holds the quantile of this measure, in the cumulative counts `upto`.
    fn quantile_index(&self) -> String {
        let quantile = match self.kind {
            Kind::Quantile(q) => q,
            _ => 0.0,
        };
        format!("arrayFirstIndex(n -> n >= greatest(1, ceil({quantile} * upto[-1] - 1e-9)), upto)")
    }
}

impl Figure {
    /// `None` for figures of the program and of the time since a frame.
    fn sum(self) -> Option<Sum> {
        let share = |num: &str, den: &str, rows| Sum::Share(format!("sum({num})"), format!("sum({den})"), rows);
        let diagnosed = |code: &str| format!("diagnoses['{code}']");
        let talked = "arraySum(mapValues(duration))";
        Some(match self {
            Figure::Pdv => Sum::Array("pdv"),
            Figure::Jitter => Sum::Array("jitter"),
            Figure::Loss => share("lost_network + lost_capture + lost_suspected_capture", "expected", "expected > 0"),
            Figure::NetworkLoss => share("lost_network", "expected", "expected > 0"),
            Figure::Late(index) => share(&format!("late[{}]", index + 1), "arraySum(pdv)", "notEmpty(pdv)"),
            Figure::MosUnder36 => share("mos_under_3_6", "arraySum(mapValues(mos))", "notEmpty(mos)"),
            Figure::MosUnder31 => share("mos_under_3_1", "arraySum(mapValues(mos))", "notEmpty(mos)"),
            Figure::Concealed => {
                let present = "toUInt64(round(streams * length_ms / 1000))";
                share(&format!("least(concealed_seconds, {present})"), present, "streams > 0")
            }
            Figure::BadCalls => share(
                "classes['poor'] + classes['failed']",
                "classes['poor'] + classes['failed'] + classes['good'] + classes['fair']",
                "1",
            ),
            Figure::OneWay => share(&diagnosed("one_way_media"), talked, "1"),
            Figure::NoMedia => share(&diagnosed("no_media"), talked, "1"),
            Figure::SetupFailure => share(&format!("attempts - {}", effective_attempts()), "attempts", "1"),
            Figure::Ineffective => share(&effective_attempts(), "attempts", "1"),
            Figure::Answered => share("answers", "attempts", "1"),
            Figure::NoResponse => share("least(setup_timeouts + final_codes[408], attempts)", "attempts", "1"),
            Figure::ServerErrors => share(
                "arraySum(mapValues(mapFilter((code, n) -> code >= 500 AND code < 600, final_codes)))",
                "attempts",
                "1",
            ),
            Figure::ShortCalls => share("short", talked, "1"),
            Figure::Pdd => Sum::Map("pdd"),
            Figure::Setup => Sum::Map("setup"),
            Figure::Attempts => Sum::Count("attempts"),
            Figure::CaptureLoss => {
                let missed = "dropped_ring + dropped_interface + dropped_queue";
                share(missed, &format!("frames + {missed}"), "1")
            }
            Figure::Shed => Sum::Count(
                "ifNull(streams_shed, 0) + ifNull(streams_refused, 0) + ifNull(calls_shed, 0) + ifNull(calls_refused, 0)",
            ),
            Figure::Silence | Figure::StoreLag | Figure::Alive => return None,
        })
    }
}

/// Attempts answered, or ended by what a person or a directory decides (E.425, network effectiveness ratio).
fn effective_attempts() -> String {
    let persons =
        "arraySum(mapValues(mapFilter((code, n) -> code IN (404, 480, 484, 486, 487, 600, 603, 604), final_codes)))";
    format!("least(attempts, answers + {persons} + greatest(toInt64(cancelled) - toInt64(final_codes[487]), 0))")
}
