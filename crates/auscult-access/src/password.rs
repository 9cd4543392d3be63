//! Passwords as argon2id (RFC 9106), with the parameters of its second recommended option scaled to what sign-ins may take on a probe:
//! 19 MiB, two passes, one lane.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

/// Shortest and longest password, characters and bytes. NIST SP 800-63B asks for 15 where nothing but the password is asked for, and 8 at
/// least; rules about kinds of characters are none.
pub const MIN_PASSWORD: usize = 12;
pub const MAX_PASSWORD: usize = 1024;

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// Whether a password may be set.
///
/// # Errors
/// One line that says what is wrong.
pub fn check_password(user: &str, password: &str) -> Result<(), String> {
    let length = password.chars().count();
    if length < MIN_PASSWORD {
        return Err(format!("the password has {length} characters; it needs {MIN_PASSWORD}"));
    }
    if password.len() > MAX_PASSWORD {
        return Err(format!("the password has more than {MAX_PASSWORD} bytes"));
    }
    let distinct: std::collections::BTreeSet<char> = password.chars().collect();
    if distinct.len() < 5 || password.to_lowercase().contains(&user.to_lowercase()) {
        return Err(
            "the password is easy to guess: it repeats few characters, or has the name of the user in it".into()
        );
    }
    Ok(())
}

fn argon2() -> Argon2<'static> {
    // The parameters are constants within the ranges of the algorithm.
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// The text that is kept of a password (PHC string format). Takes tens of milliseconds.
///
/// # Errors
/// No random bytes for the salt.
pub fn hash(password: &str) -> std::io::Result<String> {
    let failed = |e: argon2::password_hash::Error| std::io::Error::other(e.to_string());
    let salt = SaltString::encode_b64(&super::secret::random::<16>()?).map_err(failed)?;
    Ok(argon2().hash_password(password.as_bytes(), &salt).map_err(failed)?.to_string())
}

/// Whether a password is the one whose hash is kept. Without a hash, as for a user who does not exist, the same work is done for nothing.
pub fn is_right(password: &str, kept: Option<&str>) -> bool {
    const NOBODY: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let Ok(parsed) = PasswordHash::new(kept.unwrap_or(NOBODY)) else { return false };
    let right = argon2().verify_password(password.as_bytes(), &parsed).is_ok();
    right && kept.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_password_is_right() {
        let kept = hash("correct horse battery").unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(is_right("correct horse battery", Some(&kept)));
        assert!(!is_right("correct horse batterz", Some(&kept)) && !is_right("", Some(&kept)));
        assert_ne!(hash("correct horse battery").unwrap(), kept, "each has a salt of its own");
        assert!(!is_right("correct horse battery", None) && !is_right("x", Some("no hash")));
    }

    #[test]
    fn the_hash_of_nobody_can_be_compared_with() {
        assert!(
            PasswordHash::new(
                "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
            )
            .is_ok()
        );
    }

    #[test]
    fn short_and_simple_passwords_are_refused() {
        for (password, refused) in [
            ("elevenchars", true),
            ("twelve chars", false),
            ("aaaaaaaaaaaaaaaa", true),
            ("Alice-2026-winter", true),
            ("größer als früher", false),
            (&"ab cde fgh".repeat(200), true),
        ] {
            assert_eq!(check_password("alice", password).is_err(), refused, "{password}");
        }
    }
}
