//! The node's memory of configurations on disk: the rollout ledger as one framed file, whole or
//! not at all.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use popnet_rollout::Ledger;
use popnet_runtime::clock;
use popnet_runtime::files::{FileError, Kind, create_private_dir, read_framed, write_framed};
use popnet_terms::NodeName;
use popnet_wire::purging::PurgeId;
use popnet_wire::rollout::{Epoch, Version};

const LEDGER: Kind = Kind { name: *b"LEDG", version: 1 };
const PURGED: Kind = Kind { name: *b"PURG", version: 1 };

/// Where the daemon keeps its files.
pub(crate) fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("config")
}

fn ledger_path(state_dir: &Path) -> PathBuf {
    folder(state_dir).join("ledger")
}

/// The ledger on disk; an empty one when there is none.
pub(crate) fn read_ledger(state_dir: &Path) -> Result<Ledger, FileError> {
    let path = ledger_path(state_dir);
    match read_framed(&path, LEDGER)? {
        None => Ok(Ledger::default()),
        Some(content) => decode_ledger(&content).ok_or_else(|| damaged(&path)),
    }
}

/// A ledger out of a file's content. Takes any octets.
#[must_use]
pub fn decode_ledger(content: &[u8]) -> Option<Ledger> {
    match postcard::take_from_bytes(content) {
        Ok((ledger, [])) => Some(ledger),
        Ok(_) | Err(_) => None,
    }
}

fn damaged(path: &Path) -> FileError {
    FileError::Damaged { path: path.to_owned(), damage: popnet_runtime::files::Damage::Foreign }
}

/// Makes `ledger` durable.
pub(crate) fn write_ledger(state_dir: &Path, ledger: &Ledger) -> Result<(), FileError> {
    let content = postcard::to_stdvec(ledger).map_err(|error| FileError::Io {
        path: ledger_path(state_dir),
        source: std::io::Error::other(error),
    })?;
    write_framed(&ledger_path(state_dir), LEDGER, &content)
}

/// A first version cannot be put in place.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// It is no configuration; the mistakes as a person reads them.
    #[error("{0}")]
    Broken(String),
    /// The node has one already.
    #[error("{0} holds a configuration already; push instead")]
    Held(PathBuf),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Puts `text` into a new node's state folder as version 1, as joining a network does.
///
/// # Errors
/// `text` is broken, or the folder holds a configuration already.
pub fn seed(state_dir: &Path, text: &str, author: &str, message: &str) -> Result<(), SeedError> {
    const NAME: &str = "popnet.toml";
    let loaded = popnet_config::load(text, NAME)
        .map_err(|found| SeedError::Broken(popnet_config::render(&found, text, NAME)))?;
    if read_ledger(state_dir)?.committed.is_some() {
        return Err(SeedError::Held(folder(state_dir)));
    }
    let version = Version {
        epoch: Epoch(1),
        digest: loaded.digest,
        text: text.to_owned(),
        author: author.to_owned(),
        message: message.to_owned(),
        at: clock::now(),
        master: loaded.network.relay_root().cloned().unwrap_or_else(|| NodeName::new("")),
    };
    let folder = folder(state_dir);
    create_private_dir(&folder).map_err(|source| FileError::Io { path: folder, source })?;
    write_ledger(state_dir, &Ledger::seeded(version))?;
    Ok(())
}

/// The last purge that this node has applied, kept on disk.
#[derive(Debug)]
pub(crate) struct LastPurge {
    path: PathBuf,
    last: AtomicU64,
}

impl LastPurge {
    pub(crate) fn read(state_dir: &Path) -> Result<Self, FileError> {
        let path = folder(state_dir).join("purged");
        let content = read_framed(&path, PURGED)?.unwrap_or_default();
        let last = content.first_chunk::<8>().map_or(0, |octets| u64::from_be_bytes(*octets));
        Ok(Self { path, last: AtomicU64::new(last) })
    }

    pub(crate) fn get(&self) -> PurgeId {
        PurgeId(self.last.load(Ordering::Acquire))
    }

    /// Remembers `id` if it is the highest.
    pub(crate) fn advance(&self, id: PurgeId) -> Result<(), FileError> {
        if self.last.fetch_max(id.0, Ordering::AcqRel) >= id.0 {
            return Ok(());
        }
        write_framed(&self.path, PURGED, &id.0.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[network]\nname = \"lab\"\nschema = 1\ndomain = \"lab.test\"\n";

    #[test]
    fn seeded_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        seed(folder.path(), TEXT, "ada", "first").unwrap();
        let ledger = read_ledger(folder.path()).unwrap();
        assert_eq!(ledger.epoch(), Epoch(1));
        assert_eq!(ledger.committed.unwrap().text, TEXT);
        assert!(matches!(seed(folder.path(), TEXT, "ada", ""), Err(SeedError::Held(_))));
        let other = tempfile::tempdir().unwrap();
        let error = seed(other.path(), "[network]\nnaem = 1\n", "ada", "").unwrap_err();
        assert!(error.to_string().contains("popnet.toml:2:1"), "{error}");
    }

    #[test]
    fn damaged_ledgers_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        seed(folder.path(), TEXT, "ada", "first").unwrap();
        let path = ledger_path(folder.path());
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(read_ledger(folder.path()).is_err(), "cut at {cut}");
        }
        for junk in [&[][..], &[1], &[0xff; 40], &[1, 1, 200]] {
            let _ = decode_ledger(junk);
        }
    }

    #[test]
    fn the_last_purge_only_grows() {
        let state = tempfile::tempdir().unwrap();
        create_private_dir(&folder(state.path())).unwrap();
        let last = LastPurge::read(state.path()).unwrap();
        last.advance(PurgeId(7)).unwrap();
        last.advance(PurgeId(5)).unwrap();
        assert_eq!(LastPurge::read(state.path()).unwrap().get(), PurgeId(7));
    }
}
