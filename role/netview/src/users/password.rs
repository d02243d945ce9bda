//! Passwords: argon2id with 19 MiB, two passes, one lane; at least twelve characters, no rules of
//! composition.

use argon2::password_hash::SaltString;
use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier};

/// Shortest password, in characters.
pub const PASSWORD_MIN: usize = 12;

/// Longest password, in octets: hashing time must not be the caller's to choose.
const PASSWORD_MAX: usize = 1024;

/// Why a password is not taken.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too short.
    #[error("a password has at least {PASSWORD_MIN} characters")]
    Short,
    /// Too long.
    #[error("a password has at most {PASSWORD_MAX} octets")]
    Long,
    /// The hash function or the random source failed.
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
}

/// The hash of `password` in PHC form.
pub(super) fn hash(password: &str) -> Result<String, PasswordError> {
    if password.chars().count() < PASSWORD_MIN {
        return Err(PasswordError::Short);
    }
    if password.len() > PASSWORD_MAX {
        return Err(PasswordError::Long);
    }
    let mut octets = [0_u8; 16];
    getrandom::fill(&mut octets).map_err(|error| PasswordError::Hash(error.to_string()))?;
    let salt =
        SaltString::encode_b64(&octets).map_err(|error| PasswordError::Hash(error.to_string()))?;
    // The library's defaults are the parameters named above (OWASP's minimum).
    Argon2::default()
        .hash_password(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| PasswordError::Hash(error.to_string()))
}

/// Whether `password` is the one that `stored` was made of. A user without a password, and nobody
/// at all, cost the same time as a wrong password.
pub(super) fn verify(password: &str, stored: Option<&str>) -> bool {
    if password.len() > PASSWORD_MAX {
        return false;
    }
    let known = stored.and_then(|text| PasswordHash::new(text).ok());
    match known.or_else(|| PasswordHash::new(NOBODY).ok().filter(|_| stored.is_none())) {
        Some(hash) => {
            let matches = Argon2::default().verify_password(password.as_bytes(), &hash).is_ok();
            matches && stored.is_some()
        }
        None => false,
    }
}

/// The hash of a password that nobody has: only its parameters matter.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$cG9wbmV0LW5vYm9keS1z$\
                      OGYzYjU4ZTE3YzJhNDlkMDZiNWYxZTgzMmE3YzRkOTA";

#[cfg(test)]
mod tests {
    use super::{hash, verify};

    #[test]
    fn only_the_same_password_verifies() {
        let stored = hash("correct horse battery").unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(verify("correct horse battery", Some(&stored)));
        assert!(!verify("correct horse batterz", Some(&stored)));
        assert!(!verify("correct horse battery", None));
        assert!(!verify("anything", Some("not a hash")));
        assert!(hash("short").is_err());
        assert!(hash(&"x".repeat(2000)).is_err());
    }
}
