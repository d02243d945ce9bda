#![expect(clippy::unwrap_used, reason = "a test")]
//! A webserver at work: real sockets, real files, origins that behave and misbehave.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use popnet_http::body::Body;
use popnet_http::client::{Client, Patience, Place};
use popnet_runtime::Authority;
use popnet_webserver::Settings;
use popnet_wire::control::{Ask, Reply};
use popnet_wire::explaining::ExplainUrl;
use popnet_wire::purging::{PurgeKind, PurgeWhat};
use popnet_wire::status::RoleStatus;
use sha2::{Digest as _, Sha256};
use support::{BIG, Node, Origin, SITE, authority, big, nobody, sheet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const DISK: u64 = 64 << 20;

#[tokio::test]
async fn stored_once_and_still_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::start().await;
    let node = Node::start(folder.path(), sheet(&[origin.at]), DISK).await;
    let first = node.get("/page").await;
    assert_eq!(first.status, 200);
    assert_eq!(first.text(), "content of /page");
    assert!(
        first.field("cache-status").starts_with("disk.fra1; fwd=uri-miss"),
        "{:?}",
        first.fields
    );
    assert_eq!(first.field("popnet-origin"), "www/o0; status=200; bytes=16");
    assert!(origin.heads.lock().unwrap().iter().any(|head| {
        let head = head.to_ascii_lowercase();
        head.contains(&format!("\r\nhost: {SITE}\r\n")) && !head.contains("popnet-")
    }));
    let second = node.hit("/page").await;
    assert_eq!(second.field("popnet-cache"), "hit_disk; reason=HIT_DISK");
    assert_eq!(second.field("popnet-origin"), "", "no origin was asked");
    assert_eq!(node.hit("/chunked").await.text(), "onetwo");
    node.stop().await;

    let node = Node::start(folder.path(), sheet(&[origin.at]), DISK).await;
    let third = node.get("/page").await;
    assert!(third.field("cache-status").starts_with("disk.fra1; hit"), "{:?}", third.fields);
    assert_eq!(third.text(), "content of /page");
    assert_eq!(third.field("etag"), "\"1\"");
    assert_eq!(node.get("/chunked").await.text(), "onetwo");
    assert_eq!(origin.asked(), 2);
    let Reply::Role(RoleStatus::Cache {
        requests, hits, bytes_out, objects, capacity, sheet, ..
    }) = node.control(Ask::RoleStatus).await
    else {
        panic!("a cache's status")
    };
    assert_eq!((requests, hits, bytes_out, objects), (2, 2, 22, 2));
    assert_eq!((capacity, sheet.0), (DISK, 7));
}

#[tokio::test]
async fn twenty_megabytes_arrive_whole_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::start().await;
    let wanted = Sha256::digest(big());
    let node = Node::start(folder.path(), sheet(&[origin.at]), DISK).await;
    for got in [node.get("/big").await, node.hit("/big").await] {
        assert_eq!(got.field("content-length"), BIG.to_string());
        assert_eq!(Sha256::digest(got.body.unwrap()), wanted);
    }
    node.stop().await;
    let node = Node::start(folder.path(), sheet(&[origin.at]), DISK).await;
    assert_eq!(Sha256::digest(node.get("/big").await.body.unwrap()), wanted);
    assert_eq!(origin.asked(), 1);
    let request = Request::get("/big").header("host", SITE).header("range", "bytes=300000-300009");
    let part = node.ask(request.body(Body::empty()).unwrap()).await;
    assert_eq!(part.status, 206);
    assert_eq!(part.body.unwrap(), big()[300_000..300_010]);
}

#[tokio::test]
async fn the_next_origin_is_asked_when_one_is_down() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::start().await;
    let down = nobody().await;
    let node = Node::start(folder.path(), sheet(&[down, origin.at]), DISK).await;
    let got = node.get("/a").await;
    assert_eq!(got.status, 200);
    assert_eq!(got.field("popnet-origin"), "www/o1; status=200; bytes=13");
    // A request that must not be made twice is not: it fails with the first origin, which by now
    // is asked last.
    let post = Request::post("/a").header("host", SITE).body(Body::whole("x")).unwrap();
    assert_eq!(node.ask(post).await.field("popnet-origin"), "www/o1; status=200; bytes=13");
}

#[tokio::test]
async fn no_origin_at_all_is_a_clean_error() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), sheet(&[nobody().await, nobody().await]), DISK).await;
    let got = node.get("/a").await;
    assert_eq!(got.status, 502);
    let told = got.field("proxy-status");
    assert!(told.contains("error=connection_refused"), "{told}");
    assert!(told.starts_with("disk.fra1"), "{told}");
    let none = Node::start(&folder.path().join("b"), sheet(&[]), DISK).await;
    assert!(none.get("/a").await.field("proxy-status").contains("destination_unavailable"));
}

#[tokio::test]
async fn an_origin_that_only_fails_is_left_alone_and_comes_back_by_one_trial() {
    let folder = tempfile::tempdir().unwrap();
    let at = nobody().await;
    let node = Node::start(folder.path(), sheet(&[at]), DISK).await;
    for _ in 0..5 {
        let told = node.get("/a").await;
        assert!(!told.field("proxy-status").contains("not asked"), "{:?}", told.fields);
    }
    let listener = tokio::net::TcpListener::bind(at).await.unwrap();
    let asked = Arc::<std::sync::atomic::AtomicUsize>::default();
    let count = Arc::clone(&asked);
    let origin = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tokio::spawn(async move {
                // Long enough for others to come while this one is tried.
                tokio::time::sleep(Duration::from_millis(300)).await;
                let _ = stream.read(&mut [0; 4_096]).await;
                let text = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nback";
                let _ = stream.write_all(text.as_bytes()).await;
            });
        }
    });
    let refused = node.get("/a").await;
    assert_eq!(refused.status, 502);
    let told = refused.field("proxy-status");
    assert!(told.contains("connection_refused") && told.contains("not asked: 5"), "{told}");
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 0);

    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let trial = async { node.get("/trial").await };
    let others = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        node.get("/other").await
    };
    let (trial, other) = tokio::join!(trial, others);
    assert_eq!((trial.status.as_u16(), trial.text()), (200, "back"));
    assert!(other.field("proxy-status").contains("not asked"), "{:?}", other.fields);
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert_eq!(node.get("/other").await.text(), "back");
    origin.abort();
}

#[tokio::test]
async fn lies_and_breaks_are_stored_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::start().await;
    let node = Node::start(folder.path(), sheet(&[origin.at]), DISK).await;
    for (path, status, error) in [
        ("/reset", 502, "connection_terminated"),
        ("/junk", 502, "http_protocol_error"),
        ("/stall", 504, "http_response_timeout"),
    ] {
        let got = node.get(path).await;
        assert_eq!(got.status.as_u16(), status, "{path}");
        assert!(got.field("proxy-status").contains(error), "{path}: {:?}", got.fields);
    }
    // The head has gone out: only breaking the connection tells the truth.
    for path in ["/short", "/cut-chunks", "/hang"] {
        let got = node.get(path).await;
        assert_eq!(got.status, 200, "{path}");
        assert!(got.body.is_err(), "{path}");
    }
    let Reply::Role(RoleStatus::Cache { objects, .. }) = node.control(Ask::RoleStatus).await else {
        panic!("a cache's status")
    };
    assert_eq!(objects, 0);
    assert_eq!(node.get("/fine").await.status, 200);
}

#[tokio::test]
async fn purges_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::start().await;
    let node = Node::start(folder.path(), sheet(&[origin.at]), DISK).await;
    for path in ["/a", "/b", "/c", "/d"] {
        node.hit(path).await;
    }
    let url =
        |path: &str| PurgeWhat::Url { site: SITE.into(), host: SITE.into(), path: path.into() };
    assert_eq!(node.purge(url("/a"), PurgeKind::Hard).await, 1);
    assert_eq!(node.purge(url("/a"), PurgeKind::Hard).await, 0);
    assert_eq!(node.purge(url("/b"), PurgeKind::Soft).await, 1);
    let explain = |path: &str| {
        Ask::ExplainUrl(ExplainUrl {
            scheme: "http".into(),
            host: SITE.into(),
            path: path.into(),
            fields: Vec::new(),
        })
    };
    let verdict = |reply: Reply| {
        let Reply::Url(story) = reply else { panic!("a story") };
        assert_eq!(&*story.tier, "disk");
        story.verdict.to_string()
    };
    assert_eq!(verdict(node.control(explain("/c")).await), "hit");
    node.stop().await;

    let node = Node::start(folder.path(), sheet(&[origin.at]), DISK).await;
    assert_eq!(verdict(node.control(explain("/a")).await), "forward");
    assert_eq!(verdict(node.control(explain("/b")).await), "validate");
    assert_eq!(verdict(node.control(explain("/c")).await), "hit");
    let asked = origin.asked();
    let got = node.get("/b").await;
    assert_eq!(got.text(), "content of /b");
    assert_eq!(got.field("popnet-cache"), "revalidated; reason=PURGED");
    assert_eq!(origin.asked(), asked + 1, "a 304 was enough");
    node.hit("/b").await;
    let prefix = PurgeWhat::Prefix { site: SITE.into(), path: "/c".into() };
    node.purge(prefix, PurgeKind::Hard).await;
    assert_eq!(verdict(node.control(explain("/c")).await), "forward");
    assert_eq!(verdict(node.control(explain("/b")).await), "hit");
    let tag = PurgeWhat::Tag { tag: "one".into() };
    node.purge(tag, PurgeKind::Hard).await;
    for path in ["/a", "/b", "/c"] {
        assert_eq!(verdict(node.control(explain(path)).await), "forward", "{path}");
    }
}

#[tokio::test]
async fn the_share_of_the_disk_holds() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::start().await;
    let disk = 8 << 20;
    let node = Node::start(folder.path(), sheet(&[origin.at]), disk).await;
    for number in 0..40 {
        assert_eq!(node.hit(&format!("/octets/{}", 400_000 + number)).await.status, 200);
    }
    // Too large for this share: passes through.
    assert_eq!(node.get("/big").await.body.unwrap().len(), BIG);
    let files = std::fs::read_dir(node.context.state_dir.join("webserver").join("store")).unwrap();
    let on_disk: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(on_disk <= disk, "{on_disk}");
    let Reply::Role(RoleStatus::Cache { objects, used, .. }) = node.control(Ask::RoleStatus).await
    else {
        panic!("a cache's status")
    };
    assert!((5..25).contains(&objects), "{objects}");
    assert_eq!(used, on_disk);
    let asked = origin.asked();
    node.hit("/octets/400039").await;
    assert_eq!(origin.asked(), asked, "the newest stayed");
}

#[tokio::test]
async fn without_a_disk_everything_passes_through() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::start().await;
    let node = Node::start(folder.path(), sheet(&[origin.at]), 0).await;
    for _ in 0..2 {
        assert_eq!(node.get("/a").await.text(), "content of /a");
    }
    assert_eq!(origin.asked(), 2);
    drop(node);

    // A disk that cannot be used is the same: a file lies where the folder should be.
    let broken = folder.path().join("broken");
    let role_dir = broken.join("state").join("webserver");
    std::fs::create_dir_all(&role_dir).unwrap();
    std::fs::write(role_dir.join("store"), b"in the way").unwrap();
    let node = Node::start(&broken, sheet(&[origin.at]), DISK).await;
    assert_eq!(node.get("/a").await.text(), "content of /a");
}

#[tokio::test]
async fn only_nodes_of_the_network_are_served_over_tcp() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::start().await;
    let at: SocketAddr = nobody().await;
    let settings = Settings { store: vec![at], disk: DISK, workers: Some(2) };
    let _node = Node::start_with(folder.path(), sheet(&[origin.at]), settings).await;
    let place = |authority: &Authority| Place::Tls {
        host: "127.0.0.1".into(),
        port: at.port(),
        name: "edge1.fra1.cdn.test".into(),
        config: Arc::new(
            authority.identity("edge2.fra1.cdn.test").unwrap().client_tls_for(b"http/1.1"),
        ),
    };
    let request = || Request::get("/a").header("host", SITE).body(Body::empty()).unwrap();
    let client = Client::new(Patience::default());
    let got = support::ask(&client, &place(&authority(folder.path())), request()).await;
    assert_eq!(got.text(), "content of /a");
    let other = Authority::create(&folder.path().join("other"), "other").unwrap();
    client.send(&place(&other), request()).await.unwrap_err();
}

#[tokio::test]
async fn hosts_that_are_nobodys_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), sheet(&[]), DISK).await;
    let request = Request::get("/").header("host", "other.test").body(Body::empty()).unwrap();
    assert_eq!(node.ask(request).await.status, 421);
}

#[tokio::test]
async fn origins_with_tls_are_verified() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::start_tls(SITE).await;
    let mut sheet = sheet(&[origin.at]);
    sheet.sites.iter_mut().flat_map(|site| &mut site.origins).for_each(|o| o.tls = true);
    let stranger = Node::start(&folder.path().join("stranger"), sheet.clone(), DISK).await;
    let refused = stranger.get("/a").await;
    assert_eq!(refused.status, 502);
    assert!(refused.field("proxy-status").contains("tls_protocol_error"), "{:?}", refused.fields);

    let friend = folder.path().join("friend");
    let role_dir = friend.join("state").join("webserver");
    std::fs::create_dir_all(&role_dir).unwrap();
    std::fs::write(role_dir.join("origin-ca.pem"), origin.certificate.as_ref().unwrap()).unwrap();
    let node = Node::start(&friend, sheet, DISK).await;
    assert_eq!(node.get("/a").await.text(), "content of /a");
}
