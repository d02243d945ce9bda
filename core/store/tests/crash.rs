#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]
//! Random work, then a crash at any octet: what comes back is what was committed before it.

use std::collections::BTreeMap;

use bytes::Bytes;
use popnet_store::{
    Action, Limits, ObjectId, Place, Plan, Recovered, Recovery, SegmentId, Store, key_hash,
    read_head,
};
use proptest::prelude::*;

const STORE: u64 = 0x5eed;

/// Key, metadata and content.
type Written = (Vec<u8>, Vec<u8>, Vec<u8>);

/// A folder of files that dies after a number of octets (a step costs one octet too).
#[derive(Clone, Debug, Default)]
struct Disk {
    files: BTreeMap<SegmentId, Vec<u8>>,
    summaries: BTreeMap<SegmentId, Vec<u8>>,
    budget: Option<usize>,
}

impl Disk {
    /// Carries the plan out; says whether it got to the end.
    fn run(&mut self, plan: &Plan) -> bool {
        plan.0.iter().all(|action| self.step(action))
    }

    fn spend(&mut self, octets: usize) -> usize {
        let Some(budget) = &mut self.budget else { return octets };
        let spent = octets.min(*budget);
        *budget -= spent;
        spent
    }

    fn step(&mut self, action: &Action) -> bool {
        if self.spend(1) == 0 {
            return false;
        }
        match action {
            Action::Create(segment) => {
                self.files.insert(*segment, Vec::new());
                self.summaries.remove(segment);
            }
            Action::Write { segment, offset, parts } => {
                let octets: Vec<u8> = parts.iter().flat_map(|part| part.to_vec()).collect();
                let written = self.spend(octets.len());
                let file = self.files.get_mut(segment).expect("a plan creates before it writes");
                assert_eq!(file.len(), *offset as usize, "a log has no gaps");
                file.extend_from_slice(&octets[..written]);
                return written == octets.len();
            }
            Action::Sync(segment) => assert!(self.files.contains_key(segment)),
            Action::Summarize(segment, summary) => {
                let written = self.spend(summary.len());
                self.summaries.insert(*segment, summary[..written].to_vec());
                return written == summary.len();
            }
            Action::Cut(segment, length) => {
                self.files.get_mut(segment).unwrap().truncate(*length as usize);
            }
            Action::Delete(segment) => {
                self.files.remove(segment);
                self.summaries.remove(segment);
            }
        }
        true
    }

    fn recover(&mut self, limits: Limits) -> Store {
        self.recover_all(limits).store
    }

    fn recover_all(&mut self, limits: Limits) -> Recovered {
        self.budget = None;
        // With summaries it comes to the same as without.
        let in_full = self.read_all(limits, |_| None);
        let recovered = self.read_all(limits, |segment| self.summaries.get(&segment));
        let objects = |of: &Recovered| -> Vec<_> {
            of.store.objects().map(|(id, object)| (id, object.clone())).collect()
        };
        assert_eq!(objects(&recovered), objects(&in_full));
        assert_eq!((&recovered.purges, recovered.lost), (&in_full.purges, in_full.lost));
        assert!(self.run(&recovered.plan));
        recovered
    }

    fn read_all<'a>(
        &self,
        limits: Limits,
        summary: impl Fn(SegmentId) -> Option<&'a Vec<u8>>,
    ) -> Recovered {
        let mut recovery = Recovery::new(limits);
        for (segment, octets) in &self.files {
            let length = octets.len() as u64;
            let summary = summary(*segment);
            if !summary.is_some_and(|summary| recovery.summary(*segment, length, summary)) {
                recovery.segment(*segment, octets);
            }
        }
        recovery.finish(STORE)
    }

    fn used(&self) -> usize {
        self.files.values().chain(self.summaries.values()).map(Vec::len).sum()
    }

    /// Key, metadata and content of an object, every piece checked.
    fn read(&self, store: &Store, id: ObjectId) -> Written {
        let object = store.get(id).unwrap();
        let piece = |at: popnet_store::Extent| {
            let octets = &self.files[&at.segment][at.offset as usize..][..at.length as usize];
            assert!(at.holds(octets), "a served piece is what was written");
            octets
        };
        let head = read_head(piece(object.head())).unwrap();
        let content = object
            .reads(0..object.octets())
            .into_iter()
            .flat_map(|read| piece(read.extent)[read.part].to_vec())
            .collect();
        (head.key.to_vec(), head.meta.to_vec(), content)
    }
}

#[derive(Clone, Debug)]
enum Op {
    Begin(u8, u16),
    Append(u8, u32),
    Commit(u8, bool),
    Abort(u8),
    Remove(u8),
    Refresh(u8, u16),
    Purge(u16),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (any::<u8>(), any::<u16>()).prop_map(|(k, m)| Op::Begin(k % 6, m)),
        8 => (any::<u8>(), 1u32..300_000).prop_map(|(k, n)| Op::Append(k, n)),
        5 => (any::<u8>(), any::<bool>()).prop_map(|(k, r)| Op::Commit(k, r)),
        1 => any::<u8>().prop_map(Op::Abort),
        2 => any::<u8>().prop_map(Op::Remove),
        2 => (any::<u8>(), any::<u16>()).prop_map(|(k, m)| Op::Refresh(k, m)),
        1 => any::<u16>().prop_map(Op::Purge),
    ]
}

fn pick<T: Copy>(list: &[T], at: u8) -> Option<T> {
    (!list.is_empty()).then(|| list[usize::from(at) % list.len()])
}

/// A store at work, with what its objects should hold.
struct Work {
    store: Store,
    disk: Disk,
    written: BTreeMap<ObjectId, Written>,
    open: Vec<ObjectId>,
    /// Acknowledged.
    purges: Vec<(Place, Bytes)>,
}

impl Work {
    /// Does one thing; says whether the disk still lives.
    fn apply(&mut self, op: &Op) -> bool {
        let whole: Vec<ObjectId> = self.store.objects().map(|(id, _)| id).collect();
        match op {
            Op::Begin(key, meta) => {
                let (key, meta) = (vec![*key], meta.to_le_bytes().to_vec());
                let (id, plan) = self.store.begin(&key, &meta, None).unwrap();
                self.open.push(id);
                self.written.insert(id, (key, meta, Vec::new()));
                self.disk.run(&plan)
            }
            Op::Append(at, length) => {
                let Some(id) = pick(&self.open, *at) else { return true };
                let chunk: Vec<u8> = (0..*length).map(|i| (i % 251) as u8 ^ *at).collect();
                let Ok(plan) = self.store.append(id, &Bytes::from(chunk.clone())) else {
                    self.open.retain(|other| *other != id);
                    return true;
                };
                self.written.get_mut(&id).unwrap().2.extend_from_slice(&chunk);
                self.disk.run(&plan)
            }
            Op::Commit(at, replace) => {
                let Some(id) = pick(&self.open, *at) else { return true };
                self.open.retain(|other| *other != id);
                let key = key_hash(&self.written[&id].0);
                let replaces = if *replace { self.store.find(key).to_vec() } else { Vec::new() };
                let Ok(plan) = self.store.commit(id, &replaces) else { return true };
                let done = self.disk.run(&plan);
                if done {
                    self.store.publish(id);
                }
                done
            }
            Op::Abort(at) => {
                if let Some(id) = pick(&self.open, *at) {
                    self.open.retain(|other| *other != id);
                    self.store.abort(id);
                }
                true
            }
            Op::Remove(at) => {
                let Some(id) = pick(&whole, *at) else { return true };
                let plan = self.store.remove(&[id]);
                self.disk.run(&plan)
            }
            Op::Refresh(at, meta) => {
                let Some(id) = pick(&whole, *at) else { return true };
                let entry = self.written.get_mut(&id).unwrap();
                let meta = meta.to_le_bytes().to_vec();
                let plan = self.store.refresh(id, &entry.0, &meta).unwrap();
                let done = self.disk.run(&plan);
                if done {
                    entry.1 = meta;
                }
                done
            }
            Op::Purge(words) => {
                let words = Bytes::from(words.to_le_bytes().to_vec());
                let (at, plan) = self.store.purge(words.clone()).unwrap();
                let done = self.disk.run(&plan);
                if done {
                    self.purges.push((at, words));
                }
                done
            }
        }
    }
}

fn limits() -> Limits {
    Limits::for_disk(8 << 20).unwrap()
}

fn work(ops: &[Op], budget: Option<usize>) -> (Work, Store) {
    let disk = Disk { budget, ..Disk::default() };
    let mut work = Work {
        store: Store::new(limits(), STORE),
        disk,
        written: BTreeMap::new(),
        open: Vec::new(),
        purges: Vec::new(),
    };
    let mut before = work.store.clone();
    for op in ops {
        before.clone_from(&work.store);
        if !work.apply(op) {
            return (work, before);
        }
        assert!(work.disk.used() as u64 <= limits().disk(), "the disk's share holds");
        assert_eq!(work.disk.used() as u64, work.store.used());
    }
    before.clone_from(&work.store);
    (work, before)
}

fn ids(store: &Store) -> Vec<ObjectId> {
    store.objects().map(|(id, _)| id).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_was_committed_before_the_crash_comes_back(
        ops in prop::collection::vec(op(), 1..90),
        percent in 0usize..120,
    ) {
        let (whole, _) = work(&ops, Some(usize::MAX));
        let total = usize::MAX - whole.disk.budget.unwrap();
        let budget = total * percent / 100;
        let (mut work, before) = work(&ops, Some(budget));
        let Recovered { store: recovered, purges, .. } = work.disk.recover_all(limits());
        for purge in &work.purges {
            let reclaimed = recovered.oldest().is_none_or(|oldest| purge.0.segment < oldest);
            prop_assert!(reclaimed || purges.contains(purge), "{purge:?} is lost");
        }

        // The last step may be half done: what it took away may be gone, what it brought may not.
        let now = ids(&recovered);
        let after = ids(&work.store);
        for id in &now {
            prop_assert!(ids(&before).contains(id), "{id} came from nowhere");
            let (key, _, content) = &work.written[id];
            let read = work.disk.read(&recovered, *id);
            prop_assert_eq!((&read.0, &read.2), (key, content));
        }
        for id in ids(&before) {
            if after.contains(&id) {
                prop_assert!(now.contains(&id), "{id} was committed and is lost");
            }
        }
        if budget >= total {
            prop_assert_eq!(&now, &after);
            for id in &now {
                prop_assert_eq!(&work.disk.read(&recovered, *id), &work.written[id]);
            }
        }
        // And once more: recovery leaves a folder that recovers to the same.
        let mut disk = work.disk.clone();
        prop_assert_eq!(ids(&disk.recover(limits())), now);
    }

    #[test]
    fn a_damaged_octet_never_shows_and_never_brings_back(
        ops in prop::collection::vec(op(), 1..60),
        at in any::<prop::sample::Index>(),
        mask in 1u8..,
    ) {
        let (mut work, _) = work(&ops, None);
        let live = ids(&work.store);
        let total = work.disk.used();
        prop_assume!(total > 0);
        let mut at = at.index(total);
        for octets in work.disk.files.values_mut() {
            if at < octets.len() {
                octets[at] ^= mask;
                break;
            }
            at -= octets.len();
        }
        // A summary does not see the damage: whoever reads that piece will.
        let summarized = work.disk.read_all(limits(), |segment| work.disk.summaries.get(&segment));
        for id in ids(&summarized.store) {
            prop_assert!(live.contains(&id), "{id} came back by a summary");
        }
        work.disk.summaries.clear();
        let Recovered { store: recovered, purges, .. } = work.disk.recover_all(limits());
        for purge in work.purges.iter().filter(|purge| !purges.contains(purge)) {
            let later = |id: &ObjectId| recovered.get(*id).unwrap().head().place() > purge.0;
            prop_assert!(ids(&recovered).iter().all(later), "{purge:?} is lost and believed undone");
        }
        for id in ids(&recovered) {
            prop_assert!(live.contains(&id), "{id} came back");
            prop_assert_eq!(&work.disk.read(&recovered, id), &work.written[&id]);
        }
    }

    #[test]
    fn any_octets_at_all_are_read_without_harm(
        octets in prop::collection::vec(any::<u8>(), 0..4096),
    ) {
        let _ = popnet_store::segment::scan(&octets);
        let mut file = popnet_store::segment::encode(SegmentId(1), STORE).to_vec();
        file.extend_from_slice(&octets);
        let mut recovery = Recovery::new(limits());
        recovery.segment(SegmentId(1), &file);
        recovery.segment(SegmentId(9), &octets);
        prop_assert!(recovery.finish(1).store.is_empty());
    }
}

/// Room is made when it is needed, not when the store is opened.
#[test]
fn opening_a_full_store_loses_nothing() {
    let ops: Vec<Op> = (0..40)
        .flat_map(|_| [Op::Begin(0, 0), Op::Append(0, 299_999), Op::Commit(0, false)])
        .collect();
    let (mut work, _) = work(&ops, None);
    assert!(work.store.reclaimed() > 0, "it was full once");
    let recovered = work.disk.recover(limits());
    assert_eq!(ids(&recovered), ids(&work.store));
}

/// A removal that cannot be written down takes the files instead, and nothing comes back.
#[test]
fn what_cannot_be_removed_in_writing_goes_with_its_files() {
    let ops = [Op::Begin(0, 0), Op::Append(0, 1000), Op::Commit(0, false)];
    let (mut work, _) = work(&ops, None);
    let id = ids(&work.store)[0];
    let newest = work.store.get(id).unwrap().newest_segment();
    // The plan of the removal is lost: the disk takes no more octets.
    let lost = work.store.remove(&[id]);
    work.store.failed(lost.0.first().unwrap());
    let plan = work.store.give_up_through(newest);
    assert!(work.disk.run(&plan));
    assert!(ids(&work.disk.recover(limits())).is_empty());
    // And the store goes on.
    for op in &ops {
        assert!(work.apply(op));
    }
    assert_eq!(ids(&work.disk.recover(limits())), ids(&work.store));
}
