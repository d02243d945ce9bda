//! Shared keys (RFC 8945), and the files they lie in.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::hmac;
use domain::utils::base64;
use popnet_dns::Name;

/// What signs (RFC 8945 6). MD5 is left out; SHA-1 stays for old peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// hmac-sha1.
    Sha1,
    /// hmac-sha256, the usual one.
    Sha256,
    /// hmac-sha384.
    Sha384,
    /// hmac-sha512.
    Sha512,
}

impl Algorithm {
    const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The word in key files.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Sha1 => "hmac-sha1",
            Self::Sha256 => "hmac-sha256",
            Self::Sha384 => "hmac-sha384",
            Self::Sha512 => "hmac-sha512",
        }
    }

    /// Its name in messages.
    pub(crate) fn wire(self) -> &'static [u8] {
        match self {
            Self::Sha1 => b"\x09hmac-sha1\0",
            Self::Sha256 => b"\x0bhmac-sha256\0",
            Self::Sha384 => b"\x0bhmac-sha384\0",
            Self::Sha512 => b"\x0bhmac-sha512\0",
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    /// Octets of a whole signature, and of a good secret.
    #[must_use]
    pub fn octets(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl FromStr for Algorithm {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let plain = text.to_ascii_lowercase();
        let plain = plain.trim_end_matches('.');
        let known = Self::ALL.into_iter().find(|one| one.word() == plain);
        known.ok_or_else(|| KeyError::Algorithm(text.to_owned()))
    }
}

/// A key, by its name. The secret cannot be read out of it again.
#[derive(Clone)]
pub struct Key {
    name: Name,
    algorithm: Algorithm,
    secret: hmac::Key,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} {})", self.name, self.algorithm.word())
    }
}

/// A key file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No algorithm that we know.
    #[error("{0:?} is no algorithm for keys: hmac-sha256, hmac-sha384, hmac-sha512 or hmac-sha1")]
    Algorithm(String),
    /// The secret is not base64, or there is none.
    #[error("the secret is not base64")]
    Secret,
    /// The file names another key.
    #[error("the file holds key {0}")]
    Name(String),
    /// The file has another form.
    #[error(
        "neither `key \"NAME\" {{ algorithm hmac-sha256; secret \"…\"; }};` nor a secret in base64"
    )]
    Form,
}

impl Key {
    /// A key of its parts.
    #[must_use]
    pub fn new(name: Name, algorithm: Algorithm, secret: &[u8]) -> Self {
        Self { name, algorithm, secret: hmac::Key::new(algorithm.hmac(), secret) }
    }

    /// The key `name` from the text of its file: as `tsig-keygen` writes it, or the secret alone,
    /// which is then for hmac-sha256.
    ///
    /// # Errors
    /// Says what is wrong with the text; never shows a secret.
    pub fn read(name: &Name, text: &str) -> Result<Self, KeyError> {
        let words = words(text);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (algorithm, secret) = match words.as_slice() {
            [secret] => (Algorithm::Sha256, *secret),
            ["key", said, "{", body @ .., "}"] | ["key", said, "{", body @ .., "}", ";"] => {
                if said.parse::<Name>().ok().as_ref() != Some(name) {
                    return Err(KeyError::Name((*said).to_owned()));
                }
                match body {
                    ["algorithm", algorithm, ";", "secret", secret, ";"]
                    | ["secret", secret, ";", "algorithm", algorithm, ";"] => {
                        (algorithm.parse()?, *secret)
                    }
                    _ => return Err(KeyError::Form),
                }
            }
            _ => return Err(KeyError::Form),
        };
        let secret: Vec<u8> = base64::decode(secret).map_err(|_| KeyError::Secret)?;
        if secret.is_empty() {
            return Err(KeyError::Secret);
        }
        Ok(Self::new(name.clone(), algorithm, &secret))
    }

    /// The text of a key file, as other servers read it, too.
    #[must_use]
    pub fn file(name: &Name, algorithm: Algorithm, secret: &[u8]) -> String {
        let secret = base64::encode_string(secret);
        let word = algorithm.word();
        format!("key \"{}\" {{\n\talgorithm {word};\n\tsecret \"{secret}\";\n}};\n", name.to_host())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn sign(&self, parts: &[&[u8]]) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.secret);
        for part in parts {
            context.update(part);
        }
        context.sign().as_ref().to_vec()
    }

    /// Whether `mac` is the whole signature over `parts`; takes as long for wrong ones.
    pub(crate) fn verify(&self, parts: &[&[u8]], mac: &[u8]) -> bool {
        hmac::verify(&self.secret, &parts.concat(), mac).is_ok()
    }
}

/// Words, braces and semicolons of a text in the syntax of BIND's files; comments left out.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        // A pair of slashes inside a word is base64.
        let is_comment = |(at, _): &(usize, &str)| {
            let before = line.get(..*at).unwrap_or_default();
            !before.ends_with(|letter: char| {
                letter.is_ascii_alphanumeric() || letter == '/' || letter == '+'
            })
        };
        let end = line.match_indices("//").find(is_comment).map_or(line.len(), |(at, _)| at);
        let line = line.get(..end).unwrap_or_default();
        let mut word = String::new();
        for letter in line.chars().chain([' ']) {
            match letter {
                '{' | '}' | ';' => {
                    words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
                    words.push(letter.to_string());
                }
                '"' => {}
                blank if blank.is_whitespace() => {
                    words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
                }
                letter => word.push(letter),
            }
        }
    }
    words
}

/// Keys by name.
#[derive(Clone, Debug, Default)]
pub struct Keys(BTreeMap<Name, Arc<Key>>);

impl Keys {
    /// The key called `name`.
    #[must_use]
    pub fn get(&self, name: &Name) -> Option<&Arc<Key>> {
        self.0.get(name)
    }

    /// Adds a key, in place of one of the same name.
    pub fn add(&mut self, key: Key) {
        self.0.insert(key.name.clone(), Arc::new(key));
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files() {
        let name: Name = "xfr.example".parse().unwrap();
        let text = Key::file(&name, Algorithm::Sha512, b"0123456789");
        let key = Key::read(&name, &text).unwrap();
        assert_eq!((key.algorithm(), key.name()), (Algorithm::Sha512, &name));
        assert_eq!(key.sign(&[b"ab"]), key.sign(&[b"a", b"b"]));
        let bare = Key::read(&name, "# mine\nMDEyMzQ1Njc4OQ==\n").unwrap();
        assert_eq!(bare.algorithm(), Algorithm::Sha256);
        // A slash pair is part of base64, not a comment.
        assert!(Key::read(&name, "ab//").is_ok());
        assert!(!format!("{key:?}").contains("MDEy"), "{key:?}");
        let other: Name = "other".parse().unwrap();
        let cases = [
            (&other, text.as_str(), "holds key xfr.example"),
            (&name, "", "neither"),
            (&name, "key xfr.example { secret MDEy; };", "neither"),
            (&name, "key xfr.example { algorithm hmac-md5; secret MDEy; };", "hmac-md5"),
            (&name, "not_base64!", "not base64"),
        ];
        for (name, text, what) in cases {
            let error = Key::read(name, text).unwrap_err().to_string();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
