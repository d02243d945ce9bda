//! Stored responses in the codings that clients take: made aside, kept beside what they are of,
//! gone with it.

#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod world;

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use popnet_wire::delivery::{Coding, Compression, Delivery};
use popnet_wire::explaining::ExplainUrl;
use popnet_wire::purging::{PurgeKind, PurgeWhat};
use popnet_wire::sheet::{PathRule, SiteSheet};
use world::{Answer, Reaction, Seen, World, sheet, site};

const ROOM: u64 = 16 << 20;

/// A page of `lines` lines; of each `number` another.
fn page(lines: usize, number: usize) -> Vec<u8> {
    let line = |at| format!("<p>Line {at} of page {number}, and what stands in it.</p>\n");
    (0..lines).map(line).collect::<String>().into_bytes()
}

/// Octets that no coding makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

const HTML: &str = "cache-control: max-age=60\r\ncontent-type: text/html\r\netag: \"a\"\r\n\
                    last-modified: Wed, 15 Nov 2023 11:50:00 GMT\r\naccept-ranges: bytes";

fn compression() -> Compression {
    Compression { codings: Coding::ALL.to_vec(), types: None, min: 256, max: 1 << 20 }
}

/// A world whose a.test is compressed, but not below `/plain/`.
async fn world(script: impl Fn(&Seen) -> Reaction + Send + Sync + 'static) -> World {
    let world = World::new(ROOM, script).await;
    let delivery = Delivery { compress: Some(compression()), ..Delivery::default() };
    let plain = PathRule {
        path: "/plain/*".into(),
        bypass: false,
        set_cookie: None,
        default_ttl: None,
        delivery: Some(Arc::default()),
    };
    let own = SiteSheet { delivery: Arc::new(delivery), paths: vec![plain], ..site("a.test") };
    world.directory.replace(sheet(8, vec![own, site("b.test")]), Vec::new(), Default::default());
    for _ in 0..200 {
        if world
            .explain("/plain/x")
            .await
            .checks
            .iter()
            .any(|(name, found)| &**name == "rules" && found.contains("/plain/*"))
        {
            return world;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the rules do not hold within two seconds");
}

fn accept(codings: &str) -> String {
    format!("Accept-Encoding: {codings}\r\n")
}

/// Asks until the answer is in `coding`: made aside, it is there for a later request.
async fn until_coded(world: &World, path: &str, coding: &str) -> Answer {
    for _ in 0..500 {
        let answer = world.get(path, &accept(coding)).await;
        if answer.field("content-encoding") == Some(coding) {
            return answer;
        }
        assert_eq!(answer.field("content-encoding"), None, "{}", answer.head);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{path} is not there in {coding} within five seconds");
}

/// How often a request comes that might have something made, before it is sure that nothing is.
async fn never_coded(world: &World, path: &str, fields: &str) -> Answer {
    let mut last = world.get(path, fields).await;
    for _ in 0..5 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        last = world.get(path, fields).await;
        assert_eq!(last.field("content-encoding"), None, "{path} {}", last.head);
    }
    last
}

fn decoded(answer: &Answer) -> Vec<u8> {
    let (octets, mut plain) = (&answer.content[..], Vec::new());
    match answer.field("content-encoding") {
        Some("gzip") => flate2::read::GzDecoder::new(octets).read_to_end(&mut plain).unwrap(),
        Some("br") => brotli::Decompressor::new(octets, 4096).read_to_end(&mut plain).unwrap(),
        Some("zstd") => {
            zstd::stream::read::Decoder::new(octets).unwrap().read_to_end(&mut plain).unwrap()
        }
        other => panic!("{other:?}"),
    };
    plain
}

async fn why(world: &World, path: &str, codings: &str) -> String {
    let ask = ExplainUrl {
        scheme: "http".into(),
        host: "a.test".into(),
        path: path.into(),
        fields: vec![("accept-encoding".into(), codings.into())],
    };
    let ask = popnet_wire::control::Ask::ExplainUrl(ask);
    let popnet_wire::control::Reply::Url(story) = world.link().await.ask_one(&ask).await.unwrap()
    else {
        panic!("no story");
    };
    let found = story.checks.iter().find(|(name, _)| &**name == "coding");
    found.map_or_else(|| "nothing".to_owned(), |(_, found)| found.to_string())
}

#[tokio::test]
async fn one_fetch_serves_every_coding() {
    let whole = page(200, 0);
    let sent = whole.clone();
    let world = world(move |_| Reaction::ok(HTML, sent.clone())).await;
    let first = world.get("/page", &accept("gzip, br, zstd")).await;
    assert_eq!((first.field("content-encoding"), &first.content), (None, &whole));
    assert_eq!(first.field("vary"), Some("Accept-Encoding"), "{}", first.head);
    for coding in ["gzip", "br", "zstd"] {
        let found = until_coded(&world, "/page", coding).await;
        assert!(found.cache_status().starts_with("mem.lab; hit"), "{}", found.head);
        assert_eq!(decoded(&found), whole, "{coding}");
        assert!(found.content.len() * 4 < whole.len(), "{coding}: {}", found.content.len());
        assert_eq!(found.field("content-length"), Some(&*found.content.len().to_string()));
        assert_eq!(found.field("etag"), Some(&*format!("\"a~{coding}\"")));
        assert_eq!(found.field("vary"), Some("Accept-Encoding"));
        assert_eq!(found.field("accept-ranges"), None, "{}", found.head);
        // By the long way it is the same, and HEAD says what GET does.
        let long = format!("{}If-None-Match: \"other\"\r\n", accept(coding));
        let by_the_long_way = world.get("/page", &long).await;
        let head = world.ask("HEAD", "/page", &accept(coding), b"").await;
        assert_eq!(by_the_long_way.content, found.content);
        assert_eq!(head.content, b"");
        for name in ["content-length", "content-encoding", "etag", "vary", "content-type"] {
            assert_eq!(by_the_long_way.field(name), found.field(name), "{name}");
            assert_eq!(head.field(name), found.field(name), "{name}");
        }
        assert!(why(&world, "/page", coding).await.starts_with(&format!("CODED ({coding})")));
    }
    let best = world.get("/page", &accept("gzip, deflate, br, zstd")).await;
    assert_eq!(best.field("content-encoding"), Some("zstd"), "our order");
    for none in ["", "Accept-Encoding: identity\r\n", "Accept-Encoding: gzip;q=0\r\n"] {
        let plain = world.get("/page", none).await;
        assert_eq!((plain.field("content-encoding"), &plain.content), (None, &whole), "{none}");
        assert_eq!(plain.field("etag"), Some("\"a\""));
        assert_eq!(plain.field("vary"), Some("Accept-Encoding"));
        assert_eq!(plain.field("accept-ranges"), Some("bytes"));
    }
    assert_eq!(world.asked(), 1, "stored once");
}

#[tokio::test]
async fn conditions_and_ranges() {
    let whole = page(200, 0);
    let sent = whole.clone();
    let world = world(move |_| Reaction::ok(HTML, sent.clone())).await;
    until_coded(&world, "/page", "gzip").await;
    let check = async |fields: &str, status: u16, tag: &str| {
        let answer = world.get("/page", &format!("Accept-Encoding: gzip\r\n{fields}\r\n")).await;
        assert_eq!(answer.status, status, "{fields}: {}", answer.head);
        assert_eq!(answer.field("etag"), Some(tag), "{fields}");
        assert_eq!(answer.field("vary"), Some("Accept-Encoding"), "{fields}");
        answer
    };
    for method in ["If-None-Match: \"a~gzip\"", "If-None-Match: \"x\", W/\"a~gzip\""] {
        let same = check(method, 304, "\"a~gzip\"").await;
        assert_eq!((same.field("content-encoding"), &same.content[..]), (None, &b""[..]));
    }
    check("If-None-Match: \"a\"", 304, "\"a\"").await;
    check("If-Modified-Since: Wed, 15 Nov 2023 11:50:00 GMT", 304, "\"a~gzip\"").await;
    check("If-None-Match: \"b~gzip\"", 200, "\"a~gzip\"").await;
    check("If-None-Match: \"a~br\"", 200, "\"a~gzip\"").await;
    // Ranges are of content as it came.
    let part = check("Range: bytes=5-14", 206, "\"a\"").await;
    assert_eq!((part.field("content-encoding"), &part.content[..]), (None, &whole[5..15]));
    let part = check("Range: bytes=5-14\r\nIf-Range: \"a\"", 206, "\"a\"").await;
    assert_eq!(part.content, &whole[5..15]);
    let other = check("Range: bytes=5-14\r\nIf-Range: \"a~gzip\"", 200, "\"a\"").await;
    assert_eq!(other.content, whole);
    // A client that has it is told so before anything was made again.
    world.purge(PurgeWhat::Site { site: "a.test".into() }, PurgeKind::Hard).await;
    check("If-None-Match: \"a~gzip\"", 304, "\"a~gzip\"").await;
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn a_change_is_judged_by_the_origins_tags() {
    let world = world(move |_| Reaction::ok(HTML, page(20, 0))).await;
    world.ask("PUT", "/page", "If-Match: \"a~br\", \"b\"\r\n", b"new").await;
    assert_eq!(world.last_seen().field("if-match"), Some("\"a\", \"b\""));
    world.ask("PUT", "/page", "If-Match: \"a\"\r\n", b"new").await;
    assert_eq!(world.last_seen().field("if-match"), Some("\"a\""));
}

#[tokio::test]
async fn what_goes_out_as_it_came() {
    let world = world(|seen| {
        let fields = |more: &str| format!("cache-control: max-age=60\r\n{more}");
        let html = fields("content-type: text/html");
        let text = page(100, 0);
        match seen.path() {
            "/image" => Reaction::ok(&fields("content-type: image/png"), text),
            "/small" => Reaction::ok(&html, vec![b'x'; 255]),
            "/large" => Reaction::ok(&html, vec![b'x'; (1 << 20) + 1]),
            "/kept" => {
                let fields = "cache-control: max-age=60, no-transform\r\ncontent-type: text/html";
                Reaction::ok(fields, text)
            }
            "/coded" => Reaction::ok(&format!("{html}\r\ncontent-encoding: deflate"), text),
            "/sealed" => Reaction::ok(&format!("{html}\r\nrepr-digest: sha-256=:AA==:"), text),
            "/gone" => {
                let mut gone = Reaction::ok(&html, text);
                gone.head = gone.head.replace("200 OK", "404 Not Found");
                gone
            }
            _ => Reaction::ok(&html, text),
        }
    })
    .await;
    for (path, reason) in [
        ("/image", "CODING_CONTENT_TYPE"),
        ("/small", "CODING_TOO_SMALL"),
        ("/large", "CODING_TOO_LARGE"),
        ("/kept", "CODING_NO_TRANSFORM"),
        ("/coded", "CODED_BY_ORIGIN"),
        ("/sealed", "CODING_SEALED"),
        ("/gone", "CODING_STATUS"),
        ("/plain/page", "CODING_RULE_OFF"),
    ] {
        let mut last = world.get(path, &accept("br")).await;
        for _ in 0..4 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            last = world.get(path, &accept("br")).await;
        }
        let came = if path == "/coded" { Some("deflate") } else { None };
        assert_eq!((last.field("content-encoding"), last.field("vary")), (came, None), "{path}");
        assert_eq!(why(&world, path, "br").await, reason, "{path}");
    }
    // A request may forbid it, too.
    until_coded(&world, "/page", "br").await;
    let fields = "Accept-Encoding: br\r\nCache-Control: no-transform\r\n";
    assert_eq!(never_coded(&world, "/page", fields).await.content, page(100, 0));
    // Where nothing but a coding is taken, it is given once it is there.
    let only = world.get("/page", &accept("br, identity;q=0")).await;
    assert_eq!(decoded(&only), page(100, 0));
}

#[tokio::test]
async fn what_spares_nothing_stays_as_it_came() {
    let world = world(|_| Reaction::ok(HTML, noise(50_000))).await;
    let last = never_coded(&world, "/noise", &accept("gzip")).await;
    assert_eq!(last.content, noise(50_000));
    for _ in 0..200 {
        if why(&world, "/noise", "gzip").await == "CODING_NO_GAIN (gzip)" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{}", why(&world, "/noise", "gzip").await);
}

#[tokio::test]
async fn codings_live_and_die_with_what_they_are_of() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let world = world(move |seen| {
        if seen.field("if-none-match").is_some() {
            return Reaction::status(
                "304 Not Modified",
                "cache-control: max-age=60\r\netag: \"a\"\r\nx-new: 1",
            );
        }
        Reaction::ok(HTML, page(200, count.fetch_add(1, Ordering::Relaxed)))
    })
    .await;
    let before = until_coded(&world, "/page", "br").await;
    let with = world.status().await.used;
    assert_eq!(decoded(&before), page(200, 0));
    // Validated, the content is the same, and so is its coding; the head is new.
    world.purge(PurgeWhat::Site { site: "a.test".into() }, PurgeKind::Soft).await;
    let validated = world.get("/page", &accept("br")).await;
    assert_eq!(validated.content, before.content, "{}", validated.head);
    assert_eq!(made.load(Ordering::Relaxed), 1);
    let again = world.get("/page", &accept("br")).await;
    assert_eq!((again.field("x-new"), &again.content), (Some("1"), &before.content));
    // Purged, it goes with what it is of.
    world.purge(PurgeWhat::Site { site: "a.test".into() }, PurgeKind::Hard).await;
    let without = world.status().await.used;
    assert!(without + 1_000 < with, "{without} of {with}");
    let fresh = world.get("/page", &accept("br")).await;
    assert_eq!((fresh.field("content-encoding"), &fresh.content), (None, &page(200, 1)));
    let after = until_coded(&world, "/page", "br").await;
    assert_eq!(decoded(&after), page(200, 1));
}

#[tokio::test]
async fn what_an_origin_codes_is_left_alone() {
    let whole = page(100, 0);
    let sent = whole.clone();
    let world = world(move |seen| {
        let fields = format!("{HTML}\r\nvary: accept-encoding");
        if seen.field("accept-encoding").is_some_and(|line| line.contains("gzip")) {
            let mut made = Vec::new();
            let level = flate2::Compression::fast();
            flate2::read::GzEncoder::new(&sent[..], level).read_to_end(&mut made).unwrap();
            let fields = fields.replace("\"a\"", "\"theirs\"");
            return Reaction::ok(&format!("{fields}\r\ncontent-encoding: gzip"), made);
        }
        Reaction::ok(&fields, sent.clone())
    })
    .await;
    for _ in 0..3 {
        let theirs = world.get("/page", &accept("gzip, br")).await;
        assert_eq!(
            (theirs.field("content-encoding"), theirs.field("etag")),
            (Some("gzip"), Some("\"theirs\""))
        );
        assert_eq!(
            (decoded(&theirs), theirs.field("vary")),
            (whole.clone(), Some("accept-encoding"))
        );
    }
    assert_eq!(world.asked(), 1);
    // What it sends as it is may be coded for those it was sent to.
    let ours = until_coded(&world, "/page", "br").await;
    assert_eq!((decoded(&ours), ours.field("vary")), (whole, Some("accept-encoding")));
    assert_eq!(world.asked(), 2);
}
