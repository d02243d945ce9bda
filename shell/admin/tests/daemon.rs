//! Conversations with a daemon that says what the test wants.

#![expect(clippy::wildcard_enum_match_arm, reason = "the made-up daemon refuses all the rest")]

use std::sync::Arc;

use popnet_admin::{Admin, Endpoint};
use popnet_runtime::link::{Handler, Peer, ReplySink, serve_local};
use popnet_terms::{CustomerId, Micros, NodeName, Timestamp};
use popnet_wire::control::{Ask, Problem, PushOrder, Reply};
use popnet_wire::purging::{
    Purge, PurgeId, PurgeKind, PurgeOrder, PurgeReceipt, PurgeState, PurgeWhat,
};
use popnet_wire::rollout::{Epoch, Outcome};
use tokio_util::sync::CancellationToken;

struct Daemon;

impl Handler for Daemon {
    async fn answer(&self, _peer: Peer, ask: Ask, out: ReplySink) {
        for reply in replies(ask) {
            if out.send(reply).await.is_err() {
                return;
            }
        }
    }
}

fn replies(ask: Ask) -> Vec<Reply> {
    match ask {
        Ask::PurgeNetwork(order) => {
            let purge = Purge { id: PurgeId(7), at: Timestamp(1), order };
            let late = PurgeState::Unreachable("connection refused".into());
            vec![
                Reply::PurgeStarted(purge),
                Reply::Receipts(vec![receipt("edge1.fra1", applied(3))]),
                Reply::Receipts(vec![receipt("edge1.iad1", late)]),
                Reply::Receipts(vec![receipt("edge1.iad1", applied(0))]),
            ]
        }
        Ask::Push(_) => vec![
            Reply::Progress {
                phase: "prepare".into(),
                outcomes: vec![(NodeName::new("ns1.fra1"), Outcome::Prepared)],
            },
            Reply::Pushed { epoch: Epoch(9), committed: true, fenced: Vec::new() },
        ],
        // Only the node that is a master keeps versions here.
        Ask::At(node, inner) if node.as_str() == "ctl1.iad1" => match *inner {
            Ask::History { .. } => vec![Reply::Versions(Vec::new())],
            _ => vec![Reply::Node(Box::new(node_status()))],
        },
        _ => vec![Reply::Problem(Problem::new("N0009", "not here", "ask ctl1").with_exit(3))],
    }
}

fn node_status() -> popnet_wire::status::NodeStatus {
    popnet_wire::status::NodeStatus {
        node: NodeName::new("ctl1.iad1"),
        version: "0".into(),
        pid: 1,
        started: Timestamp(0),
        epoch: Epoch(1),
        digest: popnet_wire::rollout::Digest::default(),
        purge: PurgeId(0),
        purged: true,
        roles: Vec::new(),
    }
}

fn receipt(node: &str, state: PurgeState) -> PurgeReceipt {
    PurgeReceipt { node: NodeName::new(node), state }
}

fn applied(objects: u64) -> PurgeState {
    PurgeState::Applied { objects, took: Micros(10) }
}

#[tokio::test]
async fn conversations() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let end = CancellationToken::new();
    let admin = Admin::to(Endpoint::Local(socket.clone()));
    let nobody = admin.history(5).await.unwrap_err();
    assert!(nobody.what.contains("admin.sock"), "{nobody:?}");

    let served = serve_local(&socket, Arc::new(Daemon), end.clone()).unwrap();

    let what = PurgeWhat::Tag { tag: "news".into() };
    let order = PurgeOrder {
        customer: CustomerId::new("acme"),
        what,
        kind: PurgeKind::Soft,
        actor: "ada".into(),
    };
    let mut heard = Vec::new();
    let done = admin.purge(order, |_, some| heard.push(some.len())).await.unwrap();
    assert_eq!(heard, [0, 1, 1, 1], "the number first, then each receipt");
    assert_eq!(done.purge.id, PurgeId(7));
    let want = vec![receipt("edge1.fra1", applied(3)), receipt("edge1.iad1", applied(0))];
    assert_eq!(done.receipts, want, "a node's later word replaces its earlier one");

    let order = PushOrder {
        text: String::new(),
        author: "ada".into(),
        message: String::new(),
        expect: None,
    };
    let mut phases = Vec::new();
    let pushed = admin.push(order, |phase, _| phases.push(phase.to_owned())).await.unwrap();
    assert_eq!((pushed.epoch, pushed.committed, phases.len()), (Epoch(9), true, 1));

    let problem = admin.history(5).await.unwrap_err();
    assert_eq!((&*problem.code, problem.exit), ("N0009", 3), "its own words, unchanged");
    let master = admin.clone().through(Some(NodeName::new("ctl1.iad1")));
    assert!(master.history(5).await.unwrap().is_empty());
    let foreign = master.version(None).await.unwrap_err();
    assert!(foreign.what.contains("Node"), "{foreign:?}");

    end.cancel();
    drop(served);
}
