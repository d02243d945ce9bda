//! What clients of a webcache get.

mod world;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use popnet_terms::CacheReason;
use popnet_wire::purging::{PurgeKind, PurgeWhat};
use popnet_wire::trips::TripsAsk;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use world::{Answer, Calls, End, Reaction, World, raw, sheet, site};

const ROOM: u64 = 16 << 20;

#[tokio::test]
async fn a_miss_then_a_hit() {
    let world = World::new(ROOM, |_| {
        Reaction::ok(
            "cache-control: max-age=60\r\ncontent-type: text/plain\r\npopnet-cache: miss; reason=NEVER_SEEN\r\n\
             cache-status: disk.lab; fwd=uri-miss; stored; ttl=60",
            "hello",
        )
    })
    .await;
    let miss =
        world.get("/x?utm_source=mail", "popnet-scheme: https\r\nX-Request-Id: mine\r\n").await;
    assert_eq!((miss.status, miss.content.as_slice()), (200, b"hello".as_slice()));
    assert_eq!(
        miss.cache_status(),
        "disk.lab; fwd=uri-miss; stored; ttl=60, mem.lab; fwd=uri-miss; stored; ttl=60"
    );
    assert_eq!(miss.field("age"), Some("0"));
    assert!(miss.field("via").unwrap().ends_with("1.1 mem.lab"), "{}", miss.head);
    assert!(miss.field("x-request-id").unwrap().ends_with("-lab"));
    assert!(!miss.head.contains("popnet-"), "{}", miss.head);
    let seen = world.last_seen();
    assert_eq!(seen.field("popnet-scheme"), None, "a client's own is dropped");
    assert_eq!(seen.field("host"), Some("a.test"));
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-request-id"), miss.field("x-request-id"));

    let hit = world.get("/x", "").await;
    assert_eq!(hit.content, b"hello");
    assert!(hit.cache_status().starts_with("mem.lab; hit; ttl="), "{}", hit.head);
    assert_eq!(world.asked(), 1);
    let status = world.status_after(2).await;
    assert_eq!((status.requests, status.hits, status.objects), (2, 1, 1));
    assert_eq!(status.bytes_out, (miss.octets + hit.octets) as u64, "counted as on the wire");
    let story = world.explain("/x").await;
    assert_eq!((&*story.verdict, story.reason), ("hit", CacheReason::HitMemory));
}

#[tokio::test]
async fn the_way_to_a_client_is_known_when_it_has_left() {
    let world = World::new(ROOM, |_| Reaction::ok("cache-control: max-age=60", "hello")).await;
    world.get("/x", "connection: close\r\n").await;
    let mut told = world.trips(TripsAsk::default()).await;
    for _ in 0..100 {
        if !told.units.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        told = world.trips(TripsAsk::default()).await;
    }
    let [unit] = told.units.as_slice() else { panic!("{told:?}") };
    assert_eq!(unit.client.to_string(), "127.0.0.0/24");
    assert!(unit.connections > 0 && (1..50_000).contains(&unit.rtt.0), "{unit:?}");
}

#[tokio::test]
async fn octets_are_counted_as_on_the_wire() {
    let world = World::new(ROOM, |seen| match seen.path() {
        "/none" => Reaction::status("204 No Content", "x-a: b"),
        "/gone" => Reaction::status("410 Gone", "content-length: 0"),
        "/odd" => Reaction::status("299 Odd", "content-length: 0"),
        _ => Reaction::ok("etag: \"a\"\r\ncache-control: max-age=60", vec![b'x'; 300_000]),
    })
    .await;
    let mut sum = 0;
    let mut count = 0;
    for request in [
        "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nRange: bytes=5-9\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nIf-None-Match: \"a\"\r\n\r\n",
        "HEAD /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
        "GET /x HTTP/1.0\r\nHost: a.test\r\n\r\n",
        "GET /none HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
        "GET /gone HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
        "GET /odd HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: nobody.test\r\nConnection: close\r\n\r\n",
        // Two on one connection; the first is told nothing about the connection.
        "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\nGET /gone HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
    ] {
        let octets = raw(world.http, request.as_bytes()).await;
        sum += octets.len() as u64;
        count += request.matches("HTTP/1.").count() as u64;
        let status = world.status_after(count).await;
        assert_eq!((status.requests, status.bytes_out), (count, sum), "{request}");
    }
}

#[tokio::test]
async fn a_thousand_wait_for_one_fetch() {
    let (open, gate) = watch::channel(false);
    let body: Bytes = vec![7u8; 200_000].into();
    let whole = body.clone();
    let world = Arc::new(
        World::new(ROOM, move |_| {
            let mut reaction = Reaction::ok("cache-control: max-age=60", body.clone());
            reaction.pieces = vec![body.slice(..1_000), body.slice(1_000..)];
            reaction.gate = Some(gate.clone());
            reaction
        })
        .await,
    );
    let mut first = TcpStream::connect(world.http).await.unwrap();
    first
        .write_all(b"GET /cold HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut clients = Vec::new();
    for _ in 0..999 {
        let world = Arc::clone(&world);
        clients.push(tokio::spawn(async move { world.get("/cold", "").await }));
    }
    // The first octets reach the first client while the rest is held back.
    let mut early = vec![0; 2_000];
    let mut got = 0;
    while got < 1_100 {
        got += first.read(&mut early[got..]).await.unwrap();
    }
    // It leaves; the fetch goes on for the others.
    drop(first);
    open.send(true).unwrap();
    let mut collapsed = 0;
    for client in clients {
        let answer = client.await.unwrap();
        assert_eq!(answer.status, 200);
        assert!(answer.content == whole, "content differs");
        collapsed += usize::from(answer.cache_status().contains("collapsed"));
    }
    assert_eq!(world.asked(), 1);
    assert!(collapsed > 500, "{collapsed} shared the fetch");
}

#[tokio::test]
async fn what_is_not_stored_releases_who_waits() {
    let world =
        Arc::new(World::new(ROOM, |_| Reaction::ok("cache-control: private", "yours")).await);
    let mut clients = Vec::new();
    for _ in 0..20 {
        let world = Arc::clone(&world);
        clients.push(tokio::spawn(async move { world.get("/own", "").await }));
    }
    for client in clients {
        let answer = client.await.unwrap();
        assert_eq!(answer.content, b"yours");
        assert!(answer.cache_status().contains("detail=RESP_PRIVATE"), "{}", answer.head);
    }
    assert_eq!(world.asked(), 20);
    assert_eq!(world.explain("/own").await.not_stored, Some(CacheReason::RespPrivate));
    // Known not to be storable: the client's own conditions go through.
    world.get("/own", "Range: bytes=0-1\r\nIf-None-Match: \"z\"\r\n").await;
    assert_eq!(world.last_seen().field("range"), Some("bytes=0-1"));
    assert_eq!(world.last_seen().field("if-none-match"), Some("\"z\""));
}

#[tokio::test]
async fn broken_content_is_nobodys() {
    for (name, end, chunked) in
        [("short", End::Close, false), ("reset", End::Reset, false), ("chunked", End::Close, true)]
    {
        let world = World::new(ROOM, move |_| {
            let mut reaction = Reaction::ok("cache-control: max-age=60", "0123456789");
            reaction.head = if chunked {
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncache-control: max-age=60".into()
            } else {
                "HTTP/1.1 200 OK\r\ncontent-length: 100\r\ncache-control: max-age=60".into()
            };
            let piece = if chunked { "a\r\n0123456789\r\n" } else { "0123456789" };
            reaction.pieces = vec![piece.into()];
            reaction.end = end;
            reaction
        })
        .await;
        for _ in 0..2 {
            let answer = world.get("/broken", "").await;
            assert_eq!(answer.status, 200, "{name}");
            assert!(!answer.content.ends_with(b"0\r\n\r\n"), "{name}: falsely complete");
            assert!(answer.content.len() < 100, "{name}");
        }
        assert_eq!(world.asked(), 2, "{name}: nothing was stored");
        assert_eq!(world.status().await.objects, 0, "{name}");
    }
}

#[tokio::test]
async fn no_usable_answer_is_a_502_that_says_why() {
    let world = World::new(ROOM, |seen| match seen.path() {
        "/garbage" => {
            Reaction { head: "what?".into(), pieces: vec![], gate: None, end: End::Close }
        }
        _ => Reaction { head: String::new(), pieces: vec![], gate: None, end: End::Close },
    })
    .await;
    let answer = world.get("/garbage", "").await;
    assert_eq!(answer.status, 502, "{}", answer.head);
    let status = answer.field("proxy-status").unwrap();
    assert!(status.starts_with("mem.lab; error=http_protocol_error"), "{status}");
    assert_eq!(answer.field("cache-control"), Some("no-store"));

    let alone = World::with(ROOM, None).await;
    let answer = alone.get("/", "").await;
    assert_eq!(answer.status, 502);
    let status = answer.field("proxy-status").unwrap();
    assert!(status.contains("error=destination_unavailable"), "{status}");
}

#[tokio::test]
async fn variants() {
    let world = World::new(ROOM, |seen| {
        let coding = seen.field("accept-encoding").unwrap_or("none").to_owned();
        Reaction::ok("cache-control: max-age=60\r\nvary: Accept-Encoding", coding)
    })
    .await;
    for _ in 0..2 {
        for coding in ["gzip", "br"] {
            let field = format!("Accept-Encoding: {coding}\r\n");
            assert_eq!(world.get("/v", &field).await.content, coding.as_bytes());
        }
    }
    assert_eq!(world.asked(), 2);
    let other = world.get("/v", "").await;
    assert!(other.cache_status().contains("fwd=vary-miss"), "{}", other.head);
    assert_eq!(world.explain("/v").await.variants, 3);
}

#[tokio::test]
async fn many_variants_at_once_share_their_own_fetches() {
    let world = Arc::new(
        World::new(ROOM, |seen| {
            let coding = seen.field("accept-encoding").unwrap_or("none").to_owned();
            Reaction::ok("cache-control: max-age=60\r\nvary: Accept-Encoding", coding)
        })
        .await,
    );
    let mut clients = Vec::new();
    for number in 0..60 {
        let world = Arc::clone(&world);
        let coding = ["gzip", "br", "zstd"][number % 3];
        clients.push(tokio::spawn(async move {
            let field = format!("Accept-Encoding: {coding}\r\n");
            assert_eq!(world.get("/v", &field).await.content, coding.as_bytes());
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(world.asked(), 3);
}

#[tokio::test]
async fn conditions_and_ranges_from_store() {
    let world = World::new(ROOM, |_| {
        Reaction::ok("etag: \"a\"\r\ncache-control: max-age=60", "0123456789")
    })
    .await;
    // Cold: the part is asked for; where the whole comes, it is kept, and the part of it sent.
    let part = world.get("/r", "Range: bytes=2-4\r\n").await;
    assert_eq!((part.status, part.content.as_slice()), (206, b"234".as_slice()));
    assert_eq!(world.last_seen().field("range"), Some("bytes=2-4"));
    let part = world.get("/r", "Range: bytes=-3\r\n").await;
    assert_eq!(part.field("content-range"), Some("bytes 7-9/10"));
    assert_eq!(part.content, b"789");
    assert_eq!(world.get("/r", "Range: bytes=10-\r\n").await.status, 416);
    assert_eq!(world.get("/r", "Range: bytes=0-1,4-5\r\n").await.content, b"0123456789");
    let same = world.get("/r", "If-None-Match: \"a\"\r\n").await;
    assert_eq!((same.status, same.content.len()), (304, 0));
    assert_eq!(same.field("etag"), Some("\"a\""));
    let head = world.ask("HEAD", "/r", "", b"").await;
    assert_eq!((head.field("content-length"), head.content.len()), (Some("10"), 0));
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn stale_is_validated() {
    let calls = Calls::default();
    let world = World::new(ROOM, move |seen| {
        if calls.next() == 0 {
            return Reaction::ok("etag: \"a\"\r\ncache-control: no-cache", "first");
        }
        assert_eq!(seen.field("if-none-match"), Some("\"a\""));
        match seen.path() {
            "/same" => {
                Reaction::status("304 Not Modified", "etag: \"a\"\r\ncache-control: max-age=60")
            }
            _ => Reaction::ok("etag: \"b\"\r\ncache-control: max-age=60", "second"),
        }
    })
    .await;
    world.get("/same", "").await;
    let again = world.get("/same", "").await;
    assert_eq!(again.content, b"first");
    assert!(again.cache_status().contains("fwd=stale; fwd-status=304"), "{}", again.head);
    assert!(world.get("/same", "").await.cache_status().contains("hit"));
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn errors_are_bridged() {
    let calls = Calls::default();
    let world = World::new(ROOM, move |_| match calls.next() {
        0 => Reaction::ok("cache-control: max-age=0, stale-if-error=60\r\netag: \"a\"", "good"),
        1 => Reaction::status("503 Service Unavailable", "content-length: 0"),
        _ => Reaction { head: String::new(), pieces: vec![], gate: None, end: End::Close },
    })
    .await;
    assert_eq!(world.get("/e", "").await.content, b"good");
    for _ in 0..2 {
        let bridged = world.get("/e", "").await;
        assert_eq!((bridged.status, bridged.content.as_slice()), (200, b"good".as_slice()));
        assert!(bridged.cache_status().contains("STALE_ON_ERROR"), "{}", bridged.head);
    }
}

#[tokio::test]
async fn stale_while_it_is_validated() {
    let calls = Calls::default();
    let world = World::new(ROOM, move |_| {
        let number = calls.next();
        let life = if number == 0 { "max-age=0, stale-while-revalidate=60" } else { "max-age=60" };
        Reaction::ok(&format!("cache-control: {life}\r\netag: \"{number}\""), number.to_string())
    })
    .await;
    assert_eq!(world.get("/w", "").await.content, b"0");
    let stale = world.get("/w", "").await;
    assert_eq!(stale.content, b"0");
    assert!(stale.cache_status().contains("hit"), "{}", stale.head);
    for _ in 0..100 {
        if world.get("/w", "").await.content == b"1" {
            assert_eq!(world.asked(), 2);
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never validated in the background");
}

#[tokio::test]
async fn changes_pass_through_and_invalidate() {
    let world = World::new(ROOM, |seen| {
        if seen.line.starts_with("POST") {
            assert_eq!(seen.content, b"new words");
            return Reaction::status("201 Created", "content-length: 0\r\nlocation: /other");
        }
        Reaction::ok("cache-control: max-age=60", "words")
    })
    .await;
    world.get("/p", "").await;
    world.get("/other", "").await;
    let posted = world.ask("POST", "/p", "Expect: 100-continue\r\n", b"new words").await;
    assert!(posted.head.contains("100 Continue") || posted.status == 201, "{}", posted.head);
    world.get("/p", "").await;
    world.get("/other", "").await;
    assert_eq!(world.asked(), 5, "both were fetched again");
    assert_eq!(world.ask("CONNECT", "a.test:80", "", b"").await.status, 501);
}

#[tokio::test]
async fn purges() {
    let calls = Calls::default();
    let world = World::new(ROOM, move |seen| {
        let number = calls.next();
        if seen.field("if-none-match").is_some() {
            return Reaction::status("304 Not Modified", "cache-control: max-age=60");
        }
        let fields = "etag: \"a\"\r\ncache-control: max-age=60\r\nsurrogate-key: red blue";
        Reaction::ok(fields, number.to_string())
    })
    .await;
    let url = |path: &str| PurgeWhat::Url {
        site: "a.test".into(),
        host: "a.test".into(),
        path: path.into(),
    };
    assert_eq!(world.get("/1", "").await.content, b"0");
    assert_eq!(world.get("/2", "").await.content, b"1");
    assert_eq!(world.purge(url("/1?utm_source=x"), PurgeKind::Hard).await, 1);
    let again = world.get("/1", "").await;
    assert_eq!(again.content, b"2");
    let status = again.cache_status();
    assert!(status.contains("; fwd=uri-miss; ") && status.contains("PURGED"), "{}", again.head);
    assert_eq!(world.get("/2", "").await.content, b"1");
    assert_eq!(world.purge(url("/2"), PurgeKind::Soft).await, 1);
    let validated = world.get("/2", "").await;
    assert_eq!(validated.content, b"1");
    assert!(validated.cache_status().contains("fwd=stale"), "{}", validated.head);
    assert_eq!(world.purge(PurgeWhat::Tag { tag: "blue".into() }, PurgeKind::Hard).await, 2);
    assert_eq!(world.purge(PurgeWhat::Site { site: "a.test".into() }, PurgeKind::Hard).await, 0);
}

#[tokio::test]
async fn a_purge_also_reaches_what_is_on_its_way() {
    let (open, gate) = watch::channel(false);
    let calls = Calls::default();
    let world = Arc::new(
        World::new(ROOM, move |_| {
            let number = calls.next();
            let mut reaction = Reaction::ok("cache-control: max-age=60", number.to_string());
            if number == 0 {
                reaction.head =
                    "HTTP/1.1 200 OK\r\ncontent-length: 6\r\ncache-control: max-age=60".into();
                reaction.pieces = vec!["old".into(), "old".into()];
                reaction.gate = Some(gate.clone());
            }
            reaction
        })
        .await,
    );
    let early = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.get("/p", "").await })
    };
    while world.asked() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.purge(PurgeWhat::Site { site: "a.test".into() }, PurgeKind::Hard).await;
    assert_eq!(world.get("/p", "").await.content, b"1", "what was on its way is not joined");
    open.send(true).unwrap();
    assert_eq!(early.await.unwrap().content, b"oldold");
    assert_eq!(world.get("/p", "").await.content, b"1", "nor stored");
}

#[tokio::test]
async fn memory_is_bounded() {
    const SMALL: u64 = 2 << 20;
    let world = World::new(SMALL, |seen| {
        let size: usize = seen.path().rsplit('/').next().and_then(|n| n.parse().ok()).unwrap_or(1);
        let mut reaction = Reaction::ok("cache-control: max-age=60", vec![b'z'; size]);
        if seen.path().starts_with("/chunked") {
            reaction.head =
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncache-control: max-age=60".into();
            let mut pieces = Vec::new();
            for chunk in vec![b'z'; size].chunks(50_000) {
                let mut piece = format!("{:x}\r\n", chunk.len()).into_bytes();
                piece.extend_from_slice(chunk);
                piece.extend_from_slice(b"\r\n");
                pieces.push(piece.into());
            }
            pieces.push("0\r\n\r\n".into());
            reaction.pieces = pieces;
        }
        reaction
    })
    .await;
    for number in 0..60 {
        let path = format!("/{number}/100000");
        assert_eq!(world.get(&path, "").await.content.len(), 100_000);
        let status = world.status().await;
        assert!(status.used <= status.capacity, "{status:?}");
    }
    let status = world.status().await;
    assert!(status.objects >= 10, "{status:?}");
    // What had to make room is called so beforehand, as it is when it is asked for.
    let mut evicted = None;
    for number in 0..60 {
        let path = format!("/{number}/100000");
        if world.explain(&path).await.reason == CacheReason::Evicted {
            evicted = Some(path);
        }
    }
    let again = world.get(&evicted.expect("sixty do not fit"), "").await;
    assert!(again.cache_status().contains("detail=EVICTED"), "{}", again.head);
    // Larger than the tier, with and without a length: passed on whole, stored not at all.
    for path in ["/big/3000000", "/chunked/3000000", "/chunked/3000000"] {
        let answer = world.get(path, "").await;
        let zs = answer.content.iter().filter(|octet| **octet == b'z').count();
        assert_eq!((answer.status, zs), (200, 3_000_000), "{path}");
        let status = world.status().await;
        assert!(status.used <= status.capacity, "{status:?}");
    }
}

#[tokio::test]
async fn hosts_and_health() {
    let world = World::new(ROOM, |_| Reaction::ok("", "x")).await;
    let health = raw(
        world.http,
        b"GET /.popnet/health HTTP/1.1\r\nHost: health.popnet.invalid\r\nConnection: close\r\n\r\n",
    )
    .await;
    let health = Answer::of(health);
    assert_eq!(health.content, b"ok\n");
    assert_eq!(health.field("popnet-epoch"), Some("7"));
    let (load, carried) = health.field("popnet-load").unwrap().split_once(';').unwrap();
    assert!((0.0..=1.0).contains(&load.parse::<f64>().unwrap()));
    let (into, out) = carried.split_once(';').unwrap();
    assert!(into.starts_with("in=") && out.starts_with("out="), "{carried}");
    world.directory.replace(sheet(8, vec![site("a.test")]), Vec::new(), Default::default());
    for _ in 0..100 {
        let health = raw(world.http, b"GET /.popnet/health HTTP/1.1\r\nHost: health.popnet.invalid\r\nConnection: close\r\n\r\n").await;
        if Answer::of(health).field("popnet-epoch") == Some("8") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let gone = Answer::of(
        raw(world.http, b"GET / HTTP/1.1\r\nHost: b.test\r\nConnection: close\r\n\r\n").await,
    );
    assert_eq!(gone.status, 421);
    assert_eq!(gone.field("proxy-status"), Some("mem.lab; error=destination_not_found"));
    assert!(String::from_utf8_lossy(&gone.content).contains("b.test"));
    for refused in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nx y: z\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let answer = Answer::of(
            raw(
                world.http,
                refused.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes(),
            )
            .await,
        );
        assert!(answer.status == 400 || answer.octets == 0, "{refused}: {}", answer.head);
    }
    assert_eq!(world.asked(), 0);
}

#[tokio::test]
async fn ends_and_lets_requests_finish() {
    let (open, gate) = watch::channel(false);
    let mut world = World::new(ROOM, move |_| {
        let mut reaction = Reaction::ok("cache-control: max-age=60", "0123456789");
        reaction.pieces = vec!["01234".into(), "56789".into()];
        reaction.gate = Some(gate.clone());
        reaction
    })
    .await;
    let address = world.http;
    let slow =
        tokio::spawn(
            async move { raw(address, b"GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n").await },
        );
    while world.asked() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    open.send(true).unwrap();
    assert_eq!(Answer::of(slow.await.unwrap()).content, b"0123456789");
    let running = world.running.take().unwrap();
    tokio::time::timeout(Duration::from_secs(8), running.wait()).await.unwrap();
    assert!(TcpStream::connect(world.http).await.is_err(), "the port is free again");
}
