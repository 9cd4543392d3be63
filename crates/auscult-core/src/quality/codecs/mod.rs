//! Which impairment figures a codec is rated with: by SDP encoding name, clock rate and, where a codec has several
//! bit rates, by the observed packet size.
//!
//! Choices made here, each of them open to an override:
//!
//! * G.711 has packet loss concealment at the receiver (Appendix I, Bpl 25.1); without it Bpl is 4.3.
//! * G.729 without annex B and G.723.1 at 6.3 kbit/s without annex A borrow the Bpl published for the variant with
//!   voice activity detection (19.0 and 16.1); that makes them estimates. `annexb` in SDP only permits the detector,
//!   so a stream counts as G.729 without it unless [`CodecQuery::vad`] says otherwise.
//! * AMR-WB takes the monotic Ie (a handset at one ear, all nine modes) and borrows Bpl from the diotic row of the same
//!   mode, where there is one: an estimate. Diotic listening takes the published pairs as they are.
//! * Opus has no ITU figure. It stands at Ie 10.2, Bpl 9.6 on the fullband scale; given a packet size, the row of the
//!   nearest bit rate of a published fit is taken instead.
//! * A bit rate that had to be assumed makes an estimate: AMR 12.2, AMR-WB 12.65, EVS 13.2, G.722 64, G.722.1 24 kbit/s.

mod modes;
mod names;
mod table;

pub use table::{PUBLISHED, Published};

use super::emodel::Scale;
use crate::model::CodecStatus;
use crate::units::Nanos;
use modes::{AMR_BITS, AMR_WB_BITS, adaptive_mode, bit_rate, evs_rate, opus_row};
use names::{Family, Named};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What a stream's codec costs.
#[derive(Clone, Debug, PartialEq)]
pub struct CodecQuality {
    pub name: Cow<'static, str>,
    pub scale: Scale,
    pub ie: f64,
    /// `None`: nobody published one, so loss cannot be rated.
    pub bpl: Option<f64>,
    pub status: CodecStatus,
    /// What the coder waits for beyond the frame it codes.
    pub look_ahead: Nanos,
    /// Length of one coded frame; zero for sample-by-sample codecs.
    pub frame: Nanos,
    /// Where the figures come from and what they assume.
    pub source: Cow<'static, str>,
}

/// Why a codec has no figures.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("{0} carries no speech, so no rating applies")]
    NotAudio(String),
    #[error("no impairment figures are published for {0}: configure ie and bpl for it")]
    NoFigures(String),
    #[error("unknown codec {name}; close names: {}", close.join(", "))]
    Unknown { name: String, close: Vec<&'static str> },
}

/// What is known of a stream when its codec is looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CodecQuery<'a> {
    /// Encoding name as SDP writes it, in any case; points and dashes do not matter.
    pub name: &'a str,
    pub clock_rate: Option<u32>,
    /// Voice activity detection in use: annex B of G.729, annex A of G.723.1.
    pub vad: Option<bool>,
    /// Bit rate of the codec where it is known by itself, kbit/s; goes before the packet size.
    pub kbit_s: Option<f64>,
    /// Mean RTP payload of a speech packet in bytes, and the time it covers; together they give the bit rate.
    pub payload_bytes: Option<f64>,
    pub ptime: Option<Nanos>,
}

/// Figures an operator sets for an encoding name, in place of or beside the built-in ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodecOverride {
    /// Encoding name, compared like [`CodecQuery::name`].
    pub name: String,
    /// For this clock rate only, where one name covers several; every rate if absent.
    #[serde(default)]
    pub clock_rate: Option<u32>,
    pub scale: Scale,
    pub ie: f64,
    #[serde(default)]
    pub bpl: Option<f64>,
    /// Milliseconds.
    #[serde(default)]
    pub look_ahead_ms: f64,
}

/// Why an override is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("codec {name}: {what} is {value}, must be {must}")]
pub struct OverrideError {
    pub name: String,
    pub what: &'static str,
    pub value: f64,
    pub must: &'static str,
}

/// The encoding name as the table of codecs spells it, `None` for one that is not in it: a label out of a closed set, where
/// the name itself is a sender's.
pub fn listed_name(name: &str) -> Option<&'static str> {
    names::listed(name)
}

/// Which ear listens; wideband figures differ by it (G.113 Appendix IV).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listening {
    /// One ear, a handset.
    #[default]
    Monotic,
    /// Both ears, a headset.
    Diotic,
}

/// The built-in figures with an operator's choices.
#[derive(Clone, Debug, PartialEq)]
pub struct CodecTable {
    overrides: Vec<CodecOverride>,
    g711_plc: bool,
    listening: Listening,
    assumed_bpl: Option<f64>,
}

impl Default for CodecTable {
    fn default() -> Self {
        CodecTable { overrides: Vec::new(), g711_plc: true, listening: Listening::Monotic, assumed_bpl: None }
    }
}

impl CodecTable {
    /// Adds figures that take precedence; a later one for the same name wins.
    /// Errors: Ie outside 0 to the ceiling of its scale, Bpl not above 0, look-ahead outside 0 to 1000 ms.
    pub fn with_overrides(mut self, overrides: Vec<CodecOverride>) -> Result<CodecTable, OverrideError> {
        for o in overrides {
            let refuse = |what, value, must| Err(OverrideError { name: o.name.clone(), what, value, must });
            if !(0.0..=o.scale.ie_ceiling()).contains(&o.ie) {
                let must = if o.scale == Scale::Fb { "0 to 132" } else { "0 to 95" };
                return refuse("ie", o.ie, must);
            }
            if let Some(bpl) = o.bpl.filter(|b| !(b.is_finite() && *b > 0.0)) {
                return refuse("bpl", bpl, "above 0");
            }
            if !(0.0..=1000.0).contains(&o.look_ahead_ms) {
                return refuse("look_ahead_ms", o.look_ahead_ms, "0 to 1000");
            }
            self.overrides.push(o);
        }
        Ok(self)
    }

    /// Whether receivers of G.711 (and L16 at 8 kHz) conceal loss by G.711 Appendix I or its equal.
    pub fn with_g711_plc(self, g711_plc: bool) -> CodecTable {
        CodecTable { g711_plc, ..self }
    }

    pub fn with_listening(self, listening: Listening) -> CodecTable {
        CodecTable { listening, ..self }
    }

    /// A Bpl for built-in codecs that have none, in place of withholding the rating; makes them estimates.
    /// `None` and values not above 0 withhold.
    pub fn with_assumed_bpl(self, assumed_bpl: Option<f64>) -> CodecTable {
        CodecTable { assumed_bpl: assumed_bpl.filter(|b| b.is_finite() && *b > 0.0), ..self }
    }

    pub fn lookup(&self, query: &CodecQuery) -> Result<CodecQuality, CodecError> {
        let applies = |o: &&CodecOverride| {
            names::same(&o.name, query.name) && (o.clock_rate.is_none() || o.clock_rate == query.clock_rate)
        };
        if let Some(o) = self.overrides.iter().rev().find(applies) {
            return Ok(CodecQuality {
                name: Cow::Owned(o.name.clone()),
                scale: o.scale,
                ie: o.ie,
                bpl: o.bpl,
                status: CodecStatus::Estimate,
                look_ahead: Nanos((o.look_ahead_ms * 1e6) as i64),
                frame: Nanos::ZERO,
                source: Cow::Borrowed("configured"),
            });
        }
        let name = || query.name.to_owned();
        let family = match names::resolve(query.name) {
            Named::Codec(family) => family,
            Named::NotSpeech => return Err(CodecError::NotAudio(name())),
            Named::WithoutFigures => return Err(CodecError::NoFigures(name())),
            Named::Unknown => {
                return Err(CodecError::Unknown { name: name(), close: names::close_to(query.name) });
            }
        };
        let mut found = self.choose(family, query).ok_or_else(|| CodecError::NoFigures(name()))?;
        if found.bpl.is_none() && self.assumed_bpl.is_some() {
            found.bpl = self.assumed_bpl;
            found.status = CodecStatus::Estimate;
        }
        Ok(found)
    }

    /// `None` where a variant of a known codec has no figures.
    fn choose(&self, family: Family, query: &CodecQuery) -> Option<CodecQuality> {
        match family {
            Family::G711 => Some(quality(self.g711()?, 0.0, 0.0)),
            Family::L16 => self.l16(query),
            Family::G726(kbit_s) => g726(kbit_s),
            Family::G728 => g728(query),
            Family::G729 if query.vad != Some(true) => g729_without_vad(),
            Family::G729 | Family::G729Vad => Some(quality(published("G.729A + VAD")?, 5.0, 10.0)),
            Family::G723 => g723(query),
            Family::GsmFr => Some(quality(published("GSM-FR 06.10")?, 0.0, 20.0)),
            Family::GsmHr => Some(quality(published("GSM-HR 06.20")?, 0.0, 20.0)),
            Family::GsmEfr => Some(quality(published("GSM-EFR 06.60")?, 0.0, 20.0)),
            Family::Amr => amr(query),
            Family::AmrWb => self.amr_wb(query),
            Family::G722 => g722(query),
            Family::G7221 => g722_1(query),
            Family::Ilbc => {
                let short = query.ptime.is_some_and(|p| p.0 % 30_000_000 != 0);
                Some(quality(published("iLBC")?, 0.0, if short { 20.0 } else { 30.0 }))
            }
            Family::Evs => evs(query),
            Family::Opus => Some(quality(opus_row(query)?, 6.5, 20.0)),
            Family::Is641 => Some(quality(published("IS-641 ACELP")?, 5.0, 20.0)),
            Family::Is54 => Some(quality(published("IS-54 VSELP")?, 5.0, 20.0)),
            Family::Is96a => Some(quality(published("IS-96a QCELP")?, 5.0, 20.0)),
            Family::Is127 => Some(quality(published("IS-127 RCELP")?, 10.0, 20.0)),
            Family::Pdc => Some(quality(published("PDC VSELP")?, 5.0, 20.0)),
        }
    }

    /// At 8 kHz loss is concealed as that of G.711.
    fn l16(&self, query: &CodecQuery) -> Option<CodecQuality> {
        let scale = match query.clock_rate.unwrap_or(8000) {
            ..16_000 => Scale::Nb,
            16_000..32_000 => Scale::Wb,
            _ => Scale::Fb,
        };
        let mut q = quality(PUBLISHED.iter().find(|r| r.name == "L16" && r.scale == scale)?, 0.0, 0.0);
        if scale == Scale::Nb {
            q.bpl = self.g711()?.bpl;
        }
        Some(q)
    }

    fn g711(&self) -> Option<&'static Published> {
        published(if self.g711_plc { "G.711 + PLC (App. I)" } else { "G.711 no PLC" })
    }

    fn amr_wb(&self, query: &CodecQuery) -> Option<CodecQuality> {
        let mode = adaptive_mode(query, &AMR_WB_BITS);
        let kbit_s = mode.unwrap_or(12.65);
        let of = |name: &str| PUBLISHED.iter().find(|r| r.name == name && r.kbit_s == kbit_s);
        let (monotic, diotic) = (of("AMR-WB (G.722.2) monotic")?, of("AMR-WB (G.722.2) diotic"));
        let mut q = match (self.listening, diotic) {
            (Listening::Diotic, Some(row)) => quality(row, 5.0, 20.0),
            (Listening::Diotic, None) => return None,
            (Listening::Monotic, _) => quality(monotic, 5.0, 20.0),
        };
        if q.bpl.is_none()
            && let Some(bpl) = diotic.and_then(|d| d.bpl)
        {
            q.bpl = Some(bpl);
            q.status = CodecStatus::Estimate;
            q.source = Cow::Borrowed("G.113 (09/2024): monotic Ie, Bpl borrowed from the diotic row of the mode");
        }
        Some(assumed_if(mode.is_none(), q))
    }
}

fn g726(kbit_s: u8) -> Option<CodecQuality> {
    let row = PUBLISHED.iter().find(|r| r.name.starts_with("G.726") && r.kbit_s == f64::from(kbit_s))?;
    Some(quality(row, 0.0, 0.0))
}

fn g728(query: &CodecQuery) -> Option<CodecQuality> {
    let slow = bit_rate(query, 20.0).is_some_and(|rate| rate < 14.4);
    Some(quality(published(if slow { "G.728 12.8" } else { "G.728 16" })?, 0.0, 0.625))
}

fn g729_without_vad() -> Option<CodecQuality> {
    let mut q = quality(published("G.729")?, 5.0, 10.0);
    borrow_bpl(&mut q, "G.729A + VAD", "Ie of G.729, Bpl borrowed from G.729A with VAD");
    Some(q)
}

fn g723(query: &CodecQuery) -> Option<CodecQuality> {
    // 20 bytes a frame at 5.3 kbit/s, 24 at 6.3 kbit/s; far less is silence descriptors.
    let slow = bit_rate(query, 30.0).is_some_and(|rate| (4.0..5.87).contains(&rate));
    if slow {
        return Some(quality(published("G.723.1 ACELP")?, 7.5, 30.0));
    }
    if query.vad == Some(true) {
        return Some(quality(published("G.723.1 6.3 + VAD")?, 7.5, 30.0));
    }
    let mut q = quality(published("G.723.1 MP-MLQ")?, 7.5, 30.0);
    borrow_bpl(&mut q, "G.723.1 6.3 + VAD", "Ie of G.723.1 6.3 kbit/s, Bpl borrowed from the variant with VAD");
    Some(q)
}

fn amr(query: &CodecQuery) -> Option<CodecQuality> {
    let mode = adaptive_mode(query, &AMR_BITS);
    let kbit_s = mode.unwrap_or(12.2);
    let row = PUBLISHED.iter().find(|r| r.name.starts_with("AMR-NB") && r.kbit_s == kbit_s)?;
    Some(assumed_if(mode.is_none(), quality(row, if kbit_s == 12.2 { 0.0 } else { 5.0 }, 20.0)))
}

fn g722(query: &CodecQuery) -> Option<CodecQuality> {
    let name = match bit_rate(query, 20.0) {
        Some(rate) if rate < 52.0 => "G.722 48",
        Some(rate) if rate < 60.0 => "G.722 56",
        _ => "G.722 64",
    };
    Some(quality(published(name)?, 1.5, 0.0))
}

/// Annex C, at 32 kHz, has no figures.
fn g722_1(query: &CodecQuery) -> Option<CodecQuality> {
    if query.clock_rate.is_some_and(|hz| hz != 16_000) {
        return None;
    }
    let fast = bit_rate(query, 20.0).is_some_and(|rate| rate > 28.0);
    Some(quality(published(if fast { "G.722.1 32" } else { "G.722.1 24" })?, 20.0, 20.0))
}

fn evs(query: &CodecQuery) -> Option<CodecQuality> {
    let rate = evs_rate(query);
    let row = PUBLISHED.iter().find(|r| r.name == "EVS SWB diotic" && r.kbit_s == rate.unwrap_or(13.2))?;
    Some(assumed_if(rate.is_none(), quality(row, 12.0, 20.0)))
}

fn published(name: &str) -> Option<&'static Published> {
    PUBLISHED.iter().find(|r| r.name == name)
}

fn quality(row: &'static Published, look_ahead_ms: f64, frame_ms: f64) -> CodecQuality {
    CodecQuality {
        name: Cow::Borrowed(row.name),
        scale: row.scale,
        ie: row.ie,
        bpl: row.bpl,
        status: row.status,
        look_ahead: Nanos((look_ahead_ms * 1e6) as i64),
        frame: Nanos((frame_ms * 1e6) as i64),
        source: Cow::Borrowed(row.source),
    }
}

fn borrow_bpl(q: &mut CodecQuality, from: &str, source: &'static str) {
    q.bpl = published(from).and_then(|row| row.bpl);
    q.status = CodecStatus::Estimate;
    q.source = Cow::Borrowed(source);
}

fn assumed_if(assumed: bool, mut q: CodecQuality) -> CodecQuality {
    if assumed {
        q.status = CodecStatus::Estimate;
    }
    q
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask<'a>(name: &'a str, payload: f64, ptime_ms: i64) -> CodecQuery<'a> {
        CodecQuery {
            name,
            payload_bytes: Some(payload),
            ptime: Some(Nanos::from_millis(ptime_ms)),
            ..CodecQuery::default()
        }
    }

    fn found(query: &CodecQuery) -> CodecQuality {
        CodecTable::default().lookup(query).unwrap()
    }

    fn named(name: &str) -> CodecQuality {
        found(&CodecQuery { name, ..CodecQuery::default() })
    }

    #[test]
    fn every_family_resolves() {
        for name in [
            "PCMU",
            "pcma",
            "G726-16",
            "G726-24",
            "G726-32",
            "G726-40",
            "AAL2-G726-32",
            "G728",
            "G729",
            "G729AB",
            "G723",
            "GSM",
            "GSM-HR-08",
            "GSM-EFR",
            "AMR",
            "AMR-WB",
            "G722",
            "G7221",
            "iLBC",
            "EVS",
            "opus",
            "L16",
            "IS-641",
            "IS-54",
            "IS-96A",
            "EVRC",
            "PDC",
        ] {
            let q = named(name);
            assert!(q.ie >= 0.0 && q.ie <= q.scale.ie_ceiling(), "{name}");
            assert!(!q.source.is_empty(), "{name}");
        }
    }

    #[test]
    fn g711_plc_is_a_choice() {
        let of = |table: CodecTable| table.lookup(&CodecQuery { name: "PCMA", ..CodecQuery::default() }).unwrap();
        let with = of(CodecTable::default());
        assert_eq!((with.ie, with.bpl, with.status), (0.0, Some(25.1), CodecStatus::Standard));
        assert_eq!(of(CodecTable::default().with_g711_plc(false)).bpl, Some(4.3));
    }

    #[test]
    fn g729_by_annex_b() {
        let ask = |vad| found(&CodecQuery { name: "G729", vad, ..CodecQuery::default() });
        for plain in [ask(None), ask(Some(false))] {
            assert_eq!((plain.ie, plain.bpl, plain.status), (10.0, Some(19.0), CodecStatus::Estimate));
        }
        assert_eq!((ask(Some(true)).ie, ask(Some(true)).status), (11.0, CodecStatus::Standard));
        assert_eq!(named("G729AB"), ask(Some(true)));
        assert_eq!(ask(None).look_ahead, Nanos::from_millis(5));
    }

    #[test]
    fn packet_size_tells_the_mode() {
        for (bytes, ptime, ie) in [(32.0, 20, 5.1), (33.0, 20, 5.1), (27.0, 20, 6.1), (28.0, 20, 6.1), (14.0, 20, 21.4)]
        {
            assert_eq!(found(&ask("AMR", bytes, ptime)).ie, ie, "{bytes} bytes");
        }
        // Two 12.2 frames, bandwidth-efficient: 4 + 2 (6 + 244) bits; silence descriptors only: the usual mode.
        assert_eq!(found(&ask("AMR", 63.0, 40)).ie, 5.1);
        assert_eq!(found(&ask("AMR", 7.0, 20)).ie, 5.1);
        for (bytes, ie) in
            [(18.0, 41.0), (24.0, 26.0), (33.0, 13.0), (34.0, 13.0), (59.0, 1.0), (61.0, 8.0), (62.0, 8.0)]
        {
            assert_eq!(found(&ask("AMR-WB", bytes, 20)).ie, ie, "{bytes} bytes");
        }
        for (bytes, ie) in [(24.0, 22.7), (33.0, 17.1), (34.0, 17.1), (62.0, 7.2), (120.0, 10.2)] {
            assert_eq!(found(&ask("EVS", bytes, 20)).ie, ie, "{bytes} bytes");
        }
        assert_eq!(found(&ask("G723", 24.0, 30)).ie, 15.0);
        assert_eq!(found(&ask("G723", 40.0, 60)).ie, 19.0);
        assert_eq!(found(&ask("G722", 160.0, 20)).ie, 13.0);
        assert_eq!(found(&ask("G722", 120.0, 20)).ie, 31.0);
        assert_eq!(found(&ask("opus", 80.0, 20)).ie, 16.83);
        assert_eq!(found(&ask("opus", 2.0, 400)).ie, 10.2);
    }

    #[test]
    fn a_known_bit_rate_goes_first() {
        let ask = |name, kbit_s| found(&CodecQuery { name, kbit_s: Some(kbit_s), ..CodecQuery::default() });
        for (kbit_s, _) in AMR_BITS {
            assert_eq!(ask("AMR", kbit_s).name, format!("AMR-NB {kbit_s}"));
        }
        assert_eq!(ask("AMR-WB", 23.05).ie, 1.0);
        assert_eq!(ask("EVS", 24.4).ie, 7.2);
        assert_eq!(ask("opus", 64.0).ie, 10.67);
    }

    #[test]
    fn assumed_modes_and_borrowed_figures_are_estimates() {
        assert_eq!(named("EVS").status, CodecStatus::Estimate);
        assert_eq!(found(&ask("EVS", 33.0, 20)).status, CodecStatus::Standard);
        let borrowed = found(&ask("AMR-WB", 33.0, 20));
        assert_eq!((borrowed.ie, borrowed.bpl, borrowed.status), (13.0, Some(4.3), CodecStatus::Estimate));
        let lossless = found(&ask("AMR-WB", 37.0, 20));
        assert_eq!((lossless.ie, lossless.bpl, lossless.status), (10.0, None, CodecStatus::Standard));
        let diotic = CodecTable::default().with_listening(Listening::Diotic).lookup(&ask("AMR-WB", 33.0, 20)).unwrap();
        assert_eq!((diotic.ie, diotic.bpl, diotic.status), (20.0, Some(4.3), CodecStatus::Standard));
    }

    #[test]
    fn clock_rate_sets_the_scale_of_l16() {
        let ask = |hz| found(&CodecQuery { name: "L16", clock_rate: Some(hz), ..CodecQuery::default() }).scale;
        assert_eq!([ask(8000), ask(16_000), ask(44_100)], [Scale::Nb, Scale::Wb, Scale::Fb]);
    }

    #[test]
    fn refusals_say_why() {
        let refuse = |name| CodecTable::default().lookup(&CodecQuery { name, ..CodecQuery::default() }).unwrap_err();
        assert!(matches!(refuse("H264"), CodecError::NotAudio(_)));
        assert!(matches!(refuse("speex"), CodecError::NoFigures(_)));
        assert_eq!(refuse("PCNU").to_string().split(',').next(), Some("unknown codec PCNU; close names: PCMU"));
        assert!(matches!(refuse(""), CodecError::Unknown { .. }));
        let g7221c = CodecQuery { name: "G7221", clock_rate: Some(32_000), ..CodecQuery::default() };
        assert!(matches!(CodecTable::default().lookup(&g7221c), Err(CodecError::NoFigures(_))));
    }

    #[test]
    fn overrides_go_first_and_are_checked() {
        let speex = |clock_rate, ie| CodecOverride {
            name: "Speex".into(),
            clock_rate,
            scale: Scale::Nb,
            ie,
            bpl: Some(12.0),
            look_ahead_ms: 10.0,
        };
        let table = CodecTable::default().with_overrides(vec![speex(None, 11.0), speex(Some(16_000), 12.0)]).unwrap();
        let ask = |hz| table.lookup(&CodecQuery { name: "speex", clock_rate: hz, ..CodecQuery::default() }).unwrap();
        assert_eq!((ask(Some(8000)).ie, ask(Some(16_000)).ie, ask(None).ie), (11.0, 12.0, 11.0));
        assert_eq!(ask(None).look_ahead, Nanos::from_millis(10));
        let refused = CodecTable::default().with_overrides(vec![speex(None, 96.0)]).unwrap_err();
        assert_eq!(refused.to_string(), "codec Speex: ie is 96, must be 0 to 95");
        assert!(
            CodecTable::default().with_overrides(vec![CodecOverride { bpl: Some(0.0), ..speex(None, 1.0) }]).is_err()
        );
    }

    #[test]
    fn a_bpl_is_assumed_only_on_request() {
        assert_eq!(named("G722").bpl, None);
        let table = CodecTable::default().with_assumed_bpl(Some(10.0));
        let q = table.lookup(&CodecQuery { name: "GSM", ..CodecQuery::default() }).unwrap();
        assert_eq!((q.bpl, q.status), (Some(10.0), CodecStatus::Estimate));
        assert_eq!(CodecTable::default().with_assumed_bpl(Some(0.0)), CodecTable::default());
    }
}
