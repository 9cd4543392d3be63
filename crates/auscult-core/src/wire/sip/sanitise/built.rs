//! A value that is built anew, and how numbers in it are hidden while it is.

use crate::privacy::Privacy;
use std::ops::{Deref, DerefMut};

/// Bytes of a value so far. Plain bytes are added as to a vector; what may be a number or a name goes through a method of its own.
#[derive(Clone, Debug)]
pub(super) struct Built<'p> {
    bytes: Vec<u8>,
    pub privacy: &'p Privacy,
}

impl<'p> Built<'p> {
    pub fn new(privacy: &'p Privacy) -> Built<'p> {
        Built { bytes: Vec::new(), privacy }
    }

    /// An empty one for a part.
    pub fn fresh(&self) -> Built<'p> {
        Built::new(self.privacy)
    }

    /// The user part of a URI, or a telephone number.
    pub fn push_user(&mut self, user: &[u8]) {
        match self.privacy.is_clear() {
            true => self.bytes.extend_from_slice(user),
            false => self.push_hidden(&self.privacy.user(&String::from_utf8_lossy(user))),
        }
    }

    /// `whole` is the host with what follows it.
    pub fn push_host(&mut self, host: &[u8], whole: &[u8]) {
        if self.privacy.is_clear() {
            return self.bytes.extend_from_slice(whole);
        }
        self.push_hidden(&self.privacy.host(&String::from_utf8_lossy(host)));
        self.bytes.extend_from_slice(whole.get(host.len()..).unwrap_or_default());
    }

    /// The host of a URI that has no user.
    pub fn push_lone_host(&mut self, host: &[u8], whole: &[u8]) {
        if self.privacy.is_clear() {
            return self.bytes.extend_from_slice(whole);
        }
        self.push_hidden(&self.privacy.lone_host(&String::from_utf8_lossy(host)));
        self.bytes.extend_from_slice(whole.get(host.len()..).unwrap_or_default());
    }

    /// A tag, a branch, the name of a header or parameter.
    pub fn push_identifier(&mut self, word: &[u8]) {
        match self.privacy.is_clear() {
            true => self.bytes.extend_from_slice(word),
            false => self.push_hidden(&self.privacy.identifier(&String::from_utf8_lossy(word))),
        }
    }

    /// The opaque value of a parameter: an identifier, `user@host`, a URI or an address.
    pub fn push_opaque(&mut self, value: &[u8]) {
        if self.privacy.is_clear() {
            return self.bytes.extend_from_slice(value);
        }
        match value.contains(&b'@') || value.get(..4).is_some_and(|v| v.eq_ignore_ascii_case(b"tel:")) {
            true => self.push_unknown(value),
            false => self.push_identifier(value),
        }
    }

    /// A value of unknown grammar.
    pub fn push_unknown(&mut self, value: &[u8]) {
        match self.privacy.is_clear() {
            true => self.bytes.extend_from_slice(value),
            false => self.push_hidden(&self.privacy.unknown(&String::from_utf8_lossy(value))),
        }
    }

    fn push_hidden(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
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
