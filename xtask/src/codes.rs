//! One code, one meaning: a person who looks a code up, or a program that matches it, must not find
//! two things. So each code of a problem is written in one file, and files that need the same one
//! share a function; the checks of the configuration name their mistakes themselves, and nobody
//! else uses their codes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::tidy;

/// Where mistakes of a configuration get their codes: one kind of mistake has one code wherever it
/// is found.
const MISTAKES: &str = "base/config/";

/// Codes that are written in more than one file under `root`.
pub(crate) fn check(root: &Path) -> Vec<String> {
    let sources = tidy::files(root).into_iter().filter(|name| is_program(name));
    let texts = sources.filter_map(|name| Some((fs::read_to_string(root.join(&name)).ok()?, name)));
    judge(texts.map(|(text, name)| (name, text)))
}

/// Tests and our own tools name codes without giving them.
fn is_program(name: &str) -> bool {
    let ours = ["xtask/", "fuzz/"].iter().any(|folder| name.starts_with(folder));
    name.ends_with(".rs") && name.contains("/src/") && !ours
}

fn judge(sources: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, text) in sources {
        let place = if name.starts_with(MISTAKES) { MISTAKES.to_owned() } else { name };
        let program = text.split("#[cfg(test)]").next().unwrap_or_default();
        for code in program.lines().flat_map(codes) {
            places.entry(code.to_owned()).or_default().insert(place.clone());
        }
    }
    let several = places.into_iter().filter(|(_, places)| places.len() > 1);
    let said = |places: BTreeSet<String>| places.into_iter().collect::<Vec<_>>().join(" and ");
    several.map(|(code, places)| format!("{code} is in {}", said(places))).collect()
}

/// The texts in `line` that are a code: one letter, then two to four digits.
fn codes(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2).filter(|text| {
        let mut letters = text.chars();
        let letter = letters.next().is_some_and(|first| first.is_ascii_uppercase());
        let digits = letters.as_str();
        letter && (2..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_means_one_thing() {
        let findings = check(&crate::root());
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }

    #[test]
    fn a_code_in_two_files_is_seen() {
        let source = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let sources = [
            source("a/src/x.rs", "f(\"N0001\", \"N0002\", \"N0002\");\n#[cfg(test)]\n\"L02\""),
            source("b/src/y.rs", "\n(\"Q7\", \"N0001\", \"ABC12\", \"U12345\", \"L02\")"),
            source("base/config/src/y.rs", "\"E0303\""),
            source("base/config/src/z.rs", "\"E0303\"\n\"L02\""),
        ];
        let expected =
            ["L02 is in b/src/y.rs and base/config/", "N0001 is in a/src/x.rs and b/src/y.rs"];
        assert_eq!(judge(sources.into_iter()), expected);
    }
}
