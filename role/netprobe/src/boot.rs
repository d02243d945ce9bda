//! The number of this start. Name servers order reports by `(boot, seq)`, so that it must grow
//! with every start, also when the clock was set back in between.

use std::fs;
use std::path::Path;

use popnet_runtime::files::write_atomic;
use popnet_terms::Timestamp;

/// The number for a start at `now`, kept in `folder` for the next one. Without the file the time
/// of day alone serves.
pub(crate) fn number(folder: &Path, now: Timestamp) -> u64 {
    let path = folder.join("boot");
    let before = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let seconds = u64::try_from(now.unix_seconds()).unwrap_or(0);
    let boot = before.map_or(seconds, |before| seconds.max(before.saturating_add(1)));
    if let Err(error) = write_atomic(&path, format!("{boot}\n").as_bytes()) {
        tracing::warn!(path = %path.display(), %error, "the boot number cannot be kept");
    }
    boot
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_whatever_the_clock_does() {
        let folder = tempfile::tempdir().unwrap();
        let at = |seconds: i64| number(folder.path(), Timestamp(seconds * 1_000_000));
        assert_eq!(at(1_000), 1_000);
        assert_eq!(at(900), 1_001);
        assert_eq!(at(2_000), 2_000);
        fs::write(folder.path().join("boot"), "junk").unwrap();
        assert_eq!(at(2_500), 2_500);
    }
}
