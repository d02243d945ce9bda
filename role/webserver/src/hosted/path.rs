//! From the path of a URL to a path below a folder. Whatever could mean something else to the file
//! system than it says to a reader is no path: it names nothing.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// Octets of the longest path: what Linux takes.
const MOST: usize = 4_000;

/// The page of a folder.
const INDEX: &str = "index.html";

/// The one name with a dot in front that is for visitors (RFC 8615).
const WELL_KNOWN: &[u8] = b".well-known";

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Below the folder; the folder itself is `.`.
    pub(super) relative: PathBuf,
    /// It ends with a slash: a folder, whose page is meant.
    pub(super) is_folder: bool,
}

impl Wanted {
    /// The file that is sent: of a folder its page.
    pub(super) fn file(&self) -> PathBuf {
        match (self.is_folder, self.relative.as_os_str() == ".") {
            (true, true) => PathBuf::from(INDEX),
            (true, false) => self.relative.join(INDEX),
            (false, _) => self.relative.clone(),
        }
    }
}

/// Reads the path of a URL; `None`: it names no file that is served.
pub(super) fn wanted(path: &str) -> Option<Wanted> {
    let rest = path.strip_prefix('/').filter(|rest| rest.len() <= MOST)?;
    let (names, is_folder) = match rest.strip_suffix('/') {
        Some(names) => (names, true),
        None => (rest, rest.is_empty()),
    };
    let mut relative = PathBuf::new();
    if !rest.is_empty() {
        for (at, name) in names.split('/').enumerate() {
            let name = decoded(name)?;
            let hidden = name.first() == Some(&b'.') && !(at == 0 && name == WELL_KNOWN);
            let odd = name.iter().any(|octet| *octet == b'/' || octet.is_ascii_control());
            if name.is_empty() || hidden || odd {
                return None;
            }
            relative.push(OsString::from_vec(name));
        }
    }
    if relative.as_os_str().is_empty() {
        relative.push(".");
    }
    (relative.as_os_str().as_bytes().len() <= MOST).then_some(Wanted { relative, is_folder })
}

/// Without percent-encoding (RFC 3986 2.1), taken off once; `None` where it is broken.
fn decoded(name: &str) -> Option<Vec<u8>> {
    let mut octets = name.bytes();
    let mut plain = Vec::with_capacity(name.len());
    while let Some(octet) = octets.next() {
        plain.push(match octet {
            b'%' => digit(octets.next()?)? << 4 | digit(octets.next()?)?,
            other => other,
        });
    }
    Some(plain)
}

fn digit(octet: u8) -> Option<u8> {
    u8::try_from(char::from(octet).to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Component;

    fn check(path: &str, expected: Option<(&str, bool)>) {
        let found = wanted(path);
        let found = found.as_ref().map(|found| (found.relative.to_str().unwrap(), found.is_folder));
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn plain_paths() {
        check("/", Some((".", true)));
        check("/a.txt", Some(("a.txt", false)));
        check("/a/b/", Some(("a/b", true)));
        check("/a%20b/c%C3%A4.txt", Some(("a b/cä.txt", false)));
        check("/100%25", Some(("100%", false)));
        check("/%252e%252e/a", Some(("%2e%2e/a", false)));
        check("/.well-known/security.txt", Some((".well-known/security.txt", false)));
        check("/a..b/c...", Some(("a..b/c...", false)));
    }

    #[test]
    fn tricks_name_nothing() {
        for path in [
            "",
            "a",
            "*",
            "//",
            "//a",
            "/a//b",
            "/a//",
            "/..",
            "/../a",
            "/a/..",
            "/a/../b",
            "/.",
            "/./a",
            "/%2e%2e/a",
            "/%2E./a",
            "/.%2e/",
            "/a/%2e%2e%2fb",
            "/a%2fb",
            "/%2f",
            "/a%00",
            "/a%0ab",
            "/a%7f",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%+1",
            "/.git/config",
            "/a/.htaccess",
            "/a/.well-known/x",
            "/.current/a",
            "/.releases/1/a",
        ] {
            check(path, None);
        }
        check(&format!("/{}", "a/".repeat(2_500)), None);
    }

    proptest! {
        /// Whatever is asked for, what is opened lies below the folder.
        #[test]
        fn never_out_of_the_folder(path in "(/|%2[fF]|%2[eE]|\\.|%|a|%00|\\\\|.){0,24}") {
            if let Some(found) = wanted(&path) {
                for part in found.relative.components() {
                    prop_assert!(matches!(part, Component::Normal(_) | Component::CurDir));
                }
                prop_assert!(!found.relative.as_os_str().as_bytes().contains(&0));
            }
        }
    }
}
