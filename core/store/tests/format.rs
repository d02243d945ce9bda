#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]
//! Formats stay readable: each fixture was written once and is never deleted.

use bytes::Bytes;
use popnet_store::segment::{self, End, Kind};
use popnet_store::{
    Action, Limits, Place, Recovered, Recovery, SegmentId, Store, key_hash, read_head,
};

/// As [`VERSION_2`], but for a note in the place of the purge.
const VERSION_1: &[u8] = include_bytes!("fixtures/segment-v1.seg");

const VERSION_2: &[u8] = include_bytes!("fixtures/segment-v2.seg");

fn written() -> Vec<u8> {
    let mut store = Store::new(Limits::for_disk(8 << 20).unwrap(), 0x0123_4567_89ab_cdef);
    let mut plans = Vec::new();
    plans.push(store.purge(Bytes::from_static(b"everything")).unwrap().1);
    let (first, plan) = store.begin(b"http://a.test/1", b"old", Some(5)).unwrap();
    plans.push(plan);
    plans.push(store.append(first, &Bytes::from_static(b"hello")).unwrap());
    plans.push(store.commit(first, &[]).unwrap());
    store.publish(first);
    let (second, plan) = store.begin(b"http://a.test/2", b"meta", None).unwrap();
    plans.push(plan);
    plans.push(store.append(second, &Bytes::from_static(b"two ")).unwrap());
    plans.push(store.append(second, &Bytes::from_static(b"pieces")).unwrap());
    plans.push(store.refresh(first, b"http://a.test/1", b"new").unwrap());
    plans.push(store.commit(second, &[]).unwrap());
    store.publish(second);
    let (third, plan) = store.begin(b"http://a.test/2", b"meta3", None).unwrap();
    plans.push(plan);
    plans.push(store.commit(third, &[second]).unwrap());
    store.publish(third);
    let (fourth, plan) = store.begin(b"http://a.test/4", b"", None).unwrap();
    plans.push(plan);
    plans.push(store.commit(fourth, &[]).unwrap());
    store.publish(fourth);
    plans.push(store.remove(&[fourth]));
    let mut file = Vec::new();
    for action in plans.into_iter().flat_map(|plan| plan.0) {
        if let Action::Write { parts, .. } = action {
            parts.iter().for_each(|part| file.extend_from_slice(part));
        }
    }
    file
}

#[test]
fn this_program_writes_what_the_fixture_holds() {
    let file = written();
    assert!(file == VERSION_2, "format 2 may not change: a new format needs a new version");
}

#[test]
fn the_fixtures_read() {
    assert!(reads(VERSION_1, Kind::Note).is_empty(), "nobody reads notes any more");
    let [(at, words)] = &reads(VERSION_2, Kind::Purge)[..] else { panic!("one purge") };
    assert_eq!((at.segment, words.as_ref()), (SegmentId(1), &b"everything"[..]));
}

/// Reads a fixture that begins with a record of `kind`; its purges.
fn reads(fixture: &[u8], kind: Kind) -> Vec<(Place, Bytes)> {
    let scan = segment::scan(fixture).unwrap();
    assert_eq!((scan.segment, scan.end), (SegmentId(1), End::Whole));
    let kinds: Vec<Kind> = scan.records.iter().map(|found| found.head.kind).collect();
    assert_eq!(kinds[..4], [kind, Kind::Head, Kind::Data, Kind::Commit]);

    let mut recovery = Recovery::new(Limits::for_disk(8 << 20).unwrap());
    recovery.segment(SegmentId(1), fixture);
    let Recovered { store, purges, plan, lost } = recovery.finish(0);
    let [Action::Summarize(of, summary)] = &plan.0[..] else { panic!("only a summary is missing") };
    let mut quick = Recovery::new(Limits::for_disk(8 << 20).unwrap());
    assert!(!quick.summary(*of, fixture.len() as u64 - 1, summary), "of another length");
    assert!(quick.summary(*of, fixture.len() as u64, summary));
    assert!(quick.finish(0).store.objects().eq(store.objects()));
    assert_eq!(lost, popnet_store::Lost::default());
    assert_eq!(store.len(), 2, "one replaced, one removed");
    let [first] = *store.find(key_hash(b"http://a.test/1")) else { panic!("the first object") };
    let object = store.get(first).unwrap();
    assert_eq!(object.octets(), 5);
    let at = object.head();
    let head = read_head(&fixture[at.offset as usize..][..at.length as usize]).unwrap();
    assert_eq!((head.key, head.meta), (&b"http://a.test/1"[..], &b"new"[..]));
    purges
}

#[test]
fn names_of_files() {
    assert_eq!(SegmentId(42).file_name(), "000000000042.seg");
    assert_eq!(SegmentId::of_file("000000000042.seg"), Some(SegmentId(42)));
    for name in ["42.seg", "00000000004x.seg", "000000000042", "+00000000042.seg"] {
        assert_eq!(SegmentId::of_file(name), None, "{name}");
    }
}
