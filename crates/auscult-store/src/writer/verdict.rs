//! What a failed delivery says about its batch, and what is done next: pure decisions, so that they can be tested alone.

use crate::chdb::exception_code;
use clickhouse::error::Error;

/// Tries of a segment before it is split or set aside, where the store's answer does not settle it at once.
pub(super) const TRIES: u32 = 3;

/// Deliveries of other segments that show that the store works, and that a segment which fails is itself the reason.
pub(super) const EVIDENCE: u64 = 8;

/// A batch of so few bytes is not too large for an engine that works: it is split further only when others get through.
pub(super) const SMALL: usize = 64 * 1024;

/// Rows of one original batch that are set aside one by one. When more are refused, the rest of the piece goes whole:
/// the batch is wrong altogether, and thousands of files would help no one.
pub(super) const SINGLES: u32 = 16;

/// What an error says about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The store is away, or refuses every batch (credentials, no such table): nothing else would fare better now.
    Unreachable,
    /// No answer, or one from something in between: perhaps the store is away, perhaps it takes too long over this batch.
    /// It may have stored it.
    NoAnswer,
    /// The store cannot take anything like it now (too many parts, no space on its disk); smaller batches would not help.
    Busy,
    /// The store answered with a failure of its own. It may have stored the batch.
    Failed,
    /// The batch is larger than the store has memory for. It is not stored.
    TooLarge,
    /// A value of a row is refused: the same rows would be refused again. They are not stored.
    RefusedRows,
    /// The statement is refused (a column or table of another shape): no part of the batch would fare better.
    RefusedStatement,
}

pub(super) fn judge(error: &Error) -> Verdict {
    let Error::BadResponse(text) = error else { return Verdict::NoAnswer };
    match exception_code(text) {
        // Values and their form in RowBinary, constraints.
        Some(
            6 | 7 | 15 | 20 | 26 | 27 | 32 | 33 | 34 | 36 | 38 | 41 | 42 | 43 | 45 | 48 | 49 | 50 | 53 | 61 | 63 | 69
            | 70 | 72 | 117 | 125 | 128 | 131 | 321 | 349 | 386 | 395 | 441 | 467 | 469 | 636,
        ) => Verdict::RefusedRows,
        // Columns, formats, settings and syntax.
        Some(8 | 10 | 16 | 44 | 47 | 62 | 73 | 115) => Verdict::RefusedStatement,
        // Credentials and grants, no such table or database yet, read-only: a person mends that, for all rows at once.
        Some(60 | 81 | 164 | 192 | 193 | 194 | 242 | 497 | 516) => Verdict::Unreachable,
        // Memory: of this insert, or of all that runs.
        Some(173 | 241) => Verdict::TooLarge,
        // Too many parts, too many queries, no space, a file that cannot be written.
        Some(74 | 75 | 76 | 202 | 243 | 252 | 439) => Verdict::Busy,
        Some(_) => Verdict::Failed,
        None => match text.get(..3).and_then(|digits| digits.parse::<u16>().ok()) {
            Some(413) => Verdict::TooLarge,
            Some(400 | 405 | 406 | 411 | 414 | 415 | 422 | 431) => Verdict::RefusedStatement,
            _ => Verdict::NoAnswer,
        },
    }
}

/// What is known of a segment that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub verdict: Verdict,
    pub rows: u32,
    pub bytes: usize,
    /// Failed tries of this run, this one included.
    pub attempts: u32,
    /// Segments delivered since the first of them.
    pub others_delivered: u64,
    /// An earlier try, whose outcome is not known, may still be stored now: halves would double it.
    pub in_doubt: bool,
    /// All of its rows are stored or none. Not so on a cluster, where some shards may have theirs.
    pub divisible: bool,
    /// Rows of the same original batch that were set aside one by one.
    pub singles: u32,
    /// A piece of a batch that was refused before: its rows were in it.
    pub half: bool,
}

/// What to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The same again, soon.
    Again,
    /// The same again, others first meanwhile.
    Later,
    /// Two halves in its place.
    Split,
    /// Into the dead letters.
    SetAside,
}

pub(super) fn decide(case: Case) -> Step {
    let single = case.rows <= 1;
    let step = match case.verdict {
        Verdict::Unreachable => return Step::Again,
        Verdict::Busy => return if case.attempts < TRIES { Step::Again } else { Step::Later },
        Verdict::RefusedRows if !single && case.singles < SINGLES => Step::Split,
        Verdict::RefusedRows if case.half => Step::SetAside,
        Verdict::RefusedRows | Verdict::RefusedStatement if case.attempts >= TRIES => Step::SetAside,
        Verdict::RefusedRows | Verdict::RefusedStatement => Step::Later,
        Verdict::TooLarge | Verdict::Failed | Verdict::NoAnswer if case.attempts < TRIES => Step::Again,
        Verdict::TooLarge if !single && (case.bytes > SMALL || case.others_delivered > 0) => Step::Split,
        // Nothing that was said points at this batch; that others get through does.
        _ if case.others_delivered < EVIDENCE || case.attempts < 2 * TRIES => Step::Later,
        _ if single => Step::SetAside,
        _ => Step::Split,
    };
    match step {
        Step::Split if case.divisible && !case.in_doubt => Step::Split,
        // Set aside, a batch keeps its token: delivered again, no shard stores its rows twice.
        Step::Split if !case.divisible && case.verdict == Verdict::RefusedRows && case.attempts >= TRIES => {
            Step::SetAside
        }
        Step::Split => Step::Later,
        step => step,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_judged_by_what_would_help() {
        let bad = |text: &str| judge(&Error::BadResponse(text.to_owned()));
        for (text, expected) in [
            (
                "Code: 27. DB::Exception: Cannot parse input. (CANNOT_PARSE_INPUT_ASSERTION_FAILED)",
                Verdict::RefusedRows,
            ),
            ("Code: 53. DB::Exception: Type mismatch. (TYPE_MISMATCH)", Verdict::RefusedRows),
            ("Code: 469. DB::Exception: Constraint is violated. (VIOLATED_CONSTRAINT)", Verdict::RefusedRows),
            ("Code: 16. DB::Exception: No such column. (NO_SUCH_COLUMN_IN_TABLE)", Verdict::RefusedStatement),
            ("Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS)", Verdict::Busy),
            ("Code: 243. DB::Exception: Cannot reserve. (NOT_ENOUGH_SPACE)", Verdict::Busy),
            ("Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)", Verdict::TooLarge),
            ("Code: 159. DB::Exception: Timeout exceeded. (TIMEOUT_EXCEEDED)", Verdict::Failed),
            ("Code: 319. DB::Exception: Unknown status. (UNKNOWN_STATUS_OF_INSERT)", Verdict::Failed),
            ("Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)", Verdict::Unreachable),
            ("Code: 60. DB::Exception: Table does not exist. (UNKNOWN_TABLE)", Verdict::Unreachable),
            ("400 Bad Request", Verdict::RefusedStatement),
            ("413 Payload Too Large", Verdict::TooLarge),
            ("503 Service Unavailable", Verdict::NoAnswer),
            ("<html>bad gateway</html>", Verdict::NoAnswer),
        ] {
            assert_eq!(bad(text), expected, "{text}");
        }
        assert_eq!(judge(&Error::TimedOut), Verdict::NoAnswer);
    }

    const LARGE: Case = Case {
        verdict: Verdict::TooLarge,
        rows: 20_000,
        bytes: 20 << 20,
        attempts: TRIES,
        others_delivered: 0,
        in_doubt: false,
        divisible: true,
        singles: 0,
        half: false,
    };

    #[test]
    fn what_is_too_large_is_split_and_what_is_small_waits_for_evidence() {
        assert_eq!(decide(LARGE), Step::Split);
        assert_eq!(decide(Case { attempts: TRIES - 1, ..LARGE }), Step::Again);
        assert_eq!(decide(Case { in_doubt: true, ..LARGE }), Step::Later);
        let small = Case { rows: 30, bytes: SMALL, ..LARGE };
        assert_eq!(decide(small), Step::Later, "the store takes nothing at all");
        assert_eq!(decide(Case { others_delivered: 1, ..small }), Step::Split);
        let single = Case { rows: 1, bytes: 900, attempts: 100, ..LARGE };
        assert_eq!(decide(Case { others_delivered: EVIDENCE - 1, ..single }), Step::Later);
        assert_eq!(decide(Case { others_delivered: EVIDENCE, ..single }), Step::SetAside);
    }

    #[test]
    fn a_refused_value_is_searched_and_a_refused_statement_is_not() {
        let rows = Case { verdict: Verdict::RefusedRows, attempts: 1, ..LARGE };
        assert_eq!(decide(rows), Step::Split);
        assert_eq!(decide(Case { rows: 1, ..rows }), Step::Later);
        assert_eq!(decide(Case { rows: 1, attempts: TRIES, ..rows }), Step::SetAside);
        assert_eq!(decide(Case { rows: 1, half: true, ..rows }), Step::SetAside);
        assert_eq!(decide(Case { singles: SINGLES, half: true, ..rows }), Step::SetAside);
        assert_eq!(decide(Case { singles: SINGLES, ..rows }), Step::Later);
        assert_eq!(decide(Case { singles: SINGLES, attempts: TRIES, ..rows }), Step::SetAside);
        assert_eq!(decide(Case { divisible: false, ..rows }), Step::Later);
        assert_eq!(decide(Case { divisible: false, attempts: TRIES, ..rows }), Step::SetAside);
        let statement = Case { verdict: Verdict::RefusedStatement, ..LARGE };
        assert_eq!(decide(statement), Step::SetAside);
        assert_eq!(decide(Case { attempts: 1, ..statement }), Step::Later);
    }

    #[test]
    fn nothing_is_split_that_may_be_stored_or_that_splitting_would_not_help() {
        for attempts in [TRIES, 1000] {
            for (verdict, step) in [(Verdict::Busy, Step::Later), (Verdict::Unreachable, Step::Again)] {
                assert_eq!(decide(Case { verdict, attempts, others_delivered: 1000, ..LARGE }), step);
            }
        }
        for verdict in [Verdict::Failed, Verdict::NoAnswer] {
            let case = Case { verdict, attempts: 2 * TRIES, others_delivered: EVIDENCE, ..LARGE };
            assert_eq!(decide(case), Step::Split);
            assert_eq!(decide(Case { rows: 1, ..case }), Step::SetAside);
            assert_eq!(decide(Case { in_doubt: true, ..case }), Step::Later);
            assert_eq!(decide(Case { divisible: false, ..case }), Step::Later);
            assert_eq!(decide(Case { others_delivered: EVIDENCE - 1, ..case }), Step::Later);
            assert_eq!(decide(Case { attempts: 2 * TRIES - 1, ..case }), Step::Later);
        }
    }
}
