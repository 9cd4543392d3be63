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

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    Codec(Family),
    /// A speech or audio codec nobody published figures for.
    WithoutFigures,
    NotSpeech,
    Unknown,
}

pub fn resolve(name: &str) -> Named {
    // The one name that differs from another only in what comparing leaves out.
    if name.eq_ignore_ascii_case("AMR-WB+") {
        return Named::WithoutFigures;
    }
    let listed = |list: &[&str]| list.iter().any(|known| same(known, name));
    match NAMES.iter().find(|(_, names)| listed(names)) {
        Some((family, _)) => Named::Codec(*family),
        None if listed(WITHOUT_FIGURES) => Named::WithoutFigures,
        None if listed(NOT_SPEECH) => Named::NotSpeech,
        None => Named::Unknown,
    }
}

/// The name as this table spells it; `None` for one that is not in it. The set of answers is closed: a sender can choose
/// among them and add none.
pub fn listed(name: &str) -> Option<&'static str> {
    if name.eq_ignore_ascii_case("AMR-WB+") {
        return Some("AMR-WB+");
    }
    let codecs = NAMES.iter().flat_map(|(_, names)| names.iter());
    codecs.chain(WITHOUT_FIGURES).chain(NOT_SPEECH).find(|known| same(known, name)).copied()
}

/// Whether two names are one: only letters and digits count, in any case (`G.729A`, `g729a`, `G-729-A`).
pub fn same(a: &str, b: &str) -> bool {
    plain(a).eq(plain(b))
}

fn plain(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_uppercase())
}

/// Up to five known names close to `name`, closest first.
pub fn close_to(name: &str) -> Vec<&'static str> {
    let wanted: Vec<u8> = plain(name).collect();
    let mut scored: Vec<(usize, &'static str)> = NAMES
        .iter()
        .flat_map(|(_, names)| names.iter().copied())
        .map(|known| {
            let letters: Vec<u8> = plain(known).collect();
            let shared = letters.iter().zip(&wanted).take_while(|(a, b)| a == b).count();
            (2 * edit_distance(&letters, &wanted) + 4usize.saturating_sub(shared), known)
        })
        .collect();
    scored.sort();
    scored.into_iter().take(5).map(|(_, known)| known).collect()
}

/// Levenshtein distance.
fn edit_distance(a: &[u8], b: &[u8]) -> usize {
    let mut costs: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut costs[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
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
        for (name, named) in [
            ("pcmu", Named::Codec(Family::G711)),
            ("G.729A", Named::Codec(Family::G729)),
            ("g729ab", Named::Codec(Family::G729Vad)),
            ("AMR_WB", Named::Codec(Family::AmrWb)),
            ("AMR-WB+", Named::WithoutFigures),
            ("Speex", Named::WithoutFigures),
            ("Telephone-Event", Named::NotSpeech),
            ("", Named::Unknown),
            ("--", Named::Unknown),
        ] {
            assert_eq!(resolve(name), named, "{name}");
        }
    }

    #[test]
    fn no_name_is_listed_twice() {
        let names = NAMES.iter().flat_map(|(_, names)| names.iter()).chain(WITHOUT_FIGURES).chain(NOT_SPEECH);
        let mut all: Vec<Vec<u8>> = names.map(|n| plain(n).collect()).collect();
        all.sort();
        let twice: Vec<_> = all.windows(2).filter(|w| w[0] == w[1]).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }

    #[test]
    fn listed_names_are_a_closed_set() {
        for (name, expected) in [
            ("pcmu", Some("PCMU")),
            ("g.729a", Some("G729A")),
            ("amr-wb+", Some("AMR-WB+")),
            ("amr-wb", Some("AMR-WB")),
            ("h264", Some("H264")),
            ("P\u{fffd}CMU", Some("PCMU")),
            ("PCMUX", None),
            ("x-1", None),
            ("", None),
            ("\u{202e}", None),
        ] {
            assert_eq!(listed(name), expected, "{name}");
        }
    }

    #[test]
    fn close_names_start_with_the_obvious_one() {
        assert_eq!(close_to("PCNU")[0], "PCMU");
        assert_eq!(close_to("g729x").len(), 5);
        assert!(close_to("g729x").contains(&"G729"));
        assert!(close_to("AMRW").contains(&"AMR-WB"));
    }
}
