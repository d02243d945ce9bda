//! Zones on disk: a whole state, framed and replaced whole, and a journal of what came after.

use std::io;
use std::path::{Path, PathBuf};

use popnet_dns::Name;
use popnet_runtime::files::{FileError, Kind, create_private_dir, read_framed, write_framed};
use popnet_runtime::journal::{self, Journal};
use popnet_terms::Timestamp;
use popnet_transfer::stored::{Kept, read_step, read_zone, write_step, write_zone};
use popnet_transfer::{Content, Difference};

const ZONE: Kind = Kind { name: *b"ZONE", version: 1 };
const CONFIRMED: Kind = Kind { name: *b"CNFM", version: 1 };

/// A journal that is longer than this and than the zone itself is folded into a new whole state.
const JOURNAL: u64 = 1 << 20;

/// Where the zones of this node are kept.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    fn path(&self, apex: &Name, extension: &str) -> PathBuf {
        self.0.join(format!("{}.{extension}", super::file_name(apex)))
    }

    /// A zone as it was kept. A file that cannot be used is told in the log: a primary has the
    /// zone, too.
    pub(crate) fn load(&self, apex: &Name) -> Option<Kept> {
        let path = self.path(apex, "zone");
        let octets = read_framed(&path, ZONE).unwrap_or_else(|error| {
            tracing::warn!(zone = %apex, %error, "the kept state of this zone is lost");
            None
        })?;
        let mut kept = read_zone(&octets).filter(|kept| kept.content.apex() == apex);
        if kept.is_none() {
            tracing::warn!(zone = %apex, path = %path.display(), "the kept state does not decode");
        }
        if let (Some(kept), Ok(Some(octets))) =
            (&mut kept, read_framed(&self.path(apex, "confirmed"), CONFIRMED))
            && let Some(octets) = octets.first_chunk::<8>()
        {
            kept.confirmed = kept.confirmed.max(Timestamp(i64::from_be_bytes(*octets)));
        }
        kept
    }

    /// Keeps a zone.
    pub(crate) fn save(&self, content: &Content, confirmed: Timestamp) -> Result<(), FileError> {
        let octets = write_zone(content, confirmed);
        let path = self.path(content.apex(), "zone");
        self.create(&path)?;
        write_framed(&path, ZONE, &octets)
    }

    /// Keeps when a primary last confirmed a zone.
    pub(crate) fn confirm(&self, apex: &Name, now: Timestamp) -> Result<(), FileError> {
        let path = self.path(apex, "confirmed");
        self.create(&path)?;
        write_framed(&path, CONFIRMED, &now.0.to_be_bytes())
    }

    fn create(&self, path: &Path) -> Result<(), FileError> {
        let io = |source| FileError::Io { path: path.to_owned(), source };
        create_private_dir(&self.0).map_err(io)
    }

    /// Opens what is kept of a zone that is changed here.
    pub(crate) fn open(&self, apex: &Name) -> Result<(Store, Option<Content>), FileError> {
        let path = self.path(apex, "journal");
        self.create(&path)?;
        let kept = self.load(apex);
        let (journal, records) =
            Journal::open(&path).map_err(|source| FileError::Io { path: path.clone(), source })?;
        let octets = records.iter().map(|record| record.len() as u64).sum();
        let content = kept.map(|kept| replay(kept.content, &records));
        let journal = Some(journal);
        let store = Store { folder: self.clone(), apex: apex.clone(), journal, octets };
        Ok((store, content))
    }
}

/// Goes the steps of a journal that follow from the kept state. Those before it are in it.
fn replay(kept: Content, records: &[Vec<u8>]) -> Content {
    let mut content = kept.clone();
    for (at, record) in records.iter().enumerate() {
        let here = content.numbers().map(|soa| soa.serial);
        let Some(step) = read_step(record).filter(|step| Some(step.from()) == here) else {
            continue;
        };
        if let Err(why) = content.apply(&step) {
            tracing::error!(zone = %kept.apex(), %why, "the journal counts up to here");
            return replay(kept, records.get(..at).unwrap_or_default());
        }
    }
    content
}

/// What is kept of a zone that is changed here.
#[derive(Debug)]
pub(crate) struct Store {
    folder: Folder,
    apex: Name,
    /// Closed only while it is written anew.
    journal: Option<Journal>,
    octets: u64,
}

impl Store {
    /// Keeps a step from `before` on; it is on disk when this returns.
    pub(crate) fn append(
        &mut self,
        step: &Difference,
        after: &Content,
        now: Timestamp,
    ) -> Result<(), FileError> {
        let record = write_step(step);
        let long = self.octets + record.len() as u64;
        if long > JOURNAL.max(after.octets() as u64) || record.len() > (1 << 20) {
            return self.replace(after, now);
        }
        let path = || self.folder.path(&self.apex, "journal");
        let Some(journal) = &mut self.journal else {
            return self.replace(after, now);
        };
        journal.append(&record).map_err(|source| FileError::Io { path: path(), source })?;
        self.octets = long;
        Ok(())
    }

    /// Keeps a whole state; the journal begins anew.
    pub(crate) fn replace(&mut self, content: &Content, now: Timestamp) -> Result<(), FileError> {
        // First the state, then the journal: steps of before do not follow from it.
        self.folder.save(content, now)?;
        let path = self.folder.path(&self.apex, "journal");
        let io = |source: io::Error| FileError::Io { path: path.clone(), source };
        self.journal = None;
        journal::rewrite(&path, std::iter::empty()).map_err(io)?;
        self.journal = Some(Journal::open(&path).map_err(io)?.0);
        self.octets = 0;
        Ok(())
    }
}
