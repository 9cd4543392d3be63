//! Names of codecs: the usual ones are held once for all endpoints, others are bounded in length and number.

use crate::model::CodecId;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Longest name kept, in characters; the longest registered one has 24 (`1d-interleaved-parityfec`, RFC 6015).
const NAME_MAX: usize = 32;
/// Names of one media line that are none of [`USUAL`].
pub(super) const UNUSUAL_MAX: usize = 8;

/// Encoding names in the spellings that endpoints use.
const USUAL: [&str; 84] = [
    "",
    "PCMU",
    "GSM",
    "G723",
    "DVI4",
    "LPC",
    "PCMA",
    "G722",
    "L16",
    "QCELP",
    "CN",
    "MPA",
    "G728",
    "G729",
    "CelB",
    "JPEG",
    "nv",
    "H261",
    "MPV",
    "MP2T",
    "H263",
    "telephone-event",
    "tone",
    "opus",
    "OPUS",
    "Opus",
    "iLBC",
    "ILBC",
    "speex",
    "SPEEX",
    "Speex",
    "AMR",
    "amr",
    "AMR-WB",
    "AMR-WB+",
    "EVS",
    "EVRC",
    "EVRC0",
    "EVRC1",
    "EVRCB",
    "EVRCB0",
    "EVRCWB",
    "G7221",
    "G722.1",
    "G719",
    "G729A",
    "G729B",
    "G729AB",
    "G729D",
    "G729E",
    "G729a",
    "GSM-EFR",
    "GSM-HR-08",
    "G726-16",
    "G726-24",
    "G726-32",
    "G726-40",
    "AAL2-G726-32",
    "SILK",
    "ISAC",
    "isac",
    "BV16",
    "BV32",
    "SIREN14",
    "CLEARMODE",
    "X-NSE",
    "red",
    "RED",
    "rtx",
    "ulpfec",
    "flexfec-03",
    "VP8",
    "VP9",
    "AV1",
    "H263-1998",
    "H263-2000",
    "H264",
    "H264-SVC",
    "H265",
    "t38",
    "MP4A-LATM",
    "mpeg4-generic",
    "pcmu",
    "pcma",
];

/// The name as a codec, and whether it is one of the usual names.
pub(super) fn codec(name: &str) -> (CodecId, bool) {
    static SHARED: LazyLock<HashMap<&'static str, CodecId>> =
        LazyLock::new(|| USUAL.into_iter().map(|name| (name, CodecId::from(name))).collect());
    if let Some(shared) = SHARED.get(name) {
        return (shared.clone(), true);
    }
    let end = name.char_indices().nth(NAME_MAX).map_or(name.len(), |(at, _)| at);
    (CodecId::from(name.get(..end).unwrap_or_default()), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_take_no_memory_and_others_are_cut() {
        let (a, b) = (codec("PCMU"), codec("PCMU"));
        assert!(a.1 && std::sync::Arc::ptr_eq(&a.0, &b.0));
        assert_eq!(codec("1d-interleaved-parityfec"), ("1d-interleaved-parityfec".into(), false));
        assert_eq!(codec(&"ü".repeat(40)).0.chars().count(), NAME_MAX);
    }
}
