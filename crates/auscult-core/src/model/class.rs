//! How good a call was, in one word, computed once: when its record closes, or when it is shown live.

use super::{CallState, DiagnosisCode};

/// From best to worst, then those that are no judgement of quality.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallClass {
    Good,
    Fair,
    Poor,
    /// Not set up by a fault, or without media at least one way.
    Failed,
    /// Busy, declined, cancelled, no answer, wrong number: outcomes of people.
    NotAnswered,
    /// Neither a rating nor a fault.
    #[default]
    Unrated,
}

/// Listening MOS of R = 80 and R = 60 (G.107 Annex B). Wideband and fullband scales divide R by 1.29 and 1.48 first
/// (G.107.1, G.107.2), so the same MOS marks the same share of each scale.
pub const GOOD_MOS: f32 = 4.024;
pub const FAIR_MOS: f32 = 3.1;

impl CallClass {
    pub const ALL: [CallClass; 6] = [
        CallClass::Good,
        CallClass::Fair,
        CallClass::Poor,
        CallClass::Failed,
        CallClass::NotAnswered,
        CallClass::Unrated,
    ];

    pub fn name(self) -> &'static str {
        match self {
            CallClass::Good => "good",
            CallClass::Fair => "fair",
            CallClass::Poor => "poor",
            CallClass::Failed => "failed",
            CallClass::NotAnswered => "not_answered",
            CallClass::Unrated => "unrated",
        }
    }

    /// The class of a listening MOS.
    pub fn of_mos(lq: Option<f32>) -> CallClass {
        match lq {
            None => CallClass::Unrated,
            Some(lq) if lq >= GOOD_MOS => CallClass::Good,
            Some(lq) if lq >= FAIR_MOS => CallClass::Fair,
            Some(_) => CallClass::Poor,
        }
    }

    /// The class of a call by its state, final code (0: none), diagnoses and worst MOS. `schemas/0016_class.sql` says the same
    /// in SQL, for rows from before it was stored.
    pub fn of(
        state: CallState,
        final_code: u16,
        diagnoses: impl IntoIterator<Item = DiagnosisCode>,
        mos_worst: Option<f32>,
    ) -> CallClass {
        let worst = diagnoses.into_iter().map(Severity::of).max().unwrap_or(Severity::Note);
        if worst == Severity::Unusable {
            return CallClass::Failed;
        }
        match state {
            CallState::Cancelled => return CallClass::NotAnswered,
            CallState::Failed if is_a_persons_outcome(final_code) => return CallClass::NotAnswered,
            CallState::Failed | CallState::SetupTimeout => return CallClass::Failed,
            _ => {}
        }
        let least = match worst {
            Severity::Unusable | Severity::Spoilt => CallClass::Poor,
            Severity::Impaired => CallClass::Fair,
            Severity::Note => return CallClass::of_mos(mos_worst),
        };
        match CallClass::of_mos(mos_worst) {
            CallClass::Unrated => least,
            rated => rated.max(least),
        }
    }

    /// Whether the call counts as bad: poor or failed.
    pub fn is_bad(self) -> bool {
        matches!(self, CallClass::Poor | CallClass::Failed)
    }
}

/// Final answers that a person or a directory gives: busy, declined, unavailable, cancelled, unknown or incomplete number.
/// RFC 6076 section 4.8 (SEER) counts most of them as effective, too.
pub fn is_a_persons_outcome(final_code: u16) -> bool {
    matches!(final_code, 404 | 480 | 484 | 486 | 487 | 600 | 603 | 604)
}

/// What a diagnosis does to the class of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    /// Nothing: it says something about the capture, the signalling or the path that is not audible.
    Note,
    /// Not good any more.
    Impaired,
    Spoilt,
    Unusable,
}

impl Severity {
    fn of(code: DiagnosisCode) -> Severity {
        match code {
            DiagnosisCode::SetupFailed
            | DiagnosisCode::NoResponse
            | DiagnosisCode::NoMedia
            | DiagnosisCode::OneWayMedia => Severity::Unusable,
            DiagnosisCode::MediaInterrupted | DiagnosisCode::MediaNotSeen => Severity::Spoilt,
            DiagnosisCode::RandomLoss
            | DiagnosisCode::BurstyLoss
            | DiagnosisCode::HighDelayVariation
            | DiagnosisCode::Reordering
            | DiagnosisCode::LowQualityCodec
            | DiagnosisCode::LongDelay
            | DiagnosisCode::SlowSetup => Severity::Impaired,
            DiagnosisCode::CaptureLoss
            | DiagnosisCode::MissingAck
            | DiagnosisCode::MissingBye
            | DiagnosisCode::UnnegotiatedPayload
            | DiagnosisCode::ClockMismatch
            | DiagnosisCode::QueueBuildUp
            | DiagnosisCode::RouteChange
            | DiagnosisCode::MediaElsewhere
            | DiagnosisCode::LowMos => Severity::Note,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnosis_lowers_the_class_and_never_raises_it() {
        use DiagnosisCode::*;
        let of = |codes: &[DiagnosisCode], mos| CallClass::of(CallState::Completed, 200, codes.iter().copied(), mos);
        assert_eq!(of(&[], Some(4.4)), CallClass::Good);
        assert_eq!(of(&[], Some(4.0)), CallClass::Fair);
        assert_eq!(of(&[], Some(3.0)), CallClass::Poor);
        assert_eq!(of(&[], None), CallClass::Unrated);
        assert_eq!(of(&[SlowSetup], Some(4.4)), CallClass::Fair);
        assert_eq!(of(&[Reordering], Some(3.0)), CallClass::Poor);
        assert_eq!(of(&[MediaInterrupted], Some(4.4)), CallClass::Poor);
        assert_eq!(of(&[MediaInterrupted], None), CallClass::Poor);
        assert_eq!(of(&[OneWayMedia, MediaInterrupted], Some(4.4)), CallClass::Failed);
        assert_eq!(of(&[ClockMismatch, RouteChange, MissingBye], Some(4.4)), CallClass::Good);
    }

    #[test]
    fn what_people_decide_is_no_fault() {
        let failed = |code| CallClass::of(CallState::Failed, code, [], None);
        for code in [404, 480, 484, 486, 487, 600, 603, 604] {
            assert_eq!(failed(code), CallClass::NotAnswered, "{code}");
        }
        for code in [0, 401, 403, 407, 408, 488, 500, 503, 606] {
            assert_eq!(CallClass::of(CallState::Failed, code, [DiagnosisCode::SetupFailed], None), CallClass::Failed);
        }
        let given_up = CallClass::of(CallState::Cancelled, 0, [DiagnosisCode::NoResponse], None);
        assert_eq!(given_up, CallClass::Failed, "no server answered");
        assert_eq!(CallClass::of(CallState::Cancelled, 487, [], None), CallClass::NotAnswered);
        assert_eq!(CallClass::of(CallState::SetupTimeout, 0, [DiagnosisCode::NoResponse], None), CallClass::Failed);
        assert_eq!(CallClass::of(CallState::Unfinished, 0, [], None), CallClass::Unrated);
    }
}
