//! Codec names: what SDP and people write, and which codec is meant.

/// A codec, all its bit rates together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    G711,
    /// Bit rate in kbit/s.
    G726(u8),
    G728,
    G729,
    /// With the annex B voice activity detector by name.
    G729Vad,
    G723,
    GsmFr,
    GsmHr,
    GsmEfr,
    Amr,
    AmrWb,
    G722,
    G7221,
    Ilbc,
    Evs,
    Opus,
    L16,
    Is641,
    Is54,
    Is96a,
    Is127,
    Pdc,
}

/// Names by family; the first of each is the one suggested to people.
const NAMES: &[(Family, &[&str])] = &[
    (Family::G711, &["PCMU", "PCMA", "G711", "G711U", "G711A"]),
    (Family::G726(16), &["G726-16", "AAL2-G726-16"]),
    (Family::G726(24), &["G726-24", "AAL2-G726-24"]),
    (Family::G726(32), &["G726-32", "AAL2-G726-32", "G721"]),
    (Family::G726(40), &["G726-40", "AAL2-G726-40"]),
    (Family::G728, &["G728"]),
    (Family::G729, &["G729", "G729A"]),
    (Family::G729Vad, &["G729AB", "G729B"]),
    (Family::G723, &["G723", "G7231"]),
    (Family::GsmFr, &["GSM", "GSM-FR"]),
    (Family::GsmHr, &["GSM-HR-08", "GSM-HR"]),
    (Family::GsmEfr, &["GSM-EFR"]),
    (Family::Amr, &["AMR", "AMR-NB"]),
    (Family::AmrWb, &["AMR-WB", "G7222"]),
    (Family::G722, &["G722"]),
    (Family::G7221, &["G7221"]),
    (Family::Ilbc, &["iLBC"]),
    (Family::Evs, &["EVS"]),
    (Family::Opus, &["opus"]),
    (Family::L16, &["L16"]),
    (Family::Is641, &["IS-641"]),
    (Family::Is54, &["IS-54"]),
    (Family::Is96a, &["IS-96A"]),
    (Family::Is127, &["EVRC", "EVRC0", "EVRC1", "IS-127"]),
    (Family::Pdc, &["PDC"]),
];

/// Speech and audio codecs for which nobody published figures that fit a rating scale.
const WITHOUT_FIGURES: &[&str] = &[
    "speex",
    "SILK",
    "G7291",
    "PCMU-WB",
    "PCMA-WB",
    "G719",
    "G729D",
    "G729E",
    "AMR-WB+",
    "EVRCB",
    "EVRCB0",
    "EVRCB1",
    "EVRCWB",
    "EVRCWB0",
    "EVRCWB1",
    "EVRCNW",
    "EVRCNW0",
    "EVRCNW1",
    "QCELP",
    "SMV",
    "VMR-WB",
    "iSAC",
    "BV16",
    "BV32",
    "DVI4",
    "LPC",
    "VDVI",
    "L8",
    "L20",
    "L24",
    "MPA",
    "MP4A-LATM",
    "mpeg4-generic",
    "ATRAC3",
    "AC3",
    "DAT12",
    "IP-MR_v2.5",
    "G727",
    "LC3",
    "LC3plus",
    "CODEC2",
    "MELP",
    "TETRA",
    "red",
];

/// Encoding names that carry no speech: video, text, events, comfort noise, repair and data.
const NOT_SPEECH: &[&str] = &[
    "telephone-event",
    "tone",
    "CN",
    "H261",
    "H263",
    "H263-1998",
    "H263-2000",
    "H264",
    "H264-SVC",
    "H265",
    "H266",
    "VP8",
    "VP9",
    "AV1",
    "AV1X",
    "JPEG",
    "jpeg2000",
    "MPV",
    "MP1S",
    "MP2P",
    "MP2T",
    "MP4V-ES",
    "BMPEG",
    "CelB",
    "nv",
    "raw",
    "vc1",
    "theora",
    "rtx",
    "ulpfec",
    "flexfec",
    "flexfec-03",
    "parityfec",
    "t140",
    "t140c",
    "t38",
    "CLEARMODE",
    "x-ulpfecuc",
    "fwdred",
    "smpte291",
    "H224",
    "X-H264UC",
    "X-RTVC1",
    "DV",
    "pointer",
];

/// Letters and digits only, upper case: `G.729A`, `g729a` and `G-729-A` are one name.
pub fn normalised(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

/// The codec a name stands for, if there are figures for it.
pub fn family(name: &str) -> Option<Family> {
    let wanted = normalised(name);
    NAMES.iter().find(|(_, names)| names.iter().any(|n| normalised(n) == wanted)).map(|(family, _)| *family)
}

pub fn is_without_figures(name: &str) -> bool {
    // `AMR-WB+` differs from `AMR-WB` only in what normalising removes.
    name.eq_ignore_ascii_case("AMR-WB+") || (family(name).is_none() && listed(WITHOUT_FIGURES, name))
}

pub fn is_not_speech(name: &str) -> bool {
    listed(NOT_SPEECH, name)
}

/// Up to five known names close to `name`, closest first.
pub fn close_to(name: &str) -> Vec<&'static str> {
    let wanted = normalised(name);
    let mut scored: Vec<(usize, &'static str)> = NAMES
        .iter()
        .flat_map(|(_, names)| names.iter().copied())
        .map(|known| {
            let plain = normalised(known);
            let shared = plain.bytes().zip(wanted.bytes()).take_while(|(a, b)| a == b).count();
            (2 * edit_distance(&plain, &wanted) + 4usize.saturating_sub(shared), known)
        })
        .collect();
    scored.sort();
    scored.into_iter().take(5).map(|(_, known)| known).collect()
}

fn listed(list: &[&str], name: &str) -> bool {
    let wanted = normalised(name);
    !wanted.is_empty() && list.iter().any(|n| normalised(n) == wanted)
}

/// Levenshtein distance.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut costs: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut costs[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = costs[j + 1];
            costs[j + 1] = replaced.min(diagonal + 1).min(costs[j] + 1);
        }
    }
    costs[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_however_written() {
        assert_eq!(family("pcmu"), Some(Family::G711));
        assert_eq!(family("G.729A"), Some(Family::G729));
        assert_eq!(family("g729ab"), Some(Family::G729Vad));
        assert_eq!(family("AMR_WB"), Some(Family::AmrWb));
        assert_eq!(family(""), None);
        assert!(is_without_figures("AMR-WB+") && is_without_figures("Speex") && !is_without_figures("AMR-WB"));
        assert!(is_not_speech("Telephone-Event") && !is_not_speech(""));
    }

    #[test]
    fn no_name_is_listed_twice() {
        let mut all: Vec<String> = NAMES.iter().flat_map(|(_, names)| names.iter()).map(|n| normalised(n)).collect();
        all.extend(WITHOUT_FIGURES.iter().chain(NOT_SPEECH).filter(|n| **n != "AMR-WB+").map(|n| normalised(n)));
        all.sort();
        let twice: Vec<_> = all.windows(2).filter(|w| w[0] == w[1]).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }

    #[test]
    fn close_names_start_with_the_obvious_one() {
        assert_eq!(close_to("PCNU")[0], "PCMU");
        assert_eq!(close_to("g729x").len(), 5);
        assert!(close_to("g729x").contains(&"G729"));
        assert!(close_to("AMRW").contains(&"AMR-WB"));
    }
}
