//! Ten configurations as people write them, each with what becomes of it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use popnet_import::{Imported, Wanted, bind};

const WANTED: Wanted<'_> =
    Wanted { network: "imported", domain: "popnet.internal", addresses: &[] };

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bind")
}

fn import(name: &str) -> Imported {
    let mut open = |path: &Path| {
        std::fs::read_to_string(folder().join(path)).map_err(|e| e.kind().to_string())
    };
    match bind(Path::new(name), &WANTED, &mut open) {
        Ok(imported) => imported,
        Err(mistake) => panic!("{mistake}"),
    }
}

/// Configuration, report and keys' files as one text.
fn shown(imported: &Imported) -> String {
    let mut text = imported.toml.clone();
    text.push_str("\n──── report\n");
    for note in &imported.notes {
        writeln!(text, "{note}").unwrap();
    }
    for key in &imported.keys {
        write!(text, "──── {}\n{}", key.name, key.content).unwrap();
    }
    text
}

/// Those of everybody and of views.
fn zones(network: &popnet_config::network::Network) -> usize {
    network.zones.len() + network.views.iter().map(|view| view.zones.len()).sum::<usize>()
}

fn check(name: &str) {
    let imported = import(name);
    expect_file![folder().join(name).with_extension("expected")].assert_eq(&shown(&imported));
    // What is written is a good configuration, without a word of warning.
    let loaded = match popnet_config::load(&imported.toml, "popnet.toml") {
        Ok(loaded) => loaded,
        Err(found) => panic!("{}", popnet_config::render(&found, &imported.toml, "popnet.toml")),
    };
    // Only that addresses of updates can be forged, as they could be there.
    let warned = loaded.warnings.iter().find(|one| one.code != "W0705");
    assert!(warned.is_none(), "{warned:?}");
    assert_eq!(zones(&loaded.network), imported.zones);
    // No secret outside the keys' files.
    let said = format!("{}{:?}{:?}", imported.toml, imported.notes, imported.keys);
    for key in &imported.keys {
        let secret = key.content.split('"').nth(3).unwrap();
        assert!(!said.contains(secret), "{name}: {secret}");
    }
    assert!(!said.contains("c2Vjcm"), "{name}");
    assert!(!said.contains("0123456789abcdef"), "{name}");
}

#[test]
fn a_primary() {
    check("01-primary.conf");
}

#[test]
fn a_secondary() {
    check("02-secondary.conf");
}

#[test]
fn keys() {
    check("03-tsig.conf");
}

#[test]
fn three_files() {
    check("04-debian.conf");
}

#[test]
fn views() {
    check("05-views.conf");
}

#[test]
fn views_by_key() {
    check("11-views-by-key.conf");
}

#[test]
fn updates() {
    check("06-dynamic.conf");
}

#[test]
fn signing() {
    check("07-dnssec.conf");
}

#[test]
fn what_is_new() {
    check("08-modern.conf");
}

#[test]
fn a_hidden_primary() {
    check("09-hidden-primary.conf");
}

#[test]
fn a_hosting_company() {
    check("10-hosting.conf");
}

#[test]
fn addresses_of_the_machine() {
    let addresses = ["192.0.2.1".parse().unwrap()];
    let wanted = Wanted { addresses: &addresses, ..WANTED };
    let mut open = |_: &Path| Ok("zone a.test { type primary; file f; };".to_owned());
    let imported = bind(Path::new("named.conf"), &wanted, &mut open).unwrap();
    assert!(
        imported.toml.contains("address = [\"192.0.2.1\"]\nlisten = { dns = [\"0.0.0.0:53\"] }")
    );
    assert!(popnet_config::load(&imported.toml, "popnet.toml").is_ok());
}

/// Whatever the text, the result is TOML, and as many zones as were counted.
#[test]
fn junk_never_panics() {
    let mut state = 5u64;
    let mut next = |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % end
    };
    let names = [
        "02-secondary.conf",
        "03-tsig.conf",
        "05-views.conf",
        "06-dynamic.conf",
        "08-modern.conf",
        "11-views-by-key.conf",
    ];
    let mut taken = 0;
    for round in 0..4_000 {
        let name = folder().join(names.get(round % names.len()).unwrap());
        let mut text: Vec<char> = std::fs::read_to_string(name).unwrap().chars().collect();
        for _ in 0..4 {
            let (at, from) = (next(text.len()), next(text.len()));
            let moved = *text.get(from).unwrap();
            match next(3) {
                0 => drop(text.remove(at)),
                1 => text.insert(at, moved),
                _ => *text.get_mut(at).unwrap() = moved,
            }
        }
        let text: String = text.into_iter().collect();
        let mut open = |_: &Path| Ok(text.clone());
        let Ok(imported) = bind(Path::new("named.conf"), &WANTED, &mut open) else { continue };
        taken += 1;
        match popnet_config::load(&imported.toml, "popnet.toml") {
            Ok(loaded) => assert_eq!(zones(&loaded.network), imported.zones, "{text}"),
            Err(found) => {
                let broken = found.iter().find(|one| ["E0101", "E0102"].contains(&&*one.code));
                assert!(broken.is_none(), "{broken:?}\n{text}");
            }
        }
    }
    assert!(taken > 500, "{taken}");
}
