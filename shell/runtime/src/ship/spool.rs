//! Batches on disk until a log server has them: `CUSTOMER/NUMBER.batch`, synced before they are
//! sent.
//!
//! A number, once used, is never used for another batch: the file with the highest number stays
//! (emptied, as `NUMBER.done`) until a higher one is on disk, so an empty spool still knows where
//! to go on, and no second file has to be synced for it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use popnet_terms::{CustomerId, NodeName, Role, Timestamp};
use popnet_wire::frame::{Conversation, encode};
use popnet_wire::logging::{Batch, BatchId};
use tokio::sync::Notify;

use super::batch::{self, FRAME_WISHED, folder_name, pack, unpack};
use super::parts::Part;
use crate::clock;
use crate::files::{self, Kind};

/// A spooled batch: the number that its content carries, then the packed batch.
const KIND: Kind = Kind { name: *b"LOGB", version: 1 };

/// A batch on disk.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    octets: u64,
    closed: Timestamp,
    /// Detail records may still be taken out of it.
    sheddable: bool,
    attempts: u32,
}

#[derive(Debug, Default)]
struct Files {
    waiting: BTreeMap<u64, Waiting>,
    /// Highest number that has a file.
    top: u64,
    /// That file is the emptied one.
    top_is_done: bool,
}

#[derive(Debug)]
struct Numbers {
    next: u64,
    closed: Timestamp,
}

/// One customer's batches.
#[derive(Debug)]
pub(super) struct Queue {
    id: BatchId,
    folder: PathBuf,
    /// Held while a number is given out and its file written.
    numbers: Mutex<Numbers>,
    files: Mutex<Files>,
    totals: Arc<Totals>,
    /// Something new to send.
    pub(super) arrived: Notify,
}

/// Sums over every customer.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// Batches that wait.
    pub(super) batches: AtomicU64,
    /// Their octets on disk.
    pub(super) octets: AtomicU64,
    /// Detail records given up.
    pub(super) dropped: AtomicU64,
    /// Batches sent again.
    pub(super) resent: AtomicU64,
    /// A batch has left the spool.
    pub(super) left: Notify,
}

/// What could not be written.
#[derive(Debug)]
pub(super) struct Unwritten {
    /// Why.
    pub(super) why: io::Error,
    /// To be counted again in a later batch.
    pub(super) parts: Vec<Part>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is consistent at every step: a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Totals {
    fn add(&self, octets: u64) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.octets.fetch_add(octets, Ordering::Relaxed);
    }

    fn remove(&self, octets: u64) {
        self.batches.fetch_sub(1, Ordering::Relaxed);
        self.octets.fetch_sub(octets, Ordering::Relaxed);
        self.left.notify_waiters();
    }
}

impl Queue {
    /// The customer's queue below `root`, with what an earlier run left.
    pub(super) fn open(
        root: &Path,
        sender: &NodeName,
        role: Role,
        customer: &CustomerId,
        totals: Arc<Totals>,
    ) -> io::Result<Self> {
        let folder = root.join(folder_name(customer));
        files::create_private_dir(&folder)?;
        files::sync_folder_of(&folder)?;
        let files = scan(&folder)?;
        for waiting in files.waiting.values() {
            totals.add(waiting.octets);
        }
        let numbers = Numbers { next: files.top + 1, closed: Timestamp(0) };
        Ok(Self {
            id: BatchId { sender: sender.clone(), role, customer: customer.clone(), seq: 0 },
            folder,
            numbers: Mutex::new(numbers),
            files: Mutex::new(files),
            totals,
            arrived: Notify::new(),
        })
    }

    /// Whose it is.
    pub(super) fn customer(&self) -> &CustomerId {
        &self.id.customer
    }

    /// Batches that wait.
    pub(super) fn len(&self) -> usize {
        lock(&self.files).waiting.len()
    }

    fn path(&self, seq: u64) -> PathBuf {
        self.folder.join(format!("{seq:020}.batch"))
    }

    fn done_path(&self, seq: u64) -> PathBuf {
        self.folder.join(format!("{seq:020}.done"))
    }

    /// Numbers `parts`, writes them and syncs them together. When it returns, they are on disk.
    pub(super) fn write(&self, mut parts: Vec<Part>) -> Result<(), Unwritten> {
        let mut numbers = lock(&self.numbers);
        let first = numbers.next;
        let mut made: Vec<(File, Waiting)> = Vec::new();
        let outcome = self.write_files(&mut numbers, &mut parts, &mut made);
        if let Err(why) = outcome.and_then(|()| self.sync(&made)) {
            // None of them has been sent: the numbers are free again.
            for seq in first..=numbers.next {
                let _ = fs::remove_file(self.path(seq));
            }
            numbers.next = first;
            return Err(Unwritten { why, parts });
        }
        let mut files = lock(&self.files);
        if numbers.next > first {
            if files.top_is_done {
                let _ = fs::remove_file(self.done_path(files.top));
                files.top_is_done = false;
            }
            files.top = numbers.next - 1;
        }
        for (seq, (_, waiting)) in (first..).zip(made) {
            self.totals.add(waiting.octets);
            files.waiting.insert(seq, waiting);
        }
        drop(files);
        self.arrived.notify_one();
        Ok(())
    }

    /// Writes every part, cutting those that are too long. `parts` keeps their content until all
    /// are safe.
    fn write_files(
        &self,
        numbers: &mut Numbers,
        parts: &mut Vec<Part>,
        made: &mut Vec<(File, Waiting)>,
    ) -> io::Result<()> {
        let mut at = 0;
        while let Some(part) = parts.get_mut(at) {
            let closed = clock::now().max(Timestamp(numbers.closed.0.saturating_add(1)));
            let seq = numbers.next;
            let batch = Batch {
                id: BatchId { seq, ..self.id.clone() },
                closed,
                counters: part.counters.clone(),
                records: std::mem::take(&mut part.records),
                dropped: part.dropped,
            };
            let frame = encode(Conversation::Logging, &batch);
            part.records = batch.records;
            if frame.len() > FRAME_WISHED && !part.records.is_empty() {
                if let Some(rest) = part.split() {
                    parts.insert(at + 1, rest);
                }
                continue;
            }
            let octets = sealed(seq, &batch::compress(&frame)?);
            let mut file = File::create(self.path(seq))?;
            numbers.next = seq + 1;
            numbers.closed = closed;
            file.write_all(&octets)?;
            let waiting = Waiting {
                octets: octets.len() as u64,
                closed,
                sheddable: !part.records.is_empty(),
                attempts: 0,
            };
            made.push((file, waiting));
            at += 1;
        }
        Ok(())
    }

    fn sync(&self, made: &[(File, Waiting)]) -> io::Result<()> {
        for (file, _) in made {
            file.sync_data()?;
        }
        if made.is_empty() { Ok(()) } else { File::open(&self.folder)?.sync_all() }
    }

    /// The lowest number that waits and for which `free` holds.
    pub(super) fn first_where(&self, free: impl Fn(u64) -> bool) -> Option<u64> {
        lock(&self.files).waiting.keys().copied().find(|seq| free(*seq))
    }

    /// The octets to send for `seq`. `None`: it no longer waits, or its file is damaged and has
    /// been put aside.
    pub(super) fn load(&self, seq: u64) -> io::Result<Option<Vec<u8>>> {
        if !lock(&self.files).waiting.contains_key(&seq) {
            return Ok(None);
        }
        match self.read(seq)? {
            Some(packed) => {
                if let Some(waiting) = lock(&self.files).waiting.get_mut(&seq) {
                    if waiting.attempts > 0 {
                        self.totals.resent.fetch_add(1, Ordering::Relaxed);
                    }
                    waiting.attempts = waiting.attempts.saturating_add(1);
                }
                Ok(Some(packed))
            }
            None => {
                tracing::warn!(customer = %self.id.customer, seq, folder = %self.folder.display(),
                    "a spooled log batch is damaged and was put aside as .bad");
                let mut files = lock(&self.files);
                fs::rename(self.path(seq), self.path(seq).with_extension("bad"))?;
                self.forget(&mut files, seq);
                Ok(None)
            }
        }
    }

    /// The packed batch with its own number in it; `None` when the file is damaged.
    fn read(&self, seq: u64) -> io::Result<Option<Vec<u8>>> {
        let octets = fs::read(self.path(seq))?;
        let Some((carried, packed)) = unseal(&octets) else { return Ok(None) };
        if carried == seq {
            return Ok(Some(packed.to_vec()));
        }
        // It was given another number after it was written.
        let Ok(mut batch) = unpack(packed) else { return Ok(None) };
        batch.id.seq = seq;
        pack(&batch).map(Some)
    }

    fn forget(&self, files: &mut Files, seq: u64) {
        if let Some(waiting) = files.waiting.remove(&seq) {
            self.totals.remove(waiting.octets);
        }
    }

    /// A log server has `seq`: it leaves the spool.
    pub(super) fn acknowledge(&self, seq: u64) {
        let mut files = lock(&self.files);
        if !files.waiting.contains_key(&seq) {
            return;
        }
        // If the machine fails before these reach the disk, the batch is sent once more and the
        // log server calls it a duplicate.
        if files.top == seq {
            let done = self.done_path(seq);
            if fs::rename(self.path(seq), &done).is_ok() {
                let _ = File::create(&done);
            }
            files.top_is_done = true;
        } else {
            let _ = fs::remove_file(self.path(seq));
        }
        self.forget(&mut files, seq);
    }

    /// The log server knows another batch by this number, from before this spool was emptied by
    /// something other than an acknowledgement: the batch gets the first free number above `last`.
    pub(super) fn renumber(&self, seq: u64, last: u64) -> io::Result<()> {
        let mut numbers = lock(&self.numbers);
        let mut files = lock(&self.files);
        let Some(waiting) = files.waiting.get(&seq).copied() else { return Ok(()) };
        let new = numbers.next.max(last.saturating_add(1));
        fs::rename(self.path(seq), self.path(new))?;
        File::open(&self.folder)?.sync_all()?;
        if files.top_is_done {
            let _ = fs::remove_file(self.done_path(files.top));
        }
        numbers.next = new.saturating_add(1);
        files.waiting.remove(&seq);
        files.waiting.insert(new, waiting);
        files.top = new;
        files.top_is_done = false;
        drop(files);
        self.arrived.notify_one();
        Ok(())
    }

    /// The oldest batch here that still has detail records, and when it was closed.
    pub(super) fn oldest_sheddable(&self) -> Option<(Timestamp, u64)> {
        let files = lock(&self.files);
        files.waiting.iter().find(|(_, w)| w.sheddable).map(|(seq, w)| (w.closed, *seq))
    }

    /// Takes the detail records out of `seq`; its counters and its number stay.
    pub(super) fn shed(&self, seq: u64) -> io::Result<()> {
        let stripped = self.read(seq)?.and_then(|packed| unpack(&packed).ok()).map(|mut batch| {
            let gone = batch.records.len() as u64;
            batch.records.clear();
            batch.dropped = batch.dropped.saturating_add(gone);
            (batch, gone)
        });
        let Some((batch, gone)) = stripped else {
            // Damaged: sending finds out and puts it aside.
            self.set(seq, |waiting| waiting.sheddable = false);
            return Ok(());
        };
        let octets = sealed(seq, &pack(&batch)?);
        files::write_atomic(&self.path(seq), &octets)?;
        let length = octets.len() as u64;
        let found = self.set(seq, |waiting| {
            self.totals.octets.fetch_add(length, Ordering::Relaxed);
            self.totals.octets.fetch_sub(waiting.octets, Ordering::Relaxed);
            waiting.octets = length;
            waiting.sheddable = false;
        });
        if found {
            self.totals.dropped.fetch_add(gone, Ordering::Relaxed);
        } else {
            // Acknowledged meanwhile.
            let _ = fs::remove_file(self.path(seq));
        }
        Ok(())
    }

    fn set(&self, seq: u64, change: impl FnOnce(&mut Waiting)) -> bool {
        lock(&self.files).waiting.get_mut(&seq).map(change).is_some()
    }
}

fn sealed(seq: u64, packed: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(8 + packed.len());
    content.extend_from_slice(&seq.to_be_bytes());
    content.extend_from_slice(packed);
    files::frame(KIND, &content)
}

/// The number and the packed batch in a spooled file. Takes any octets.
#[must_use]
pub fn unseal(octets: &[u8]) -> Option<(u64, &[u8])> {
    let content = files::unframe(KIND, octets).ok()?;
    let (seq, packed) = content.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*seq), packed))
}

/// What lies in a customer's folder.
fn scan(folder: &Path) -> io::Result<Files> {
    let mut files = Files::default();
    let mut done: Vec<u64> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        match (path.extension().and_then(|kind| kind.to_str()), number) {
            (Some("batch"), Some(seq)) => {
                let facts = entry.metadata()?;
                let closed = modified(&facts)?;
                let octets = facts.len();
                let waiting = Waiting { octets, closed, sheddable: true, attempts: 0 };
                files.waiting.insert(seq, waiting);
            }
            (Some("done"), Some(seq)) => done.push(seq),
            (Some("new"), _) => drop(fs::remove_file(&path)),
            (Some(_) | None, _) => {}
        }
    }
    // Damaged files at the end were being written when the machine failed: never sent, so their
    // numbers are free. Damaged ones before are found when they are sent.
    while let Some((&seq, _)) = files.waiting.last_key_value() {
        let path = folder.join(format!("{seq:020}.batch"));
        if unseal(&fs::read(&path)?).is_some() {
            break;
        }
        fs::remove_file(&path)?;
        files.waiting.remove(&seq);
    }
    let top_waiting = files.waiting.last_key_value().map_or(0, |(seq, _)| *seq);
    let top_done = done.iter().copied().max().unwrap_or(0);
    files.top = top_waiting.max(top_done);
    files.top_is_done = top_done > top_waiting;
    for seq in done.into_iter().filter(|seq| *seq != files.top || !files.top_is_done) {
        let _ = fs::remove_file(folder.join(format!("{seq:020}.done")));
    }
    Ok(files)
}

fn modified(facts: &fs::Metadata) -> io::Result<Timestamp> {
    let since = facts.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)))
}

/// Customers for whom an earlier run left batches below `root`.
pub(super) fn left_behind(root: &Path) -> io::Result<Vec<CustomerId>> {
    let mut customers = Vec::new();
    for folder in fs::read_dir(root)? {
        let folder = folder?.path();
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|kind| kind != "batch") {
                continue;
            }
            let octets = fs::read(&path)?;
            if let Some(batch) = unseal(&octets).and_then(|(_, packed)| unpack(packed).ok()) {
                customers.push(batch.id.customer);
                break;
            }
        }
    }
    Ok(customers)
}

#[cfg(test)]
mod tests {
    use popnet_wire::logging::{Counter, Event, Record};

    use super::*;

    struct Lab {
        root: tempfile::TempDir,
        totals: Arc<Totals>,
    }

    impl Lab {
        fn new() -> Self {
            Self { root: tempfile::tempdir().unwrap(), totals: Arc::default() }
        }

        /// The queue as a newly started process finds it.
        fn open(&mut self) -> Queue {
            self.totals = Arc::default();
            let totals = Arc::clone(&self.totals);
            let node = "edge1.fra1".into();
            Queue::open(self.root.path(), &node, Role::Webcache, &"acme".into(), totals).unwrap()
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<String> = fs::read_dir(self.root.path().join("acme"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .map(|name| name.trim_start_matches('0').to_owned())
                .collect();
            names.sort();
            names
        }
    }

    fn part(requests: u64, records: usize) -> Part {
        let event = Event {
            ts: Timestamp(1),
            kind: "test".into(),
            subject: "x".repeat(1_000).into(),
            from: "".into(),
            to: "".into(),
            reason: "".into(),
        };
        let counter = Counter { requests, ..Counter::new(1, "a.test".into(), "fra1".into()) };
        Part { counters: vec![counter], records: vec![Record::Event(event); records], dropped: 0 }
    }

    fn load(queue: &Queue, seq: u64) -> Batch {
        let batch = unpack(&queue.load(seq).unwrap().unwrap()).unwrap();
        assert_eq!(batch.id.seq, seq, "a batch carries its own number");
        batch
    }

    fn waiting(queue: &Queue) -> Vec<u64> {
        lock(&queue.files).waiting.keys().copied().collect()
    }

    #[test]
    fn numbers_go_on_after_restarts_even_from_an_empty_spool() {
        let mut lab = Lab::new();
        let queue = lab.open();
        queue.write(vec![part(1, 0), part(2, 0)]).unwrap();
        queue.write(vec![part(3, 0)]).unwrap();
        assert_eq!(waiting(&queue), [1, 2, 3]);
        queue.acknowledge(2);
        queue.acknowledge(3);
        assert_eq!(lab.names(), ["1.batch", "3.done"]);

        let queue = lab.open();
        assert_eq!((waiting(&queue), lab.totals.batches.load(Ordering::Relaxed)), (vec![1], 1));
        queue.acknowledge(1);
        assert_eq!(lab.names(), ["3.done"]);
        assert_eq!(lab.totals.octets.load(Ordering::Relaxed), 0);

        let queue = lab.open();
        queue.write(vec![part(4, 0)]).unwrap();
        assert_eq!((waiting(&queue), lab.names()), (vec![4], vec!["4.batch".to_owned()]));
        assert_eq!(load(&queue, 4).counters[0].requests, 4);
    }

    #[test]
    fn torn_ends_are_forgotten_and_damage_is_put_aside() {
        let mut lab = Lab::new();
        let queue = lab.open();
        queue.write((1..=4).map(|n| part(n, 0)).collect()).unwrap();
        for (seq, keep) in [(4, 30), (3, 0), (1, 50)] {
            let file = fs::OpenOptions::new().write(true).open(queue.path(seq)).unwrap();
            file.set_len(keep).unwrap();
        }
        let queue = lab.open();
        assert_eq!(waiting(&queue), [1, 2], "3 and 4 were never sent");
        assert!(queue.load(1).unwrap().is_none());
        assert_eq!(
            (waiting(&queue), lab.names()),
            (vec![2], vec!["1.bad".into(), "2.batch".into()])
        );
        queue.write(vec![part(9, 0)]).unwrap();
        assert_eq!(load(&queue, 3).counters[0].requests, 9);
    }

    #[test]
    fn shedding_takes_details_and_never_counters() {
        let mut lab = Lab::new();
        let queue = lab.open();
        queue.write(vec![part(7, 3), part(8, 2)]).unwrap();
        let before = lab.totals.octets.load(Ordering::Relaxed);
        queue.shed(1).unwrap();
        assert!(lab.totals.octets.load(Ordering::Relaxed) < before);
        let batch = load(&queue, 1);
        assert_eq!((batch.records.len(), batch.dropped, batch.counters[0].requests), (0, 3, 7));
        assert_eq!(queue.oldest_sheddable().map(|(_, seq)| seq), Some(2));
        assert_eq!(lab.totals.dropped.load(Ordering::Relaxed), 3);
        queue.acknowledge(1);
        queue.shed(1).unwrap_err();
        assert_eq!(lab.names(), ["2.batch"]);
    }

    #[test]
    fn a_taken_number_is_given_up_for_a_free_one() {
        let mut lab = Lab::new();
        let queue = lab.open();
        queue.write(vec![part(1, 1), part(2, 0)]).unwrap();
        let closed = load(&queue, 1).closed;
        queue.renumber(1, 50).unwrap();
        assert_eq!(waiting(&queue), [2, 51]);
        assert_eq!(load(&queue, 51).closed, closed, "the same batch by another number");
        queue.renumber(2, 50).unwrap();
        let queue = lab.open();
        assert_eq!(waiting(&queue), [51, 52]);
        assert_eq!(load(&queue, 52).counters[0].requests, 2);
        queue.write(vec![part(3, 0)]).unwrap();
        assert_eq!(waiting(&queue), [51, 52, 53]);
    }

    #[test]
    fn batches_that_are_too_long_are_cut() {
        let mut lab = Lab::new();
        let queue = lab.open();
        let mut whole = part(5, 9_000);
        whole.dropped = 2;
        queue.write(vec![whole]).unwrap();
        let batches: Vec<Batch> =
            waiting(&queue).into_iter().map(|seq| load(&queue, seq)).collect();
        assert!(batches.len() > 1);
        assert_eq!(batches.iter().map(|b| b.records.len()).sum::<usize>(), 9_000);
        assert_eq!(batches.iter().map(|b| b.counters.len()).sum::<usize>(), 1);
        assert_eq!(batches.iter().map(|b| b.dropped).sum::<u64>(), 2);
    }

    #[test]
    fn customers_of_an_earlier_run_are_found() {
        let mut lab = Lab::new();
        assert_eq!(left_behind(lab.root.path()).unwrap(), []);
        lab.open().write(vec![part(1, 0)]).unwrap();
        fs::create_dir(lab.root.path().join("empty")).unwrap();
        assert_eq!(left_behind(lab.root.path()).unwrap(), [CustomerId::new("acme")]);
    }

    #[test]
    fn junk_is_no_spooled_batch() {
        for seed in 0..1_000u32 {
            let junk: Vec<u8> = (0..seed % 100)
                .map(|n| (seed.wrapping_mul(2_654_435_761) >> (n % 24)).to_le_bytes()[0])
                .collect();
            assert!(unseal(&junk).is_none());
        }
    }
}
