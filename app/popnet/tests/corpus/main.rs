//! Every committed seed goes through the functions that the fuzz targets call.
#![expect(clippy::unwrap_used, reason = "a test")]

#[path = "../../../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is the library of the fuzz targets")]
mod targets;

mod seeds;
mod server;
mod travels;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Seeds show forms; long ones only slow the fuzzer down.
const SEED_MAX: usize = 4 << 10;

/// Set, the messages among the seeds are written anew: after a change of what they say.
const WRITE: &str = "POPNET_WRITE_SEEDS";

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The fuzzer leaves what it finds beside the seeds, named by its SHA-1.
fn is_find(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|octet| octet.is_ascii_hexdigit())
}

#[test]
fn every_seed_is_taken() {
    let known: BTreeSet<String> =
        targets::ENTRIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&corpus()), known, "one folder of seeds a target");
    for (target, entry) in targets::ENTRIES {
        let folder = corpus().join(target);
        let seeds = names(&folder);
        assert!(!seeds.is_empty(), "{target} has no seeds");
        for seed in seeds {
            let octets = fs::read(folder.join(&seed)).unwrap();
            assert!(is_find(&seed) || octets.len() <= SEED_MAX, "{target}/{seed} is too long");
            println!("{target}/{seed}");
            entry(&octets);
        }
    }
}

fn all() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    [seeds::all(), travels::all(), server::all()].concat()
}

#[test]
fn messages_of_today_are_taken() {
    let write = std::env::var_os(WRITE).is_some();
    for (target, name, octets) in all() {
        let entry = targets::ENTRIES.iter().find(|(known, _)| *known == target).unwrap().1;
        println!("{target}/{name}");
        entry(&octets);
        // Cut short, each is somebody's half message.
        for length in 0..octets.len() {
            entry(&octets[..length]);
        }
        let path = corpus().join(target).join(name);
        if write {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &octets).unwrap();
        }
        assert!(path.exists(), "write the seeds: {WRITE}=1 cargo test -p popnet --test corpus");
    }
}
