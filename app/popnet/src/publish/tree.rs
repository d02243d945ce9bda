//! A folder's files with the digests of their contents.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::Broken;

/// Files of the largest release, and the deepest nesting: what a slip of the finger (`/`) stops at.
const FILES_MAX: usize = 1_000_000;
const DEEPEST: usize = 64;

/// One file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) digest: [u8; 32],
    pub(crate) length: u64,
}

/// Every file below a folder that visitors may see, by its path there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) files: BTreeMap<PathBuf, Content>,
    /// Names left out because they begin with a dot.
    pub(crate) hidden: usize,
}

/// Whether a name at that depth is never served: the WebServer's own rule.
fn hidden(name: &str, depth: usize) -> bool {
    name.starts_with('.') && !(depth == 0 && name == ".well-known")
}

impl Tree {
    /// Reads all of `folder`; `seen` hears of each file.
    pub(crate) fn read(folder: &Path, mut seen: impl FnMut(&Path)) -> Result<Self, Broken> {
        let mut tree = Self::default();
        let mut open = vec![(PathBuf::new(), 0)];
        while let Some((relative, depth)) = open.pop() {
            let here = folder.join(&relative);
            let entries = fs::read_dir(&here).map_err(|error| Broken::file(&here, &error))?;
            for entry in entries {
                let entry = entry.map_err(|error| Broken::file(&here, &error))?;
                let path = entry.path();
                let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                    return Err(Broken::name(&path, "is not UTF-8"));
                };
                if name.chars().any(char::is_control) {
                    return Err(Broken::name(&path, "has a control character"));
                }
                if hidden(&name, depth) {
                    tree.hidden += 1;
                    continue;
                }
                // Of the entry itself: a link is not followed, wherever it leads.
                let kind = entry.file_type().map_err(|error| Broken::file(&path, &error))?;
                let below = relative.join(name);
                if kind.is_dir() && depth < DEEPEST {
                    open.push((below, depth + 1));
                } else if kind.is_file() && tree.files.len() < FILES_MAX {
                    let content = digest(&path).map_err(|error| Broken::file(&path, &error))?;
                    seen(&below);
                    tree.files.insert(below, content);
                } else if kind.is_dir() || kind.is_file() {
                    return Err(Broken::name(
                        &path,
                        "is one too many or too deep: is this folder meant?",
                    ));
                } else {
                    return Err(Broken::name(&path, "is neither a file nor a folder"));
                }
            }
        }
        Ok(tree)
    }
}

/// The content of the file at `path` as it is now.
pub(super) fn digest(path: &Path) -> io::Result<Content> {
    let mut file = File::open(path)?;
    let (mut hash, mut length) = (Sha256::new(), 0);
    let mut piece = vec![0; 256 << 10];
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(Content { digest: hash.finalize().into(), length });
        }
        hash.update(piece.get(..read).unwrap_or_default());
        length += read as u64;
    }
}
