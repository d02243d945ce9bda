//! `get`, `set` and `unset` on the sample: what changes, and that nothing else does.

use popnet_config::{EditError, get, load, set, unset};

const SAMPLE: &str = include_str!("../../../examples/network.toml");

/// The lines of the sample that an edit took away and put in, trimmed.
fn lines_changed(new: &str) -> (Vec<String>, Vec<String>) {
    let only = |a: &str, b: &str| {
        let known: Vec<&str> = b.lines().collect();
        a.lines().filter(|line| !known.contains(line)).map(|line| line.trim().to_owned()).collect()
    };
    (only(SAMPLE, new), only(new, SAMPLE))
}

#[test]
fn values_are_read_by_path() {
    for (path, value) in [
        ("pops.fra1.cost", "1.0"),
        ("network.domain", "\"cdn.northlight.example\""),
        ("sites.\"static.acme.example\".cache.max_ttl", "\"30d\""),
        ("sites.\"static.acme.example\".rules[1].action", "\"bypass\""),
        ("masters.relay.\"ctl1.iad1\"[2]", "\"ctl2.fra1\""),
        ("masters.allow", "[\"ctl1.iad1\", \"ctl2.fra1\"]"),
        ("pops.iad1.nodes.ns1.roles[0]", "\"nameserver\""),
        ("logs.retention.dns", "\"14d\""),
    ] {
        assert_eq!(get(SAMPLE, path).unwrap(), value, "{path}");
    }
    let table = get(SAMPLE, "customers.globex").unwrap();
    assert!(table.contains("title   = \"Globex Search\""), "{table}");
    assert!(get(SAMPLE, "pops").unwrap().contains("[nrt1]"));
    assert_eq!(get(SAMPLE, "").unwrap(), SAMPLE);
}

#[test]
fn unknown_paths_are_refused_with_the_nearest_name() {
    for (path, expected) in [
        ("pops.fra1.cots", "did you mean \"cost\"?"),
        ("pop.fra1.cost", "did you mean \"pops\"?"),
        ("pops..cost", "is not a path"),
        ("network.domain.x", "has no keys"),
        ("pops.sin1.cost", "is not set"),
        ("masters.allow[7]", "is not set"),
    ] {
        let error = get(SAMPLE, path).unwrap_err().to_string();
        assert!(error.contains(expected), "{path}: {error}");
    }
    assert!(matches!(set(SAMPLE, "pops.fra1.cots", "1"), Err(EditError::Unknown(_))));
    assert!(matches!(set(SAMPLE, "sites", "1"), Err(EditError::Misfit { .. })));
    assert!(matches!(set(SAMPLE, "", "1"), Err(EditError::Misfit { .. })));
    assert!(matches!(set(SAMPLE, "masters.allow[9]", "x"), Err(EditError::Misfit { .. })));
    assert!(matches!(unset(SAMPLE, "pops.sin1"), Err(EditError::Unset { .. })));
}

#[test]
fn one_line_changes_and_its_comment_stays() {
    for (path, value, gone, new) in [
        (
            "sites.\"static.acme.example\".cache.default_ttl",
            "1h",
            "default_ttl  = \"10m\"                        # only when the origin says nothing",
            "default_ttl  = \"1h\"                        # only when the origin says nothing",
        ),
        ("pops.nrt1.cost", "2.5", "cost     = 1.6", "cost     = 2.5"),
        (
            "policies.nearest.tie.within",
            "\"7ms\"",
            "tie    = { within = \"5ms\", share = 0.10 }   # targets this close share the clients by capacity",
            "tie    = { within = \"7ms\", share = 0.10 }   # targets this close share the clients by capacity",
        ),
        ("network.contact", "12", "contact = \"noc@northlight.example\"", "contact = \"12\""),
    ] {
        let text = set(SAMPLE, path, value).unwrap();
        assert_eq!(lines_changed(&text), (vec![gone.to_owned()], vec![new.to_owned()]), "{path}");
        load(&text, "popnet.toml").unwrap();
    }
}

#[test]
fn new_values_find_their_place() {
    for (path, value, lines) in [
        ("pops.fra1.drain", "true", vec!["drain = true"]),
        ("network.contact", "me", vec!["contact = \"me\""]),
        (
            "pops.sin1",
            "{ title = \"Singapore\", cost = 1.2 }",
            vec!["[pops.sin1]", "title = \"Singapore\"", "cost = 1.2"],
        ),
        (
            "pops.nrt1.nodes.edge2",
            "{ roles = [\"webcache\"], address = [\"203.0.113.14\"] }",
            vec!["edge2 = { roles = [\"webcache\"], address = [\"203.0.113.14\"] }"],
        ),
        ("customers.initech.title", "Initech", vec!["[customers.initech]", "title = \"Initech\""]),
        (
            "sites.\"static.acme.example\".rules[2]",
            "{ path = \"/x\", action = \"bypass\" }",
            vec!["path = \"/x\""],
        ),
    ] {
        let text = set(SAMPLE, path, value).unwrap();
        let (_, new) = lines_changed(&text);
        assert!(lines.iter().all(|line| new.contains(&(*line).to_owned())), "{path}: {new:?}");
        let said = load(&text, "popnet.toml")
            .map_err(|found| popnet_config::render(&found, &text, "popnet.toml"));
        assert!(said.is_ok(), "{}", said.unwrap_err());
    }
}

#[test]
fn a_wrong_value_is_found_by_loading() {
    let text = set(SAMPLE, "policies.nearest.answer.ttl_min", "20").unwrap();
    let found = load(&text, "popnet.toml").unwrap_err();
    assert_eq!((found[0].code.as_str(), found[0].length), ("E0312", 4));
}

#[test]
fn values_are_removed() {
    let text = unset(SAMPLE, "sites.\"static.acme.example\".cache.max_object").unwrap();
    let (gone, new) = lines_changed(&text);
    assert_eq!((gone.len(), new.len()), (1, 0), "{gone:?} {new:?}");
    let text = unset(SAMPLE, "masters.allow[1]").unwrap();
    assert_eq!(get(&text, "masters.allow").unwrap(), "[\"ctl1.iad1\"]");
    let text = unset(SAMPLE, "zones.\"partner.example\"").unwrap();
    assert!(load(&text, "popnet.toml").unwrap().network.zones.len() == 1);
    let text = unset(SAMPLE, "sites.\"static.acme.example\".rules[0]").unwrap();
    assert!(!text.contains("/app/*") && text.contains("/private/*"));
}
