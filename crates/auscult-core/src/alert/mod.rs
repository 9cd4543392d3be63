//! Alerts: rules over the sums of groups, and what state each group of each rule is in.
//!
//! A pure evaluator. [`Evaluator::add`] takes rows of sums as they come, [`Evaluator::evaluate`] says at a time what each group of
//! each rule is. Live evaluation, tests of rules and backtests run the same loop. A limit is exceeded only where the value and its
//! bound over streams or calls are both beyond it; what the capture missed is no fault of the network (`blind`).

mod baseline;
mod evaluator;
pub mod measure;
pub mod rule;
mod sql;
pub mod stat;
pub mod sums;
mod text;

pub use baseline::history;
pub use evaluator::{Evaluation, Evaluator, HELD, Memory, SqlRow, State, is_overflow};
pub use measure::{MEASURES, Measure};
pub use rule::{DEFAULT_RULES, DEFAULT_RULES_FILE, Rule, RuleError, RuleSet};
pub use sums::{CaptureSums, GroupKey, Label, Origin, SumsInput};
pub use text::{RenderedAlert, clock, fingerprint, group_text, labels_of};
