//! Bindings on disk: a log to which rows are added, written anew when most of it is about rows
//! that have ended or were overtaken.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use popnet_runtime::files::write_atomic;
use popnet_terms::Timestamp;
use popnet_wire::probing::Binding;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// In front of the log: what it is, and its version.
const HEAD: &[u8; 8] = b"BIND\0\0\0\x01";

/// No row is longer; a greater length is damage.
const RECORD_MAX: usize = 4_096;

/// A log below this is never written anew.
const SMALL: u64 = 1 << 20;

/// A row as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The row; how long it holds is told by `expires`.
    pub row: Binding,
    /// Until when it holds.
    pub expires: Timestamp,
}

/// The log of one name server.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: Option<File>,
    length: u64,
    /// Its length when it was written anew last.
    compact: u64,
}

impl Log {
    /// Opens the log in `folder`, and says what it holds. What is damaged at its end, where a
    /// write was cut short, is cut off.
    pub(crate) fn open(folder: &Path) -> (Self, Vec<Kept>) {
        let path = folder.join("bindings");
        let octets = std::fs::read(&path).unwrap_or_default();
        let (rows, whole) = parse(&octets);
        let mut log = Self { path, file: None, length: 0, compact: 0 };
        let opened = log.reopen(whole);
        if let Err(error) = opened {
            tracing::warn!(path = %log.path.display(), %error, "bindings are not kept");
        }
        (log, rows)
    }

    fn reopen(&mut self, whole: usize) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).truncate(false).write(true).open(&self.path)?;
        if whole == 0 {
            file.set_len(0)?;
            file.write_all(HEAD)?;
            self.length = u64::try_from(HEAD.len()).unwrap_or(0);
        } else {
            self.length = u64::try_from(whole).unwrap_or(0);
            file.set_len(self.length)?;
            io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
        }
        file.sync_data()?;
        self.file = Some(file);
        Ok(())
    }

    /// Adds rows, and returns when they are on the disk.
    pub(crate) fn add(&mut self, rows: &[Kept]) {
        let octets: Vec<u8> = rows.iter().flat_map(record).collect();
        let Some(file) = &mut self.file else { return };
        match file.write_all(&octets).and_then(|()| file.sync_data()) {
            Ok(()) => self.length += u64::try_from(octets.len()).unwrap_or(0),
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "bindings are not kept");
                self.file = None;
            }
        }
    }

    /// Whether it has grown so much that it should be written anew.
    pub(crate) fn is_long(&self) -> bool {
        self.length > SMALL.max(self.compact.saturating_mul(3))
    }

    /// Writes it anew with `rows` only.
    pub(crate) fn rewrite(&mut self, rows: &[Kept]) {
        let mut octets = HEAD.to_vec();
        octets.extend(rows.iter().flat_map(record));
        let written = write_atomic(&self.path, &octets);
        if let Err(error) = written.and_then(|()| self.reopen(octets.len())) {
            tracing::error!(path = %self.path.display(), %error, "bindings are not kept");
        }
        self.compact = self.length;
    }
}

/// Length, checksum, row.
fn record(kept: &Kept) -> Vec<u8> {
    let content = postcard::to_allocvec(kept).unwrap_or_default();
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let mut octets = length.to_be_bytes().to_vec();
    octets.extend_from_slice(&xxh3_64(&content).to_be_bytes());
    octets.extend_from_slice(&content);
    octets
}

/// The rows in a log, and how many of its octets are whole. Takes any octets.
#[must_use]
pub fn parse(octets: &[u8]) -> (Vec<Kept>, usize) {
    let Some(mut rest) = octets.strip_prefix(HEAD) else { return (Vec::new(), 0) };
    let mut rows = Vec::new();
    while let Some((row, after)) = first(rest) {
        rows.push(row);
        rest = after;
    }
    (rows, octets.len() - rest.len())
}

fn first(octets: &[u8]) -> Option<(Kept, &[u8])> {
    let (length, rest) = octets.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let content = rest.get(..length.min(RECORD_MAX + 1)).filter(|c| c.len() <= RECORD_MAX)?;
    (xxh3_64(content) == u64::from_be_bytes(*sum)).then_some(())?;
    Some((postcard::from_bytes(content).ok()?, rest.get(length..)?))
}

#[cfg(test)]
mod tests {
    use popnet_terms::{PopId, TargetId};

    use super::*;

    fn kept(n: u8) -> Kept {
        let row = Binding {
            site: "www.test".into(),
            client: ipnet::IpNet::new([192, 0, n, 0].into(), 24).unwrap(),
            target: TargetId::Pop(PopId::new("fra1")),
            issued: Timestamp(5),
            issuer: "ns1.fra1".into(),
            round: 0,
            left: 0,
        };
        Kept { row, expires: Timestamp(i64::from(n)) }
    }

    #[test]
    fn rows_outlive_a_write_that_was_cut_short() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, rows) = Log::open(folder.path());
        assert!(rows.is_empty());
        log.add(&[kept(1), kept(2)]);
        log.add(&[kept(3)]);
        drop(log);
        let path = folder.path().join("bindings");
        let whole = std::fs::read(&path).unwrap();
        for cut in [1, 9, 30] {
            std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let (mut log, rows) = Log::open(folder.path());
            assert_eq!(rows, [kept(1), kept(2)]);
            log.add(&[kept(4)]);
            assert_eq!(Log::open(folder.path()).1, [kept(1), kept(2), kept(4)]);
        }
        let mut bent = whole;
        bent[25] ^= 1;
        assert_eq!(parse(&bent), (Vec::new(), HEAD.len()));
        std::fs::write(&path, b"something else").unwrap();
        let (mut log, rows) = Log::open(folder.path());
        assert!(rows.is_empty());
        log.add(&[kept(1)]);
        log.rewrite(&[kept(7), kept(8)]);
        log.add(&[kept(9)]);
        assert_eq!(Log::open(folder.path()).1, [kept(7), kept(8), kept(9)]);
    }
}
