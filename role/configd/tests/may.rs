//! Who may ask what, as one table.

use popnet_configd::{Scope, Who, may};
use popnet_runtime::link::Peer;
use popnet_terms::{NodeName, Timestamp};
use popnet_wire::asking::{Question, Scope as Whose, What};
use popnet_wire::control::{Ask, PushOrder};
use popnet_wire::explaining::{ExplainDns, ExplainUrl};
use popnet_wire::purging::{Purge, PurgeId, PurgeKind, PurgeOrder, PurgeWhat};
use popnet_wire::rollout::{Down, Epoch};
use popnet_wire::sheet::SheetAsk;
use popnet_wire::trips::TripsAsk;

const TEXT: &str = r#"
[network]
name = "lab"
schema = 1
domain = "lab.test"
[masters]
allow = ["ctl1.iad1"]
[masters.relay]
"ctl1.iad1" = ["ns1.iad1", "probe1.fra1", "view1.iad1"]
"probe1.fra1" = ["log1.fra1"]
[logs]
default = ["log1.fra1"]
[pops.iad1.nodes]
ctl1 = { roles = ["master"], address = ["192.0.2.1"] }
ns1 = { roles = ["nameserver"], address = ["192.0.2.2"] }
view1 = { roles = ["netview"], address = ["192.0.2.3"] }
[pops.fra1.nodes]
probe1 = { roles = ["netprobe"], address = ["192.0.2.4"] }
log1 = { roles = ["logserver"], address = ["192.0.2.5"] }
edge1 = { roles = ["webcache", "webserver"], address = ["192.0.2.6"] }
"#;

/// Columns: the asker's hostname below lab.test, or `local`.
const WHO: [&str; 9] = [
    "local",
    "admin",
    "ctl1.iad1",
    "view1.iad1",
    "probe1.fra1",
    "ns1.iad1",
    "edge1.fra1",
    "ghost.fra1",
    "elsewhere",
];

/// Asked of log1.fra1, whose parent is probe1.fra1.
const TABLE: &str = "
    status          + + + + + + + . .
    sheet           + + + + + + + . .
    current         . . + + + + . . .
    prepare         . . + . + . . . .
    purge           . . + . . . . . .
    purges-since    + + + + + + + . .
    explain-dns     + + + + + + . . .
    explain-url     + + + + + + . . .
    dns-counts      + + + + + + . . .
    question        + + + + . . . . .
    at              + + . + . . . . .
    network-status  + + + + + + . . .
    push            + + + . . . . . .
    history         + + + + + + . . .
    version         + + + + + + . . .
    purge-network   + + + + . . . . .
    reload          + + . . . . . . .
    role-status     + + . . . . . . .
    trips           + + . . + . . . .
";

#[test]
fn table() {
    let loaded = popnet_config::load(TEXT, "lab.toml");
    let network = match &loaded {
        Ok(loaded) => &loaded.network,
        Err(found) => panic!("{}", popnet_config::render(found, TEXT, "lab.toml")),
    };
    let scope = Scope { me: &NodeName::new("log1.fra1"), network: Some(network), parents: &[] };
    let mut made = String::from("\n");
    for row in TABLE.trim().lines() {
        let name = row.split_whitespace().next().unwrap_or_default();
        let cells: Vec<&str> = WHO
            .iter()
            .map(|who| if may(&asker(who), &ask(name), &scope) { "+" } else { "." })
            .collect();
        made.push_str(&format!("    {name:<15} {}\n", cells.join(" ")));
    }
    assert_eq!(made, TABLE, "columns: {WHO:?}{made}");
}

#[test]
fn without_a_configuration_only_parents_are_heard() {
    let (me, parents) = (NodeName::new("edge1.fra1"), [NodeName::new("ctl1.iad1")]);
    let scope = Scope { me: &me, network: None, parents: &parents };
    let check = |who: &str, what: &str| may(&asker(who), &ask(what), &scope);
    assert!(check("ctl1.iad1", "purge") && check("ctl1.iad1", "status"));
    assert!(check("local", "status") && !check("local", "purge"));
    assert!(!check("ctl1.iad1", "push") && !check("edge2.fra1", "purge"));
    // The probe that stands beside a cache, but nobody of another POP.
    assert!(check("probe1.fra1", "trips") && !check("ctl1.iad1", "trips"));
}

#[test]
fn names_in_certificates() {
    let of = |hostname: &str| Who::of(&Peer::Node { hostname: hostname.into() }, "lab.test");
    assert_eq!(of("edge1.fra1.lab.test"), Who::Node("edge1.fra1".into()));
    assert_eq!(of("admin.lab.test"), Who::Person("admin".to_owned()));
    for strange in ["lab.test", "admin.xlab.test", "xlab.test", "admin.lab.test.evil", ".lab.test"]
    {
        assert!(matches!(of(strange), Who::Stranger(_)), "{strange}");
    }
}

fn asker(word: &str) -> Who {
    let hostname = match word {
        "local" => return Who::Local,
        "elsewhere" => "ctl1.iad1.other.test".to_owned(),
        word => format!("{word}.lab.test"),
    };
    Who::of(&Peer::Node { hostname: hostname.into() }, "lab.test")
}

fn ask(word: &str) -> Ask {
    let order = PurgeOrder {
        customer: "acme".into(),
        what: PurgeWhat::Tag { tag: "x".into() },
        kind: PurgeKind::Hard,
        actor: "ada".into(),
    };
    let empty = String::new;
    match word {
        "status" => Ask::NodeStatus,
        "role-status" => Ask::RoleStatus,
        "sheet" => Ask::Sheet(SheetAsk { have: None, wait_ms: 0 }),
        "current" => Ask::Rollout(Down::Newer(Epoch(1))),
        "prepare" => Ask::Rollout(Down::Abort { epoch: Epoch(7) }),
        "purge" => Ask::Purge(Purge { id: PurgeId(1), at: Timestamp(0), order }),
        "purges-since" => Ask::PurgesSince(PurgeId(0)),
        "dns-counts" => Ask::DnsCounts,
        "explain-dns" => Ask::ExplainDns(ExplainDns {
            name: "a".into(),
            qtype: 1,
            resolver: [192, 0, 2, 9].into(),
            subnet: None,
            assume: Vec::new(),
        }),
        "explain-url" => Ask::ExplainUrl(ExplainUrl {
            scheme: "http".into(),
            host: "a".into(),
            path: "/".into(),
            fields: Vec::new(),
        }),
        "question" => Ask::Question(Question { scope: Whose::Network, what: What::Completeness }),
        "at" => Ask::At("ns1.iad1".into(), Box::new(Ask::NodeStatus)),
        "network-status" => Ask::NetworkStatus,
        "push" => {
            Ask::Push(PushOrder { text: empty(), author: empty(), message: empty(), expect: None })
        }
        "history" => Ask::History { limit: 1 },
        "version" => Ask::Version(None),
        "purge-network" => Ask::PurgeNetwork(order),
        "reload" => Ask::Reload,
        "trips" => Ask::Trips(TripsAsk::default()),
        other => panic!("no ask is called {other}"),
    }
}
