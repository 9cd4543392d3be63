//! Identifiers, string literals and numbers: read as ClickHouse reads them, printed in one form.

use super::functions::{Listed, listed};
use super::{Names, Printer, Refused, one_line};
use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};

const LONGEST_IDENTIFIER: usize = 256;

impl Printer<'_> {
    /// An identifier in back quotes.
    pub(super) fn ident(&mut self, ident: &Ident) -> Result<(), Refused> {
        let name = identifier(ident, self.names)?;
        self.quoted(name);
        Ok(())
    }

    pub(super) fn quoted(&mut self, name: &str) {
        self.out.push('`');
        self.out.push_str(name);
        self.out.push('`');
    }

    pub(super) fn string(&mut self, value: &str) {
        quote(value, &mut self.out);
    }

    /// A number of the caller.
    pub(super) fn number(&mut self, text: &str) -> Result<(), Refused> {
        let digits = number(text).ok_or_else(|| Refused::syntax(format!("{} is not a number", one_line(text))))?;
        self.out.push_str(&digits);
        Ok(())
    }
}

/// The name behind an identifier, if it may be used as one. An identifier that is the name of an engine function is
/// resolved as that function where a function can stand (`arrayMap(file, [p])`), so such names are refused everywhere,
/// but for functions that may be called. No column of the store has a refused name (a test holds that).
pub(super) fn identifier<'i>(ident: &'i Ident, names: &Names) -> Result<&'i str, Refused> {
    let Ident { value, quote_style, span: _ } = ident;
    let shown = || one_line(value);
    let plain = matches!(quote_style, None | Some('`' | '"'));
    let odd = |c: char| c.is_control() || matches!(c, '`' | '"' | '\\');
    if !plain || value.is_empty() || value.len() > LONGEST_IDENTIFIER || value.contains(odd) {
        return Err(Refused::denied(format!(
            "the identifier {} has quotes, backslashes or control characters in it, or is too long",
            shown()
        )));
    }
    let lower = value.to_ascii_lowercase();
    let may_be_called = !matches!(listed(value), Listed::No);
    if names.functions.contains(&lower) && !may_be_called {
        return Err(Refused::denied(format!(
            "{} is the name of a function that a reader may not call, and cannot be used as an identifier",
            shown()
        )));
    }
    Ok(value)
}

/// The identifiers of a dotted name.
pub(super) fn parts(name: &ObjectName) -> Result<Vec<&Ident>, Refused> {
    let ObjectName(parts) = name;
    parts
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(ident) => Ok(ident),
            ObjectNamePart::Function(_) => Err(Refused::denied("a function in place of a name")),
        })
        .collect()
}

/// A string literal of the dialect. Only quote, backslash and NUL need an escape.
pub(super) fn quote(value: &str, out: &mut String) {
    out.push('\'');
    for c in value.chars() {
        match c {
            '\'' => out.push_str("\\'"),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            '\t' | '\n' | '\r' => out.push(c),
            // Bytes by their number: what is printed has no control character that the check of its text would refuse.
            c if c.is_control() => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    out.push_str(&format!("\\x{byte:02X}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('\'');
}

/// The value of a string literal from what stands between its quotes, by the rules of ClickHouse: an unknown escape
/// keeps its backslash, `''` is a quote. `None` where the bytes would not be UTF-8 or an escape is cut short.
pub(super) fn unescape(raw: &str) -> Option<String> {
    let mut out: Vec<u8> = Vec::with_capacity(raw.len());
    let mut rest = raw.chars();
    while let Some(c) = rest.next() {
        let plain = match c {
            '\'' => rest.next().filter(|second| *second == '\'')?,
            '\\' => match rest.next()? {
                'a' => '\u{7}',
                'b' => '\u{8}',
                'e' => '\u{1b}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\u{b}',
                '0' => '\0',
                'N' => continue,
                'x' => {
                    let digit = |c: Option<char>| c.and_then(|c| c.to_digit(16));
                    let value = digit(rest.next())? * 16 + digit(rest.next())?;
                    out.push(u8::try_from(value).ok()?);
                    continue;
                }
                kept @ ('\\' | '\'' | '"' | '`' | '/' | '=' | '\0'..='\u{1f}') => kept,
                other => {
                    out.push(b'\\');
                    other
                }
            },
            other => other,
        };
        out.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes());
    }
    String::from_utf8(out).ok()
}

/// Digits with an optional fraction and exponent, or a hexadecimal integer; as the engine takes it.
pub(super) fn number(text: &str) -> Option<String> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let valid = (1..=16).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit());
        return valid.then(|| format!("0x{hex}"));
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |s: &str| s.len() <= 80 && s.bytes().all(|b| b.is_ascii_digit());
    let exponent_digits = exponent.map(|e| e.strip_prefix(['+', '-']).unwrap_or(e));
    let valid = digits(whole)
        && fraction.is_none_or(digits)
        && !(whole.is_empty() && fraction.is_none_or(str::is_empty))
        && exponent_digits.is_none_or(|e| (1..=4).contains(&e.len()) && digits(e));
    if !valid {
        return None;
    }
    let mut printed = if whole.is_empty() { "0".to_owned() } else { whole.to_owned() };
    if let Some(fraction) = fraction {
        printed.push('.');
        printed.push_str(if fraction.is_empty() { "0" } else { fraction });
    }
    if let Some(exponent) = exponent {
        printed.push('e');
        printed.push_str(exponent);
    }
    Some(printed)
}
