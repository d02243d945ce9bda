//! Stories of a node that runs straight from a file, with a process beside its daemon.
#![expect(clippy::unwrap_used, reason = "a story that goes wrong fails the test")]

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use popnet_config::Held;
use popnet_configd::{Managed, Source, follow, seed, start};
use popnet_runtime::link::{Link, LinkError};
use popnet_runtime::{Authority, Context, StartError};
use popnet_wire::control::{Ask, PushOrder, Reply};
use popnet_wire::rollout::Epoch;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const TEXT: &str = r#"
[network]
name = "lab"
schema = 1
domain = "lab.test"
[pops.here.nodes]
one = { roles = ["nameserver"], address = ["127.7.99.1"], listen = { control = ["127.7.99.1:0"] } }
"#;

fn context(folder: &std::path::Path) -> Context {
    let authority = Authority::create(&folder.join("authority"), "lab").unwrap();
    Context {
        node: "one.here".into(),
        hostname: "one.here.lab.test".to_owned(),
        domain: "lab.test".into(),
        state_dir: folder.join("state"),
        run_dir: folder.join("run"),
        identity: authority.identity("one.here.lab.test").unwrap(),
        shutdown: CancellationToken::new(),
    }
}

async fn title(held: &mut watch::Receiver<Arc<Held>>, contact: &str) -> Epoch {
    let there = held.wait_for(|held| held.network.network.contact.as_deref() == Some(contact));
    tokio::time::timeout(Duration::from_secs(8), there).await.expect("in time").unwrap().epoch
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_again_and_never_broken() {
    let folder = tempfile::tempdir().unwrap();
    let context = context(folder.path());
    let path = folder.path().join("popnet.toml");
    std::fs::write(&path, "[network]\nnaem = 1\n").unwrap();
    let Err(StartError::Refused(problem)) =
        start(context.clone(), Source::File(path.clone())).await
    else {
        panic!("a broken file is refused")
    };
    assert!(problem.what.contains("popnet.toml:2:1") && problem.exit == 1, "{problem:?}");

    std::fs::write(&path, TEXT).unwrap();
    let source = Source::File(path.clone());
    let started = start(context.clone(), source.clone()).await.unwrap();
    let mut held = started.held.unwrap();
    let mut beside = follow(&context, &source).await.unwrap().unwrap();
    let admin = || async { Link::local(&context.run_dir.join("admin.sock")).await.unwrap() };

    std::fs::write(&path, "schema = \"broken").unwrap();
    let error = reload(&mut admin().await).await.unwrap_err();
    assert!(matches!(error, LinkError::Problem(p) if p.exit == 1));
    assert_eq!(held.borrow().network.network.contact, None, "the running version is untouched");

    let write = |contact: &str| {
        let line = format!("domain = \"lab.test\"\ncontact = \"{contact}\"");
        std::fs::write(&path, TEXT.replace("domain = \"lab.test\"", &line)).unwrap();
    };
    write("noc@lab.test");
    reload(&mut admin().await).await.unwrap();
    assert_eq!(title(&mut held, "noc@lab.test").await, Epoch(1));

    // SIGHUP reaches the daemon and the process beside it.
    write("ops@lab.test");
    kill(Pid::this(), Signal::SIGHUP).unwrap();
    assert_eq!(title(&mut held, "ops@lab.test").await, Epoch(2));
    title(&mut beside, "ops@lab.test").await;

    // What is in force can be looked at, also while the file says something else.
    let version = || async { admin().await.ask_one(&Ask::Version(None)).await.unwrap() };
    let Reply::Version(Some(now)) = version().await else { panic!("a version") };
    assert_eq!((now.epoch, now.text), (Epoch(2), std::fs::read_to_string(&path).unwrap()));
    std::fs::write(&path, "schema = \"broken").unwrap();
    let Reply::Version(Some(now)) = version().await else { panic!("a version") };
    let network = popnet_config::load(&now.text, "popnet.toml").unwrap().network;
    assert_eq!(network.network.contact.as_deref(), Some("ops@lab.test"));

    let order = PushOrder {
        text: TEXT.to_owned(),
        author: "ada".to_owned(),
        message: String::new(),
        expect: None,
    };
    let error = admin().await.ask_one(&Ask::Push(order)).await.unwrap_err();
    assert!(error.problem().what.contains("straight from"), "{error:?}");
    let Reply::Node(status) = admin().await.ask_one(&Ask::NodeStatus).await.unwrap() else {
        panic!("status")
    };
    assert_eq!((status.node.as_str(), status.roles.len()), ("one.here", 1));

    context.shutdown.cancel();
    started.running.wait().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_without_the_daemon_reads_its_disk() {
    let folder = tempfile::tempdir().unwrap();
    let context = context(folder.path());
    let loaded = popnet_config::load(TEXT, "popnet.toml").unwrap();
    let node = loaded.network.node(&"one.here".into()).unwrap().clone();
    let base_dir = folder.path().to_owned();
    let managed = Managed { node, parents: Vec::new(), base_dir };
    let source = Source::Managed(Box::new(managed));
    let seeding = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        seed(&context.state_dir, TEXT, "ada", "first").unwrap();
    };
    let (held, ()) = tokio::join!(follow(&context, &source), seeding);
    assert_eq!(held.unwrap().unwrap().borrow().epoch, Epoch(1));
    context.shutdown.cancel();
}

async fn reload(link: &mut Link) -> Result<(), LinkError> {
    let mut replies = link.ask(&Ask::Reload).await?;
    assert!(replies.next().await?.is_none());
    Ok(())
}
