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

/// How a codec impairs speech (G.113): by itself, and how robust it is against loss where that is published.
#[derive(Clone, Copy)]
struct Impairment {
    ie: f64,
    bpl: Option<f64>,
}

const fn ie(ie: f64) -> Impairment {
    Impairment { ie, bpl: None }
}

const fn ie_bpl(ie: f64, bpl: f64) -> Impairment {
    Impairment { ie, bpl: Some(bpl) }
}

/// A figure of ITU-T G.113.
const fn standard(
    scale: Scale,
    name: &'static str,
    kbit_s: f64,
    impairment: Impairment,
    source: &'static str,
) -> Published {
    let Impairment { ie, bpl } = impairment;
    Published { name, kbit_s, scale, ie, bpl, status: CodecStatus::Standard, source }
}

/// A figure from elsewhere, or one of ITU-T G.113 that is not confirmed.
const fn estimate(
    scale: Scale,
    name: &'static str,
    kbit_s: f64,
    impairment: Impairment,
    source: &'static str,
) -> Published {
    Published { status: CodecStatus::Estimate, ..standard(scale, name, kbit_s, impairment, source) }
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
    standard(Nb, "G.711 no PLC", 64.0, ie_bpl(0.0, 4.3), "G.113 Table I.4, 10 ms packets"),
    standard(Nb, "G.711 + PLC (App. I)", 64.0, ie_bpl(0.0, 25.1), "G.113 Table I.4, 10 ms packets, random loss"),
    standard(Nb, "G.726/G.727 40", 40.0, ie(2.0), I1),
    standard(Nb, "G.726/G.727/G.721 32", 32.0, ie(7.0), I1),
    standard(Nb, "G.726/G.727 24", 24.0, ie(25.0), I1),
    standard(Nb, "G.726/G.727 16", 16.0, ie(50.0), I1),
    standard(Nb, "G.728 16", 16.0, ie(7.0), I1),
    standard(Nb, "G.728 12.8", 12.8, ie(20.0), I1),
    standard(Nb, "G.729", 8.0, ie(10.0), I1),
    standard(Nb, "G.729A", 8.0, ie(10.0), "G.113 Appendix I"),
    standard(Nb, "G.729A + VAD", 8.0, ie_bpl(11.0, 19.0), "G.113 Table I.4, 20 ms packets"),
    standard(Nb, "G.723.1 ACELP", 5.3, ie(19.0), I1),
    standard(Nb, "G.723.1 MP-MLQ", 6.3, ie(15.0), I1),
    standard(Nb, "G.723.1 6.3 + VAD", 6.3, ie_bpl(15.0, 16.1), "G.113 Table I.4, 30 ms packets"),
    standard(Nb, "GSM-FR 06.10", 13.0, ie(20.0), I1),
    standard(Nb, "GSM-HR 06.20", 5.6, ie(23.0), I1),
    standard(Nb, "GSM-EFR 06.60", 12.2, ie_bpl(5.0, 10.0), "G.113 Tables I.1 and I.4, 20 ms packets"),
    standard(Nb, "IS-641 ACELP", 7.4, ie(10.0), I1),
    estimate(Nb, "IS-54 VSELP", 8.0, ie(20.0), UNCONFIRMED),
    estimate(Nb, "IS-96a QCELP", 8.0, ie(21.0), UNCONFIRMED),
    estimate(Nb, "IS-127 RCELP", 8.0, ie(6.0), UNCONFIRMED),
    estimate(Nb, "PDC VSELP", 6.7, ie(24.0), UNCONFIRMED),
    estimate(Nb, "AMR-NB 12.2", 12.2, ie(5.1), AMR),
    estimate(Nb, "AMR-NB 10.2", 10.2, ie(6.1), AMR),
    estimate(Nb, "AMR-NB 7.95", 7.95, ie(10.2), AMR),
    estimate(Nb, "AMR-NB 7.4", 7.4, ie(11.7), AMR),
    estimate(Nb, "AMR-NB 6.7", 6.7, ie(13.8), AMR),
    estimate(Nb, "AMR-NB 5.9", 5.9, ie(16.6), AMR),
    estimate(Nb, "AMR-NB 5.15", 5.15, ie(19.6), AMR),
    estimate(Nb, "AMR-NB 4.75", 4.75, ie(21.4), AMR),
    estimate(Nb, "iLBC", 0.0, ie_bpl(11.0, 32.0), "no G.113 row; constants of an open softphone (Vialer)"),
    standard(Wb, "AMR-WB (G.722.2) monotic", 6.6, ie(41.0), MONOTIC),
    standard(Wb, "AMR-WB (G.722.2) monotic", 8.85, ie(26.0), MONOTIC),
    standard(Wb, "AMR-WB (G.722.2) monotic", 12.65, ie(13.0), MONOTIC),
    standard(Wb, "AMR-WB (G.722.2) monotic", 14.25, ie(10.0), MONOTIC),
    standard(Wb, "AMR-WB (G.722.2) monotic", 15.85, ie(7.0), MONOTIC),
    standard(Wb, "AMR-WB (G.722.2) monotic", 18.25, ie(5.0), MONOTIC),
    standard(Wb, "AMR-WB (G.722.2) monotic", 19.85, ie(3.0), MONOTIC),
    standard(Wb, "AMR-WB (G.722.2) monotic", 23.05, ie(1.0), MONOTIC),
    standard(Wb, "AMR-WB (G.722.2) monotic", 23.85, ie(8.0), MONOTIC),
    standard(Wb, "AMR-WB (G.722.2) diotic", 6.6, ie(56.0), DIOTIC),
    standard(Wb, "AMR-WB (G.722.2) diotic", 8.85, ie(41.0), DIOTIC),
    standard(Wb, "AMR-WB (G.722.2) diotic", 12.65, ie_bpl(20.0, 4.3), DIOTIC_LOSS),
    standard(Wb, "AMR-WB (G.722.2) diotic", 15.85, ie(17.0), DIOTIC),
    standard(Wb, "AMR-WB (G.722.2) diotic", 23.05, ie_bpl(8.0, 4.6), DIOTIC_LOSS),
    standard(Wb, "AMR-WB (G.722.2) diotic", 23.85, ie_bpl(10.0, 4.9), DIOTIC_LOSS),
    estimate(Wb, "G.722 64", 64.0, ie(13.0), WIDEBAND),
    estimate(Wb, "G.722 56", 56.0, ie(20.0), WIDEBAND),
    estimate(Wb, "G.722 48", 48.0, ie(31.0), WIDEBAND),
    estimate(Wb, "G.722.1 32", 32.0, ie(13.0), WIDEBAND),
    estimate(Wb, "G.722.1 24", 24.0, ie(19.0), WIDEBAND),
    standard(Fb, "EVS SWB diotic", 9.6, ie_bpl(22.7, 13.0), EVS),
    standard(Fb, "EVS SWB diotic", 13.2, ie_bpl(17.1, 11.7), EVS),
    standard(Fb, "EVS SWB diotic", 16.4, ie_bpl(10.8, 10.3), EVS),
    standard(Fb, "EVS SWB diotic", 24.4, ie_bpl(7.2, 11.4), EVS),
    standard(Fb, "EVS SWB diotic", 32.0, ie_bpl(8.7, 9.3), EVS),
    standard(Fb, "EVS SWB diotic", 48.0, ie_bpl(10.2, 9.6), EVS),
    estimate(Fb, "Opus", 0.0, ie_bpl(10.2, 9.6),
        "no ITU figure; EVS 48 kbit/s in its place (rtpengine and Wire take the same Ie), near Alahmadi 2021 at 40 kbit/s"),
    estimate(Fb, "Opus SWB VBR", 14.0, ie_bpl(38.06, 16.51), OPUS),
    estimate(Fb, "Opus SWB VBR", 16.0, ie_bpl(30.16, 11.83), OPUS),
    estimate(Fb, "Opus SWB VBR", 19.0, ie_bpl(23.81, 10.67), OPUS),
    estimate(Fb, "Opus SWB VBR", 22.0, ie_bpl(20.22, 10.47), OPUS),
    estimate(Fb, "Opus SWB VBR", 25.0, ie_bpl(20.21, 11.28), OPUS),
    estimate(Fb, "Opus SWB VBR", 28.0, ie_bpl(18.48, 10.63), OPUS),
    estimate(Fb, "Opus SWB VBR", 31.0, ie_bpl(16.83, 10.44), OPUS),
    estimate(Fb, "Opus SWB VBR", 34.0, ie_bpl(14.76, 10.12), OPUS),
    estimate(Fb, "Opus SWB VBR", 37.0, ie_bpl(12.08, 10.38), OPUS),
    estimate(Fb, "Opus SWB VBR", 40.0, ie_bpl(10.67, 9.79), OPUS),
    estimate(Nb, "L16", 0.0, ie(0.0), "no ITU figure; uncompressed, no worse than G.711"),
    estimate(Wb, "L16", 0.0, ie(0.0), "no ITU figure; uncompressed"),
    estimate(Fb, "L16", 0.0, ie(0.0), "no ITU figure; uncompressed"),
];
