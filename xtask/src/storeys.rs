//! Which crate may use which. A crate's storey is its first folder; see ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{Metadata, MetadataCommand, Package};

/// For each storey the storeys it may use.
const MAY_USE: [(&str, &[&str]); 7] = [
    ("base", &[]),
    ("core", &["base"]),
    ("shell", &["base"]),
    ("flow", &["shell", "core", "base"]),
    ("role", &["flow", "shell", "core", "base"]),
    ("app", &["role", "flow", "shell", "core", "base"]),
    // Beside the house: checks the examples with the same code that reads them.
    ("xtask", &["base"]),
];

/// Folders of one storey that may be used by others of it: the rank of the user is the higher one.
const RANKS: [(&str, u8); 9] = [
    ("base/terms", 0),
    ("base/dns", 1),
    ("base/http", 1),
    ("base/wire", 2),
    ("base/config", 3),
    ("shell/runtime", 0),
    ("shell/http", 1),
    ("shell/admin", 1),
    ("shell/directory", 1),
];

/// What a core and the values below it may not reach for: they decide, others act.
const IMPURE: [&str; 10] = [
    "tokio", "hyper", "quinn", "rustls", "nix", "socket2", "rusqlite", "tracing", "mimalloc",
    "rand",
];

/// Caches hold no global configuration (C6, G6), so they cannot even read one.
const WITHOUT_CONFIGURATION: [&str; 2] = ["role/webcache", "role/webserver"];

/// One crate as this check sees it.
struct Crate {
    name: String,
    folder: String,
    uses: Vec<String>,
}

/// What breaks the rules in the workspace at `root`.
pub(crate) fn check(root: &Path) -> Vec<String> {
    // Features may add dependencies, manifests name them all: no resolution, no network.
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".to_owned()])
        .exec();
    match metadata {
        Ok(metadata) => judge(&crates(&metadata)),
        Err(error) => vec![format!("storeys: cargo metadata: {error}")],
    }
}

fn crates(metadata: &Metadata) -> Vec<Crate> {
    let root = &metadata.workspace_root;
    let of = |package: &Package| {
        let manifest = package.manifest_path.strip_prefix(root).unwrap_or(&package.manifest_path);
        let folder = manifest.parent().map_or(String::new(), ToString::to_string);
        let uses = package.dependencies.iter().map(|one| one.name.to_string()).collect();
        Crate { name: package.name.to_string(), folder, uses }
    };
    metadata.packages.iter().map(of).collect()
}

fn storey(folder: &str) -> &str {
    folder.split('/').next().unwrap_or(folder)
}

fn judge(crates: &[Crate]) -> Vec<String> {
    let folders: BTreeMap<&str, &str> =
        crates.iter().map(|one| (one.name.as_str(), one.folder.as_str())).collect();
    let mut findings = Vec::new();
    for one in crates {
        let here = storey(&one.folder);
        if !MAY_USE.iter().any(|(storey, _)| *storey == here) {
            findings.push(format!("{}: {here} is not a storey", one.folder));
        }
        for used in &one.uses {
            match folders.get(used.as_str()) {
                Some(folder) if !allowed(&one.folder, folder) => {
                    findings.push(format!("{} may not use {folder}", one.folder));
                }
                None if ["base", "core"].contains(&here) && IMPURE.contains(&used.as_str()) => {
                    findings.push(format!("{} may not use {used}: it decides only", one.folder));
                }
                Some(_) | None => {}
            }
        }
        if WITHOUT_CONFIGURATION.contains(&one.folder.as_str())
            && reached(crates, &one.name).contains("popnet-config")
        {
            findings.push(format!("{} may not reach base/config: caches hold none", one.folder));
        }
    }
    findings.sort();
    findings.dedup();
    findings
}

fn allowed(user: &str, used: &str) -> bool {
    let may = |(storey, list): &(&str, &[&str])| {
        *storey == self::storey(user) && list.contains(&self::storey(used))
    };
    if storey(user) != storey(used) {
        return MAY_USE.iter().any(may);
    }
    let rank = |folder: &str| RANKS.iter().find(|(one, _)| *one == folder).map(|(_, rank)| *rank);
    matches!((rank(user), rank(used)), (Some(user), Some(used)) if used < user)
}

/// Every crate of ours that `name` uses, directly or through others.
fn reached<'a>(crates: &'a [Crate], name: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![name];
    while let Some(next) = waiting.pop() {
        let uses = crates.iter().filter(|one| one.name == next).flat_map(|one| &one.uses);
        for used in uses {
            if crates.iter().any(|one| one.name == *used) && reached.insert(used.as_str()) {
                waiting.push(used);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_stands() {
        let findings = check(&crate::root());
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }

    fn check_rule(user: &str, used: &str, expected: bool) {
        assert_eq!(allowed(user, used), expected, "{user} → {used}");
    }

    #[test]
    fn directions() {
        check_rule("app/popnet", "role/netview", true);
        check_rule("role/webcache", "flow/tier", true);
        check_rule("role/webcache", "role/webserver", false);
        check_rule("flow/tier", "core/cache", true);
        check_rule("flow/tier", "role/webcache", false);
        check_rule("core/cache", "base/http", true);
        check_rule("core/cache", "core/store", false);
        check_rule("core/cache", "shell/http", false);
        check_rule("shell/http", "core/cache", false);
        check_rule("shell/admin", "shell/runtime", true);
        check_rule("shell/runtime", "shell/admin", false);
        check_rule("shell/admin", "shell/http", false);
        check_rule("base/config", "base/wire", true);
        check_rule("base/wire", "base/config", false);
        check_rule("base/dns", "base/http", false);
        check_rule("base/terms", "core/cache", false);
        check_rule("xtask", "base/config", true);
        check_rule("role/webcache", "xtask", false);
    }

    #[test]
    fn broken_houses_are_seen() {
        let of = |name: &str, folder: &str, uses: &[&str]| Crate {
            name: name.to_owned(),
            folder: folder.to_owned(),
            uses: uses.iter().map(ToString::to_string).collect(),
        };
        let house = [
            of("popnet-config", "base/config", &[]),
            of("popnet-cache", "core/cache", &["tokio", "bytes"]),
            of("popnet-tier", "flow/tier", &["popnet-config"]),
            of("popnet-webcache", "role/webcache", &["popnet-tier", "tokio"]),
            of("popnet-attic", "attic/x", &[]),
        ];
        assert_eq!(
            judge(&house),
            [
                "attic/x: attic is not a storey",
                "core/cache may not use tokio: it decides only",
                "role/webcache may not reach base/config: caches hold none",
            ]
        );
    }
}
