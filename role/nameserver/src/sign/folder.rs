//! A zone's keys on disk: `K*.key` and `K*.private` as BIND's tools write them, and `keys.json`
//! with how far each key is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use popnet_dns::Name;
use popnet_runtime::files::{create_private_dir, write_atomic};
use popnet_sign::{Duty, Key, Keyset, ParentView, Policy, Role, Stage, Step};
use popnet_terms::Timestamp;

/// How far each key is.
const STATE: &str = "keys.json";
/// A key file is some hundred octets; a state file grows by some hundred a key.
const FILE_MAX: u64 = 1 << 20;
/// More files than years of changes leave behind.
const FILES_MAX: usize = 4_096;
/// A change of both keys takes two turns.
const TURNS_MAX: usize = 16;

/// The keys of one zone and where they lie.
#[derive(Debug)]
pub struct KeyFolder {
    folder: PathBuf,
    zone: Name,
    keys: BTreeMap<String, Arc<Key>>,
    set: Keyset,
}

/// Reads a state file. `None`: the octets are something else.
#[must_use]
pub fn read_state(octets: &[u8]) -> Option<Keyset> {
    serde_json::from_slice(octets).ok()
}

impl KeyFolder {
    /// The keys of `zone` in `folder`, which need not exist. Keys that were put there by hand are
    /// taken as in use.
    ///
    /// # Errors
    /// A file cannot be read or is no key of this zone: which one, and why.
    pub fn open(folder: &Path, zone: &Name) -> Result<Self, String> {
        let (folder, zone) = (folder.to_owned(), zone.clone());
        let mut found = Self { folder, zone, keys: BTreeMap::new(), set: Keyset::default() };
        found.read_keys()?;
        let state = found.folder.join(STATE);
        if let Some(octets) = read(&state)? {
            found.set = read_state(&octets).ok_or_else(|| {
                let path = state.display();
                format!("{path}: no state of keys; move it away to start anew from the key files")
            })?;
        }
        found.adopt();
        found.check()?;
        Ok(found)
    }

    /// The folder of `zone` below `keys`. A slash is a letter of some names (RFC 2317).
    #[must_use]
    pub fn of(keys: &Path, zone: &Name) -> PathBuf {
        keys.join(zone.to_host().replace('/', "%2f"))
    }

    /// Goes as far as time and parent allow, making keys if `may_make`; says when to come again.
    ///
    /// # Errors
    /// A key has to be made and may or can not be.
    pub fn advance(
        &mut self,
        policy: &Policy,
        now: Timestamp,
        parent: Option<&ParentView>,
        may_make: bool,
    ) -> Result<Option<Timestamp>, String> {
        let before = self.set.clone();
        let mut next = None;
        for _ in 0..TURNS_MAX {
            match self.set.advance(policy, now, parent) {
                Step::Wait(until) => {
                    next = until;
                    break;
                }
                Step::Make { .. } if !may_make => {
                    let folder = self.folder.display();
                    return Err(format!(
                        "{folder} has no key of zone {}, and several name servers must have the \
                         same: make it on one (popnet zone keys {} --dir {folder} --create) and \
                         copy the folder to the others",
                        self.zone,
                        self.zone.to_host(),
                    ));
                }
                Step::Make { role, stage } => self.make(policy, role, stage, now)?,
            }
        }
        if self.set != before {
            self.save()?;
        }
        Ok(next)
    }

    /// Who signs what now.
    #[must_use]
    pub fn duties(&self) -> Vec<Duty> {
        let duty = |tracked: &popnet_sign::Tracked| {
            let key = Arc::clone(self.keys.get(&tracked.stem)?);
            Some(Duty {
                key,
                is_published: tracked.is_published(),
                signs_keys: tracked.signs_keys(),
                signs_zone: tracked.signs_zone(),
                is_announced: tracked.is_announced(),
            })
        };
        self.set.keys.iter().filter(|key| key.stage != Stage::Gone).filter_map(duty).collect()
    }

    /// Every key and how far it is.
    pub fn keys(&self) -> impl Iterator<Item = (&popnet_sign::Tracked, Option<&Arc<Key>>)> {
        self.set.keys.iter().map(|tracked| (tracked, self.keys.get(&tracked.stem)))
    }

    /// Begins the change of the key with this role; `false` when one is under way.
    ///
    /// # Errors
    /// The state cannot be written.
    pub fn start_change(&mut self, role: Role, now: Timestamp) -> Result<bool, String> {
        let begun = self.set.start_change(role, now);
        if begun {
            self.save()?;
        }
        Ok(begun)
    }

    fn make(
        &mut self,
        policy: &Policy,
        role: Role,
        stage: Stage,
        now: Timestamp,
    ) -> Result<(), String> {
        let is_entry = role != Role::Zsk;
        // Two keys of one zone with one tag confuse people and some tools: another is made.
        let is_new = |key: &Key| self.keys.values().all(|known| known.tag() != key.tag());
        let mut attempts = (0..8).map(|_| Key::generate(&self.zone, policy.algorithm, is_entry));
        let made = attempts.find(|made| made.as_ref().map_or(true, |(key, _)| is_new(key)));
        let (key, files) = match made {
            Some(made) => made.map_err(|error| error.to_string())?,
            None => return Err("eight new keys had the tags of old ones".to_owned()),
        };
        create_private_dir(&self.folder).map_err(|error| self.io(&self.folder, &error))?;
        // The secret first: a public half alone would look like a key that was lost.
        for (ending, content) in [("private", &files.private), ("key", &files.public)] {
            let path = self.folder.join(format!("{}.{ending}", files.stem));
            write_atomic(&path, content.as_bytes()).map_err(|error| self.io(&path, &error))?;
        }
        self.set.add(&key, role, stage, now);
        self.keys.insert(files.stem, Arc::new(key));
        Ok(())
    }

    fn save(&self) -> Result<(), String> {
        let path = self.folder.join(STATE);
        let octets = serde_json::to_vec_pretty(&self.set).map_err(|error| error.to_string())?;
        create_private_dir(&self.folder).map_err(|error| self.io(&self.folder, &error))?;
        write_atomic(&path, &octets).map_err(|error| self.io(&path, &error))
    }

    #[expect(clippy::unused_self, reason = "reads well where it is used")]
    fn io(&self, path: &Path, error: &std::io::Error) -> String {
        format!("{}: {error}", path.display())
    }

    fn read_keys(&mut self) -> Result<(), String> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.io(&self.folder, &error)),
        };
        for entry in entries.take(FILES_MAX) {
            let public = entry.map_err(|error| self.io(&self.folder, &error))?.path();
            let stem = public.file_stem().and_then(|stem| stem.to_str());
            let Some(stem) = stem.filter(|stem| stem.starts_with('K')) else { continue };
            if public.extension() != Some("key".as_ref()) {
                continue;
            }
            let private = public.with_file_name(format!("{stem}.private"));
            let (one, other) = (text(&public)?, text(&private)?);
            let key = Key::read(&one, &other)
                .map_err(|error| format!("{} and {stem}.private: {error}", public.display()))?;
            if *key.zone() != self.zone {
                let path = public.display();
                return Err(format!("{path}: a key of zone {}, not of {}", key.zone(), self.zone));
            }
            self.keys.insert(key.stem(), Arc::new(key));
        }
        Ok(())
    }

    /// Takes in keys that no state tells of: they are in use since long ago.
    fn adopt(&mut self) {
        if !self.set.keys.is_empty() {
            return;
        }
        let is_split = self.keys.values().any(|key| !key.is_entry());
        for key in self.keys.values() {
            let role = match (key.is_entry(), is_split) {
                (true, true) => Role::Ksk,
                (true, false) => Role::Csk,
                (false, _) => Role::Zsk,
            };
            self.set.add(key, role, Stage::Active, Timestamp(1));
        }
    }

    /// A key that the zone needs may not be missing: another would break what parents name.
    fn check(&self) -> Result<(), String> {
        let needed = self.set.keys.iter().filter(|key| key.stage != Stage::Gone);
        match needed.into_iter().find(|key| !self.keys.contains_key(&key.stem)) {
            None => Ok(()),
            Some(key) => Err(format!(
                "{}: key {} is in use and its files are missing: put {}.key and {}.private back",
                self.folder.display(),
                key.stem,
                key.stem,
                key.stem
            )),
        }
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    match std::fs::metadata(path) {
        Ok(data) if data.len() > FILE_MAX => {
            Err(format!("{}: {} octets are no key", path.display(), data.len()))
        }
        Ok(_) => std::fs::read(path).map(Some).map_err(told),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(told(error)),
    }
}

fn text(path: &Path) -> Result<String, String> {
    let octets = read(path)?.ok_or_else(|| format!("{}: no such file", path.display()))?;
    String::from_utf8(octets).map_err(|_| format!("{}: no text", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use popnet_sign::Algorithm;
    use popnet_terms::Seconds;
    use std::os::unix::fs::PermissionsExt as _;

    fn policy() -> Policy {
        Policy {
            algorithm: Algorithm::Ed25519,
            is_split: true,
            zsk_lifetime: None,
            ksk_lifetime: None,
            key_ttl: Seconds(3_600),
            zone_ttl: Seconds(3_600),
            propagation: Seconds(0),
        }
    }

    fn stems(folder: &KeyFolder) -> Vec<String> {
        folder.keys().map(|(tracked, _)| tracked.stem.clone()).collect()
    }

    #[test]
    fn made_kept_and_found_again() {
        let state = tempfile::tempdir().unwrap();
        let zone: Name = "a/b.example".parse().unwrap();
        let place = KeyFolder::of(state.path(), &zone);
        let mut keys = KeyFolder::open(&place, &zone).unwrap();
        let now = Timestamp(1_700_000_000_000_000);
        let refused = keys.advance(&policy(), now, None, false).unwrap_err();
        assert!(refused.contains("popnet zone keys a/b.example --dir "), "{refused}");
        keys.advance(&policy(), now, None, true).unwrap();
        assert_eq!(keys.duties().len(), 2);
        for entry in std::fs::read_dir(&place).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let again = KeyFolder::open(&place, &zone).unwrap();
        assert_eq!(stems(&again), stems(&keys));

        // Without its state the folder means the same.
        std::fs::remove_file(place.join(STATE)).unwrap();
        let adopted = KeyFolder::open(&place, &zone).unwrap();
        assert_eq!(adopted.duties().len(), 2);
        assert_eq!(adopted.duties().iter().filter(|duty| duty.signs_zone).count(), 1);

        std::fs::write(place.join(STATE), b"{").unwrap();
        assert!(KeyFolder::open(&place, &zone).unwrap_err().contains("keys.json: no state"));
        std::fs::remove_file(place.join(STATE)).unwrap();
        let other: Name = "other.example".parse().unwrap();
        assert!(KeyFolder::open(&place, &other).unwrap_err().contains("not of other.example."));
    }

    #[test]
    fn a_lost_key_is_not_replaced() {
        let state = tempfile::tempdir().unwrap();
        let zone: Name = "example.test".parse().unwrap();
        let mut keys = KeyFolder::open(state.path(), &zone).unwrap();
        keys.advance(&policy(), Timestamp(1_700_000_000_000_000), None, true).unwrap();
        let stem = stems(&keys).remove(0);
        std::fs::remove_file(state.path().join(format!("{stem}.key"))).unwrap();
        let error = KeyFolder::open(state.path(), &zone).unwrap_err();
        assert!(error.contains("its files are missing: put "), "{error}");
        std::fs::write(state.path().join(format!("{stem}.key")), "junk").unwrap();
        let error = KeyFolder::open(state.path(), &zone).unwrap_err();
        assert!(error.contains("no single DNSKEY record"), "{error}");
    }
}
