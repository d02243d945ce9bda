//! An append-only file of records that survives a crash: each record has its length and checksum,
//! is on disk before [`Journal::append`] returns, and a torn last one is cut off when opened.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::files::{sync_folder_of, write_atomic};

/// Length and checksum before each record.
const HEAD: usize = 8;
/// No record of ours is longer.
const RECORD_MAX: usize = 1 << 20;
/// A longer journal is not read whole.
const JOURNAL_MAX: u64 = 1 << 30;

/// The records of `octets` up to the first that is torn or damaged, and how many octets they
/// take. Takes any octets.
#[must_use]
pub fn records(octets: &[u8]) -> (Vec<&[u8]>, usize) {
    let mut found = Vec::new();
    let mut rest = octets;
    while let Some((record, after)) = first_record(rest) {
        found.push(record);
        rest = after;
    }
    (found, octets.len() - rest.len())
}

fn first_record(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (record, after) = rest.split_at_checked(length)?;
    // An empty record's head is all zeros, as is a file's unwritten tail: neither counts.
    (length > 0 && crc32fast::hash(record) == u32::from_be_bytes(*sum)).then_some((record, after))
}

/// Replaces the journal at `path` by `kept`, whole or not at all. It must not be open.
///
/// # Errors
/// What the file system says.
pub fn rewrite<'a>(path: &Path, kept: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
    let mut octets = Vec::new();
    for record in kept {
        push_record(&mut octets, record)?;
    }
    write_atomic(path, &octets)
}

fn push_record(octets: &mut Vec<u8>, record: &[u8]) -> io::Result<()> {
    let length = u32::try_from(record.len())
        .ok()
        .filter(|_| !record.is_empty() && record.len() <= RECORD_MAX)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    octets.extend_from_slice(&length.to_be_bytes());
    octets.extend_from_slice(&crc32fast::hash(record).to_be_bytes());
    octets.extend_from_slice(record);
    Ok(())
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    file: File,
    end: u64,
}

impl Journal {
    /// Opens or creates the journal at `path` and gives its records.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: &Path) -> io::Result<(Self, Vec<Vec<u8>>)> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        sync_folder_of(path)?;
        let mut octets = Vec::new();
        (&mut file).take(JOURNAL_MAX).read_to_end(&mut octets)?;
        let (found, used) = records(&octets);
        let end = used as u64;
        if used < octets.len() {
            file.set_len(end)?;
            file.sync_all()?;
        }
        Ok((Self { file, end }, found.into_iter().map(<[u8]>::to_vec).collect()))
    }

    /// Appends `record`; it is on disk when this returns.
    ///
    /// # Errors
    /// Empty or too long records, and what the file system says; the journal is then as before.
    pub fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let mut octets = Vec::with_capacity(HEAD + record.len());
        push_record(&mut octets, record)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        let written = self.file.write_all(&octets).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.end += octets.len() as u64,
            Err(_) => self.file.set_len(self.end)?,
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_torn_tail() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, found) = Journal::open(&path).unwrap();
        assert!(found.is_empty());
        journal.append(b"one").unwrap();
        journal.append(b"two").unwrap();
        assert!(journal.append(b"").is_err());
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut journal, found) = Journal::open(&path).unwrap();
            journal.append(b"next").unwrap();
            let (_, again) = Journal::open(&path).unwrap();
            assert_eq!(again.len(), found.len() + 1, "cut at {cut}");
            assert_eq!(again.last().unwrap(), b"next");
        }
    }

    #[test]
    fn rewritten_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        rewrite(&path, [&b"b"[..], b"c"].into_iter()).unwrap();
        let (mut journal, found) = Journal::open(&path).unwrap();
        assert_eq!(found, [b"b", b"c"]);
        journal.append(b"d").unwrap();
        assert_eq!(Journal::open(&path).unwrap().1.len(), 3);
    }

    #[test]
    fn junk_has_no_records() {
        assert_eq!(records(&[0; 64]).0.len(), 0);
        assert_eq!(records(&[0xff; 64]), (vec![], 0));
    }
}
