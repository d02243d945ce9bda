//! The sample configurations load unchanged, and nothing is said against them.

use popnet_config::{Loaded, canonical, diff, digest, load, lockout, restarts};
use popnet_terms::Role;

const SAMPLES: [(&str, &str); 3] = [
    ("network.toml", include_str!("../../../examples/network.toml")),
    ("single-dns.toml", include_str!("../../../examples/single-dns.toml")),
    ("single-cache.toml", include_str!("../../../examples/single-cache.toml")),
];

fn loaded(file: &str, text: &str) -> Loaded {
    load(text, file).unwrap_or_else(|found| panic!("{}", popnet_config::render(&found, text, file)))
}

#[test]
fn samples_load_without_a_word() {
    for (file, text) in SAMPLES {
        let loaded = loaded(file, text);
        let said = popnet_config::render(&loaded.warnings, text, file);
        assert!(said.is_empty(), "{said}");
    }
}

#[test]
fn the_canonical_form_says_the_same() {
    for (file, text) in SAMPLES {
        let first = loaded(file, text);
        let again = loaded(file, &canonical(&first.network));
        assert_eq!(first.network, again.network, "{file}");
        assert_eq!(first.digest, digest(&again.network), "{file}");
        assert_eq!(canonical(&first.network), canonical(&again.network), "{file}");
        assert!(diff(&first.network, &again.network).is_empty(), "{file}");
    }
}

#[test]
fn the_digest_looks_at_meaning() {
    let (file, text) = SAMPLES[0];
    let first = loaded(file, text).digest;
    let spaced = text.replace("cost     = 1.6\n", "cost = 1.60 # dear\n\n#\n");
    assert!(spaced != text);
    assert_eq!(loaded(file, &spaced).digest, first);
    let longer =
        text.replace("stale_while_revalidate = \"60s\"", "stale_while_revalidate = \"1m\"");
    assert!(longer != text);
    assert_eq!(loaded(file, &longer).digest, first);
    let changed = text.replace("default_ttl  = \"10m\"", "default_ttl = \"11m\"");
    assert_ne!(loaded(file, &changed).digest, first);
}

#[test]
fn differences_are_told_by_meaning() {
    let (file, text) = SAMPLES[0];
    let old = loaded(file, text).network;
    let new = text
        .replace("default_ttl  = \"10m\"", "default_ttl = \"1h\"")
        .replace("history = 200", "history = 100")
        .replace("max_object   = \"2 GiB\"\n", "")
        .replace("path   = \"/private/*\"", "path = \"/secret/*\"")
        .replace("allow   = [\"ctl1.iad1\", \"ctl2.fra1\"]", "allow = [\"ctl1.iad1\"]")
        + "[zones.\"new.example\"]\nprimaries = [\"203.0.113.9\"]\n";
    let new = loaded(file, &new).network;
    let told: Vec<String> = diff(&old, &new).iter().map(ToString::to_string).collect();
    let expected = [
        "~ masters.allow   [ctl1.iad1, ctl2.fra1] → [ctl1.iad1]",
        "~ masters.history   200 → 100",
        "~ sites.\"static.acme.example\".cache.default_ttl   10m → 1h",
        "- sites.\"static.acme.example\".cache.max_object   2 GiB",
        "~ sites.\"static.acme.example\".rules[1].path   /private/* → /secret/*",
        "+ zones.\"new.example\"   { primaries = [203.0.113.9] }",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_push_that_locks_its_author_out_is_told() {
    let (file, text) = SAMPLES[0];
    assert!(lockout(text, file, &"ctl1.iad1".into()).is_none());
    let new = text.replace("[\"ctl1.iad1\", \"ctl2.fra1\"]", "[\"ctl1.iad1\"]");
    let found = lockout(&new, file, &"ctl2.fra1".into()).unwrap();
    assert_eq!((found.code.as_str(), found.line, found.column), ("E0502", 13, 11));
    assert_eq!(found.help, "push from ctl1.iad1, or keep ctl2.fra1 in masters.allow");
}

#[test]
fn a_push_that_changes_roles_says_who_has_to_start_again() {
    let (file, text) = SAMPLES[0];
    let old = loaded(file, text).network;
    let mut new = old.clone();
    assert_eq!(restarts(&old, &new), []);
    let nodes = &mut new.pops.get_mut("iad1").unwrap().nodes;
    nodes.get_mut("ctl1").unwrap().roles = vec![Role::Master, Role::Logserver];
    nodes.get_mut("edge1").unwrap().roles = vec![Role::Webcache];
    nodes.remove("probe1");
    let told: Vec<String> = restarts(&old, &new).iter().map(ToString::to_string).collect();
    let expected = [
        "! ctl1.iad1   goes on running netview   does not run logserver yet; next, there: \
         end `popnet run` and start it again",
        "! edge1.iad1   goes on running webserver; next, there: \
         change `roles` in node.toml, end `popnet run` and start it again",
        "! probe1.iad1   goes on running netprobe; next, there: end `popnet run`",
    ];
    assert_eq!(told, expected);
    // A node that is new has not been started yet: nothing of it goes on.
    assert_eq!(restarts(&new, &old).len(), 2);
}
