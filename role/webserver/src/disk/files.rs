//! Segments as files.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use popnet_store::{Action, Extent, SegmentId};
use rustix::io::{ReadWriteFlags, preadv2};

/// Segments kept open for readers: the newest, which are asked for most.
const OPEN_MAX: usize = 64;

/// A folder of segments. Readers share one descriptor a segment; a segment that is removed stays
/// readable to those who have it open.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    open: Mutex<BTreeMap<SegmentId, Arc<File>>>,
}

impl Files {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), open: Mutex::default() }
    }

    fn path(&self, segment: SegmentId) -> PathBuf {
        self.folder.join(segment.file_name())
    }

    /// The segments in the folder, in order. Summaries of others are removed.
    pub(super) fn list(&self) -> io::Result<Vec<SegmentId>> {
        let mut found = Vec::new();
        let mut summaries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            found.extend(name.to_str().and_then(SegmentId::of_file));
            summaries.extend(name.to_str().and_then(SegmentId::of_summary));
        }
        found.sort_unstable();
        summaries.retain(|summary| found.binary_search(summary).is_err());
        for orphan in summaries {
            remove(&self.summary(orphan))?;
        }
        Ok(found)
    }

    /// A whole file.
    pub(super) fn read(&self, segment: SegmentId) -> io::Result<Vec<u8>> {
        fs::read(self.path(segment))
    }

    /// The length of a segment's file and its summary, if there is one.
    pub(super) fn read_summary(&self, segment: SegmentId) -> Option<(u64, Vec<u8>)> {
        let summary = fs::read(self.summary(segment)).ok()?;
        Some((fs::metadata(self.path(segment)).ok()?.len(), summary))
    }

    fn summary(&self, segment: SegmentId) -> PathBuf {
        self.folder.join(segment.summary_name())
    }

    /// What lies at `extent`, checked. Blocks.
    pub(super) fn read_extent(&self, extent: Extent) -> io::Result<Bytes> {
        read_extent(&*self.get(extent.segment)?, extent)
    }

    /// A segment for reading, if it is open already.
    pub(super) fn at_hand(&self, segment: SegmentId) -> Option<Arc<File>> {
        self.open().get(&segment).map(Arc::clone)
    }

    /// A segment for reading. Blocks when it is not open yet.
    pub(super) fn get(&self, segment: SegmentId) -> io::Result<Arc<File>> {
        if let Some(file) = self.at_hand(segment) {
            return Ok(file);
        }
        let file = Arc::new(File::open(self.path(segment))?);
        let mut open = self.open();
        open.insert(segment, Arc::clone(&file));
        if open.len() > OPEN_MAX {
            open.pop_first();
        }
        Ok(file)
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<SegmentId, Arc<File>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries one step out; `writing` is the segment that is being written.
    pub(super) fn step(
        &self,
        action: &Action,
        writing: &mut Option<(SegmentId, File)>,
    ) -> io::Result<()> {
        match action {
            Action::Create(segment) => {
                remove(&self.summary(*segment))?;
                let file = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(self.path(*segment))?;
                *writing = Some((*segment, file));
                // The name must be there after a crash: a gap would be taken for a loss.
                File::open(&self.folder)?.sync_all()
            }
            Action::Write { segment, offset, parts } => {
                let file = of(writing, *segment)?;
                let mut at = u64::from(*offset);
                for part in parts {
                    file.write_all_at(part, at)?;
                    at += part.len() as u64;
                }
                Ok(())
            }
            Action::Sync(segment) => of(writing, *segment)?.sync_data(),
            Action::Summarize(segment, summary) => {
                // Without it the segment is read in full: no trouble worth telling.
                if let Err(error) = fs::write(self.summary(*segment), summary) {
                    tracing::debug!(%segment, %error, "no summary of a segment");
                }
                Ok(())
            }
            Action::Cut(segment, length) => {
                let file = OpenOptions::new().write(true).open(self.path(*segment))?;
                file.set_len(u64::from(*length))?;
                file.sync_all()
            }
            Action::Delete(segment) => self.delete(*segment),
        }
    }

    fn delete(&self, segment: SegmentId) -> io::Result<()> {
        self.open().remove(&segment);
        remove(&self.path(segment))?;
        remove(&self.summary(segment))
    }
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn of(writing: &Option<(SegmentId, File)>, segment: SegmentId) -> io::Result<&File> {
    match writing {
        Some((id, file)) if *id == segment => Ok(file),
        Some(_) | None => Err(io::Error::other("the segment is not open for writing")),
    }
}

/// What lies at `extent`, checked, if the system has it in memory. `None`: it has not, or there is
/// something to say about it, and [`read_extent`] says what.
pub(super) fn read_at_once(file: &File, extent: Extent) -> Option<Bytes> {
    let mut octets = vec![0; usize::try_from(extent.length).ok()?];
    let at = u64::from(extent.offset);
    let into = &mut [IoSliceMut::new(&mut octets)];
    let read = preadv2(file, into, at, ReadWriteFlags::NOWAIT).ok()?;
    (read == octets.len() && extent.holds(&octets)).then(|| octets.into())
}

/// Reads and checks what lies at `extent`.
pub(super) fn read_extent(file: &File, extent: Extent) -> io::Result<Bytes> {
    let length = usize::try_from(extent.length).map_err(io::Error::other)?;
    let mut octets = vec![0; length];
    file.read_exact_at(&mut octets, u64::from(extent.offset))?;
    if extent.holds(&octets) {
        Ok(octets.into())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "checksum does not match"))
    }
}
