//! The operator's databases of places: read again when their files change, the last good ones kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use popnet_config::Held;
use popnet_steering::Atlas;

/// A database larger than this is none: the largest known are below 200 MB.
const LARGEST: u64 = 1 << 30;

/// The files that were read last, and their states then.
#[derive(Debug, Default)]
pub(crate) struct AtlasShelf {
    seen: [Option<Seen>; 2],
}

/// A file and its state when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    path: PathBuf,
    changed: Option<SystemTime>,
    length: u64,
}

impl Seen {
    fn now(path: PathBuf) -> Self {
        let found = fs::metadata(&path).ok();
        let changed = found.as_ref().and_then(|found| found.modified().ok());
        Self { path, changed, length: found.map_or(0, |found| found.len()) }
    }
}

impl AtlasShelf {
    /// The atlas that the configuration names, when it is not the one that was given out last and
    /// can be read. What cannot be read is told once a change of the file.
    pub(crate) fn renewed(&mut self, held: &Held) -> Option<Atlas> {
        let files = &held.network.atlas;
        let seen = [&files.networks, &files.places]
            .map(|file| file.as_ref().map(|file| Seen::now(held.base_dir.join(file))));
        if seen == self.seen {
            return None;
        }
        self.seen = seen;
        let [networks, places] = self.seen.each_ref().map(|file| match file {
            Some(file) => read(&file.path, file.length).map(Some),
            None => Ok(None),
        });
        let read = networks.and_then(|networks| Ok((networks, places?)));
        let atlas = read.and_then(|(networks, places)| {
            Atlas::read(networks, places).map_err(|error| error.to_string())
        });
        match atlas {
            Ok(atlas) => {
                tracing::info!("databases of places are in use");
                Some(atlas)
            }
            Err(error) => {
                tracing::warn!(
                    %error,
                    "atlas not read; clients are placed by what was read before, or not at all"
                );
                None
            }
        }
    }
}

fn read(path: &Path, length: u64) -> Result<Vec<u8>, String> {
    if length > LARGEST {
        return Err(format!("{}: {length} octets; no database is that large", path.display()));
    }
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}
