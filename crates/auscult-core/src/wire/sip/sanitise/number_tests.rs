//! Numbers and names planted in every place of a message: what is stored where they are hidden.

use super::super::parse;
use super::*;
use crate::privacy::{KEY_BYTES, Key, Mask, Mode, PrivacySettings};
use testkit::numbers::{LINES, PLACES};

const NUMBER: &str = "4917355501234";
const NAME: &str = "Zaphod";

fn fill(template: &str) -> String {
    testkit::numbers::fill(template, NUMBER, NAME)
}

/// What stays of the number when the marks between its digits are gone, and of the name.
fn shows(text: &str) -> bool {
    let digits: String = text.chars().filter(|c| !"+- ().".contains(*c)).collect();
    let lower = text.to_lowercase();
    digits.contains(NUMBER)
        || digits.contains(&NUMBER[2..9])
        || digits.contains(&NUMBER[5..])
        || lower.contains("zaphod")
}

fn stored(privacy: &Privacy, header: &str, line: &str, start: &str) -> String {
    let body = format!("v=0\r\n{line}\r\n");
    let message = format!(
        "{start}\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nFrom: <sip:a@h>\r\nTo: <sip:b@h>\r\n{header}\r\nContent-Type: application/sdp\r\n\r\n{body}"
    );
    let keep = ["X-Kept".to_owned(), "Contact".to_owned()];
    let message = parse(message.as_bytes()).expect("parses");
    let (headers, sdp) = sanitise_as(&message, Storing { keep: &keep, privacy, ..Storing::USUAL });
    format!("{headers}\n{sdp}")
}

fn privacy(mode: Mode) -> Privacy {
    let keys = vec![Key::new([9; KEY_BYTES])];
    let settings = PrivacySettings { mode, mask: Mask::default(), keys, emergency_numbers: vec!["112".to_owned()] };
    Privacy::new(settings).expect("has a key")
}

#[test]
fn no_place_of_a_message_shows_a_number_where_they_are_hidden() {
    let widest = PrivacySettings {
        mode: Mode::Masked,
        mask: Mask { prefix: 2, last: 2 },
        keys: vec![Key::new([9; KEY_BYTES])],
        emergency_numbers: Vec::new(),
    };
    let modes = [privacy(Mode::Masked), privacy(Mode::Pseudonym), Privacy::new(widest).expect("has a key")];
    let starts = [
        "INVITE sip:b@h SIP/2.0",
        "SIP/2.0 486 {n} {a}",
        "INVITE sip:{n}@h;x={n} SIP/2.0",
        "INVITE tel:+{n} SIP/2.0",
        "{n} sip:b@h SIP/2.0",
    ];
    let mut shown_in_clear = 0;
    let mut check = |header: &str, line: &str, start: &str| {
        let (header, line, start) = (fill(header), fill(line), fill(start));
        // The reason phrase has no form by which a name could be told from other words.
        let start = if start.starts_with("SIP") { start.replace(NAME, "") } else { start };
        shown_in_clear += usize::from(shows(&stored(&Privacy::clear(), &header, &line, &start)));
        for privacy in &modes {
            let text = stored(privacy, &header, &line, &start);
            assert!(!shows(&text), "{:?}:\n{header}\n{line}\n{start}\nis stored as\n{text}", privacy.mode());
        }
    };
    for header in PLACES {
        check(header, "s=-", starts[0]);
    }
    for line in LINES {
        check("X: y", line, starts[0]);
    }
    for start in starts {
        check("X: y", "s=-", start);
    }
    // So that it can fail: in clear most of the places show it.
    assert!(shown_in_clear > 60, "{shown_in_clear}");
}

#[test]
fn what_is_hidden_reads_well() {
    let masked = privacy(Mode::Masked);
    let text = stored(
        &masked,
        "From: \"Zaphod\" <sip:+4917355501234@192.0.2.1;user=phone>;tag=9f\r\nP-Asserted-Identity: <tel:+4917355501234>\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1",
        "c=IN IP4 192.0.2.1/127",
        "INVITE sip:112@h.example SIP/2.0",
    );
    assert!(text.starts_with("INVITE sip:112@h.example SIP/2.0\n"), "{text}");
    assert!(text.contains("From: \"***\" <sip:+4917***34@192.0.2.1;user=phone>;tag=9f\n"), "{text}");
    assert!(
        text.contains("P-Asserted-Identity: <tel:+4917***34>\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\n"),
        "{text}"
    );
    assert!(text.contains("c=IN IP4 192.0.2.1/127\n"), "{text}");
}

#[test]
fn a_message_that_was_cut_shows_no_half_of_a_user() {
    let masked = privacy(Mode::Masked);
    let text = "INVITE sip:b@h SIP/2.0\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nFrom: <sip:a@h>\r\nTo: <sip:b@h>\r\nContact: <sip:zaphod.beeble";
    let of = |privacy| {
        let storing = Storing { privacy, cut_short: true, ..Storing::USUAL };
        parse(text.as_bytes()).map(|message| sanitise_as(&message, storing).0)
    };
    let (clear, hidden) = (of(&Privacy::clear()), of(&masked));
    assert!(clear.is_ok_and(|text| text.contains("zaphod")));
    assert!(hidden.is_ok_and(|text| !text.contains("zaphod") && text.contains("To: ")));
}

#[test]
fn bodies_are_left_out_where_only_headers_are_kept() {
    let message =
        "INVITE sip:b@h SIP/2.0\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n";
    let message = parse(message.as_bytes()).expect("parses");
    let (headers, sdp) = sanitise_as(&message, Storing { bodies: false, ..Storing::USUAL });
    assert!(headers.contains("application/sdp") && sdp.is_empty());
}

#[test]
fn a_message_takes_hashes_in_proportion_to_its_bytes() {
    let hidden = privacy(Mode::Pseudonym);
    for header in ["Contact: <sip:b7b0@h>", "Supported: 12345670", "X-Kept: b7b0@h"] {
        let (name, value) = header.split_once(' ').expect("a value");
        let many: Vec<String> = (0..2_000).map(|n| value.replacen('0', &n.to_string(), 1)).collect();
        let value = many.join(", ");
        let text = stored(&hidden, &format!("{name} {value}"), "s=-", "INVITE sip:b@h SIP/2.0");
        assert!(!text.contains("b7b") && !text.contains("1234567"), "{header}");
        let made = text.matches("h-").count() + text.matches(&format!("p{}-", hidden.key_id())).count();
        assert!((100..20 + value.len() / 60).contains(&made), "{header}: {made} of {} bytes", value.len());
    }
}
