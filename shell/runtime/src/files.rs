//! Files that survive a crash: whole or not at all, with their kind, version and checksum in front.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// First octets of every framed file.
const MAGIC: &[u8; 6] = b"POPNET";
/// Magic, kind, version, length, checksum.
const HEAD: usize = 6 + 4 + 2 + 8 + 4;
/// No framed file of ours is longer; a longer one is not ours.
const LONGEST: u64 = 1 << 30;

/// What a framed file holds and in which layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Four letters.
    pub name: [u8; 4],
    /// The layout's version.
    pub version: u16,
}

/// Why a framed file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its octets are not what was written.
    #[error("{path}: {damage}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
}

/// What is wrong with a framed file's octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It does not start like a file of this kind.
    #[error("not a popnet file of this kind")]
    Foreign,
    /// Written by a program that knows a newer layout.
    #[error("written in layout {0}, which this program does not read")]
    Version(u16),
    /// Shorter or longer than it says.
    #[error("cut off or too long")]
    Length,
    /// The checksum differs.
    #[error("checksum does not match")]
    Checksum,
}

/// Writes `content` to `path` so that after a crash there is the old file or the new one, whole.
/// The file may be read by its owner alone.
///
/// # Errors
/// What the file system says.
pub fn write_atomic(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::other("path without a file name"))?;
    let mut draft = name.to_owned();
    draft.push(format!(".{}.new", std::process::id()));
    let draft = path.with_file_name(draft);
    let written = write_synced(&draft, content).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
        return written;
    }
    sync_folder_of(path)
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes a rename or a new name in the folder of `path` durable.
///
/// # Errors
/// What the file system says.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Creates `path` and what is missing above it, for this user alone.
///
/// # Errors
/// What the file system says.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// `content` behind a head with its kind, length and checksum.
#[must_use]
pub fn frame(kind: Kind, content: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(HEAD + content.len());
    octets.extend_from_slice(MAGIC);
    octets.extend_from_slice(&kind.name);
    octets.extend_from_slice(&kind.version.to_be_bytes());
    octets.extend_from_slice(&(content.len() as u64).to_be_bytes());
    octets.extend_from_slice(&crc32fast::hash(content).to_be_bytes());
    octets.extend_from_slice(content);
    octets
}

/// The content that [`frame`] wrapped. Takes any octets.
///
/// # Errors
/// Says what is wrong with them.
pub fn unframe(kind: Kind, octets: &[u8]) -> Result<&[u8], Damage> {
    let rest = octets.strip_prefix(MAGIC).ok_or(Damage::Foreign)?;
    let rest = rest.strip_prefix(&kind.name).ok_or(Damage::Foreign)?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or(Damage::Length)?;
    let version = u16::from_be_bytes(*version);
    if version != kind.version {
        return Err(Damage::Version(version));
    }
    let (length, rest) = rest.split_first_chunk::<8>().ok_or(Damage::Length)?;
    let (sum, content) = rest.split_first_chunk::<4>().ok_or(Damage::Length)?;
    if u64::from_be_bytes(*length) != content.len() as u64 {
        return Err(Damage::Length);
    }
    if u32::from_be_bytes(*sum) != crc32fast::hash(content) {
        return Err(Damage::Checksum);
    }
    Ok(content)
}

/// Writes `content` framed and whole.
///
/// # Errors
/// What the file system says.
pub fn write_framed(path: &Path, kind: Kind, content: &[u8]) -> Result<(), FileError> {
    write_atomic(path, &frame(kind, content))
        .map_err(|source| FileError::Io { path: path.to_owned(), source })
}

/// The content of a framed file; `None` when there is no such file.
///
/// # Errors
/// The file system's, or what is wrong with the file.
pub fn read_framed(path: &Path, kind: Kind) -> Result<Option<Vec<u8>>, FileError> {
    let io_error = |source| FileError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(error)),
    };
    let mut octets = Vec::new();
    file.take(LONGEST).read_to_end(&mut octets).map_err(io_error)?;
    match unframe(kind, &octets) {
        Ok(content) => Ok(Some(content.to_vec())),
        Err(damage) => Err(FileError::Damaged { path: path.to_owned(), damage }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind { name: *b"TEST", version: 3 };

    #[test]
    fn whole_or_refused() {
        let octets = frame(KIND, b"hello");
        assert_eq!(unframe(KIND, &octets), Ok(&b"hello"[..]));
        for cut in 0..octets.len() {
            assert!(unframe(KIND, &octets[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..octets.len() {
            let mut bent = octets.clone();
            bent[at] ^= 0x40;
            assert!(unframe(KIND, &bent).is_err(), "bent at {at}");
        }
        assert_eq!(unframe(Kind { version: 4, ..KIND }, &octets), Err(Damage::Version(3)));
        assert_eq!(unframe(Kind { name: *b"ELSE", ..KIND }, &octets), Err(Damage::Foreign));
    }

    #[test]
    fn files_are_replaced_whole_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert!(read_framed(&path, KIND).unwrap().is_none());
        write_framed(&path, KIND, b"one").unwrap();
        write_framed(&path, KIND, b"two").unwrap();
        assert_eq!(read_framed(&path, KIND).unwrap().unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft stays behind");
        fs::write(&path, b"junk").unwrap();
        assert!(matches!(read_framed(&path, KIND), Err(FileError::Damaged { .. })));
    }
}
