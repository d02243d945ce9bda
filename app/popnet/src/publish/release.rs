//! A release: built aside, read back, put in place by one rename.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::fcntl::{Flock, FlockArg};

use super::tree::{Tree, digest};

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Broken {
    pub(crate) what: String,
    pub(crate) next: &'static str,
}

impl Broken {
    pub(super) fn file(path: &Path, error: &io::Error) -> Self {
        let next = "see that it is there and may be read, then the same once more";
        Self { what: format!("{}: {error}", path.display()), next }
    }

    pub(super) fn name(path: &Path, why: &str) -> Self {
        let next = "rename it, copy it in place of a link, or take it out of the folder";
        Self { what: format!("{} {why}", path.display()), next }
    }
}

/// What a release changes.
#[derive(Debug)]
pub(crate) struct Plan {
    source: Tree,
    current: Tree,
    pub(crate) new: Vec<PathBuf>,
    pub(crate) changed: Vec<PathBuf>,
    /// Not in the source: they stay unless they are to be deleted.
    pub(crate) gone: Vec<PathBuf>,
    pub(crate) delete: bool,
}

impl Plan {
    /// Compares `source` with what visitors see.
    pub(crate) fn of(source: Tree, current: Tree, delete: bool) -> Result<Self, Broken> {
        let is_new = |path: &&PathBuf| !current.files.contains_key(*path);
        let new: Vec<_> = source.files.keys().filter(is_new).cloned().collect();
        let other = source
            .files
            .iter()
            .filter(|(path, content)| current.files.get(*path).is_some_and(|now| now != *content));
        let changed = other.map(|(path, _)| path.clone()).collect();
        let is_gone = |path: &&PathBuf| !source.files.contains_key(*path);
        let gone: Vec<_> = current.files.keys().filter(is_gone).cloned().collect();
        if !delete {
            let stays: BTreeSet<&Path> = gone.iter().map(PathBuf::as_path).collect();
            let above = |path: &PathBuf| path.ancestors().skip(1).any(|up| stays.contains(up));
            let new_ones: BTreeSet<&Path> = new.iter().map(PathBuf::as_path).collect();
            let under = |path: &PathBuf| path.ancestors().skip(1).any(|up| new_ones.contains(up));
            if let Some(path) =
                new.iter().find(|path| above(path)).or(gone.iter().find(|p| under(p)))
            {
                let what = format!("{} is a file in one and a folder in the other", path.display());
                return Err(Broken { what, next: "the same with --delete" });
            }
        }
        Ok(Self { source, current, new, changed, gone, delete })
    }

    /// Whether visitors see what they shall see.
    pub(crate) fn is_done(&self) -> bool {
        self.touched().next().is_none()
    }

    /// Files that visitors see differently.
    pub(crate) fn touched(&self) -> impl Iterator<Item = &PathBuf> {
        let deleted = self.gone.iter().filter(|_| self.delete);
        self.new.iter().chain(&self.changed).chain(deleted)
    }

    /// Octets to copy.
    pub(crate) fn octets(&self) -> u64 {
        let files = self.new.iter().chain(&self.changed);
        files.filter_map(|path| self.source.files.get(path)).map(|content| content.length).sum()
    }

    /// Files that stay as they are.
    pub(crate) fn same(&self) -> usize {
        self.source.files.len() - self.new.len() - self.changed.len()
    }

    /// Hidden names of the source.
    pub(crate) fn hidden(&self) -> usize {
        self.source.hidden
    }
}

/// The folder that is published to, held by us alone.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    _lock: Flock<File>,
}

impl Store {
    /// Opens `folder`.
    pub(crate) fn open(folder: &Path) -> Result<Self, Broken> {
        let path = folder.join(".lock");
        let file = File::options().create(true).write(true).truncate(false).open(&path);
        let file = file.map_err(|error| Broken {
            what: format!("{}: {error}", path.display()),
            next: "run it on the node that hosts the content, as one who may write there",
        })?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| Broken {
            what: format!("somebody publishes to {} just now", folder.display()),
            next: "wait for it, then the same once more",
        })?;
        Ok(Self { folder: folder.to_owned(), _lock: lock })
    }

    /// What visitors see.
    pub(crate) fn current(&self, seen: impl FnMut(&Path)) -> Result<Tree, Broken> {
        Tree::read(&self.content(), seen)
    }

    fn content(&self) -> PathBuf {
        match self.number() {
            Some(number) => self.releases().join(number.to_string()),
            None => self.folder.clone(),
        }
    }

    /// The number of the current release.
    fn number(&self) -> Option<u64> {
        let target = fs::read_link(self.folder.join(".current")).ok()?;
        target.strip_prefix(".releases").ok()?.to_str()?.parse().ok()
    }

    fn releases(&self) -> PathBuf {
        self.folder.join(".releases")
    }

    /// Carries out `plan`: says the number of the release. `purge` is kept until
    /// [`Self::purged`].
    pub(crate) fn publish(
        &self,
        source: &Path,
        plan: &Plan,
        purge: &[String],
        mut copied: impl FnMut(u64),
    ) -> Result<u64, Broken> {
        let broken = |path: &Path| {
            let path = path.to_owned();
            move |error: io::Error| Broken::file(&path, &error)
        };
        let before = self.number();
        let number = before.unwrap_or(0) + 1;
        let place = self.releases().join(number.to_string());
        if place.exists() {
            // Left from one who was killed before the rename: nobody has seen it.
            fs::remove_dir_all(&place).map_err(broken(&place))?;
        }
        fs::create_dir_all(&place).map_err(broken(&place))?;
        let old = self.content();
        for (path, content) in plan.source.files.iter().chain(
            plan.current
                .files
                .iter()
                .filter(|(path, _)| !plan.delete && !plan.source.files.contains_key(*path)),
        ) {
            let to = place.join(path);
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).map_err(broken(parent))?;
            }
            let there = old.join(path);
            let is_same = plan.current.files.get(path) == Some(content);
            // Only releases never change, so that only with them a file can be shared.
            if is_same && before.is_some() && fs::hard_link(&there, &to).is_ok() {
                continue;
            }
            let from = if is_same { there.clone() } else { source.join(path) };
            copy(&from, &to, &there, is_same).map_err(broken(&from))?;
            // Read back: neither was the source changed meanwhile, nor is the disk out of order.
            if digest(&to).map_err(broken(&to))? != *content {
                return Err(Broken::name(&from, "changed while it was published"));
            }
            copied(content.length);
        }
        self.note(purge)?;
        nix::unistd::sync();
        self.switch(number).map_err(broken(&self.folder))?;
        self.tidy(number, before);
        Ok(number)
    }

    fn switch(&self, number: u64) -> io::Result<()> {
        let next = self.folder.join(".next");
        if next.symlink_metadata().is_ok() {
            fs::remove_file(&next)?;
        }
        symlink(format!(".releases/{number}"), &next)?;
        fs::rename(&next, self.folder.join(".current"))?;
        File::open(&self.folder)?.sync_all()
    }

    /// Removes what nobody reads any more; what cannot be removed is tried again the next time.
    fn tidy(&self, number: u64, before: Option<u64>) {
        for entry in fs::read_dir(self.releases()).into_iter().flatten().flatten() {
            let of = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok());
            if of != Some(number) && (of.is_none() || of != before) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// What an earlier call published and did not hear to be purged.
    pub(crate) fn unpurged(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join(".unpurged")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn note(&self, purge: &[String]) -> Result<(), Broken> {
        let path = self.folder.join(".unpurged");
        fs::write(&path, purge.join("\n")).map_err(|error| Broken::file(&path, &error))
    }

    /// All is purged.
    pub(crate) fn purged(&self) -> Result<(), Broken> {
        let path = self.folder.join(".unpurged");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Broken::file(&path, &error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// A copy whose time of change tells it from what lay there: of the same content it keeps the old
/// one's, so that its tag stays, and a change is a second later at least, whatever the clock says.
fn copy(from: &Path, to: &Path, there: &Path, is_same: bool) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut file = File::create(to)?;
    io::copy(&mut source, &mut file)?;
    let old = there.metadata().and_then(|metadata| metadata.modified()).ok();
    let modified = match old {
        Some(old) if is_same => old,
        Some(old) => SystemTime::now().max(old + Duration::from_secs(1)),
        None => SystemTime::now(),
    };
    file.set_modified(modified)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    struct Lab {
        at: tempfile::TempDir,
    }

    impl Lab {
        fn new() -> Self {
            let at = tempfile::tempdir().unwrap();
            fs::create_dir(at.path().join("www")).unwrap();
            fs::create_dir(at.path().join("new")).unwrap();
            Self { at }
        }

        fn source(&self) -> PathBuf {
            self.at.path().join("new")
        }

        fn www(&self) -> PathBuf {
            self.at.path().join("www")
        }

        fn plan(&self, store: &Store, delete: bool) -> Result<Plan, Broken> {
            let source = Tree::read(&self.source(), |_| {})?;
            Plan::of(source, store.current(|_| {})?, delete)
        }

        /// Publishes; what was touched.
        fn publish(&self, delete: bool) -> Vec<String> {
            let store = Store::open(&self.www()).unwrap();
            let plan = self.plan(&store, delete).unwrap();
            if !plan.is_done() {
                store.publish(&self.source(), &plan, &[], |_| {}).unwrap();
                assert!(self.plan(&store, delete).unwrap().is_done(), "twice is once");
            }
            store.purged().unwrap();
            plan.touched().map(|path| path.display().to_string()).collect()
        }

        fn seen(&self, name: &str) -> String {
            fs::read_to_string(self.www().join(".current").join(name)).unwrap_or_default()
        }
    }

    #[test]
    fn new_changed_and_deleted() {
        let lab = Lab::new();
        put(&lab.www(), &[("plain.txt", "by hand"), ("a.txt", "by hand")]);
        put(&lab.source(), &[("a.txt", "one"), ("b/c.txt", "c"), (".git/x", "secret")]);
        assert_eq!(lab.publish(false), ["b/c.txt", "a.txt"]);
        assert_eq!(["a.txt", "b/c.txt", "plain.txt"].map(|n| lab.seen(n)), ["one", "c", "by hand"]);
        assert_eq!(lab.seen(".git/x"), "");
        assert!(lab.publish(false).is_empty());
        assert_eq!(lab.publish(true), ["plain.txt"]);
        assert_eq!(lab.seen("plain.txt"), "");
        // A folder in place of a file has to be meant.
        fs::remove_file(lab.source().join("a.txt")).unwrap();
        put(&lab.source(), &[("a.txt/index.html", "folder")]);
        let store = Store::open(&lab.www()).unwrap();
        assert!(lab.plan(&store, false).is_err());
        drop(store);
        assert_eq!(lab.publish(true), ["a.txt/index.html", "a.txt"]);
        assert_eq!(lab.seen("a.txt/index.html"), "folder");
        let left = fs::read_dir(lab.www().join(".releases")).unwrap().count();
        assert_eq!(left, 2, "the current one and the one before");
    }

    #[test]
    fn another_content_has_another_time() {
        let lab = Lab::new();
        let times = |name: &str| fs::metadata(lab.www().join(".current").join(name)).unwrap();
        put(&lab.source(), &[("a", "1"), ("b", "1")]);
        lab.publish(false);
        let old = ["a", "b"].map(|name| times(name).modified().unwrap());
        // As build tools do it: the same length and the same time.
        put(&lab.source(), &[("a", "2")]);
        let file = File::options().write(true).open(lab.source().join("a")).unwrap();
        file.set_modified(old[0]).unwrap();
        lab.publish(false);
        assert!(times("a").modified().unwrap() >= old[0] + Duration::from_secs(1));
        assert_eq!(times("b").modified().unwrap(), old[1]);
    }

    #[test]
    fn one_at_a_time_and_nothing_but_files() {
        let lab = Lab::new();
        let store = Store::open(&lab.www()).unwrap();
        assert!(Store::open(&lab.www()).unwrap_err().what.contains("just now"));
        symlink("/etc", lab.source().join("etc")).unwrap();
        let why = Tree::read(&lab.source(), |_| {}).unwrap_err();
        assert!(why.what.ends_with("etc is neither a file nor a folder"), "{why}");
        fs::remove_file(lab.source().join("etc")).unwrap();
        // Killed before the rename: what lies there is in nobody's way.
        put(&lab.www(), &[(".releases/1/old.txt", "half")]);
        put(&lab.source(), &[("a", "1")]);
        drop(store);
        lab.publish(false);
        assert_eq!((lab.seen("a"), lab.seen("old.txt")), ("1".into(), String::new()));
        assert!(Store::open(&lab.at.path().join("nowhere")).is_err());
    }
}
