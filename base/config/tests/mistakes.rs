//! A corpus of broken files with what is said about each: `mistakes/NAME.toml` and
//! `mistakes/NAME.txt`. `UPDATE=1 cargo test -p popnet-config --test mistakes` writes the texts
//! anew; they are read in review.

use std::fs;
use std::path::{Path, PathBuf};

use popnet_config::{Severity, load, render};

fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let entries = fs::read_dir(folder).expect("the corpus is there").flatten();
    let paths = entries.map(|entry| entry.path());
    let mut files: Vec<_> =
        paths.filter(|path| path.extension() == Some("toml".as_ref())).collect();
    files.sort();
    files
}

/// What is said about a file, or `loads` with its warnings.
fn said(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("the corpus can be read");
    match load(&text, "popnet.toml") {
        Ok(loaded) => format!("loads\n{}", render(&loaded.warnings, &text, "popnet.toml")),
        Err(found) => render(&found, &text, "popnet.toml"),
    }
}

#[test]
fn each_mistake_has_its_text() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut differing = Vec::new();
    for path in corpus() {
        let said = said(&path);
        let expected = path.with_extension("txt");
        if update {
            fs::write(&expected, said).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != said {
            differing.push(format!("{}:\n{said}", path.display()));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn the_corpus_is_large_and_every_entry_has_a_place() {
    let files = corpus();
    assert!(files.len() >= 40, "{}", files.len());
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let found = match load(&text, "popnet.toml") {
            Ok(loaded) => loaded.warnings,
            Err(found) => found,
        };
        assert!(!found.is_empty(), "{}", path.display());
        for one in found {
            let letter = if one.severity == Severity::Error { 'E' } else { 'W' };
            assert!(one.code.starts_with(letter) && one.code.len() == 5, "{one:?}");
            assert!(one.line >= 1 && one.line <= text.lines().count().max(1) + 1, "{one:?}");
            assert!(one.column >= 1 && one.length >= 1, "{one:?}");
            // What `--json` prints is read back as it was.
            let json = serde_json::to_string(&one).unwrap();
            assert_eq!(serde_json::from_str::<popnet_config::Diagnostic>(&json).unwrap(), one);
        }
    }
}
