//! What RFC 9110 and 9111 ask of a cache beyond the plain way: interim responses and answers to
//! POST.

mod world;

use popnet_wire::purging::{PurgeKind, PurgeWhat};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use world::{Answer, End, Reaction, World, raw};

const ROOM: u64 = 16 << 20;

/// An answer after `before`.
fn after(before: &str, fields: &str) -> Reaction {
    let last = format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n{fields}\r\n\r\nhello");
    Reaction { head: before.to_owned(), pieces: vec![last.into()], gate: None, end: End::KeepOpen }
}

const HINTS: &str = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
                     HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nx-own: 1";

#[tokio::test]
async fn interim_responses_go_to_the_one_who_is_asked_for() {
    let world = World::new(ROOM, |_| after(HINTS, "cache-control: max-age=60")).await;
    let first =
        raw(world.http, b"GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
    let first = String::from_utf8(first).unwrap();
    let hints = "HTTP/1.1 102 Processing\r\n\r\n\
                 HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nx-own: 1\r\n\r\n\
                 HTTP/1.1 200 OK\r\n";
    assert!(first.starts_with(hints), "{first}");
    assert!(first.ends_with("\r\n\r\nhello") && first.matches("x-own").count() == 1, "{first}");
    let hit = world.get("/x", "").await;
    assert_eq!((hit.status, hit.field("x-own")), (200, None));
    assert!(hit.cache_status().starts_with("mem.lab; hit"), "{}", hit.head);
    for path in ["/old", "/older"] {
        // RFC 9110 15.2: such a client knows no interim responses.
        let line = format!("GET {path} HTTP/1.0\r\nHost: a.test\r\n\r\n");
        let old = Answer::of(raw(world.http, line.as_bytes()).await);
        assert_eq!((old.status, old.content.as_slice()), (200, b"hello".as_slice()));
    }
    let posted = world.ask("POST", "/x", "", b"words").await;
    assert_eq!(posted.status, 102, "not only with what may be stored: {}", posted.head);
}

#[tokio::test]
async fn interim_responses_do_not_wait_for_the_answer() {
    let (open, gate) = watch::channel(false);
    let world = World::new(ROOM, move |_| {
        let mut reaction = after(HINTS, "cache-control: max-age=60");
        reaction.pieces.insert(0, bytes::Bytes::new());
        reaction.gate = Some(gate.clone());
        reaction
    })
    .await;
    let mut stream = TcpStream::connect(world.http).await.unwrap();
    stream.write_all(b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    let mut early = Vec::new();
    while !early.ends_with(b"x-own: 1\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut early).await.unwrap(), 0);
    }
    // Somebody who waits with it gets the answer only.
    let follower = tokio::spawn({
        let to = world.http;
        async move { raw(to, b"GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    open.send_replace(true);
    let followed = Answer::of(follower.await.unwrap());
    assert_eq!((followed.status, followed.content.as_slice()), (200, b"hello".as_slice()));
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn an_answer_to_a_post_may_stand_for_a_get() {
    let world = World::new(ROOM, |seen| match seen.path() {
        "/own" => Reaction::ok("cache-control: max-age=60\r\ncontent-location: /own", "posted"),
        "/other" => Reaction::ok("cache-control: max-age=60\r\ncontent-location: /own", "other"),
        _ => Reaction::ok("cache-control: max-age=60", "plain"),
    })
    .await;
    let posted = world.ask("POST", "/own", "", b"words").await;
    assert_eq!((posted.status, posted.content.as_slice()), (200, b"posted".as_slice()));
    assert!(posted.cache_status().contains("fwd=method; stored"), "{}", posted.head);
    let got = world.get("/own", "").await;
    assert_eq!(got.content, b"posted");
    assert!(got.cache_status().starts_with("mem.lab; hit"), "{}", got.head);
    assert_eq!(world.asked(), 1);
    // Another POST takes it away, and an answer that speaks of another URI is not kept.
    let other = world.ask("POST", "/other", "", b"words").await;
    assert!(!other.cache_status().contains("stored"), "{}", other.head);
    assert_eq!(world.get("/own", "").await.content, b"posted");
    assert_eq!(world.asked(), 3);
    let plain = world.ask("POST", "/plain", "", b"words").await;
    assert!(!plain.cache_status().contains("stored"), "{}", plain.head);
}

#[tokio::test]
async fn a_purge_beats_a_post_on_its_way() {
    let (open, gate) = watch::channel(false);
    let world = World::new(ROOM, move |seen| {
        let mut reaction = Reaction::ok("cache-control: max-age=60\r\ncontent-location: /x", "");
        if seen.line.starts_with("POST") {
            reaction.head = reaction.head.replace("length: 0", "length: 5");
            reaction.pieces =
                vec![bytes::Bytes::from_static(b"he"), bytes::Bytes::from_static(b"llo")];
            reaction.gate = Some(gate.clone());
        }
        reaction
    })
    .await;
    let asking = tokio::spawn({
        let to = world.http;
        let ask =
            b"POST /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
        async move { raw(to, ask).await }
    });
    while world.asked() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let what = PurgeWhat::Url { site: "a.test".into(), host: "a.test".into(), path: "/x".into() };
    world.purge(what, PurgeKind::Hard).await;
    open.send_replace(true);
    assert_eq!(Answer::of(asking.await.unwrap()).content, b"hello");
    world.get("/x", "").await;
    assert_eq!(world.asked(), 2, "what was purged on its way is not stored");
}
