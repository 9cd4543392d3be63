//! What becomes of numbers, names, hosts and texts in each mode, and what a search looks for.

use super::*;

const NUMBER: &str = "+4930123456789";

fn privacy(mode: Mode, keys: &[u8]) -> Privacy {
    let keys = keys.iter().map(|byte| Key::new([*byte; KEY_BYTES])).collect();
    let emergency_numbers = vec!["112".to_owned(), "000".to_owned()];
    Privacy::new(PrivacySettings { mode, mask: Mask::default(), keys, emergency_numbers }).expect("has a key")
}

#[test]
fn a_mask_keeps_the_first_and_last_digits_of_long_numbers() {
    let masked = privacy(Mode::Masked, &[1]);
    for (user, shown) in [
        ("+4930123456789", "+4930***89"),
        ("004930123456789", "+4930***89"),
        ("+49 (30) 1234-56789", "+4930***89"),
        ("030123456789", "0301***89"),
        ("123456789", "1234***89"),
        ("12345678", "***"),
        ("4711", "***"),
        ("%2B4930123456789", "+4930***89"),
        ("alice.smith", "a***"),
        ("Bob", "***"),
        ("7alice", "***"),
        ("\u{e9}milie", "\u{e9}***"),
        ("*21*030123456789#", "*21****9#"),
        ("***", "***"),
        ("--", "***"),
        ("112", "112"),
        ("000", "000"),
        ("anonymous", "anonymous"),
        ("", ""),
    ] {
        assert_eq!(masked.user(user), shown, "{user}");
    }
}

#[test]
fn a_pseudonym_is_the_same_however_the_number_is_written() {
    let hidden = privacy(Mode::Pseudonym, &[1]);
    let first = hidden.user(NUMBER).into_owned();
    // HMAC-SHA256 with a key of 32 times 1 over `user`, a zero byte and the bare number, counted with Python's hmac module.
    assert_eq!(first, "piruc-wiasjnttcqytuqqyt");
    assert_eq!(first.len(), 1 + 4 + 1 + 17);
    assert!(
        first.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
            && first.starts_with(&format!("p{}-", hidden.key_id()))
    );
    for same in ["004930123456789", "4930123456789", "+49(30)1234.567-89", "%34930123456789"] {
        assert_eq!(hidden.user(same), first, "{same}");
    }
    assert_ne!(hidden.user("+4930123456780"), first);
    assert_ne!(privacy(Mode::Pseudonym, &[2]).user(NUMBER), first);
    assert_eq!((&*hidden.user("112"), &*hidden.user("Anonymous")), ("112", "Anonymous"));
    assert_eq!(hidden.user("ALICE"), hidden.user("alice"));
}

#[test]
fn a_search_finds_what_each_key_and_the_mask_made() {
    let (old, new) = (privacy(Mode::Pseudonym, &[1]), privacy(Mode::Pseudonym, &[2, 1]));
    let forms = new.stored_forms("00 49 30 123456789");
    for by in [&old, &new, &privacy(Mode::Masked, &[2])] {
        assert!(forms.contains(&bare(&by.user(NUMBER))), "{forms:?}");
    }
    assert_eq!(forms.len(), 3);
    assert_eq!(new.stored_forms("4711").len(), 2, "a mask of stars alone would find all short numbers");
    let ids = new.stored_call_ids("a84b4c76e66710@h");
    assert!(ids.len() == 2 && ids.contains(&old.call_id("a84b4c76e66710@h").into_owned()));
    // Back in clear, with the keys to find what was stored before.
    let clear = privacy(Mode::Clear, &[2, 1]);
    assert!(clear.is_clear() && clear.stored_forms(NUMBER) == forms && clear.user(NUMBER) == NUMBER);
    assert_eq!(Privacy::clear().stored_forms(NUMBER), [] as [String; 0]);
}

#[test]
fn without_a_key_nothing_is_hidden_by_half() {
    let settings = |mode| PrivacySettings { mode, ..PrivacySettings::default() };
    assert_eq!(Privacy::new(settings(Mode::Masked)), Err(MissingKey));
    assert_eq!(Privacy::new(settings(Mode::Pseudonym)), Err(MissingKey));
    assert_eq!(Privacy::new(settings(Mode::Clear)), Ok(Privacy::clear()));
    assert_eq!(format!("{:?}", Key::new([7; KEY_BYTES])), format!("Key({})", Key::new([7; KEY_BYTES]).id()));
}

#[test]
fn hosts_stay_unless_they_hold_a_number() {
    let masked = privacy(Mode::Masked, &[1]);
    for same in [
        "192.0.2.17",
        "[2001:db8::1]",
        "sbc-10-20-30-40.example.com",
        "example.com",
        "localhost",
        "anonymous.invalid",
        "",
    ] {
        assert_eq!(masked.host(same), same);
    }
    assert_eq!(masked.host("4930123456789"), "4930***89");
    assert_eq!((&*masked.host("alice"), &*masked.lone_host("alice")), ("alice", "a***"));
    assert_eq!((&*masked.lone_host("localhost"), &*masked.lone_host("a.example")), ("localhost", "a.example"));
    for hidden in ["4930123456789.example.com", "9.8.7.6.5.4.3.2.1.0.3.9.4.e164.arpa"] {
        assert!(masked.host(hidden).starts_with("h-"), "{}", masked.host(hidden));
    }
}

#[test]
fn identifiers_with_a_number_are_hashed_and_stay_equal() {
    let masked = privacy(Mode::Masked, &[1]);
    for same in
        ["z9hG4bK776asdhds", "as123456", "192.0.2.17", "192.168.100.200:5060", "[2001:db8::1234]:1", "1", "G722"]
    {
        assert_eq!(masked.identifier(same), same);
    }
    for hidden in ["x4930123456789", "555-123-4567", "a%34930123456", "\u{ff11}\u{ff12}\u{ff13}4567"] {
        let found = masked.identifier(hidden);
        assert!(found.starts_with("h-") && found == masked.identifier(hidden), "{hidden}: {found}");
    }
}

#[test]
fn phrases_lose_extensions_and_products_numbers_alone() {
    let masked = privacy(Mode::Masked, &[1]);
    for (phrase, shown) in [
        ("Busy Here", "Busy Here"),
        ("4711 is busy", "*** is busy"),
        ("call +49 30 1234567 instead", "call +*** instead"),
        ("2nd try in 30 s", "2nd try in 30 s"),
        ("\u{0664}\u{0667}\u{0661}\u{0661} busy", "*** busy"),
        ("at 192.0.2.1", "at 192.0.2.1"),
    ] {
        assert_eq!(masked.phrase(phrase), shown);
    }
    for (product, shown) in [
        ("Cisco-CP8845/12.8.1", "Cisco-CP8845/12.8.1"),
        ("Grandstream GXP2170 1.0.11.64", "Grandstream GXP2170 1.0.11.64"),
        ("gateway 4930123456789", "gateway ***"),
    ] {
        assert_eq!(masked.product(product), shown);
    }
}

#[test]
fn values_of_unknown_grammar_lose_users_and_names() {
    let masked = privacy(Mode::Masked, &[1]);
    for (value, shown) in [
        ("\"Alice Smith\" <sip:alice@example.com;user=phone>;x=1", "\"***\" <sip:a***@example.com;user=phone>;x=1"),
        ("sip:+4930123456789@192.0.2.1, tel:+4930123456789", "sip:+4930***89@192.0.2.1, tel:+4930***89"),
        ("user=alice.smith@example.com", "user=a***@example.com"),
        ("num=+49 30 123456", "num=+***"),
        ("\"never closed alice", "\"***\""),
        ("\"a \\\" b\" c", "\"a \\\" b\" c"),
        ("12/34 ok", "12/34 ok"),
        ("sip:alice", "sip:a***"),
        ("<sip:alice;x=y@h>", "<sip:a***;***@h>"),
    ] {
        assert_eq!(masked.unknown(value, &mut 100), shown, "{value}");
    }
}

/// A value made of what costs most takes no more steps for being longer: each byte is read a bounded number of times.
#[test]
fn long_values_are_read_in_linear_time() {
    let masked = privacy(Mode::Masked, &[1]);
    for unit in ["\"\\\"", "\"", "\"a\" ", "sip:", "@", "1 ", "%3", "<\"", "\\\""] {
        let value = unit.repeat(16_384 / unit.len());
        assert!(masked.unknown(&value, &mut 100).len() <= 4 * value.len() + 16, "{unit}");
    }
}
