//! What a file that is no capture looks like, and what its owner can do about it.

/// Bytes looked at to say what a file is.
pub(super) const HEAD: usize = 4096;

/// A look-alike: where the magic is, the magic, what that is, what to do.
struct Known(usize, &'static [u8], &'static str, &'static str);

const CONVERT: &str = "convert it with `editcap -F pcap` first";
const UNPACK: &str = "unpack it first";
const TOOL: &str = "give the capture itself (pcap or pcapng)";

const KNOWN: &[Known] = &[
    Known(0, b"snoop\0\0\0", "a Solaris snoop file", CONVERT),
    Known(0, b"GMBU", "a Microsoft Network Monitor 2 file", CONVERT),
    Known(0, b"RTSS", "a Microsoft Network Monitor 1 file", CONVERT),
    Known(0, b"TRSNIFF data", "a Sniffer file", CONVERT),
    Known(0, b"XCP\0", "a NetXRay file", CONVERT),
    Known(0, b"iptrace 1.0", "an AIX iptrace file", CONVERT),
    Known(0, b"iptrace 2.0", "an AIX iptrace file", CONVERT),
    Known(0, b"btsnoop\0", "a Bluetooth snoop file", TOOL),
    Known(0, b"\x7fver", "an EtherPeek file", CONVERT),
    Known(0, b"#!rtpplay1.0", "an rtpdump file", "capture the packets themselves, rtpdump keeps no addresses"),
    Known(0, b"\x1c\x00\x01\xac", "an Ixia capture", CONVERT),
    Known(0, b"\xac\x01\x00\x1c", "an Ixia capture", CONVERT),
    Known(0, b"\x1f\x8b", "gzip data", UNPACK),
    Known(0, b"\x28\xb5\x2f\xfd", "zstd data", UNPACK),
    Known(0, b"\xfd7zXZ\0", "xz data", UNPACK),
    Known(0, b"BZh", "bzip2 data", UNPACK),
    Known(0, b"\x04\x22\x4d\x18", "lz4 data", UNPACK),
    Known(0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    Known(0, b"PK\x03\x04", "a zip archive", UNPACK),
    Known(0, b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    Known(257, b"ustar", "a tar archive", UNPACK),
    Known(0, b"\x89PNG\r\n\x1a\n", "a PNG picture", TOOL),
    Known(0, b"\xff\xd8\xff", "a JPEG picture", TOOL),
    Known(0, b"GIF8", "a GIF picture", TOOL),
    Known(0, b"%PDF", "a PDF document", TOOL),
    Known(0, b"RIFF", "a sound or video file (RIFF)", TOOL),
    Known(0, b"OggS", "an Ogg file", TOOL),
    Known(0, b".snd", "a Sun sound file", TOOL),
    Known(0, b"\x7fELF", "a program (ELF)", TOOL),
    Known(0, b"MZ", "a Windows program", TOOL),
    Known(0, b"SQLite format 3\0", "an SQLite database", TOOL),
];

/// What the first bytes (not empty) look like, and what to do.
pub(super) fn describe(head: &[u8]) -> (String, &'static str) {
    for Known(at, magic, looks_like, advice) in KNOWN {
        if head.get(*at..).is_some_and(|rest| rest.starts_with(magic)) {
            return (format!("it looks like {looks_like}"), advice);
        }
    }
    if let Some(text) = text_of(head) {
        return describe_text(&text);
    }
    if head.iter().all(|b| *b == 0) {
        return ("it holds only zeros".to_owned(), "copy the capture again, this copy failed");
    }
    let hex: Vec<String> = head.iter().take(8).map(|b| format!("{b:02x}")).collect();
    (format!("it begins with {}", hex.join(" ")), TOOL)
}

fn describe_text(text: &str) -> (String, &'static str) {
    let start = text.trim_start_matches('\u{feff}').trim_start();
    let lower: String = start.chars().take(64).collect::<String>().to_ascii_lowercase();
    let (looks_like, advice) = if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        ("an HTML page", "the download gave a page, not the file; fetch the capture again")
    } else if lower.starts_with("<?xml") || lower.starts_with('<') {
        ("XML", TOOL)
    } else if lower.starts_with('{') || lower.starts_with('[') {
        ("JSON", TOOL)
    } else if lower.starts_with("version https://git-lfs") {
        ("a Git LFS pointer", "fetch the file itself with `git lfs pull`")
    } else {
        ("text", TOOL)
    };
    (format!("it looks like {looks_like}"), advice)
}

/// The head as text, if it is text: UTF-8 (possibly cut inside its last character) without control characters.
fn text_of(head: &[u8]) -> Option<String> {
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(e) if e.error_len().is_none() => std::str::from_utf8(head.get(..e.valid_up_to())?).ok()?,
        Err(_) => return None,
    };
    let control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}' | '\u{1b}');
    (!valid.is_empty() && !valid.contains(control)).then(|| valid.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_captures_are_told_apart() {
        let is = |head: &[u8]| describe(head).0;
        assert_eq!(is(b"snoop\0\0\0\0\0\0\x02"), "it looks like a Solaris snoop file");
        assert_eq!(is(b"GMBU\x00\x02"), "it looks like a Microsoft Network Monitor 2 file");
        assert_eq!(is(b"\x89PNG\r\n\x1a\n\0\0"), "it looks like a PNG picture");
        assert_eq!(is(b"\x7fELF\x02\x01"), "it looks like a program (ELF)");
        assert_eq!(is(b"  <!DOCTYPE HTML>"), "it looks like an HTML page");
        assert_eq!(is(b"\n{\"a\": 1}"), "it looks like JSON");
        assert_eq!(is("Gr\u{fc}\u{df}e\n".as_bytes()), "it looks like text");
        assert_eq!(is(&"Gr\u{fc}".as_bytes()[..3]), "it looks like text");
        assert_eq!(is(&[0; 30]), "it holds only zeros");
        assert_eq!(is(&[0xd4, 0xc3, 0xb2, 0xa0, 9]), "it begins with d4 c3 b2 a0 09");
        let mut tar = vec![b'n'; 257];
        tar.extend(b"ustar\0");
        assert_eq!(is(&tar), "it looks like a tar archive");
    }
}
