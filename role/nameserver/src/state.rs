//! What measurements a restart must not lose (N13): kept in one small file.

use std::path::{Path, PathBuf};

use popnet_runtime::files::{Kind, read_framed, write_framed};
use popnet_terms::Timestamp;
use popnet_wire::probing::Report;

const KIND: Kind = Kind { name: *b"BORD", version: 1 };

/// The file's name in the role's folder.
const FILE: &str = "measurements";

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
    fn junk_never_panics() {
        let mut state = 7u64;
        let mut octets = [0; 64];
        for _ in 0..5_000 {
            for octet in &mut octets {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *octet = state.to_be_bytes()[0];
            }
            let _ = parse(&octets);
            let _ = crate::measure::report_in(&octets);
        }
    }
}
