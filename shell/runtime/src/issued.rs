//! Where a node keeps the certificates that the network ordered: one private file each, the key
//! and then the chain, so that both change at once.

use std::path::{Path, PathBuf};

/// Longest name of such a certificate.
const NAME_MAX: usize = 64;

/// The folder in a node's state folder.
#[must_use]
pub fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("certificates")
}

/// Whether a certificate that the network orders may be called `name`: it becomes a file's name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= NAME_MAX && !name.starts_with('.') && name.bytes().all(fits)
}

/// The file of the certificate `name`; `None`: there cannot be one.
#[must_use]
pub fn path(folder: &Path, name: &str) -> Option<PathBuf> {
    is_name(name).then(|| folder.join(format!("{name}.pem")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_folder() {
        let path = |name| path(Path::new("/state"), name);
        assert_eq!(path("shop.v2"), Some(PathBuf::from("/state/shop.v2.pem")));
        for name in ["", "../a", "a/b", ".hidden", "ä", "a b", &"a".repeat(65)] {
            assert_eq!(path(name), None, "{name}");
        }
    }
}
