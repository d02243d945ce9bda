//! Hits that are answered where they are read: the same as by the long way, and counted the same.

mod world;

use std::collections::BTreeMap;

use popnet_wire::purging::{PurgeKind, PurgeWhat};
use world::{Calls, Reaction, World, raw};

const ROOM: u64 = 16 << 20;

/// A plain GET, which stays on its connection; with a condition that nothing meets it takes the
/// long way.
fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n")
}

const LONG: &str = "If-None-Match: \"another\"\r\n";

/// The responses to `requests`, asked for together on one connection; each announces its length.
async fn responses(world: &World, requests: &[String]) -> Vec<(BTreeMap<String, String>, Vec<u8>)> {
    let end = get("/end", "Connection: close\r\n");
    let octets = raw(world.http, (requests.concat() + &end).as_bytes()).await;
    let mut rest = octets;
    let mut all = Vec::new();
    while !rest.is_empty() {
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head") + 4;
        let mut content = rest.split_off(end);
        let head = String::from_utf8(rest).expect("a head in ASCII");
        let mut fields: BTreeMap<String, String> = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        fields.insert(String::new(), head.lines().next().unwrap_or("").to_owned());
        let length: usize =
            fields.get("content-length").and_then(|text| text.parse().ok()).expect("a length");
        rest = content.split_off(length);
        all.push((fields, content));
    }
    all.pop();
    all
}

fn reactions(path: &str) -> Reaction {
    match path {
        "/empty" => Reaction::status("200 OK", "cache-control: max-age=60\r\ncontent-length: 0"),
        "/gone" => Reaction::status("410 Gone", "cache-control: max-age=60\r\ncontent-length: 0"),
        "/tagged" => Reaction::ok(
            "cache-control: max-age=60\r\netag: \"a\"\r\nx-a: 1\r\nx-a: 2\r\nvia: 1.1 far\r\nage: 5",
            "tagged",
        ),
        "/large" => {
            let mut reaction = Reaction::ok("cache-control: max-age=60", vec![b'x'; 50_000]);
            reaction.pieces = vec![vec![b'x'; 20_000].into(), vec![b'x'; 30_000].into()];
            reaction
        }
        "/larger" => Reaction::ok("cache-control: max-age=60", vec![b'y'; 100_000]),
        _ => Reaction::ok("cache-control: max-age=60", path.to_owned()),
    }
}

#[tokio::test]
async fn the_same_answer_by_both_ways() {
    let world = World::new(ROOM, |seen| reactions(seen.path())).await;
    let paths = ["/plain", "/empty", "/gone", "/tagged", "/large", "/larger", "/q?a=1&b=2"];
    for path in paths {
        let asked = [get(path, ""), get(path, LONG), get(path, ""), get(path, "")];
        let answers = responses(&world, &asked).await;
        assert_eq!(answers.len(), 4, "{path}");
        let same = |at: usize| {
            let (mut fields, content) = answers.get(at).expect("four answers").clone();
            assert!(fields.remove("x-request-id").is_some(), "{path}");
            let told = fields.get("cache-status").map_or("", String::as_str);
            assert!(told.starts_with("mem.lab; hit; ttl="), "{path}: {told}");
            (fields, content)
        };
        assert_eq!(same(2), same(1), "{path}");
        assert_eq!(same(3), same(1), "{path}, with the head kept");
    }
    assert_eq!(world.asked(), paths.len() + 1);
}

#[tokio::test]
async fn every_octet_is_counted() {
    let world = World::new(ROOM, |seen| reactions(seen.path())).await;
    let mut requests = Vec::new();
    for path in ["/plain", "/empty", "/large", "/larger"] {
        requests.extend(std::iter::repeat_n(get(path, ""), 5));
    }
    let octets =
        raw(world.http, (requests.concat() + &get("/end", "Connection: close\r\n")).as_bytes())
            .await;
    let status = world.status_after(21).await;
    assert_eq!((status.requests, status.hits), (21, 16));
    assert_eq!(status.bytes_out, octets.len() as u64);
}

#[tokio::test]
async fn variants_are_told_apart() {
    let world = World::new(ROOM, |seen| {
        let named = seen.path().trim_start_matches('/').to_owned();
        let fields = format!("cache-control: max-age=60\r\nvary: {named}");
        Reaction::ok(&fields, format!("for {}", seen.field(&named).unwrap_or("nobody")))
    })
    .await;
    for name in ["accept-language", "x-own", "x-forwarded-proto", "user-agent"] {
        let path = format!("/{name}");
        let asked = [
            get(&path, &format!("{name}: de\r\n")),
            get(&path, &format!("{name}: fr\r\n")),
            get(&path, &format!("{}: de\r\n", name.to_uppercase())),
            get(&path, &format!("{name}:   fr \r\n")),
            get(&path, ""),
            get(&path, ""),
        ];
        let contents = responses(&world, &asked).await.into_iter().map(|(_, content)| content);
        let contents: Vec<_> =
            contents.map(|text| String::from_utf8(text).expect("text")).collect();
        if name == "x-forwarded-proto" {
            // Nobody but this cache says how the request came in.
            assert_eq!(contents, ["for http"; 6]);
            continue;
        }
        let expected = ["for de", "for fr", "for de", "for fr", "for nobody", "for nobody"];
        assert_eq!(contents, expected, "{name}");
    }
}

#[tokio::test]
async fn not_when_it_is_stale_purged_or_unwanted() {
    let calls = Calls::default();
    let world = World::new(ROOM, move |seen| {
        let life = if seen.path() == "/short" { 1 } else { 60 };
        let tag = "etag: \"a\"";
        match (seen.field("if-none-match"), calls.next()) {
            (Some("\"a\""), _) => {
                Reaction::status("304 Not Modified", &format!("cache-control: max-age=60\r\n{tag}"))
            }
            (_, call) => {
                let fields = format!("cache-control: max-age={life}\r\n{tag}");
                Reaction::ok(&fields, format!("call {call}"))
            }
        }
    })
    .await;
    let one = |path: &'static str, fields: &'static str| {
        let world = &world;
        async move {
            let (fields, content) = responses(world, &[get(path, fields)]).await.remove(0);
            (fields["cache-status"].clone(), String::from_utf8(content).expect("text"))
        }
    };
    for path in ["/short", "/soft", "/hard"] {
        one(path, "").await;
        assert!(one(path, "").await.0.contains("hit"), "{path}");
    }
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let (status, _) = one("/short", "").await;
    assert!(status.contains("fwd=stale"), "{status}");
    assert!(one("/short", "").await.0.contains("hit"), "valid again");
    assert!(one("/short", "Cache-Control: no-cache\r\n").await.0.contains("fwd=request"));
    assert!(one("/short", "Pragma: no-cache\r\n").await.0.contains("fwd=request"));
    for (path, kind) in [("/soft", PurgeKind::Soft), ("/hard", PurgeKind::Hard)] {
        let what =
            PurgeWhat::Url { site: "a.test".into(), host: "a.test".into(), path: path.into() };
        assert_eq!(world.purge(what, kind).await, 1, "{path}");
        let (status, _) = one(path, "").await;
        assert!(status.contains("fwd="), "{path}: {status}");
        assert!(one(path, "").await.0.contains("hit"), "{path}");
    }
}
