//! How zones came to be as they are, kept on disk: after a restart, secondaries that are a little
//! behind still get the differences. What was lost costs them a whole transfer and nothing else.
//!
//! A file is a journal of entries: its version, steps, and after each batch of steps a seal: which
//! state they lead to. A history counts only for exactly that state.

use std::collections::BTreeMap;
use std::sync::Arc;

use popnet_answer::{Image, Standing};
use popnet_runtime::journal::{self, Journal};
use popnet_transfer::stored::{read_step, write_step};
use popnet_transfer::{Difference, History, Serial};
use xxhash_rust::xxh3::Xxh3;

use super::disk::Folder;
use super::press::lines;
use crate::shared::Shared;
use crate::views::ZoneKey;

/// The first entry: what kind of file this is, and its version.
const VERSION: &[u8] = b"HISTORY\x01";
const STEP: u8 = 1;
const SEAL: u8 = 2;
/// Kind, serial number, hash.
const SEAL_LENGTH: usize = 21;

/// A longer step is not kept: a whole transfer is about as long (a journal takes no longer entry).
const STEP_MAX: usize = (1 << 20) - 64;

/// What was written of one zone last.
#[derive(Debug)]
struct Written {
    history: Arc<History>,
    image: Arc<Image>,
    journal: Journal,
    /// Since the file was begun.
    octets: usize,
}

/// Writes whatever is new until the role ends.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut news = shared.transfers.press.news();
    let mut written = BTreeMap::new();
    loop {
        let keeper = Arc::clone(&shared);
        let wrote = tokio::task::spawn_blocking(move || {
            write_news(&keeper, &mut written);
            written
        });
        written = wrote.await.unwrap_or_default();
        tokio::select! {
            () = shared.transfers.shutdown.cancelled() => return,
            changed = news.changed() => if changed.is_err() { return },
        }
    }
}

fn write_news(shared: &Shared, written: &mut BTreeMap<ZoneKey, Written>) {
    let histories = shared.transfers.press.histories();
    let table = shared.table.load_full();
    written.retain(|key, _| histories.contains_key(key));
    // Those of zones in views are lost with a restart: their secondaries get all once.
    for (key, history) in histories.iter().filter(|(key, _)| key.view.is_none()) {
        let apex = &key.apex;
        let Some(zone) = table.catalog.zone(apex) else { continue };
        let image = zone.image();
        // Published in two steps: soon the other one comes.
        if history.end() != Some(Serial(image.serial())) {
            continue;
        }
        let before = written.remove(key);
        let is_same = |before: &Written| {
            Arc::ptr_eq(&before.history, history) && Arc::ptr_eq(&before.image, image)
        };
        let wrote = match before {
            Some(before) if is_same(&before) => Ok(before),
            before => write(&shared.transfers.folder, history, image, before),
        };
        match wrote {
            Ok(now) => drop(written.insert(key.clone(), now)),
            Err(why) => {
                tracing::warn!(zone = %apex, %why, "not kept: secondaries get all after a restart")
            }
        }
    }
}

/// Writes the steps that `before` has not, else all.
fn write(
    folder: &Folder,
    history: &Arc<History>,
    image: &Arc<Image>,
    before: Option<Written>,
) -> Result<Written, String> {
    let path = folder.path(image.apex(), "history");
    let appended = before.and_then(|before| {
        // The same steps again for another state: the seal alone is new.
        let since = if before.history.end() == history.end() {
            Vec::new()
        } else {
            history.since(before.history.end()?)?
        };
        let entries = entries(&since)?;
        let octets = before.octets + SEAL_LENGTH + entries.iter().map(Vec::len).sum::<usize>();
        // What the history has forgotten goes when the file is twice as long as it.
        (octets <= 2 * history.octets() + (64 << 10)).then_some((before.journal, octets, entries))
    });
    let text = |error: std::io::Error| format!("{}: {error}", path.display());
    let (journal, octets) = if let Some((mut journal, octets, entries)) = appended {
        for entry in entries.iter().chain([&seal(image)]) {
            journal.append(entry).map_err(text)?;
        }
        (journal, octets)
    } else {
        let all = history_entries(history, image).ok_or("a step is too long to be kept")?;
        folder.create(&path).map_err(|error| error.to_string())?;
        journal::rewrite(&path, all.iter().map(Vec::as_slice)).map_err(text)?;
        (Journal::open(&path).map_err(text)?.0, all.iter().map(Vec::len).sum())
    };
    let (history, image) = (Arc::clone(history), Arc::clone(image));
    Ok(Written { history, image, journal, octets })
}

/// The entries of a file that keeps `history`, which led to `image`. `None`: a step is too long.
#[must_use]
pub fn history_entries(history: &History, image: &Image) -> Option<Vec<Vec<u8>>> {
    let steps: Vec<Arc<Difference>> = history.steps().cloned().collect();
    let front = std::iter::once(VERSION.to_vec()).chain(entries(&steps)?);
    Some(front.chain([seal(image)]).collect())
}

/// `None`: a step is too long.
fn entries(steps: &[Arc<Difference>]) -> Option<Vec<Vec<u8>>> {
    let entry = |step: &Arc<Difference>| {
        let octets = write_step(step);
        (octets.len() <= STEP_MAX).then(|| [&[STEP], octets.as_slice()].concat())
    };
    steps.iter().map(entry).collect()
}

/// What a history leads to: serial number and a hash of every record.
fn seal(image: &Image) -> Vec<u8> {
    let mut hash = Xxh3::new();
    for line in lines(image) {
        hash.update(&u32::try_from(line.owner.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(line.owner);
        hash.update(&line.rtype.to_int().to_be_bytes());
        hash.update(&line.ttl.to_be_bytes());
        hash.update(&u32::try_from(line.rdata.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(line.rdata);
    }
    let mut seal = vec![SEAL];
    seal.extend_from_slice(&image.serial().to_be_bytes());
    seal.extend_from_slice(&hash.digest128().to_be_bytes());
    seal
}

/// The history that was kept of exactly this state, of at most `limit` octets.
pub(super) fn read(folder: &Folder, image: &Image, limit: usize) -> Option<History> {
    if image.standing() != Standing::Served {
        return None;
    }
    let octets = std::fs::read(folder.path(image.apex(), "history")).ok()?;
    history_of(&journal::records(&octets).0, image, limit)
}

/// The history that `entries` keep of exactly this state, of at most `limit` octets.
#[must_use]
pub fn history_of(entries: &[&[u8]], image: &Image, limit: usize) -> Option<History> {
    let (front, entries) = entries.split_first()?;
    // Behind the last seal are steps whose end nobody wrote down.
    let sealed = entries.iter().rposition(|entry| entry.first() == Some(&SEAL))?;
    if *front != VERSION || *entries.get(sealed)? != seal(image) {
        return None;
    }
    let mut history = History::new(limit);
    for entry in entries.get(..sealed)? {
        if let Some((&STEP, step)) = entry.split_first() {
            let step = read_step(step).filter(|step| step.old.owner == *image.apex())?;
            history.push(Arc::new(step));
        }
    }
    (history.end() == Some(Serial(image.serial()))).then_some(history)
}

#[cfg(test)]
mod tests {
    use super::*;
    use popnet_transfer::between;

    fn image(serial: u32, rest: &str) -> Arc<Image> {
        let text = format!("$TTL 60\n@ SOA ns h {serial} 1 1 1 1\n@ NS ns\n{rest}\n");
        let mut none = |_: &std::path::Path| Err("no files".to_owned());
        let apex = "example".parse().unwrap();
        let file = popnet_dns::read_zone(&apex, "t".as_ref(), text.as_bytes(), &mut none).unwrap();
        Arc::new(Image::build(file).unwrap())
    }

    fn step(old: &Image, new: &Image) -> Arc<Difference> {
        let content = |image| super::super::change::content(image);
        Arc::new(between(&content(old), &content(new)).unwrap())
    }

    #[test]
    fn kept_for_one_state_and_bounded() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path().join("zones"));
        let states: Vec<Arc<Image>> =
            (1..=400u32).map(|n| image(n, &format!("a TXT \"{n}{}\"", "x".repeat(200)))).collect();
        let limit = 10 * step(&states[0], &states[1]).octets();
        assert!(read(&folder, &states[0], limit).is_none());
        let mut history = History::new(limit);
        let mut before = None;
        for two in states.windows(2) {
            history.push(step(&two[0], &two[1]));
            let now = Arc::new(history.clone());
            before = Some(write(&folder, &now, &two[1], before).unwrap());
            let found = read(&folder, &two[1], limit).unwrap();
            assert!(found.steps().eq(history.steps()));
            assert!(read(&folder, &two[0], limit).is_none(), "another serial number");
        }
        let path = folder.path(states[0].apex(), "history");
        let octets = std::fs::read(&path).unwrap();
        assert!(octets.len() < 2 * limit + (80 << 10), "{} octets", octets.len());
        let last = states.last().unwrap();
        assert!(read(&folder, &image(400, "b A 192.0.2.1"), limit).is_none(), "other records");
        // A seal that was not written, a step that was torn, another file.
        for cut in [1, 30, octets.len() - 5] {
            std::fs::write(&path, &octets[..octets.len() - cut]).unwrap();
            assert!(read(&folder, last, limit).is_none(), "{cut}");
        }
        std::fs::write(&path, &octets).unwrap();
        assert!(read(&folder, last, limit).is_some());
    }
}
