//! What measurements a restart must not lose (N13): the newest words on services in one small
//! file, latencies in a folder with a file a part, of which only those that changed are written.

use std::path::{Path, PathBuf};

use popnet_runtime::files::{
    Damage, FileError, Kind, create_private_dir, read_framed, write_framed,
};
use popnet_steering::Board;
use popnet_terms::Timestamp;
use popnet_wire::probing::Report;

const KIND: Kind = Kind { name: *b"BORD", version: 1 };
const PART: Kind = Kind { name: *b"LATY", version: Board::LATENCY_VERSION };

/// The file's name in the role's folder.
const FILE: &str = "measurements";
/// The folder of latencies beside it.
const LATENCIES: &str = "latencies";

pub(crate) fn path(role_dir: &Path) -> PathBuf {
    role_dir.join(FILE)
}

/// What was kept; nothing when there is no file or it is damaged.
pub(crate) fn load(path: &Path) -> Vec<(Timestamp, Report)> {
    let octets = match read_framed(path, KIND) {
        Ok(Some(octets)) => octets,
        Ok(None) => return Vec::new(),
        Err(error) => {
            tracing::warn!(%error, "measurements of the last run are lost; probes will bring new ones");
            return Vec::new();
        }
    };
    parse(&octets).unwrap_or_else(|| {
        tracing::warn!(path = %path.display(), "measurements of the last run do not decode");
        Vec::new()
    })
}

/// What a file of kept measurements holds: when each report came in, and the report. `None`: the
/// octets are something else.
#[must_use]
pub fn parse(octets: &[u8]) -> Option<Vec<(Timestamp, Report)>> {
    postcard::from_bytes(octets).ok()
}

pub(crate) fn save(path: &Path, reports: &[(Timestamp, Report)]) {
    let Ok(octets) = postcard::to_allocvec(reports) else { return };
    if let Err(error) = write_framed(path, KIND, &octets) {
        tracing::warn!(%error, "measurements are not kept");
    }
}

/// The kept parts of the latencies: the version of each, and its octets; damaged ones are left out.
pub(crate) fn parts(role_dir: &Path) -> impl Iterator<Item = (u16, Vec<u8>)> {
    let folder = role_dir.join(LATENCIES);
    (0..Board::LATENCY_PARTS).filter_map(move |number| {
        read_part(&folder.join(number.to_string())).unwrap_or_else(|error| {
            tracing::warn!(%error, "latencies are lost; probes will bring new ones");
            None
        })
    })
}

fn read_part(path: &Path) -> Result<Option<(u16, Vec<u8>)>, FileError> {
    let read = |version| {
        let octets = read_framed(path, Kind { version, ..PART })?;
        Ok(octets.map(|octets| (version, octets)))
    };
    match read(PART.version) {
        Err(FileError::Damaged { damage: Damage::Version(older), .. }) if older < PART.version => {
            read(older)
        }
        read => read,
    }
}

pub(crate) fn save_parts(role_dir: &Path, parts: &[(u16, Vec<u8>)]) {
    let folder = role_dir.join(LATENCIES);
    let written = create_private_dir(&folder).map_err(|error| error.to_string()).and_then(|()| {
        let write = |(number, octets): &(u16, Vec<u8>)| {
            write_framed(&folder.join(number.to_string()), PART, octets)
        };
        parts.iter().try_for_each(write).map_err(|error| error.to_string())
    });
    if let Err(error) = written {
        tracing::warn!(%error, folder = %folder.display(), "latencies are not kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let file = path(folder.path());
        assert!(load(&file).is_empty());
        std::fs::write(&file, b"junk").unwrap();
        assert!(load(&file).is_empty());
        write_framed(&file, KIND, &[0xff; 40]).unwrap();
        assert!(load(&file).is_empty());
        save(&file, &[]);
        assert!(load(&file).is_empty() && parse(&[0]).is_some());
    }

    #[test]
    fn parts_come_back_and_damaged_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(parts(folder.path()).count(), 0);
        save_parts(folder.path(), &[(0, vec![1]), (255, vec![2, 3])]);
        assert_eq!(parts(folder.path()).collect::<Vec<_>>(), [(2, vec![1]), (2, vec![2, 3])]);
        let older = Kind { version: 1, ..PART };
        write_framed(&folder.path().join(LATENCIES).join("7"), older, &[9]).unwrap();
        assert!(parts(folder.path()).any(|part| part == (1, vec![9])));
        std::fs::remove_file(folder.path().join(LATENCIES).join("7")).unwrap();
        std::fs::write(folder.path().join(LATENCIES).join("0"), b"junk").unwrap();
        assert_eq!(parts(folder.path()).collect::<Vec<_>>(), [(2, vec![2, 3])]);
    }

    #[test]
    fn junk_never_panics() {
        let mut state = 7u64;
        let mut octets = [0; 64];
        for _ in 0..5_000 {
            for octet in &mut octets {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *octet = state.to_be_bytes()[0];
            }
            let _ = parse(&octets);
            let _ = crate::measure::word_in(&octets);
        }
    }
}
