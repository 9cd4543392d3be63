//! A number in the text of SIP messages: as the user part of an address, whole, in any header.

use crate::query::PhoneNumber;
use regex::Regex;

/// Finds a number in text, here and in the store by the same expression.
#[derive(Clone, Debug)]
pub struct NumberInText {
    pattern: String,
    compiled: Option<Regex>,
}

impl NumberInText {
    /// `forms` are the ways in which rows may have the number.
    pub fn new(forms: &[PhoneNumber]) -> NumberInText {
        let one = |form: &PhoneNumber| {
            let characters: Vec<String> = form.as_str().chars().map(|c| regex::escape(&c.to_string())).collect();
            // People write separators into numbers (RFC 3966 section 5.1.1).
            characters.join("[-.()]*")
        };
        let forms: Vec<String> = forms.iter().map(one).collect();
        let number = format!("(?:[+]|%2B|00)?(?:{})", forms.join("|"));
        let pattern = format!(r"(?:sips?:{number}[;:@]|tel:{number}(?:[;>,\s]|$))");
        let compiled = Regex::new(&format!("(?i-u){pattern}")).ok();
        NumberInText { pattern, compiled }
    }

    pub fn is_in(&self, text: &str) -> bool {
        self.compiled.as_ref().is_some_and(|compiled| compiled.is_match(text))
    }

    /// For the store's function `match`.
    pub(super) fn sql(&self) -> String {
        format!("(?i){}", self.pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_whole_and_as_a_user_part_only() {
        let number = NumberInText::new(&[PhoneNumber::parse("+49 30 1234-5").unwrap()]);
        for text in [
            "To: <sip:+4930123450@host>\r\nDiversion: <sip:493012345@host>;reason=busy",
            "P-Asserted-Identity: tel:+49-30-12345",
            "f: <SIPS:00493012345;phone-context=x@host>",
            "Refer-To: <sip:%2B493012345@host>",
            "To: <tel:493012345>;tag=a",
        ] {
            assert!(number.is_in(text), "{text}");
        }
        for text in [
            "To: <sip:4930123456@host>",
            "To: <sip:1493012345@host>",
            "Via: SIP/2.0/UDP 192.0.2.1:493012345",
            "Call-ID: 493012345@host",
            "To: <sip:12345@host>",
        ] {
            assert!(!number.is_in(text), "{text}");
        }
        let extension = NumberInText::new(&[PhoneNumber::parse("5060").unwrap()]);
        assert!(!extension.is_in("Contact: <sip:192.0.2.1:5060>\r\nVia: SIP/2.0/UDP h:5060;branch=z"));
        assert!(extension.is_in("To: <sip:5060@192.0.2.1:5060>"));
    }

    #[test]
    fn characters_with_a_meaning_in_expressions_are_taken_as_they_are() {
        let odd = NumberInText::new(&[PhoneNumber::parse("a*b[c").unwrap()]);
        assert!(odd.is_in("<sip:a*b[c@host>") && !odd.is_in("<sip:aab[c@host>"));
    }
}
