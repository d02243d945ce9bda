//! What clients and servers get that do not keep to the rules, or only to the letter.

mod world;

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use world::{Answer, Calls, Reaction, World, raw};

const ROOM: u64 = 16 << 20;

#[tokio::test]
async fn connection_names_nothing_that_counts() {
    let world = World::new(ROOM, |seen| {
        let content = format!("for {}", seen.field("x-tenant").unwrap_or("nobody"));
        Reaction::ok("cache-control: max-age=60\r\nvary: x-tenant", content)
    })
    .await;
    let request = "GET /x HTTP/1.1\r\nHost: a.test\r\nX-Tenant: one\r\nCookie: a=1\r\n\
                   Connection: close, x-tenant, x-forwarded-for, x-request-id, via\r\n\r\n";
    let answer = Answer::of(raw(world.http, request.as_bytes()).await);
    assert_eq!(answer.content, b"for nobody");
    let seen = world.last_seen();
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-request-id"), answer.field("x-request-id"));
    assert!(seen.field("via").unwrap().contains("mem.lab"));
    // What the client took away was not sent, so the response is not that tenant's.
    let answer = world.get("/x", "X-Tenant: one\r\n").await;
    assert_eq!(answer.content, b"for one");
}

/// Everybody's own page, to be validated each time.
fn personal(seen: &world::Seen, gate: &watch::Receiver<bool>) -> Reaction {
    let user = seen.field("cookie").unwrap_or("nobody").to_owned();
    let tag = format!("\"{user}\"");
    if seen.field("if-none-match") == Some(&*tag) {
        return Reaction::status("304 Not Modified", &format!("etag: {tag}"));
    }
    let fields = format!("cache-control: no-cache\r\netag: {tag}");
    let mut reaction = Reaction::ok(&fields, format!("page of {user}"));
    reaction.pieces.insert(0, bytes::Bytes::new());
    reaction.gate = Some(gate.clone());
    reaction
}

#[tokio::test]
async fn what_each_must_validate_is_not_shared() {
    let (open, gate) = watch::channel(false);
    let world = Arc::new(World::new(ROOM, move |seen| personal(seen, &gate)).await);
    for round in 0..2 {
        let mut clients = Vec::new();
        for user in 0..10 {
            let world = Arc::clone(&world);
            clients.push(tokio::spawn(async move {
                world.get("/me", &format!("Cookie: u{user}\r\n")).await
            }));
        }
        open.send_replace(true);
        for (user, client) in clients.into_iter().enumerate() {
            let answer = client.await.unwrap();
            assert_eq!(answer.status, 200, "round {round}: {}", answer.head);
            let content = String::from_utf8_lossy(&answer.content).into_owned();
            assert_eq!(content, format!("page of u{user}"), "round {round}: {}", answer.head);
        }
    }
}

#[tokio::test]
async fn an_answer_to_another_question_is_none() {
    let calls = Calls::default();
    let world = World::new(ROOM, move |seen| match (seen.path(), calls.next()) {
        ("/old", 0) => Reaction::ok("cache-control: max-age=1", "once"),
        ("/old" | "/304", _) => Reaction::status("304 Not Modified", "cache-control: max-age=60"),
        ("/206", _) => {
            let mut reaction = Reaction::ok("content-range: bytes 0-3/9", "part");
            reaction.head = reaction.head.replace("200 OK", "206 Partial Content");
            reaction
        }
        ("/coded", _) => Reaction::status(
            "200 OK",
            "cache-control: max-age=60\r\ntransfer-encoding: gzip, chunked\r\n\r\n0",
        ),
        _ => Reaction::status("101 Switching Protocols", "upgrade: x\r\nconnection: upgrade"),
    })
    .await;
    assert_eq!(world.get("/old", "").await.content, b"once");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for path in ["/old", "/304", "/206", "/coded", "/101"] {
        let answer = world.get(path, "").await;
        assert_eq!(answer.status, 502, "{path}: {}", answer.head);
        let told = answer.field("proxy-status").unwrap_or("");
        assert!(told.contains("http_protocol_error"), "{path}: {}", answer.head);
        assert!(!answer.head.contains("run/"), "no paths of this machine: {}", answer.head);
    }
}

#[tokio::test]
async fn an_answer_to_conditions_is_not_everybodys() {
    let world = World::new(ROOM, |seen| match seen.field("range") {
        Some(_) => Reaction::status(
            "416 Range Not Satisfiable",
            "cache-control: max-age=60\r\ncontent-length: 0",
        ),
        None => Reaction::ok("cache-control: private", "whole"),
    })
    .await;
    // Once known not to be storable, each is asked for as the client asks.
    assert_eq!(world.get("/x", "").await.status, 200);
    assert_eq!(world.get("/x", "Range: bytes=99-\r\n").await.status, 416);
    assert_eq!(world.get("/x", "").await.status, 200);
}

#[tokio::test]
async fn a_field_for_one_goes_to_one() {
    let world = World::new(ROOM, |_| {
        Reaction::ok(
            "cache-control: max-age=60, private=\"x-own\", no-cache=\"set-cookie\"\r\n\
             x-own: 1\r\nset-cookie: a=1\r\nset-cookie: b=2",
            "shared",
        )
    })
    .await;
    let first = world.get("/x", "").await;
    assert_eq!(first.field("x-own"), Some("1"));
    assert_eq!(first.head.matches("set-cookie").count(), 3, "{}", first.head);
    let second = world.get("/x", "").await;
    assert!(second.cache_status().contains("hit"), "{}", second.head);
    assert!(!second.head.contains("x-own:") && !second.head.contains("set-cookie:"));
}

#[tokio::test]
async fn content_with_a_get_goes_with_it() {
    let world = World::new(ROOM, |_| Reaction::ok("cache-control: max-age=60", "so")).await;
    let request = "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\
                   Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n";
    for round in 1..3 {
        let answer = Answer::of(raw(world.http, request.as_bytes()).await);
        assert!(answer.cache_status().contains("fwd=method"), "{}", answer.head);
        assert_eq!(world.asked(), round, "an answer to content is not stored");
        assert_eq!(world.last_seen().content, b"4\r\nfour\r\n0\r\n\r\n");
    }
}

#[tokio::test]
async fn why_it_went_forward_is_told_whatever_came() {
    let calls = Calls::default();
    let world = World::new(ROOM, move |_| match calls.next() {
        0 => Reaction::ok("cache-control: max-age=1\r\netag: \"a\"", "once"),
        _ => Reaction::ok("cache-control: no-store", "now"),
    })
    .await;
    world.get("/x", "").await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let answer = world.get("/x", "").await;
    assert_eq!(answer.cache_status(), "mem.lab; fwd=stale; detail=RESP_NO_STORE");
}

#[tokio::test]
async fn a_slow_origin_holds_up_only_its_own() {
    let (open, gate) = watch::channel(false);
    let world = World::new(ROOM, move |seen| {
        let mut reaction = Reaction::ok("cache-control: max-age=60", "two pieces");
        reaction.pieces.insert(0, bytes::Bytes::new());
        reaction.gate = seen.path().starts_with("/slow").then(|| gate.clone());
        reaction
    })
    .await;
    // More than one place's exchanges usually are.
    let mut waiting = Vec::new();
    for number in 0..1_050 {
        let mut stream = tokio::net::TcpStream::connect(world.http).await.unwrap();
        let request = format!("GET /slow/{number} HTTP/1.1\r\nHost: a.test\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    let all_wait = async {
        while world.asked() < waiting.len() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), all_wait).await.expect("each has its own way");
    assert_eq!(world.get("/fast", "").await.content, b"two pieces");
    open.send_replace(true);
}
