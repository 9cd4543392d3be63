//! Rows of sums over many streams or calls.

use super::{CallGroupRow, MediaGroupRow, RowId, Table, finite, millis, seconds, whole_millis};
use auscult_core::model::{
    CallClass, CallFigures, CallGroup, DiagnosisCode, GroupPart, GroupTrunk, Labels, MediaFigures, MediaGroup, Scale,
    SpanHistogram, TrunkDirection,
};
use auscult_core::units::{DelayHistogram, Nanos, Timestamp};
use std::collections::BTreeMap;

impl MediaGroupRow {
    pub fn new(group: &MediaGroup, labels: &Labels, stored_at: Timestamp) -> MediaGroupRow {
        let mut id = RowId::new(Table::MediaGroups, labels);
        id.group(group.start, &group.trunk, group.part)
            .text(&group.codec)
            .text(group.mos_scale.map_or("", Scale::name));
        let f = &group.figures;
        let jitter_known = f.jitter.total() > 0;
        MediaGroupRow {
            stored_at: seconds(stored_at),
            probe: labels.probe.clone(),
            site: labels.site.clone(),
            trunk: group.trunk.name.to_string(),
            trunk_direction: direction(&group.trunk),
            codec: group.codec.to_string(),
            mos_scale: group.mos_scale.map_or("", Scale::name).to_owned(),
            start_at: seconds(group.start),
            length_ms: whole_millis(group.length),
            streams: f.streams,
            streams_begun: f.streams_begun,
            present_before: pairs(&f.present_before),
            present_before_codec: pairs(&f.present_before_codec),
            present_before_scale: pairs(&f.present_before_scale),
            present_before_codec_scale: pairs(&f.present_before_codec_scale),
            packets: f.packets,
            unique_packets: f.unique,
            expected: f.expected,
            lost_network: f.lost_network,
            lost_capture: f.lost_capture,
            lost_suspected_capture: f.lost_suspected_capture,
            reordered: f.reordered,
            duplicates_probe: f.duplicates_probe,
            duplicates_network: f.duplicates_network,
            payload_bytes: f.payload_bytes,
            late: f.late.to_vec(),
            loss_runs: f.loss_runs.to_vec(),
            longest_loss_run: f.longest_loss_run,
            pdv: counts(&f.pdv),
            pdv_max_ms: (f.pdv.total() > 0).then(|| millis(f.pdv_max)),
            jitter: counts(&f.jitter),
            jitter_max_ms: finite(jitter_known.then_some((f.jitter_max_ns / 1e6) as f32)),
            mos: pairs(&f.mos),
            mos_under_3_6: f.mos_under_3_6,
            mos_under_3_1: f.mos_under_3_1,
            concealed_seconds: f.concealed_seconds,
            severely_concealed_seconds: f.severely_concealed_seconds,
            r_rated: f.r_rated,
            r_clean_max_milli: f.r_clean_max_milli,
            r_cost_codec_milli: f.r_cost_codec_milli,
            r_cost_loss_milli: f.r_cost_loss_milli,
            r_cost_late_milli: f.r_cost_late_milli,
            r_cost_delay_milli: f.r_cost_delay_milli,
            one_sided: f.one_sided,
            capture_drops: f.capture_drops,
            row_id: id.finish(),
        }
    }
}

impl CallGroupRow {
    pub fn new(group: &CallGroup, labels: &Labels, stored_at: Timestamp) -> CallGroupRow {
        let mut id = RowId::new(Table::CallGroups, labels);
        id.group(group.start, &group.trunk, group.part);
        let f = &group.figures;
        CallGroupRow {
            stored_at: seconds(stored_at),
            probe: labels.probe.clone(),
            site: labels.site.clone(),
            trunk: group.trunk.name.to_string(),
            trunk_direction: direction(&group.trunk),
            start_at: seconds(group.start),
            length_ms: whole_millis(group.length),
            attempts: f.attempts,
            answers: f.answers,
            final_codes: pairs(&f.final_codes),
            cancelled: f.cancelled,
            setup_timeouts: f.setup_timeouts,
            pdd: spans(&f.pdd),
            setup: spans(&f.setup),
            srd_failed: spans(&f.srd_failed),
            ended: f.ended,
            classes: named(&f.classes),
            diagnoses: named(&f.diagnoses),
            completed: f.completed,
            short: f.short,
            duration: spans(&f.duration),
            sdd: spans(&f.sdd),
            up_ms: f.up_ms,
            up_max: f.up_max,
            row_id: id.finish(),
        }
    }
}

impl MediaGroupRow {
    /// The sum this row was made of. Part and order of its writing are not in the row.
    pub fn group(&self) -> MediaGroup {
        let mut late = [0; auscult_core::model::DISCARD_BUFFERS_MS.len()];
        late.iter_mut().zip(&self.late).for_each(|(to, from)| *to = *from);
        let mut loss_runs = [0; auscult_core::model::LossRuns::BINS];
        loss_runs.iter_mut().zip(&self.loss_runs).for_each(|(to, from)| *to = *from);
        let millis = |ms: Option<f32>| Nanos((f64::from(ms.unwrap_or(0.0)) * 1e6) as i64);
        MediaGroup {
            start: Timestamp::from_secs(i64::from(self.start_at)),
            length: Nanos::from_millis(i64::from(self.length_ms)),
            trunk: trunk_of(&self.trunk, &self.trunk_direction),
            codec: self.codec.as_str().into(),
            mos_scale: Scale::from_name(&self.mos_scale),
            part: GroupPart::default(),
            figures: MediaFigures {
                streams: self.streams,
                streams_begun: self.streams_begun,
                present_before: map(&self.present_before),
                present_before_codec: map(&self.present_before_codec),
                present_before_scale: map(&self.present_before_scale),
                present_before_codec_scale: map(&self.present_before_codec_scale),
                packets: self.packets,
                unique: self.unique_packets,
                expected: self.expected,
                lost_network: self.lost_network,
                lost_capture: self.lost_capture,
                lost_suspected_capture: self.lost_suspected_capture,
                reordered: self.reordered,
                duplicates_probe: self.duplicates_probe,
                duplicates_network: self.duplicates_network,
                payload_bytes: self.payload_bytes,
                late,
                loss_runs,
                longest_loss_run: self.longest_loss_run,
                pdv: histogram(&self.pdv),
                pdv_max: millis(self.pdv_max_ms),
                jitter: histogram(&self.jitter),
                jitter_max_ns: f64::from(self.jitter_max_ms.unwrap_or(0.0)) * 1e6,
                mos: map(&self.mos),
                mos_under_3_6: self.mos_under_3_6,
                mos_under_3_1: self.mos_under_3_1,
                concealed_seconds: self.concealed_seconds,
                severely_concealed_seconds: self.severely_concealed_seconds,
                r_rated: self.r_rated,
                r_clean_max_milli: self.r_clean_max_milli,
                r_cost_codec_milli: self.r_cost_codec_milli,
                r_cost_loss_milli: self.r_cost_loss_milli,
                r_cost_late_milli: self.r_cost_late_milli,
                r_cost_delay_milli: self.r_cost_delay_milli,
                one_sided: self.one_sided,
                capture_drops: self.capture_drops,
            },
        }
    }
}

impl CallGroupRow {
    /// The sum this row was made of. Part and order of its writing are not in the row; names a newer program wrote are left out.
    pub fn group(&self) -> CallGroup {
        let spans = |pairs: &[(u8, u64)]| SpanHistogram(map(pairs));
        let known = |pairs: &[(String, u64)], names: &[&'static str]| {
            let find = |name: &str| names.iter().copied().find(|known| *known == name);
            pairs.iter().filter_map(|(name, n)| Some((find(name)?, *n))).collect()
        };
        CallGroup {
            start: Timestamp::from_secs(i64::from(self.start_at)),
            length: Nanos::from_millis(i64::from(self.length_ms)),
            trunk: trunk_of(&self.trunk, &self.trunk_direction),
            part: GroupPart::default(),
            figures: CallFigures {
                attempts: self.attempts,
                answers: self.answers,
                final_codes: map(&self.final_codes),
                cancelled: self.cancelled,
                setup_timeouts: self.setup_timeouts,
                pdd: spans(&self.pdd),
                setup: spans(&self.setup),
                srd_failed: spans(&self.srd_failed),
                ended: self.ended,
                classes: known(&self.classes, &CallClass::ALL.map(CallClass::name)),
                diagnoses: known(&self.diagnoses, &DiagnosisCode::ALL.map(DiagnosisCode::name)),
                completed: self.completed,
                short: self.short,
                duration: spans(&self.duration),
                sdd: spans(&self.sdd),
                up_ms: self.up_ms,
                up_max: self.up_max,
            },
        }
    }
}

fn trunk_of(name: &str, direction: &str) -> GroupTrunk {
    GroupTrunk { name: name.into(), direction: TrunkDirection::parse(direction) }
}

fn map<K: Copy + Ord>(pairs: &[(K, u64)]) -> BTreeMap<K, u64> {
    pairs.iter().copied().collect()
}

fn histogram(counts: &[u64]) -> DelayHistogram {
    let counts: Vec<u32> = counts.iter().map(|n| u32::try_from(*n).unwrap_or(u32::MAX)).collect();
    DelayHistogram::from(counts)
}

impl RowId {
    fn group(&mut self, start: Timestamp, trunk: &GroupTrunk, part: GroupPart) -> &mut RowId {
        self.time(start).text(&trunk.name).text(trunk.direction.map_or("", TrunkDirection::name));
        self.time(part.since).number(part.number)
    }
}

/// Bytes that the maps of a sum hold, two words to an entry and half of them free.
pub(super) fn held_by_media(f: &MediaFigures) -> usize {
    let present = [&f.present_before, &f.present_before_codec, &f.present_before_scale, &f.present_before_codec_scale];
    32 * (present.iter().map(|map| map.len()).sum::<usize>() + f.mos.len())
}

pub(super) fn held_by_calls(f: &CallFigures) -> usize {
    let spans = [&f.pdd, &f.setup, &f.srd_failed, &f.duration, &f.sdd];
    let entries = spans.iter().map(|map| map.0.len()).sum::<usize>() + f.final_codes.len();
    32 * entries + 64 * (f.classes.len() + f.diagnoses.len())
}

fn direction(trunk: &GroupTrunk) -> String {
    trunk.direction.map_or("", TrunkDirection::name).to_owned()
}

fn pairs<K: Copy>(map: &BTreeMap<K, u64>) -> Vec<(K, u64)> {
    map.iter().map(|(key, count)| (*key, *count)).collect()
}

fn spans(histogram: &SpanHistogram) -> Vec<(u8, u64)> {
    pairs(&histogram.0)
}

fn named(map: &BTreeMap<&'static str, u64>) -> Vec<(String, u64)> {
    map.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn counts(histogram: &DelayHistogram) -> Vec<u64> {
    histogram.trimmed().iter().map(|count| u64::from(*count)).collect()
}
