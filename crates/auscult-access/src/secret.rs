//! Random secrets, and the hashes that are kept of them.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What the text of an API token begins with, so that scanners for secrets find it.
pub const TOKEN_PREFIX: &str = "auscult_";

/// Random bytes of the operating system.
///
/// # Errors
/// The operating system has none, which happens in a sandbox without `getrandom` only.
pub fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes)
}

/// A new secret of 256 bits as text of 52 characters, lower case letters and digits.
///
/// # Errors
/// As [`random`].
pub fn new_secret() -> std::io::Result<String> {
    Ok(data_encoding::BASE32_NOPAD.encode(&random::<32>()?).to_ascii_lowercase())
}

/// What is kept of a secret. A fast hash is enough for 256 random bits.
pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// 32 bytes of 64 hexadecimal digits.
pub fn from_hex(text: &str) -> Option<[u8; 32]> {
    data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// Compares in the same time wherever the first difference is.
pub fn equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    bool::from(a.ct_eq(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_hashes_come_back_from_their_text() {
        let (a, b) = (new_secret().unwrap(), new_secret().unwrap());
        assert!(a != b && a.len() == 52 && a.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
        assert_eq!(from_hex(&hex(&hash(&a))), Some(hash(&a)));
        assert!(equal(&hash(&a), &hash(&a)) && !equal(&hash(&a), &hash(&b)));
        assert_eq!((from_hex("00"), from_hex(&"g".repeat(64))), (None, None));
    }
}
