//! Numbers and names of people as they are stored: in clear, masked, or as keyed pseudonyms.
//!
//! What leaves `wire::sip::sanitise` and `signal` has passed through here, so that every consumer of events has what is stored and
//! nothing else. A pseudonym is the truncated HMAC-SHA256 (RFC 2104) of a normalised number; it cannot be turned back.

#[cfg(test)]
mod tests;
mod text;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

/// What a text is replaced by of which nothing is kept.
const HIDDEN: &str = "***";

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Most keys of a file: each search compares with all.
pub const KEYS_MAX: usize = 16;

/// Letters of a pseudonym. 17 letters hold 79.9 bits; digits would look like a number.
const PSEUDONYM_LETTERS: usize = 17;
/// Letters of a replaced tag, branch or other identifier.
const IDENTIFIER_LETTERS: usize = 10;
const KEY_ID_LETTERS: usize = 4;

/// Users that name nobody (RFC 3323 section 4.1.1.3, TS 24.229, RFC 3261 section 8.1.1.3).
const NOBODY: [&str; 5] = ["anonymous", "unavailable", "restricted", "unknown", "ping"];

/// How numbers are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Clear,
    /// The first and last digits of a number, the first letter of a name.
    Masked,
    /// The keyed hash of a number or name.
    Pseudonym,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Clear => "clear",
            Mode::Masked => "masked",
            Mode::Pseudonym => "pseudonym",
        }
    }
}

/// Digits of a number that a mask keeps. At least [`Mask::LEAST_HIDDEN`] more are hidden, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask {
    /// 0 to 6.
    pub prefix: usize,
    /// 0 to 4.
    pub last: usize,
}

impl Mask {
    /// Prefix and last digits together stay below the seven digits by which a number is known in a text.
    pub const PREFIX_MAX: usize = 6;
    pub const LAST_MAX: usize = 4;
    /// A number of which fewer would be hidden is hidden as a whole.
    pub const LEAST_HIDDEN: usize = 3;
}

impl Default for Mask {
    fn default() -> Mask {
        Mask { prefix: 4, last: 2 }
    }
}

/// A secret that pseudonyms are made with.
#[derive(Clone)]
pub struct Key {
    /// Four letters, of the key itself: part of each pseudonym.
    id: String,
    secret: [u8; KEY_BYTES],
    keyed: Hmac<Sha256>,
}

impl Key {
    pub fn new(secret: [u8; KEY_BYTES]) -> Key {
        let keyed = Hmac::<Sha256>::new_from_slice(&secret).expect("HMAC takes keys of any length");
        let mut key = Key { id: String::new(), secret, keyed };
        key.id = key.letters(b"key id", "", KEY_ID_LETTERS);
        key
    }

    /// Four letters, which the pseudonyms of this key begin with, after a `p`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The hash of a text for one purpose, in letters.
    fn letters(&self, purpose: &[u8], text: &str, letters: usize) -> String {
        let mut mac = self.keyed.clone();
        mac.update(purpose);
        mac.update(&[0]);
        mac.update(text.as_bytes());
        let hash = mac.finalize().into_bytes();
        // 64 bits hold 13 letters.
        let words = hash.chunks(8).map(|word| word.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte)));
        let of_word = |word: u64| {
            (0..13).scan(word, |rest, _| {
                let letter = b'a' + (*rest % 26) as u8;
                *rest /= 26;
                Some(char::from(letter))
            })
        };
        words.flat_map(of_word).take(letters).collect()
    }

    fn pseudonym(&self, user: &str) -> String {
        format!("p{}-{}", self.id, self.letters(b"user", user, PSEUDONYM_LETTERS))
    }

    fn call_id(&self, call_id: &str) -> String {
        format!("c{}-{}", self.id, self.letters(b"Call-ID", call_id, PSEUDONYM_LETTERS))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.secret == other.secret
    }
}

impl std::fmt::Debug for Key {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// What [`Privacy`] is made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PrivacySettings {
    pub mode: Mode,
    pub mask: Mask,
    /// The newest first. It makes pseudonyms, Call-IDs and identifiers; a search compares with all.
    pub keys: Vec<Key>,
    /// Numbers that stay in clear: they name a service.
    pub emergency_numbers: Vec<String>,
}

/// How numbers and names are stored, and how they are found again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Privacy {
    /// `None` in clear, with nothing to find by key.
    settings: Option<Arc<PrivacySettings>>,
    /// What would be hashed is removed.
    without_hashes: bool,
}

impl Privacy {
    /// Stores everything as it came.
    pub const fn clear() -> Privacy {
        Privacy { settings: None, without_hashes: false }
    }

    /// # Errors
    /// A mode other than [`Mode::Clear`] without a key: Call-IDs, which may hold numbers, are hashed in both.
    pub fn new(settings: PrivacySettings) -> Result<Privacy, MissingKey> {
        match settings.keys.is_empty() {
            true if settings.mode == Mode::Clear => Ok(Privacy::clear()),
            true => Err(MissingKey),
            false => Ok(Privacy { settings: Some(Arc::new(settings)), without_hashes: false }),
        }
    }

    /// The same, but that `***` stands for all that would be hashed: for the rest of a message that has had its share of hashes.
    #[must_use]
    pub fn without_hashes(&self) -> Privacy {
        Privacy { without_hashes: true, ..self.clone() }
    }

    pub fn mode(&self) -> Mode {
        self.settings.as_ref().map_or(Mode::Clear, |settings| settings.mode)
    }

    #[inline]
    pub fn is_clear(&self) -> bool {
        self.hidden().is_none()
    }

    /// The id of the key that pseudonyms are made with; empty without one.
    pub fn key_id(&self) -> &str {
        self.settings.as_ref().and_then(|s| s.keys.first()).map_or("", Key::id)
    }

    #[inline]
    fn hidden(&self) -> Option<(&PrivacySettings, &Key)> {
        let settings = self.settings.as_deref().filter(|settings| settings.mode != Mode::Clear)?;
        Some((settings, settings.keys.first()?))
    }

    /// The user part of a URI, or a telephone number, without parameters.
    pub fn user<'a>(&self, user: &'a str) -> Cow<'a, str> {
        match self.hidden() {
            Some((settings, key)) if !user.is_empty() => self.hidden_user(settings, key, user),
            _ => Cow::Borrowed(user),
        }
    }

    /// A Call-ID: the hash of all of it.
    pub fn call_id<'a>(&self, call_id: &'a str) -> Cow<'a, str> {
        match self.hidden() {
            Some((_, key)) if !call_id.is_empty() => Cow::Owned(self.hashed(|| key.call_id(call_id))),
            _ => Cow::Borrowed(call_id),
        }
    }

    /// A host. Addresses and names stay, but for those that hold a number.
    pub fn host<'a>(&self, host: &'a str) -> Cow<'a, str> {
        let Some((settings, key)) = self.hidden() else { return Cow::Borrowed(host) };
        if !text::may_have_digits(host, 1) {
            return Cow::Borrowed(host);
        }
        if host.is_empty() || host.starts_with('[') || host.parse::<IpAddr>().is_ok() {
            return Cow::Borrowed(host);
        }
        if is_number(&bare(host)) {
            return self.hidden_user(settings, key, host);
        }
        // A number as a name of the DNS (RFC 6116) has a digit in each label.
        let of_digits =
            host.split('.').filter(|label| label.len() == 1 && label.as_bytes()[0].is_ascii_digit()).count();
        match text::has_number(host, "") || of_digits >= text::NUMBER_DIGITS {
            true => Cow::Owned(self.hashed(|| identifier(key, host))),
            false => Cow::Borrowed(host),
        }
    }

    /// The host of a URI without a user. A single word may be the user of a URI that was cut before its `@`.
    pub fn lone_host<'a>(&self, host: &'a str) -> Cow<'a, str> {
        match self.hidden() {
            Some(_) if !host.contains(['.', ':']) && host != "localhost" => self.user(host),
            _ => self.host(host),
        }
    }

    /// An opaque text, such as a tag, a branch or the name of a parameter: it stays unless it holds seven or more digits in a row,
    /// or with marks of punctuation between them; then it is hashed, so that equal ones stay equal.
    pub fn identifier<'a>(&self, word: &'a str) -> Cow<'a, str> {
        match self.hidden() {
            Some((_, key)) if text::has_number(word, "-.()") && !is_address(word) => {
                Cow::Owned(self.hashed(|| identifier(key, word)))
            }
            _ => Cow::Borrowed(word),
        }
    }

    /// Words written for people, such as the reason of a response: digits that may be a number or an extension (three or
    /// more, whatever separates them) are removed.
    pub fn phrase<'a>(&self, phrase: &'a str) -> Cow<'a, str> {
        match self.hidden() {
            Some(_) => text::without_numbers(phrase, 3, " ()./-"),
            None => Cow::Borrowed(phrase),
        }
    }

    /// Names of products and their versions, and texts of unknown grammar: seven or more digits in a row are removed.
    pub fn product<'a>(&self, product: &'a str) -> Cow<'a, str> {
        match self.hidden() {
            Some(_) => text::without_numbers(product, text::NUMBER_DIGITS, "()-"),
            None => Cow::Borrowed(product),
        }
    }

    /// The value of a header whose grammar is not known: users of URIs and of `user@host` are hidden, what is quoted before
    /// a URI is removed, and so are five or more digits. At most `hashes` are made, and taken from it.
    pub fn unknown<'a>(&self, value: &'a str, hashes: &mut usize) -> Cow<'a, str> {
        match self.hidden() {
            Some(_) => Cow::Owned(text::unknown(self, value, hashes)),
            None => Cow::Borrowed(value),
        }
    }

    fn hidden_user<'a>(&self, settings: &PrivacySettings, key: &Key, user: &'a str) -> Cow<'a, str> {
        if self.without_hashes && settings.mode == Mode::Pseudonym {
            return Cow::Borrowed(HIDDEN);
        }
        let plain = text::percent_decoded(user);
        let is = |other: &str| other.eq_ignore_ascii_case(&plain);
        if plain == HIDDEN || NOBODY.into_iter().any(is) || settings.emergency_numbers.iter().any(|n| is(n)) {
            return Cow::Borrowed(user);
        }
        let number = bare(&plain);
        if number.is_empty() {
            return Cow::Borrowed(HIDDEN);
        }
        Cow::Owned(match settings.mode {
            Mode::Pseudonym => self.hashed(|| key.pseudonym(&number)),
            _ => {
                let masked = masked(settings.mask, &number);
                let international = plain.starts_with('+') || plain.starts_with("00");
                if international && masked != HIDDEN && is_number(&number) { format!("+{masked}") } else { masked }
            }
        })
    }

    fn hashed(&self, hash: impl FnOnce() -> String) -> String {
        if self.without_hashes { HIDDEN.to_owned() } else { hash() }
    }

    /// What a whole number or name may be stored as besides in clear, as [`bare`] makes it of a stored one.
    pub fn stored_forms(&self, number: &str) -> Vec<String> {
        let Some(settings) = self.settings.as_deref() else { return Vec::new() };
        let number = bare(number);
        if number.is_empty() {
            return Vec::new();
        }
        let masked = masked(settings.mask, &number);
        // A mask of nothing but stars is that of every short number.
        self.pseudonyms(&number).into_iter().chain(Some(bare(&masked)).filter(|_| masked != HIDDEN)).collect()
    }

    /// The pseudonyms of a whole number or name, by each key, as [`bare`] makes them of stored ones. A mask stands for several numbers, a
    /// pseudonym for one.
    pub fn pseudonyms(&self, number: &str) -> Vec<String> {
        let keys = self.settings.as_deref().map_or(&[][..], |settings| &settings.keys);
        let number = bare(number);
        keys.iter().filter(|_| !number.is_empty()).map(|key| bare(&key.pseudonym(&number))).collect()
    }

    /// What a Call-ID may be stored as besides in clear.
    pub fn stored_call_ids(&self, call_id: &str) -> Vec<String> {
        let keys = self.settings.as_deref().map_or(&[][..], |settings| &settings.keys);
        keys.iter().map(|key| key.call_id(call_id)).collect()
    }
}

/// No key is at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no key")]
pub struct MissingKey;

/// A user part without separators and without what stands before an international number, lower case. The columns
/// `caller_reversed` and `callee_reversed` of the store are the same, from the end.
pub fn bare(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !" ()./-".contains(*c)) {
        if c.is_ascii() {
            bare.push(c.to_ascii_lowercase());
        } else {
            bare.extend(c.to_lowercase());
        }
    }
    let before = if bare.starts_with('+') { 1 } else { 2 * usize::from(bare.starts_with("00")) };
    bare.drain(..before);
    bare
}

fn identifier(key: &Key, word: &str) -> String {
    format!("h-{}", key.letters(b"identifier", word, IDENTIFIER_LETTERS))
}

/// Digits, `*` and `#` of services.
fn is_number(bare: &str) -> bool {
    bare.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'*' | b'#'))
}

fn masked(mask: Mask, bare: &str) -> String {
    if !is_number(bare) {
        let first = bare.chars().next().filter(|c| c.is_alphabetic() && bare.chars().count() >= 4);
        return first.map_or_else(|| HIDDEN.to_owned(), |first| format!("{first}{HIDDEN}"));
    }
    let Mask { prefix, last } = mask;
    if bare.len() < prefix + last + Mask::LEAST_HIDDEN || prefix + last == 0 {
        return HIDDEN.to_owned();
    }
    // Digits are single bytes.
    format!("{}{HIDDEN}{}", &bare[..prefix], &bare[bare.len() - last..])
}

/// An address, or one with a port.
fn is_address(word: &str) -> bool {
    word.parse::<IpAddr>().is_ok() || word.parse::<std::net::SocketAddr>().is_ok()
}
