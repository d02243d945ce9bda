//! A master's history: each version that came into force, a file each.

use std::fs;
use std::path::PathBuf;

use popnet_runtime::files::{FileError, Kind, create_private_dir, read_framed, write_framed};
use popnet_wire::rollout::{Epoch, Version};

const VERSION: Kind = Kind { name: *b"VERS", version: 1 };
/// Versions kept when the configuration does not say.
const KEEP: usize = 100;
/// The first letter of a version's file name; the number follows in sixteen digits, so that names
/// sort like numbers.
const LETTER: char = 'v';

/// The folder of versions.
#[derive(Clone, Debug)]
pub(crate) struct History {
    folder: PathBuf,
}

impl History {
    pub(crate) fn open(folder: PathBuf) -> Result<Self, FileError> {
        create_private_dir(&folder)
            .map_err(|source| FileError::Io { path: folder.clone(), source })?;
        Ok(Self { folder })
    }

    fn path(&self, epoch: Epoch) -> PathBuf {
        self.folder.join(format!("{LETTER}{:016}", epoch.0))
    }

    /// Numbers there are, newest first.
    fn epochs(&self) -> Vec<Epoch> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let mut epochs: Vec<Epoch> = entries
            .flatten()
            .filter_map(|entry| {
                entry.file_name().to_str()?.strip_prefix(LETTER)?.parse().ok().map(Epoch)
            })
            .collect();
        epochs.sort_unstable_by(|a, b| b.cmp(a));
        epochs
    }

    /// Keeps `version`, and the newest `keep` in all.
    pub(crate) fn add(&self, version: &Version, keep: Option<u32>) -> Result<(), FileError> {
        let path = self.path(version.epoch);
        let content = postcard::to_stdvec(version).map_err(|error| FileError::Io {
            path: path.clone(),
            source: std::io::Error::other(error),
        })?;
        write_framed(&path, VERSION, &content)?;
        let keep = keep.and_then(|keep| usize::try_from(keep).ok()).unwrap_or(KEEP).max(1);
        for old in self.epochs().into_iter().skip(keep) {
            if let Err(error) = fs::remove_file(self.path(old)) {
                tracing::warn!(version = %old, %error, "cannot remove an old version");
            }
        }
        Ok(())
    }

    /// One version.
    pub(crate) fn version(&self, epoch: Epoch) -> Option<Version> {
        let content = match read_framed(&self.path(epoch), VERSION) {
            Ok(content) => content?,
            Err(error) => {
                tracing::warn!(version = %epoch, %error, "a version of the history cannot be read");
                return None;
            }
        };
        decode_version(&content)
    }

    /// The newest versions without their texts.
    pub(crate) fn newest(&self, limit: usize) -> Vec<Version> {
        let newest = self.epochs().into_iter().take(limit).filter_map(|epoch| self.version(epoch));
        newest.map(|version| Version { text: String::new(), ..version }).collect()
    }
}

/// A version out of a file's content. Takes any octets.
#[must_use]
pub fn decode_version(content: &[u8]) -> Option<Version> {
    match postcard::take_from_bytes(content) {
        Ok((version, [])) => Some(version),
        Ok(_) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use popnet_terms::Timestamp;

    #[test]
    fn newest_first_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path().join("history")).unwrap();
        for number in 8..13 {
            let version = Version {
                epoch: Epoch(number),
                digest: popnet_wire::rollout::Digest::default(),
                text: format!("text {number}"),
                author: "ada".to_owned(),
                message: String::new(),
                at: Timestamp(0),
                master: "m.a".into(),
            };
            history.add(&version, Some(3)).unwrap();
        }
        let newest: Vec<u64> = history.newest(2).iter().map(|version| version.epoch.0).collect();
        assert_eq!(newest, [12, 11]);
        assert_eq!(history.version(Epoch(10)).unwrap().text, "text 10");
        assert_eq!(history.version(Epoch(9)), None);
        fs::write(folder.path().join("history/v0000000000000011"), "junk").unwrap();
        assert_eq!(history.newest(9).len(), 2, "a damaged one is left out");
        assert_eq!(decode_version(&[0xff; 9]), None);
    }
}
