//! Batches as they came, on disk by customer and hour of arrival:
//! `raw/CUSTOMER/YYYY-MM-DD/HH.batches` (L2, L3). Entries are appended and synced before the
//! ledger counts them, so the ledger can always be built again. An entry may be there twice when
//! the machine failed between the two: the batch's own number tells.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use popnet_runtime::files::{self, Kind};
use popnet_runtime::ship::{PACKED_MAX, folder_name, unpack};
use popnet_terms::{CustomerId, Timestamp};
use popnet_wire::logging::Batch;

/// One entry's content: a packed batch.
const KIND: Kind = Kind { name: *b"LOGR", version: 1 };

/// An entry with its head: no entry is longer.
const ENTRY_MAX: usize = PACKED_MAX + 64;

/// Writes and reads below one folder.
#[derive(Debug)]
pub(crate) struct Raw {
    root: PathBuf,
    /// Files whose end has been found whole by this process.
    whole: BTreeSet<PathBuf>,
}

/// A batch to append.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    /// Whose.
    pub(crate) customer: &'a CustomerId,
    /// As it came.
    pub(crate) packed: &'a [u8],
}

impl Raw {
    /// The folder at `root`, made when it is missing.
    pub(crate) fn open(root: PathBuf) -> io::Result<Self> {
        files::create_private_dir(&root)?;
        Ok(Self { root, whole: BTreeSet::new() })
    }

    /// Appends `entries`, which arrived at `now`, and syncs. After an error some of them may be
    /// there; no file ends in the middle of one, now or when it is next opened.
    pub(crate) fn append(&mut self, entries: &[Entry<'_>], now: Timestamp) -> io::Result<()> {
        let (day, hour) = day_and_hour(now);
        let mut by_customer: BTreeMap<&CustomerId, Vec<u8>> = BTreeMap::new();
        for entry in entries {
            let framed = files::frame(KIND, entry.packed);
            let length = u32::try_from(framed.len()).map_err(io::Error::other)?;
            let octets = by_customer.entry(entry.customer).or_default();
            octets.extend_from_slice(&length.to_be_bytes());
            octets.extend_from_slice(&framed);
        }
        for (customer, octets) in by_customer {
            let path =
                self.root.join(folder_name(customer)).join(&day).join(format!("{hour}.batches"));
            self.append_to(&path, &octets)?;
        }
        Ok(())
    }

    fn append_to(&mut self, path: &Path, octets: &[u8]) -> io::Result<()> {
        let is_new = !path.exists();
        if is_new {
            files::create_private_dir(path.parent().unwrap_or(&self.root))?;
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        if !is_new && !self.whole.contains(path) {
            let length = whole_length(&file)?;
            file.set_len(length)?;
        }
        let before = file.metadata()?.len();
        let written = file.write_all(octets).and_then(|()| file.sync_data());
        if let Err(error) = written {
            self.whole.remove(path);
            let _ = file.set_len(before);
            return Err(error);
        }
        if is_new {
            // The file, its day and its customer are new names.
            path.ancestors().take(3).try_for_each(files::sync_folder_of)?;
            self.whole.clear();
        }
        self.whole.insert(path.to_owned());
        Ok(())
    }

    /// Deletes days before the one of `oldest`. Says how many.
    pub(crate) fn forget_before(&mut self, oldest: Timestamp) -> io::Result<usize> {
        let (kept, _) = day_and_hour(oldest);
        let mut gone = 0;
        for customer in folders(&self.root)? {
            for day in folders(&customer)? {
                if day.file_name().and_then(|name| name.to_str()).is_some_and(|name| name < &*kept)
                {
                    fs::remove_dir_all(&day)?;
                    gone += 1;
                }
            }
        }
        Ok(gone)
    }

    /// Gives every batch there is to `take`, a file at a time, oldest days first for each customer.
    pub(crate) fn replay<E: From<io::Error>>(
        &self,
        mut take: impl FnMut(Batch) -> Result<(), E>,
    ) -> Result<(), E> {
        for customer in folders(&self.root)? {
            for day in folders(&customer)? {
                for path in sorted(&day)? {
                    let mut file = BufReader::new(File::open(&path)?);
                    while let Some(entry) = next_entry(&mut file)? {
                        match unpack(&entry) {
                            Ok(batch) => take(batch)?,
                            Err(error) => tracing::warn!(file = %path.display(), %error,
                                "an entry is no batch and was left out"),
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// `2026-05-09` and `13`, in UTC.
fn day_and_hour(at: Timestamp) -> (String, String) {
    let time = jiff::Timestamp::from_microsecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    (time.strftime("%Y-%m-%d").to_string(), time.strftime("%H").to_string())
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(sorted(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

/// How much of the file is whole entries: a failure while writing leaves a torn one at the end.
fn whole_length(file: &File) -> io::Result<u64> {
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(0))?;
    let mut length = 0;
    while next_entry(&mut reader)?.is_some() {
        length = reader.stream_position()?;
    }
    Ok(length)
}

/// The packed batch of the next entry; `None` at the end, or at the first octets that are none.
fn next_entry(reader: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut head = [0u8; 4];
    if read_full(reader, &mut head)? < head.len() {
        return Ok(None);
    }
    let length = u32::from_be_bytes(head) as usize;
    if length > ENTRY_MAX {
        return Ok(None);
    }
    let mut framed = vec![0u8; length];
    if read_full(reader, &mut framed)? < length {
        return Ok(None);
    }
    Ok(files::unframe(KIND, &framed).ok().map(<[u8]>::to_vec))
}

fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The packed batches in the octets of a file, up to the first that is torn. Takes any octets.
#[must_use]
pub fn entries(octets: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = octets;
    let mut found = Vec::new();
    while let Ok(Some(entry)) = next_entry(&mut reader) {
        found.push(entry);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(1_778_328_000_000_000);

    fn append(raw: &mut Raw, customer: &str, packed: &[u8], now: Timestamp) {
        raw.append(&[Entry { customer: &customer.into(), packed }], now).unwrap();
    }

    #[test]
    fn torn_ends_are_cut_before_going_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut raw = Raw::open(folder.path().to_owned()).unwrap();
        append(&mut raw, "acme", b"one", NOON);
        append(&mut raw, "acme", b"two", NOON);
        let path = folder.path().join("acme/2026-05-09/12.batches");
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let mut raw = Raw::open(folder.path().to_owned()).unwrap();
            append(&mut raw, "acme", b"three", NOON);
            let found = entries(&fs::read(&path).unwrap());
            let expected: Vec<&[u8]> = match cut {
                _ if cut >= whole.len() / 2 => vec![b"one", b"three"],
                _ => vec![b"three"],
            };
            assert_eq!(found, expected, "cut at {cut} of {}", whole.len());
        }
    }

    #[test]
    fn days_are_forgotten_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut raw = Raw::open(folder.path().to_owned()).unwrap();
        let day = 86_400_000_000;
        for ago in 0..4 {
            append(&mut raw, "acme", b"x", Timestamp(NOON.0 - ago * day));
        }
        append(&mut raw, "../evil", b"x", NOON);
        assert_eq!(raw.forget_before(Timestamp(NOON.0 - day)).unwrap(), 2);
        let left: Vec<_> = sorted(&folder.path().join("acme")).unwrap();
        assert!(left[0].ends_with("2026-05-08") && left.len() == 2, "{left:?}");
        assert!(folder.path().join("%2E%2E%2Fevil/2026-05-09/12.batches").exists());
    }

    #[test]
    fn junk_is_no_entry() {
        for seed in 0..2_000u32 {
            let junk: Vec<u8> = (0..seed % 200)
                .map(|n| (seed.wrapping_mul(2_654_435_761) >> (n % 24)).to_le_bytes()[0])
                .collect();
            assert!(entries(&junk).is_empty());
        }
    }
}
