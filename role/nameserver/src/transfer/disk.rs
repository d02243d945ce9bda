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

/// The extension of an empty file beside a zone that takes no updates.
pub(super) const FROZEN: &str = "frozen";

/// Where the zones of this node are kept.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self, apex: &Name, extension: &str) -> PathBuf {
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

    pub(super) fn create(&self, path: &Path) -> Result<(), FileError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use popnet_dns::{Rtype, read_zone};
    use popnet_transfer::{Rr, Serial, Soa, between};

    const NOW: Timestamp = Timestamp(1_000_000);

    fn zone() -> Content {
        let text = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\n";
        let mut none = |_: &Path| Err("no files".to_owned());
        let apex = "a/b.example".parse().unwrap();
        Content::from(&read_zone(&apex, Path::new("t"), text.as_bytes(), &mut none).unwrap())
    }

    /// `content` with another serial number and one more record of so many octets.
    fn next(content: &Content, octets: usize) -> Content {
        let mut next = content.clone();
        let soa = content.soa().unwrap();
        let serial = content.numbers().unwrap().serial.next();
        next.remove(&soa);
        next.add(&Rr { rdata: Soa::renumbered(&soa.rdata, serial), ..soa });
        let owner = content.apex().below(&format!("n{serial}")).unwrap();
        let rtype = Rtype::from_int(65_280);
        next.add(&Rr { owner, rtype, ttl: 60, rdata: vec![7; octets].into() });
        next
    }

    fn walk(store: &mut Store, from: &Content, steps: usize, octets: usize) -> Content {
        let mut content = from.clone();
        for _ in 0..steps {
            let after = next(&content, octets);
            store.append(&between(&content, &after).unwrap(), &after, NOW).unwrap();
            content = after;
        }
        content
    }

    #[test]
    fn steps_are_found_again_and_folded_when_they_grow() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path().join("zones"));
        let first = zone();
        let (mut store, nothing) = folder.open(first.apex()).unwrap();
        assert!(nothing.is_none());
        store.replace(&first, NOW).unwrap();
        let few = walk(&mut store, &first, 3, 10);
        drop(store);
        let (mut store, found) = folder.open(first.apex()).unwrap();
        assert_eq!(found, Some(few.clone()));
        // Some sixty octets of each step are names and numbers.
        let length = || std::fs::metadata(folder.path(first.apex(), "journal")).unwrap().len();
        let mut longest = 0;
        let mut content = few;
        let mut folded = 0;
        for _ in 0..90 {
            content = walk(&mut store, &content, 1, 60_000);
            folded += u32::from(length() < longest);
            longest = length();
            assert!(length() <= JOURNAL.max(content.octets() as u64) + 100_000);
        }
        assert!((1..9).contains(&folded), "folded {folded} times");
        drop(store);
        assert_eq!(folder.open(first.apex()).unwrap().1, Some(content));
    }

    #[test]
    fn a_kill_between_the_two_files_loses_nothing() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path().join("zones"));
        let first = zone();
        let (mut store, _) = folder.open(first.apex()).unwrap();
        store.replace(&first, NOW).unwrap();
        let last = walk(&mut store, &first, 4, 10);
        // The new whole state is there, the journal not yet begun anew.
        folder.save(&last, NOW).unwrap();
        drop(store);
        let (mut store, found) = folder.open(first.apex()).unwrap();
        assert_eq!(found, Some(last.clone()));
        let further = walk(&mut store, &last, 1, 10);
        drop(store);
        assert_eq!(folder.open(first.apex()).unwrap().1, Some(further));
    }

    #[test]
    fn damage_is_told_and_survived() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path().to_owned());
        let first = zone();
        folder.save(&first, NOW).unwrap();
        folder.confirm(first.apex(), Timestamp(9_000_000)).unwrap();
        let kept = folder.load(first.apex()).unwrap();
        assert_eq!((kept.confirmed, &kept.content), (Timestamp(9_000_000), &first));
        assert_eq!(kept.content.numbers().unwrap().serial, Serial(1));
        let path = folder.path(first.apex(), "zone");
        let octets = std::fs::read(&path).unwrap();
        for at in [0, 8, octets.len() - 1] {
            let mut bent = octets.clone();
            bent[at] ^= 1;
            std::fs::write(&path, bent).unwrap();
            assert!(folder.load(first.apex()).is_none(), "octet {at}");
        }
        std::fs::write(&path, &octets[..octets.len() / 2]).unwrap();
        assert!(folder.load(first.apex()).is_none());
        // Another zone's file under this name.
        std::fs::write(folder.path(&"other".parse().unwrap(), "zone"), &octets).unwrap();
        assert!(folder.load(&"other".parse().unwrap()).is_none());
    }
}
