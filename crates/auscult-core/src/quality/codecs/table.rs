//! Published codec impairment (Ie) and loss robustness (Bpl) figures, with where each comes from.
//!
//! This file has published figures only; the parent module chooses those for a stream. A value that is not published is absent.

use super::CodecStatus;
use crate::quality::emodel::Scale::{self, Fb, Nb, Wb};

/// One row: a codec at one bit rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    pub name: &'static str,
    /// Bit rate; 0 where the figure is for all of them.
    pub kbit_s: f64,
    pub scale: Scale,
    pub ie: f64,
    pub bpl: Option<f64>,
    /// `Standard` for figures of ITU-T G.113 confirmed by at least one public transcription.
    pub status: CodecStatus,
    pub source: &'static str,
}

/// A figure of ITU-T G.113.
const fn standard(
    scale: Scale,
    name: &'static str,
    kbit_s: f64,
    ie: f64,
    bpl: Option<f64>,
    source: &'static str,
) -> Published {
    Published { name, kbit_s, scale, ie, bpl, status: CodecStatus::Standard, source }
}

/// A figure from elsewhere, or one of ITU-T G.113 that is not confirmed.
const fn estimate(
    scale: Scale,
    name: &'static str,
    kbit_s: f64,
    ie: f64,
    bpl: Option<f64>,
    source: &'static str,
) -> Published {
    Published { status: CodecStatus::Estimate, ..standard(scale, name, kbit_s, ie, bpl, source) }
}

const I1: &str = "G.113 Table I.1";
const MONOTIC: &str = "G.113 (09/2024) Table IV.1, one ear; no Bpl published";
const DIOTIC: &str = "G.113 (09/2024) Tables IV.3 and IV.4, both ears; no Bpl published";
const DIOTIC_LOSS: &str = "G.113 (09/2024) Tables IV.3 and IV.4, both ears, uniform loss";
const WIDEBAND: &str = "attributed to G.113 Table IV.1 and Moeller/Raake 2006, not confirmed; no Bpl published";
const UNCONFIRMED: &str = "attributed to G.113 Table I.1, not confirmed";
const EVS: &str = "G.113 (09/2024) Appendix V with Erratum 1, super-wideband";
const AMR: &str = "no G.113 row; solved from published delay bounds for R = 70, within 0.1";
const OPUS: &str = "no ITU figure; fit by Alahmadi 2021, super-wideband VBR, taken as fullband";

/// Every figure known here.
#[rustfmt::skip]
pub const PUBLISHED: &[Published] = &[
    standard(Nb, "G.711 no PLC", 64.0, 0.0, Some(4.3), "G.113 Table I.4, 10 ms packets"),
    standard(Nb, "G.711 + PLC (App. I)", 64.0, 0.0, Some(25.1), "G.113 Table I.4, 10 ms packets, random loss"),
    standard(Nb, "G.726/G.727 40", 40.0, 2.0, None, I1),
    standard(Nb, "G.726/G.727/G.721 32", 32.0, 7.0, None, I1),
    standard(Nb, "G.726/G.727 24", 24.0, 25.0, None, I1),
    standard(Nb, "G.726/G.727 16", 16.0, 50.0, None, I1),
    standard(Nb, "G.728 16", 16.0, 7.0, None, I1),
    standard(Nb, "G.728 12.8", 12.8, 20.0, None, I1),
    standard(Nb, "G.729", 8.0, 10.0, None, I1),
    standard(Nb, "G.729A", 8.0, 10.0, None, "G.113 Appendix I"),
    standard(Nb, "G.729A + VAD", 8.0, 11.0, Some(19.0), "G.113 Table I.4, 20 ms packets"),
    standard(Nb, "G.723.1 ACELP", 5.3, 19.0, None, I1),
    standard(Nb, "G.723.1 MP-MLQ", 6.3, 15.0, None, I1),
    standard(Nb, "G.723.1 6.3 + VAD", 6.3, 15.0, Some(16.1), "G.113 Table I.4, 30 ms packets"),
    standard(Nb, "GSM-FR 06.10", 13.0, 20.0, None, I1),
    standard(Nb, "GSM-HR 06.20", 5.6, 23.0, None, I1),
    standard(Nb, "GSM-EFR 06.60", 12.2, 5.0, Some(10.0), "G.113 Tables I.1 and I.4, 20 ms packets"),
    standard(Nb, "IS-641 ACELP", 7.4, 10.0, None, I1),
    estimate(Nb, "IS-54 VSELP", 8.0, 20.0, None, UNCONFIRMED),
    estimate(Nb, "IS-96a QCELP", 8.0, 21.0, None, UNCONFIRMED),
    estimate(Nb, "IS-127 RCELP", 8.0, 6.0, None, UNCONFIRMED),
    estimate(Nb, "PDC VSELP", 6.7, 24.0, None, UNCONFIRMED),
    estimate(Nb, "AMR-NB 12.2", 12.2, 5.1, None, AMR),
    estimate(Nb, "AMR-NB 10.2", 10.2, 6.1, None, AMR),
    estimate(Nb, "AMR-NB 7.95", 7.95, 10.2, None, AMR),
    estimate(Nb, "AMR-NB 7.4", 7.4, 11.7, None, AMR),
    estimate(Nb, "AMR-NB 6.7", 6.7, 13.8, None, AMR),
    estimate(Nb, "AMR-NB 5.9", 5.9, 16.6, None, AMR),
    estimate(Nb, "AMR-NB 5.15", 5.15, 19.6, None, AMR),
    estimate(Nb, "AMR-NB 4.75", 4.75, 21.4, None, AMR),
    estimate(Nb, "iLBC", 0.0, 11.0, Some(32.0), "no G.113 row; constants of an open softphone (Vialer)"),
    standard(Wb, "AMR-WB (G.722.2) monotic", 6.6, 41.0, None, MONOTIC),
    standard(Wb, "AMR-WB (G.722.2) monotic", 8.85, 26.0, None, MONOTIC),
    standard(Wb, "AMR-WB (G.722.2) monotic", 12.65, 13.0, None, MONOTIC),
    standard(Wb, "AMR-WB (G.722.2) monotic", 14.25, 10.0, None, MONOTIC),
    standard(Wb, "AMR-WB (G.722.2) monotic", 15.85, 7.0, None, MONOTIC),
    standard(Wb, "AMR-WB (G.722.2) monotic", 18.25, 5.0, None, MONOTIC),
    standard(Wb, "AMR-WB (G.722.2) monotic", 19.85, 3.0, None, MONOTIC),
    standard(Wb, "AMR-WB (G.722.2) monotic", 23.05, 1.0, None, MONOTIC),
    standard(Wb, "AMR-WB (G.722.2) monotic", 23.85, 8.0, None, MONOTIC),
    standard(Wb, "AMR-WB (G.722.2) diotic", 6.6, 56.0, None, DIOTIC),
    standard(Wb, "AMR-WB (G.722.2) diotic", 8.85, 41.0, None, DIOTIC),
    standard(Wb, "AMR-WB (G.722.2) diotic", 12.65, 20.0, Some(4.3), DIOTIC_LOSS),
    standard(Wb, "AMR-WB (G.722.2) diotic", 15.85, 17.0, None, DIOTIC),
    standard(Wb, "AMR-WB (G.722.2) diotic", 23.05, 8.0, Some(4.6), DIOTIC_LOSS),
    standard(Wb, "AMR-WB (G.722.2) diotic", 23.85, 10.0, Some(4.9), DIOTIC_LOSS),
    estimate(Wb, "G.722 64", 64.0, 13.0, None, WIDEBAND),
    estimate(Wb, "G.722 56", 56.0, 20.0, None, WIDEBAND),
    estimate(Wb, "G.722 48", 48.0, 31.0, None, WIDEBAND),
    estimate(Wb, "G.722.1 32", 32.0, 13.0, None, WIDEBAND),
    estimate(Wb, "G.722.1 24", 24.0, 19.0, None, WIDEBAND),
    standard(Fb, "EVS SWB diotic", 9.6, 22.7, Some(13.0), EVS),
    standard(Fb, "EVS SWB diotic", 13.2, 17.1, Some(11.7), EVS),
    standard(Fb, "EVS SWB diotic", 16.4, 10.8, Some(10.3), EVS),
    standard(Fb, "EVS SWB diotic", 24.4, 7.2, Some(11.4), EVS),
    standard(Fb, "EVS SWB diotic", 32.0, 8.7, Some(9.3), EVS),
    standard(Fb, "EVS SWB diotic", 48.0, 10.2, Some(9.6), EVS),
    estimate(Fb, "Opus", 0.0, 10.2, Some(9.6),
        "no ITU figure; EVS 48 kbit/s in its place (rtpengine and Wire take the same Ie), near Alahmadi 2021 at 40 kbit/s"),
    estimate(Fb, "Opus SWB VBR", 14.0, 38.06, Some(16.51), OPUS),
    estimate(Fb, "Opus SWB VBR", 16.0, 30.16, Some(11.83), OPUS),
    estimate(Fb, "Opus SWB VBR", 19.0, 23.81, Some(10.67), OPUS),
    estimate(Fb, "Opus SWB VBR", 22.0, 20.22, Some(10.47), OPUS),
    estimate(Fb, "Opus SWB VBR", 25.0, 20.21, Some(11.28), OPUS),
    estimate(Fb, "Opus SWB VBR", 28.0, 18.48, Some(10.63), OPUS),
    estimate(Fb, "Opus SWB VBR", 31.0, 16.83, Some(10.44), OPUS),
    estimate(Fb, "Opus SWB VBR", 34.0, 14.76, Some(10.12), OPUS),
    estimate(Fb, "Opus SWB VBR", 37.0, 12.08, Some(10.38), OPUS),
    estimate(Fb, "Opus SWB VBR", 40.0, 10.67, Some(9.79), OPUS),
    estimate(Nb, "L16", 0.0, 0.0, None, "no ITU figure; uncompressed, no worse than G.711"),
    estimate(Wb, "L16", 0.0, 0.0, None, "no ITU figure; uncompressed"),
    estimate(Fb, "L16", 0.0, 0.0, None, "no ITU figure; uncompressed"),
];
