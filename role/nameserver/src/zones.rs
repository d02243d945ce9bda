//! Zone files: found, read, and kept. A file with a mistake leaves the zone as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use popnet_answer::{Builder, Flaw, Image};
use popnet_config::Held;
use popnet_config::network::Zone;
use popnet_dns::{Mistake, Name, Open, scan_zone};
use popnet_runtime::Context;

use crate::transfer::Members;

/// No zone file is longer: a million records are a twentieth of this.
const FILE_MAX: u64 = 1 << 30;

/// Why a zone is not served as its file stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ZoneProblem {
    /// The zone, or the folder.
    pub(crate) zone: String,
    /// File, line, column and what is wrong, one a mistake.
    pub(crate) mistakes: Vec<String>,
    /// Whether an earlier state of the zone is served meanwhile.
    pub(crate) kept: bool,
}

/// Every zone that was ever read well.
#[derive(Debug)]
pub(crate) struct Zones {
    /// By view, "" for the zones of everybody, and apex.
    good: BTreeMap<Place, Good>,
    /// Zones that catalogs list (RFC 9432); they are transferred.
    pub(crate) members: Arc<Members>,
    /// Zones that have a file, good or not; `None` where a folder could not be looked through.
    pub(crate) files: Option<Arc<BTreeSet<Name>>>,
    /// A second place for relative names, beside the configuration's folder.
    folder: PathBuf,
}

#[derive(Debug)]
struct Good {
    zone: Arc<Image>,
    /// The files it was read from, and their states then: equal states need no second reading.
    files: Vec<(PathBuf, Option<Stamp>)>,
}

type Place = (String, Name);

/// The zones of a configuration.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Of everybody.
    pub(crate) common: Vec<Arc<Image>>,
    /// Each view's own, in the order of the views.
    pub(crate) views: Vec<Vec<Arc<Image>>>,
    pub(crate) problems: Vec<ZoneProblem>,
}

/// A file's state.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
}

impl Zones {
    pub(crate) fn new(context: &Context) -> Self {
        let folder = context.state_dir.join("zones");
        Self { good: BTreeMap::new(), members: Arc::default(), files: None, folder }
    }

    /// The zones of `held` as far as they can be read, and what is wrong with the others.
    pub(crate) fn load(&mut self, held: &Held) -> Loaded {
        let mut loaded = Loaded::default();
        let listed = self.listed(held, &mut loaded.problems);
        let is_all = loaded.problems.is_empty();
        self.files = is_all.then(|| Arc::new(listed.keys().cloned().collect()));
        self.forget(held, &listed);
        loaded.common = self.read_all("", &listed, &mut loaded.problems);
        // Their content comes from elsewhere; until it is there, the zone is ours all the same.
        let transferred = held.network.zones.iter().filter(|(_, zone)| zone.file.is_none());
        let transferred = transferred.filter_map(|(name, _)| name.parse().ok());
        let named: BTreeSet<Name> = transferred.collect();
        let members = self.members.keys().filter(|apex| !listed.contains_key(*apex)).cloned();
        let lacking: BTreeSet<Name> = members.chain(named).collect();
        loaded.common.extend(lacking.into_iter().map(Image::lacking).map(Arc::new));
        for view in &held.network.views {
            let files = self.files(held, &view.zones);
            let mut zones = self.read_all(&view.name, &files, &mut loaded.problems);
            // The zone of everybody with this name is not for clients of the view.
            let unread = |apex: &&Name| !self.good.contains_key(&place(&view.name, apex));
            zones.extend(files.keys().filter(unread).cloned().map(Image::lacking).map(Arc::new));
            loaded.views.push(zones);
        }
        loaded
    }

    /// Drops what `held` has no longer.
    fn forget(&mut self, held: &Held, listed: &BTreeMap<Name, PathBuf>) {
        let of_view = |view: &str, apex: &Name| {
            let mut views = held.network.views.iter().filter(|known| known.name == view);
            views.any(|known| known.zones.keys().any(|name| name.parse().as_ref() == Ok(apex)))
        };
        self.good.retain(|(view, apex), _| match view.as_str() {
            "" => listed.contains_key(apex),
            view => of_view(view, apex),
        });
    }

    /// The zones of `view` in these files, as far as they were ever read well.
    fn read_all(
        &mut self,
        view: &str,
        files: &BTreeMap<Name, PathBuf>,
        problems: &mut Vec<ZoneProblem>,
    ) -> Vec<Arc<Image>> {
        let mut zones = Vec::new();
        for (apex, file) in files {
            let place = place(view, apex);
            if let Err(mistakes) = self.refresh(&place, file) {
                let kept = self.good.contains_key(&place);
                let mistakes: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
                for mistake in &mistakes {
                    tracing::error!(zone = %apex, view, kept, "{mistake}");
                }
                let seen = if view.is_empty() { String::new() } else { format!(" (view {view})") };
                let zone = format!("{}{seen}", apex.to_host());
                problems.push(ZoneProblem { zone, mistakes, kept });
            }
            zones.extend(self.good.get(&place).map(|good| Arc::clone(&good.zone)));
        }
        zones
    }

    /// Each zone and its file. A zone that the configuration names goes before one of a folder.
    fn listed(&self, held: &Held, problems: &mut Vec<ZoneProblem>) -> BTreeMap<Name, PathBuf> {
        let mut listed = BTreeMap::new();
        if let Some(from) = &held.network.zones_from {
            let folder = self.resolve(&held.base_dir, &from.directory);
            match zone_files(&folder) {
                Ok(files) => listed.extend(files),
                Err(why) => {
                    tracing::warn!(folder = %folder.display(), %why, "no zones from this folder");
                    let zone = folder.display().to_string();
                    let mistakes = vec![format!("{zone}: {why}")];
                    problems.push(ZoneProblem { zone, mistakes, kept: false });
                }
            }
        }
        listed.extend(self.files(held, &held.network.zones));
        listed
    }

    /// Those of `zones` that lie in files, and where.
    fn files(&self, held: &Held, zones: &BTreeMap<String, Zone>) -> BTreeMap<Name, PathBuf> {
        let mut files = BTreeMap::new();
        for (name, zone) in zones {
            let Ok(apex) = name.parse::<Name>() else {
                tracing::warn!(zone = %name, "no domain name: left out");
                continue;
            };
            if let Some(file) = &zone.file {
                files.insert(apex, self.resolve(&held.base_dir, file));
            }
        }
        files
    }

    fn resolve(&self, base: &Path, file: &Path) -> PathBuf {
        let beside = base.join(file);
        let inside = self.folder.join(file);
        if !beside.exists() && inside.exists() { inside } else { beside }
    }

    /// Reads a zone again when one of its files has changed.
    fn refresh(&mut self, place: &Place, file: &Path) -> Result<(), Vec<Mistake>> {
        let apex = &place.1;
        if let Some(good) = self.good.get(place) {
            let same =
                |(path, then): &(PathBuf, Option<Stamp>)| then.is_some() && stamp(path) == *then;
            if good.files.first().is_some_and(|(path, _)| path == file)
                && good.files.iter().all(same)
            {
                return Ok(());
            }
        }
        let mut files = vec![(file.to_owned(), stamp(file))];
        let text = read(file)
            .map_err(|what| vec![Mistake { file: file.to_owned(), line: 1, column: 1, what }])?;
        let mut open = |path: &Path| {
            files.push((path.to_owned(), stamp(path)));
            read(path)
        };
        // A text that finds a mistake in the reader costs its zone, not the name server.
        let reading = AssertUnwindSafe(|| compile(apex, file, text, &mut open));
        let zone = catch_unwind(reading).unwrap_or_else(|_| {
            let what = "the reader met a mistake in the program".to_owned();
            Err(vec![Mistake { file: file.to_owned(), line: 1, column: 1, what }])
        })?;
        let zone = Arc::new(zone);
        self.good.insert(place.clone(), Good { zone, files });
        Ok(())
    }
}

fn place(view: &str, apex: &Name) -> Place {
    (view.to_owned(), apex.clone())
}

/// Reads a zone and compiles it. Its records are never in memory but as the log of the builder, and
/// the text is gone before they are put in order: a large zone needs little more than it will keep.
fn compile(
    apex: &Name,
    file: &Path,
    text: Vec<u8>,
    open: &mut Open<'_>,
) -> Result<Image, Vec<Mistake>> {
    let mut builder = Builder::sized(apex.clone(), text.len());
    let files = scan_zone(apex, file, &text, open, &mut |record| {
        builder.add(record.owner, record.rtype, record.ttl, record.rdata, record.place);
    })?;
    drop(text);
    let place = |flaw: Flaw| Mistake {
        file: files.get(usize::from(flaw.place.file)).cloned().unwrap_or_else(|| file.to_owned()),
        line: flaw.place.line.max(1),
        column: 1,
        what: flaw.what,
    };
    builder.finish().map_err(|flaws| flaws.into_iter().map(place).collect())
}

fn stamp(path: &Path) -> Option<Stamp> {
    let data = std::fs::metadata(path).ok()?;
    Some(Stamp { modified: data.modified().ok(), length: data.len() })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > FILE_MAX {
        return Err(format!("{length} octets; the limit is {FILE_MAX}"));
    }
    std::fs::read(path).map_err(|error| error.to_string())
}

/// Every `NAME.zone` of a folder.
fn zone_files(folder: &Path) -> Result<BTreeMap<Name, PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    let mut files = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(zone) = name.strip_suffix(".zone") {
            match zone.parse() {
                Ok(apex) => drop(files.insert(apex, path)),
                Err(error) => tracing::warn!(file = %path.display(), %error, "left out"),
            }
        }
    }
    Ok(files)
}
