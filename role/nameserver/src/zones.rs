//! Zone files: found, read, and kept. A file with a mistake leaves the zone as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use popnet_answer::{Builder, Flaw, Image};
use popnet_config::Held;
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
    good: BTreeMap<Name, Good>,
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
    pub(crate) fn load(&mut self, held: &Held) -> (Vec<Arc<Image>>, Vec<ZoneProblem>) {
        let mut problems = Vec::new();
        let listed = self.listed(held, &mut problems);
        self.files = problems.is_empty().then(|| Arc::new(listed.keys().cloned().collect()));
        self.good.retain(|apex, _| listed.contains_key(apex));
        let mut zones = Vec::new();
        for (apex, file) in &listed {
            if let Err(mistakes) = self.refresh(apex, file) {
                let kept = self.good.contains_key(apex);
                let mistakes: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
                for mistake in &mistakes {
                    tracing::error!(zone = %apex, kept, "{mistake}");
                }
                problems.push(ZoneProblem { zone: apex.to_host(), mistakes, kept });
            }
            zones.extend(self.good.get(apex).map(|good| Arc::clone(&good.zone)));
        }
        // Their content comes from elsewhere; until it is there, the zone is ours all the same.
        let transferred = held.network.zones.iter().filter(|(_, zone)| zone.file.is_none());
        let transferred = transferred.filter_map(|(name, _)| name.parse().ok());
        let named: BTreeSet<Name> = transferred.collect();
        let members = self.members.keys().filter(|apex| !listed.contains_key(*apex)).cloned();
        let lacking: BTreeSet<Name> = members.chain(named).collect();
        zones.extend(lacking.into_iter().map(Image::lacking).map(Arc::new));
        (zones, problems)
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
        for (name, zone) in &held.network.zones {
            let Ok(apex) = name.parse::<Name>() else {
                tracing::warn!(zone = %name, "no domain name: left out");
                continue;
            };
            if let Some(file) = &zone.file {
                listed.insert(apex, self.resolve(&held.base_dir, file));
            }
        }
        listed
    }

    fn resolve(&self, base: &Path, file: &Path) -> PathBuf {
        let beside = base.join(file);
        let inside = self.folder.join(file);
        if !beside.exists() && inside.exists() { inside } else { beside }
    }

    /// Reads a zone again when one of its files has changed.
    fn refresh(&mut self, apex: &Name, file: &Path) -> Result<(), Vec<Mistake>> {
        if let Some(good) = self.good.get(apex) {
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
        self.good.insert(apex.clone(), Good { zone, files });
        Ok(())
    }
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
