//! One evaluation of a rule of alerts, as it is stored.

use super::CallUid;
use crate::units::Timestamp;

/// What one group of one rule was at one time. Levels and limits are in the unit of the measure.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRecord {
    pub at: Timestamp,
    /// Identity of rule and group, the same for every evaluator, run and version.
    pub fingerprint: u64,
    pub rule: String,
    /// Of the rule's text.
    pub rule_hash: String,
    pub severity: String,
    /// Names and values of the labels the rule groups by, in its order.
    pub group: Vec<(String, String)>,
    /// `ok`, `pending`, `firing`, `keeping`, `blind`, `few`, `no_data` or `error`.
    pub state: &'static str,
    /// The state before.
    pub previous: &'static str,
    /// What the window alone says.
    pub judgement: &'static str,
    pub measure: String,
    pub unit: String,
    /// When the alert fired that goes on, or ends with this evaluation.
    pub fired_at: Option<Timestamp>,
    /// The window that was judged.
    pub from: Timestamp,
    pub until: Timestamp,
    pub value: Option<f64>,
    /// Between these is the true value, with the confidence of the rule; `None` where one side is open.
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub limit: Option<f64>,
    pub samples: u64,
    pub sample_unit: String,
    /// What the capture missed, percent of frames or packets.
    pub capture_loss_pct: f64,
    /// Median of the same hour in the weeks before, and how far it usually lies from it.
    pub baseline: Option<f64>,
    pub baseline_spread: Option<f64>,
    /// The value farthest beyond the limit since the group became pending.
    pub peak: Option<f64>,
    /// The rule that said the same already; empty without.
    pub inhibited_by: String,
    /// The silence that kept it from webhooks; empty without.
    pub silenced_by: String,
    /// Why the window was not judged: what a statement said, or what the capture did not see; empty otherwise.
    pub error: String,
    /// What happened, one line.
    pub summary: String,
    /// Identities of the worst calls of the window, the worst first.
    pub worst_calls: Vec<CallUid>,
}

impl AlertRecord {
    /// Bytes that its texts and lists take.
    pub fn held_bytes(&self) -> usize {
        let texts = [
            &self.rule,
            &self.rule_hash,
            &self.severity,
            &self.measure,
            &self.unit,
            &self.sample_unit,
            &self.inhibited_by,
            &self.silenced_by,
            &self.error,
            &self.summary,
        ];
        let group: usize = self.group.iter().map(|(name, value)| name.capacity() + value.capacity() + 48).sum();
        texts.iter().map(|text| text.capacity()).sum::<usize>() + group + 8 * self.worst_calls.capacity()
    }
}
