//! What a MOS says about itself: its scale, where its inputs come from, and why there is none.

use serde::{Deserialize, Serialize};

/// Which scale a rating is on. Ratings of different scales are never compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Narrowband, 300-3400 Hz: MOS-CQEN.
    #[default]
    Nb,
    /// Wideband, 50-7000 Hz: MOS-CQEW.
    Wb,
    /// Fullband, 20-20000 Hz: MOS-CQEF.
    Fb,
}

impl Scale {
    pub const ALL: [Scale; 3] = [Scale::Nb, Scale::Wb, Scale::Fb];

    pub fn name(self) -> &'static str {
        match self {
            Scale::Nb => "nb",
            Scale::Wb => "wb",
            Scale::Fb => "fb",
        }
    }

    /// The recommendation its model is in.
    pub fn recommendation(self) -> &'static str {
        match self {
            Scale::Nb => "G.107",
            Scale::Wb => "G.107.1",
            Scale::Fb => "G.107.2",
        }
    }

    pub fn from_name(name: &str) -> Option<Scale> {
        Scale::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// A listening MOS (1 to 5) and its scale.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RatedMos {
    pub lq: f32,
    pub scale: Scale,
}

/// Where the impairment of a codec comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodecStatus {
    /// From ITU-T G.113, for this very codec and mode.
    Standard,
    /// From elsewhere, borrowed from a relative, or for an assumed mode.
    Estimate,
}

impl CodecStatus {
    pub fn name(self) -> &'static str {
        match self {
            CodecStatus::Standard => "standard",
            CodecStatus::Estimate => "estimate",
        }
    }
}

/// Where a one-way delay comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DelaySource {
    /// From RTCP round trips or synchronised clocks.
    Measured,
    /// Configured.
    Assumed,
}

impl DelaySource {
    pub fn name(self) -> &'static str {
        match self {
            DelaySource::Measured => "measured",
            DelaySource::Assumed => "assumed",
        }
    }
}

/// Which jitter buffer's discards count as lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JitterBufferKind {
    Adaptive,
    Fixed,
}

impl JitterBufferKind {
    pub fn name(self) -> &'static str {
        match self {
            JitterBufferKind::Adaptive => "adaptive",
            JitterBufferKind::Fixed => "fixed",
        }
    }
}

/// Why there is no MOS; of several the first in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NullReason {
    /// The capture sees one packet of several: loss is not known.
    SampledCapture,
    /// No packet was expected.
    NoMedia,
    /// Video, text, data, or a telephone event by itself.
    NotAudio,
    /// No recommendation or estimate has figures for the codec.
    UnknownCodec,
    TooFewPackets,
    /// Packets were lost or late, and no Bpl is published for the codec.
    CodecWithoutLossRobustness,
}

impl NullReason {
    pub const ALL: [NullReason; 6] = [
        NullReason::SampledCapture,
        NullReason::NoMedia,
        NullReason::NotAudio,
        NullReason::UnknownCodec,
        NullReason::TooFewPackets,
        NullReason::CodecWithoutLossRobustness,
    ];

    pub fn name(self) -> &'static str {
        match self {
            NullReason::SampledCapture => "sampled_capture",
            NullReason::NoMedia => "no_media",
            NullReason::NotAudio => "not_audio",
            NullReason::UnknownCodec => "unknown_codec",
            NullReason::TooFewPackets => "too_few_packets",
            NullReason::CodecWithoutLossRobustness => "codec_without_loss_robustness",
        }
    }
}
