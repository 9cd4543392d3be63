//! A value that is built anew, and how numbers in it are hidden while it is.

use crate::privacy::Privacy;
use std::borrow::Cow;
use std::cell::Cell;
use std::ops::{Deref, DerefMut};

/// How numbers are hidden in one message, with a share of hashes that is in proportion to its bytes: each takes about 10,000
/// instructions where the processor has none for SHA-256. What comes beyond the share is removed.
#[derive(Debug)]
pub(super) struct Hiding<'p> {
    pub privacy: &'p Privacy,
    without_hashes: Privacy,
    left: Cell<usize>,
}

/// Hashes of a message whatever its length: Call-ID, Request-URI, From, To and what phones add in the shortest ones.
const HASHES: usize = 12;
/// Bytes for which there is one hash more.
const BYTES_OF_A_HASH: usize = 128;

impl<'p> Hiding<'p> {
    /// For a text of a record, which has few words.
    pub fn new(privacy: &'p Privacy) -> Hiding<'p> {
        Hiding::of_message(privacy, 0)
    }

    pub fn of_message(privacy: &'p Privacy, bytes: usize) -> Hiding<'p> {
        let without_hashes = if privacy.is_clear() { Privacy::clear() } else { privacy.without_hashes() };
        Hiding { privacy, without_hashes, left: Cell::new(HASHES + bytes / BYTES_OF_A_HASH) }
    }

    /// Hides one text. Only what is changed may have taken a hash.
    fn hide(&self, text: &str, how: impl for<'a> Fn(&Privacy, &'a str) -> Cow<'a, str>) -> Vec<u8> {
        let left = self.left.get();
        let hidden = how(if left > 0 { self.privacy } else { &self.without_hashes }, text);
        if matches!(hidden, Cow::Owned(_)) {
            self.left.set(left.saturating_sub(1));
        }
        hidden.into_owned().into_bytes()
    }
}

/// Bytes of a value so far. Plain bytes are added as to a vector; what may be a number or a name goes through a method of its own.
#[derive(Clone, Debug)]
pub(super) struct Built<'p> {
    bytes: Vec<u8>,
    pub hiding: &'p Hiding<'p>,
}

impl<'p> Built<'p> {
    pub fn new(hiding: &'p Hiding<'p>) -> Built<'p> {
        Built { bytes: Vec::new(), hiding }
    }

    /// An empty one for a part.
    pub fn fresh(&self) -> Built<'p> {
        Built::new(self.hiding)
    }

    pub fn is_clear(&self) -> bool {
        self.hiding.privacy.is_clear()
    }

    /// The user part of a URI, or a telephone number.
    pub fn push_user(&mut self, user: &[u8]) {
        self.push_hidden(user, Privacy::user);
    }

    /// `whole` is the host with what follows it.
    pub fn push_host(&mut self, host: &[u8], whole: &[u8]) {
        self.push_hidden(host, Privacy::host);
        self.bytes.extend_from_slice(whole.get(host.len()..).unwrap_or_default());
    }

    /// The host of a URI that has no user.
    pub fn push_lone_host(&mut self, host: &[u8], whole: &[u8]) {
        self.push_hidden(host, Privacy::lone_host);
        self.bytes.extend_from_slice(whole.get(host.len()..).unwrap_or_default());
    }

    /// A tag, a branch, the name of a header or parameter.
    pub fn push_identifier(&mut self, word: &[u8]) {
        self.push_hidden(word, Privacy::identifier);
    }

    pub fn push_call_id(&mut self, call_id: &[u8]) {
        self.push_hidden(call_id, Privacy::call_id);
    }

    /// The opaque value of a parameter: an identifier, `user@host`, a URI or an address.
    pub fn push_opaque(&mut self, value: &[u8]) {
        match value.contains(&b'@') || value.get(..4).is_some_and(|v| v.eq_ignore_ascii_case(b"tel:")) {
            true => self.push_unknown(value),
            false => self.push_identifier(value),
        }
    }

    /// A value of unknown grammar.
    pub fn push_unknown(&mut self, value: &[u8]) {
        if self.is_clear() {
            return self.bytes.extend_from_slice(value);
        }
        let mut left = self.hiding.left.get();
        let hidden = self.hiding.privacy.unknown(&String::from_utf8_lossy(value), &mut left).into_owned();
        self.hiding.left.set(left);
        self.bytes.extend_from_slice(hidden.as_bytes());
    }

    fn push_hidden(&mut self, text: &[u8], how: impl for<'a> Fn(&Privacy, &'a str) -> Cow<'a, str>) {
        match self.is_clear() {
            true => self.bytes.extend_from_slice(text),
            false => self.bytes.extend(self.hiding.hide(&String::from_utf8_lossy(text), how)),
        }
    }
}

impl Deref for Built<'_> {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Built<'_> {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}
