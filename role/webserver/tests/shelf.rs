#![expect(clippy::unwrap_used, reason = "a test")]
//! The disk shelf without sockets: kills, damage, slow and vanished disks.

#[path = "support/rules.rs"]
mod rules;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use popnet_cache::freshness::Policy;
use popnet_cache::key::Key;
use popnet_cache::purge::Aim;
use popnet_cache::stored::{Fields, Stored};
use popnet_cache::vary::Variant;
use popnet_terms::Timestamp;
use popnet_tier::shelf::{Entry, Reader, Shelf, Writer};
use popnet_webserver::disk::{DiskShelf, Trouble, read_meta, read_purge, write_meta, write_purge};
use popnet_wire::purging::{PurgeKind, PurgeOrder, PurgeWhat};

const DISK: u64 = 16 << 20;

fn stored(path: &str) -> Stored {
    Stored {
        key: Key::of("http", "a.test", path, &rules::rules()),
        site: "a.test".into(),
        customer: "acme".into(),
        variant: Variant::default(),
        status: 200,
        fields: Fields::default(),
        requested: Timestamp(1),
        received: Timestamp(2),
        policy: Policy::default(),
        tags: Vec::new(),
        length: None,
        purged: false,
        came_aged: 0,
    }
}

fn open(folder: &Path) -> (DiskShelf, Arc<Mutex<Vec<Trouble>>>) {
    let troubles = Arc::<Mutex<Vec<Trouble>>>::default();
    let told = Arc::clone(&troubles);
    let shelf = DiskShelf::open(folder, DISK, move |trouble| told.lock().unwrap().push(trouble));
    (shelf, troubles)
}

fn octets(seed: u8, length: usize) -> Bytes {
    (0..length).map(|at| seed.wrapping_add(u8::try_from(at % 256).unwrap())).collect()
}

async fn put(shelf: &DiskShelf, path: &str, content: &Bytes) -> Entry {
    let mut writer = shelf.begin(stored(path)).await.unwrap();
    for chunk in content.chunks(70_000) {
        writer.append(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    writer.finish(content.len() as u64).await.unwrap()
}

async fn all(reader: &impl Reader) -> Bytes {
    let mut whole = Vec::new();
    loop {
        let next = reader.read(whole.len() as u64, 100_000).await.unwrap();
        if next.is_empty() {
            return whole.into();
        }
        whole.extend_from_slice(&next);
    }
}

async fn get(shelf: &DiskShelf, path: &str) -> Option<Bytes> {
    let found = shelf.find(&stored(path).key).await;
    let entry = found.first()?;
    Some(all(&shelf.open(entry.id).await.ok()?).await)
}

#[tokio::test]
async fn read_while_it_comes_and_replaced_when_it_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let (shelf, _) = open(folder.path());
    let content = octets(1, 1_000_000);
    let mut writer = shelf.begin(stored("/a")).await.unwrap();
    let reader = writer.reader();
    writer.append(content.slice(..600_000)).await.unwrap();
    assert_eq!(all(&reader).await, content[..600_000]);
    assert!(shelf.find(&stored("/a").key).await.is_empty(), "not before it is whole");
    writer.append(content.slice(600_000..)).await.unwrap();
    assert_eq!(all(&reader.clone()).await, content);
    let first = writer.finish(1_000_000).await.unwrap();
    assert_eq!(first.stored.length, Some(1_000_000));

    let old = shelf.open(first.id).await.unwrap();
    let second = put(&shelf, "/a", &octets(2, 10)).await;
    let found = shelf.find(&stored("/a").key).await;
    assert_eq!(found.iter().map(|entry| entry.id).collect::<Vec<_>>(), [second.id]);
    assert_eq!(all(&old).await, content, "who reads the old one may finish");
    assert_eq!(get(&shelf, "/a").await.unwrap(), octets(2, 10));

    // Given up half way: what was read stays readable, nothing is found.
    let mut writer = shelf.begin(stored("/b")).await.unwrap();
    writer.append(content.clone()).await.unwrap();
    let reader = writer.reader();
    drop(writer);
    assert_eq!(all(&reader).await, content);
    assert!(shelf.find(&stored("/b").key).await.is_empty());
}

#[tokio::test]
async fn a_kill_in_the_middle_of_a_write_loses_only_that() {
    let folder = tempfile::tempdir().unwrap();
    let (shelf, _) = open(folder.path());
    put(&shelf, "/a", &octets(1, 400_000)).await;
    put(&shelf, "/b", &octets(2, 10)).await;
    let mut half = shelf.begin(stored("/half")).await.unwrap();
    half.append(octets(3, 500_000)).await.unwrap();
    // The files as a kill leaves them: the writer never came to an end, the last record is torn.
    let killed = tempfile::tempdir().unwrap();
    let mut names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
    names.sort();
    for name in &names {
        std::fs::copy(name, killed.path().join(name.file_name().unwrap())).unwrap();
    }
    let last = killed.path().join(names.last().unwrap().file_name().unwrap());
    let file = std::fs::OpenOptions::new().write(true).open(&last).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1000).unwrap();

    let (shelf, troubles) = open(killed.path());
    assert_eq!(get(&shelf, "/a").await.unwrap(), octets(1, 400_000));
    assert_eq!(get(&shelf, "/b").await.unwrap(), octets(2, 10));
    assert_eq!(get(&shelf, "/half").await, None);
    put(&shelf, "/half", &octets(3, 500_000)).await;
    assert_eq!(get(&shelf, "/half").await.unwrap(), octets(3, 500_000));
    assert_eq!(troubles.lock().unwrap().len(), 0);
    shelf.close().await;
    let (shelf, _) = open(killed.path());
    assert_eq!(shelf.usage().objects, 3);
}

#[tokio::test]
async fn damaged_content_is_never_served() {
    let folder = tempfile::tempdir().unwrap();
    let (shelf, _) = open(folder.path());
    let entry = put(&shelf, "/a", &octets(1, 400_000)).await;
    let name = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let mut file = std::fs::read(&name).unwrap();
    let middle = file.len() / 2;
    file[middle] ^= 1;
    std::fs::write(&name, &file).unwrap();

    let reader = shelf.open(entry.id).await.unwrap();
    reader.read(200_000, 1000).await.unwrap_err();
    let gone = Instant::now() + Duration::from_secs(5);
    while !shelf.find(&stored("/a").key).await.is_empty() {
        assert!(Instant::now() < gone, "a damaged object is taken off the shelf");
        tokio::task::yield_now().await;
    }
    assert_eq!(shelf.failures().1, 1);
}

#[tokio::test]
async fn a_folder_that_vanishes_is_counted_and_survived() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("store");
    let (shelf, troubles) = open(&place);
    put(&shelf, "/a", &octets(1, 10)).await;
    std::fs::remove_dir_all(&place).unwrap();
    let mut refused = 0;
    for number in 0..40u8 {
        let mut writer = shelf.begin(stored(&format!("/{number}"))).await.unwrap();
        let added = writer.append(octets(number, 300_000)).await;
        if added.is_err() || writer.finish(300_000).await.is_err() {
            refused += 1;
        }
    }
    assert!(refused > 0, "a new segment cannot be made");
    let (writes, _, _) = shelf.failures();
    assert!((1..=5).contains(&writes), "a disk that fails is left alone for a while: {writes}");
    assert!(matches!(troubles.lock().unwrap().first(), Some(Trouble::Write(_))));
    // The operator puts it right: after the rest it is used again.
    std::fs::create_dir_all(&place).unwrap();
}

/// The head on disk is positional: a change of any of its types must come with a new version, or
/// entries of the layout before are read as something else.
fn aim(what: PurgeWhat) -> Aim {
    let order =
        PurgeOrder { customer: "acme".into(), what, kind: PurgeKind::Hard, actor: "test".into() };
    Aim::of(&order, Some(&rules::rules()))
}

/// Purges are remembered, not carried out: they hold for what was there, over a restart too, and
/// for nothing that comes later.
#[tokio::test]
async fn purges_hit_what_was_there_and_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (shelf, _) = open(folder.path());
    for path in ["/a/1", "/a/2", "/b/1", "/c"] {
        put(&shelf, path, &octets(1, 10)).await;
    }
    let prefix = |path: &str| aim(PurgeWhat::Prefix { site: "a.test".into(), path: path.into() });
    shelf.purge(&prefix("/a/"), PurgeKind::Hard).await;
    shelf.purge(&prefix("/b/"), PurgeKind::Soft).await;
    let url = PurgeWhat::Url { site: "a.test".into(), host: "a.test".into(), path: "/c".into() };
    assert_eq!(shelf.purge(&aim(url), PurgeKind::Hard).await, 1, "a URL is looked up");
    put(&shelf, "/a/2", &octets(2, 10)).await;

    for restarted in [false, true] {
        let shelf = if restarted { open(folder.path()).0 } else { shelf.clone() };
        assert!(shelf.find(&stored("/a/1").key).await.is_empty(), "{restarted}");
        assert_eq!(get(&shelf, "/a/2").await.unwrap(), octets(2, 10), "{restarted}");
        assert!(shelf.find(&stored("/b/1").key).await[0].stored.purged, "{restarted}");
        assert!(shelf.find(&stored("/c").key).await.is_empty(), "{restarted}");
        if !restarted {
            shelf.close().await;
        }
    }
    let (shelf, _) = open(folder.path());
    let validated = shelf.find(&stored("/b/1").key).await[0].clone();
    shelf.freshen(validated.id, stored("/b/1")).await.unwrap();
    assert!(!shelf.find(&stored("/b/1").key).await[0].stored.purged);
    let site = aim(PurgeWhat::Site { site: "a.test".into() });
    let before = shelf.find(&stored("/b/1").key).await[0].clone();
    shelf.purge(&site, PurgeKind::Hard).await;
    let late = shelf.freshen(before.id, stored("/b/1")).await;
    assert!(late.is_err(), "no validation brings back what a purge took");
    assert_eq!(get(&shelf, "/a/2").await, None);
}

#[test]
fn the_layout_of_heads_has_not_changed_unnoticed() {
    let mut head = stored("/a?b");
    head.length = Some(9);
    head.tags = vec!["t".into()];
    head.policy.explicit = Some(60);
    head.policy.withheld = vec!["x".into()];
    head.fields.0.insert("etag", "\"1\"".parse().unwrap());
    let octets = write_meta(&head).unwrap();
    assert_eq!(read_meta(&octets).unwrap(), head);
    let text: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    let layout_1 = "0111687474703a2f2f612e746573742f613f6206612e746573740461636d6500c8010104\
                    65746167032231220204013c0000000000000000000001017801017400010900";
    assert_eq!(text, layout_1, "raise the version in disk/meta.rs, then put the new octets here");
}

#[test]
fn the_layout_of_purges_has_not_changed_unnoticed() {
    let prefix = aim(PurgeWhat::Prefix { site: "a.test".into(), path: "/a".into() });
    let octets = write_purge(&prefix, PurgeKind::Hard).unwrap();
    assert_eq!(read_purge(&octets), Some((prefix, PurgeKind::Hard)));
    let text: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    let layout_1 = "010461636d650106612e74657374022f6101";
    assert_eq!(text, layout_1, "raise the version in disk/meta.rs, then put the new octets here");
}

#[test]
fn junk_is_no_head() {
    let mut state = 7u32;
    for length in 0..2000usize {
        let junk: Vec<u8> = (0..length % 200)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0] & 0x1f
            })
            .collect();
        let _ = read_meta(&junk);
        let _ = read_purge(&junk);
    }
}
