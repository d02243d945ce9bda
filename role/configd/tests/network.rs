//! Stories of a network of daemons: pushes that reach everybody or nobody, nodes that are away,
//! purges with a receipt a node, and who may not do what.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a story that goes wrong fails the test"
)]

mod common;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{EDGE, EDGE2, LOG, Lab, MASTER, NS, PROBE};
use popnet_runtime::link::LinkError;
use popnet_terms::{NodeName, Role};
use popnet_wire::control::{Ask, Problem, PushOrder, Reply};
use popnet_wire::purging::{PurgeId, PurgeKind, PurgeOrder, PurgeReceipt, PurgeState, PurgeWhat};
use popnet_wire::rollout::{Digest, Down, Epoch, Up, Version};
use popnet_wire::sheet::SheetAsk;
use popnet_wire::status::RoleStatus;

const HOLDERS: [&str; 4] = [MASTER, NS, PROBE, LOG];

fn pushed(reply: Result<Reply, Problem>) -> (u64, Vec<String>) {
    match reply {
        Ok(Reply::Pushed { epoch, committed: true, fenced }) => {
            (epoch.0, fenced.into_iter().map(|(node, _)| node.to_string()).collect())
        }
        other => panic!("{other:?}"),
    }
}

fn refused(reply: Result<Reply, Problem>) -> Problem {
    reply.expect_err("the push is refused")
}

fn problem(reply: Result<Reply, LinkError>) -> Problem {
    match reply {
        Err(LinkError::Problem(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_or_nobody() {
    let lab = Lab::all().await;
    let second = lab.text.replace("title = \"Acme\"", "title = \"Acme Outdoor\"");
    assert_eq!(pushed(lab.push(&second, Some(1)).await), (2, vec![]));
    for name in HOLDERS {
        lab.reaches(name, 2).await;
        assert_eq!(
            lab.held(name).unwrap().borrow().network.customers["acme"].title,
            "Acme Outdoor"
        );
    }

    let conflict = refused(lab.push(&lab.text, Some(1)).await);
    assert_eq!((&*conflict.code, conflict.exit), ("N0012", 5), "{conflict}");
    let broken = refused(lab.push(&second.replace("preset", "preste"), None).await);
    assert_eq!(broken.exit, 1);
    assert!(broken.what.contains("E0104") && broken.what.contains("preste"), "{broken}");
    let lockout = refused(
        lab.push(
            &second
                .replace("allow = [\"ctl1.iad1\"]", "allow = [\"ns1.iad1\"]")
                .replace("roles = [\"nameserver\"]", "roles = [\"nameserver\", \"master\"]"),
            None,
        )
        .await,
    );
    assert_eq!((&*lockout.code, lockout.exit), ("E0502", 4), "{lockout:?}");
    assert!(lockout.what.contains("popnet.toml:"), "{lockout:?}");
    assert_eq!(pushed(lab.push(&second, None).await), (2, vec![]), "nothing to do");

    // The name server has no such zone file: its refusal stops everybody.
    let zoned = format!("{second}\n[zones.\"acme.test\"]\nfile = \"zones/acme.test.zone\"\n");
    let refusal = refused(lab.push(&zoned, None).await);
    assert_eq!(&*refusal.code, "N0009");
    assert!(refusal.what.contains("ns1.iad1 rejects v3"), "{}", refusal.what);
    assert!(refusal.what.contains("v2 stays in force everywhere"), "{}", refusal.what);
    for name in HOLDERS {
        assert_eq!(lab.epoch(name), Epoch(2), "{name}");
    }

    std::fs::create_dir_all(lab.dir(NS).join("zones")).unwrap();
    std::fs::write(lab.dir(NS).join("zones/acme.test.zone"), "").unwrap();
    assert_eq!(pushed(lab.push(&zoned, None).await), (4, vec![]), "a number is never used twice");

    let Reply::Versions(versions) = lab.ask(MASTER, &Ask::History { limit: 9 }).await.unwrap()
    else {
        panic!("versions")
    };
    let numbers: Vec<u64> = versions.iter().map(|version| version.epoch.0).collect();
    assert_eq!(numbers, [4, 2, 1]);
    let old = lab.ask(MASTER, &Ask::Version(Some(Epoch(1)))).await.unwrap();
    assert!(matches!(old, Reply::Version(Some(version)) if version.text == lab.text));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_away_is_named_and_catches_up() {
    let mut lab = Lab::all().await;
    // The relay is away: the node below it is reached all the same.
    lab.stop(PROBE).await;
    let second = lab.text.replace("title = \"Acme\"", "title = \"Two\"");
    assert_eq!(pushed(lab.push(&second, None).await), (2, vec![PROBE.to_owned()]));
    for name in [MASTER, NS, LOG] {
        lab.reaches(name, 2).await;
    }
    lab.start(PROBE).await;
    lab.reaches(PROBE, 2).await;

    // The master itself restarts: what was decided is still in force and in the history.
    lab.stop(MASTER).await;
    lab.start(MASTER).await;
    assert_eq!(lab.epoch(MASTER), Epoch(2));
    let third = second.replace("title = \"Two\"", "title = \"Three\"");
    assert_eq!(pushed(lab.push(&third, Some(2)).await), (3, vec![]));
    let Reply::Network(status) = lab.ask(MASTER, &Ask::NetworkStatus).await.unwrap() else {
        panic!("status")
    };
    let epochs: Vec<(String, u64)> = status
        .nodes
        .iter()
        .map(|(name, _, said)| (name.to_string(), said.as_ref().unwrap().epoch.0))
        .collect();
    for (name, epoch) in &epochs {
        assert_eq!(*epoch, if name.starts_with("edge") { 0 } else { 3 }, "{name}");
    }
    assert_eq!(epochs.len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_was_taken_away_and_still_runs_is_told() {
    let mut lab = Lab::all().await;
    let said = async |lab: &Lab| {
        let Ok(Reply::Node(status)) = lab.local(PROBE).await.ask_one(&Ask::NodeStatus).await else {
            panic!("a node's word")
        };
        status.roles
    };
    assert_eq!(said(&lab).await.len(), 1, "the netprobe that does not run here");
    lab.start_role(PROBE, Role::Webcache);
    let roles = said(&lab).await;
    let Some(RoleStatus::Plain { role: Role::Webcache, up: false, why }) = roles.get(1) else {
        panic!("{roles:?}")
    };
    assert!(why.starts_with("still runs, and") && why.contains("`popnet run`"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_node_waits_for_its_parent() {
    let mut lab = Lab::new();
    popnet_configd::seed(&lab.dir(MASTER), &lab.text, "ada", "first").unwrap();
    lab.start(MASTER).await;
    let began = Instant::now();
    lab.start(NS).await;
    assert_eq!(lab.epoch(NS), Epoch(1));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_may() {
    let lab = Lab::all().await;
    let order = PushOrder {
        text: lab.text.clone(),
        author: "eve".to_owned(),
        message: String::new(),
        expect: None,
    };
    let forged = Version {
        epoch: Epoch(9),
        digest: Digest::default(),
        text: lab.text.clone(),
        author: "eve".to_owned(),
        message: String::new(),
        at: popnet_terms::Timestamp(0),
        master: MASTER.into(),
    };
    let prepare = Ask::Rollout(Down::Prepare(forged));
    let cases: [(&str, &str, &Ask); 6] = [
        (EDGE, MASTER, &Ask::Push(order.clone())),
        (EDGE, MASTER, &Ask::Version(None)),
        (EDGE, NS, &Ask::Rollout(Down::Current)),
        (EDGE, NS, &prepare),
        (LOG, NS, &prepare),
        ("ghost.iad1", MASTER, &Ask::NodeStatus),
    ];
    for (from, to, ask) in cases {
        let said = problem(lab.ask_as(from, to, ask).await);
        assert_eq!((&*said.code, said.exit), ("N0403", 4), "{from} to {to}: {ask:?}");
    }
    // A parent may send, and is still not believed when the octets are not what they claim.
    let said = lab.ask_as(MASTER, NS, &prepare).await.unwrap();
    assert!(
        matches!(&said, Reply::Rollout(Up::Outcomes(list))
            if format!("{list:?}").contains("not what its digest says")),
        "{said:?}"
    );
    assert_eq!(lab.epoch(NS), Epoch(1));
    // A person with a certificate may do what the operator at the machine may.
    let nothing = lab.ask_as("admin", MASTER, &Ask::Push(order)).await.unwrap();
    assert!(matches!(nothing, Reply::Pushed { epoch: Epoch(1), committed: true, .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sheets_follow_a_push_at_once() {
    let lab = Lab::all().await;
    let ask = |have, wait_ms| Ask::Sheet(SheetAsk { have, wait_ms });
    let first = lab.ask_as(EDGE, NS, &ask(None, 0)).await.unwrap();
    let Reply::Sheet(Some(sheet)) = first else { panic!("{first:?}") };
    assert_eq!((sheet.epoch, sheet.sites.len()), (Epoch(1), 1));
    let same = lab.ask_as(EDGE, NS, &ask(Some(Epoch(1)), 50)).await.unwrap();
    assert_eq!(same, Reply::Sheet(None));

    let have = ask(Some(Epoch(1)), 20_000);
    let waiting = lab.ask_as(EDGE, NS, &have);
    let second = lab.text.replace(
        "origins = \"acme-www\"\n",
        "origins = \"acme-www\"\n[sites.\"static.acme.test\".cache]\ndefault_ttl = \"90s\"\n",
    );
    let push = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        pushed(lab.push(&second, None).await)
    };
    let began = Instant::now();
    let (sheet, _) = tokio::join!(waiting, push);
    let sheet = sheet.unwrap();
    let Reply::Sheet(Some(sheet)) = sheet else { panic!("{sheet:?}") };
    assert_eq!((sheet.epoch, sheet.sites[0].cache.default_ttl.0), (Epoch(2), 90));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purges_have_a_receipt_a_node_and_are_caught_up_with() {
    let mut lab = Lab::all().await;
    let order = |site: &str| PurgeOrder {
        customer: "acme".into(),
        what: PurgeWhat::Site { site: site.into() },
        kind: PurgeKind::Soft,
        actor: "ada".into(),
    };
    let foreign = lab.ask(MASTER, &Ask::PurgeNetwork(order("app.globex.test"))).await;
    assert_eq!(problem(foreign).exit, 3);

    let (id, receipts) = purge(&lab, order("static.acme.test")).await;
    assert_eq!(id, PurgeId(1));
    assert_eq!(objects(&receipts, EDGE), Some(4), "both tiers: {receipts:?}");
    assert_eq!(objects(&receipts, EDGE2), Some(2), "{receipts:?}");

    lab.stop(EDGE).await;
    let began = Instant::now();
    let (id, receipts) = purge(&lab, order("static.acme.test")).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!((id, receipts.len()), (PurgeId(2), 2));
    assert_eq!(objects(&receipts, EDGE), None, "not reached: {receipts:?}");
    assert_eq!(objects(&receipts, EDGE2), Some(2));

    // The number survives a restart of the master; the node that was away catches up.
    lab.stop(MASTER).await;
    lab.start(MASTER).await;
    lab.start(EDGE).await;
    let until = Instant::now() + Duration::from_secs(8);
    loop {
        let Ok(Reply::Node(status)) = lab.ask(EDGE, &Ask::NodeStatus).await else { panic!() };
        if status.purge == PurgeId(2) {
            break;
        }
        assert!(Instant::now() < until, "{EDGE} is still at {}", status.purge);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (id, _) = purge(&lab, order("static.acme.test")).await;
    assert_eq!(id, PurgeId(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_knows_when_it_has_caught_up_with_purges() {
    let mut lab = Lab::all().await;
    let order = PurgeOrder {
        customer: "acme".into(),
        what: PurgeWhat::Site { site: "static.acme.test".into() },
        kind: PurgeKind::Hard,
        actor: "ada".into(),
    };
    let (soon, not_yet) = (Duration::from_secs(3), Duration::from_millis(300));
    assert!(lab.catches_up(EDGE, soon).await, "nothing was ever purged");
    assert!(lab.catches_up(NS, soon).await, "a node without caches");

    lab.stop(EDGE).await;
    purge(&lab, order.clone()).await;
    lab.start_daemon(EDGE).await;
    let mut beside = lab.beside(EDGE);
    assert!(!lab.catches_up(EDGE, not_yet).await, "the disk tier has not been told");
    assert!(!beside.caught_up(not_yet).await);
    let began = Instant::now();
    let disk = lab.start_role(EDGE, Role::Webserver);
    assert!(lab.catches_up(EDGE, soon).await, "a memory tier that does not run is empty");
    assert_eq!(disk.load(Ordering::SeqCst), 1, "told before the node says so");
    assert!(began.elapsed() < Duration::from_millis(250), "{:?}", began.elapsed());
    assert!(beside.caught_up(soon).await);

    // A disk tier that is away while its node is told of a purge: caught up, but not any more.
    lab.stop(EDGE).await;
    lab.start_daemon(EDGE).await;
    assert!(lab.catches_up(EDGE, soon).await);
    let (_, receipts) = purge(&lab, order.clone()).await;
    assert_eq!(objects(&receipts, EDGE), None, "{receipts:?}");
    assert!(!beside.caught_up(not_yet).await, "the disk tier may hold it");
    let disk = lab.start_role(EDGE, Role::Webserver);
    assert!(beside.caught_up(soon).await);
    assert_eq!(disk.load(Ordering::SeqCst), 2);

    // Nobody can be asked; then somebody can.
    lab.stop(EDGE).await;
    lab.stop(MASTER).await;
    lab.start(EDGE).await;
    assert!(!lab.catches_up(EDGE, not_yet).await);
    let began = Instant::now();
    lab.start(MASTER).await;
    assert!(lab.catches_up(EDGE, soon).await);
    println!("caught up {:?} after the master's start began", began.elapsed());

    // Who holds the configuration asks above for those below that do not know the master.
    let missed = lab.ask_as(EDGE, PROBE, &Ask::PurgesSince(PurgeId(1))).await.unwrap();
    let Reply::Purges(missed) = missed else { panic!("{missed:?}") };
    assert_eq!(missed.iter().map(|purge| purge.id.0).collect::<Vec<_>>(), [2]);
}

async fn purge(lab: &Lab, order: PurgeOrder) -> (PurgeId, Vec<PurgeReceipt>) {
    let mut link = lab.local(MASTER).await;
    let ask = Ask::PurgeNetwork(order);
    let mut replies = link.ask(&ask).await.unwrap();
    let Some(Reply::PurgeStarted(purge)) = replies.next().await.unwrap() else {
        panic!("the number comes first")
    };
    let mut receipts = Vec::new();
    while let Some(reply) = replies.next().await.unwrap() {
        let Reply::Receipts(some) = reply else { panic!("{reply:?}") };
        receipts.extend(some);
    }
    (purge.id, receipts)
}

fn objects(receipts: &[PurgeReceipt], node: &str) -> Option<u64> {
    let receipt = receipts.iter().find(|receipt| receipt.node == NodeName::new(node)).unwrap();
    match &receipt.state {
        PurgeState::Applied { objects, .. } => Some(*objects),
        PurgeState::Unreachable(_) => None,
    }
}
