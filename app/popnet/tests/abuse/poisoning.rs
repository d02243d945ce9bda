//! Answers made for one that another gets: fields that no key holds, pages that look like files,
//! keys that two URLs share, paths that lead elsewhere.

use crate::edge::Edge;
use crate::origin::{Origin, Seen, content, field, get, kept, response, say};

/// Fields from which frameworks make links, paths, methods and addresses.
const CLAIMS: [&str; 16] = [
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-for",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-host",
    "x-original-host",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    "x-http-method-override",
    "x-method-override",
];

/// Says back what it was told in these.
fn reflecting(seen: &Seen) -> Vec<u8> {
    let told: Vec<_> = ["host"]
        .iter()
        .chain(&CLAIMS)
        .filter_map(|name| seen.field(name).map(|value| format!("{name}={value}")))
        .collect();
    kept("", told.join("\n"))
}

/// Of fields that only the first hop may set, what a client says is dropped; `Host` is in the key.
#[test]
fn what_a_client_claims_of_itself_is_dropped() {
    let origin = Origin::start(reflecting);
    let edge = Edge::with_memory(origin.port, "32 MiB");
    let mut claims = String::new();
    for name in CLAIMS {
        claims.push_str(&format!("{name}: evil\r\n"));
    }
    let first = get(edge.http, "/page", &claims);
    assert!(!first.contains("evil"), "{first}");
    assert!(content(&first).contains("host=a.test"), "{first}");
    let second = get(edge.http, "/page", "");
    assert!(second.contains("hit") && !second.contains("evil"), "{second}");
    // A port of the client's choice is not in the key, so the origin does not hear of it.
    let port = "GET /port HTTP/1.1\r\nHost: a.test:6666\r\nConnection: close\r\n\r\n";
    let answer = say(edge.http, port.as_bytes());
    assert!(content(&answer).contains("host=a.test\n"), "{answer}");
    // With a POST, whose answer is not kept, another method is the origin's own affair.
    let post = "POST /page HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\
                X-HTTP-Method-Override: DELETE\r\n\r\n";
    let answer = say(edge.http, post.as_bytes());
    assert!(content(&answer).contains("x-http-method-override=DELETE"), "{answer}");
    // Another host is another key.
    let other = "GET /page HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n";
    let answer = say(edge.http, other.as_bytes());
    assert!(!answer.contains("hit") && content(&answer).contains("host=evil.test"), "{answer}");
    assert!(content(&get(edge.http, "/page", "")).contains("host=a.test"));
}

/// A GET with content, and methods beside GET, store nothing for those who ask plainly.
#[test]
fn odd_requests_leave_nothing_behind() {
    let origin = Origin::start(|seen| {
        let method = seen.head.split(' ').next().unwrap_or_default();
        let content = String::from_utf8_lossy(&seen.content).into_owned();
        kept("", format!("{method} [{content}]"))
    });
    let edge = Edge::with_memory(origin.port, "32 MiB");
    for request in [
        "GET /odd HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: 4\r\n\r\nevil",
        "POST /odd HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: 4\r\n\r\nevil",
        "PURGE /odd HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
        "get /odd HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
    ] {
        let answer = say(edge.http, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 200"), "{request:?}: {answer}");
    }
    let plain = get(edge.http, "/odd", "");
    assert_eq!(content(&plain), "GET []", "{plain}");
    // What makes an origin fail does not fail for others: such an answer is kept by its own word.
    let refusing = Origin::start(|seen| match seen.field("x-bad") {
        Some(_) => b"HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\nbad".to_vec(),
        None => kept("", "good"),
    });
    let edge = Edge::with_memory(refusing.port, "32 MiB");
    for (fields, expected) in [("X-Bad: 1\r\n", "bad"), ("", "good"), ("X-Bad: 1\r\n", "good")] {
        assert_eq!(content(&get(edge.http, "/page", fields)), expected, "{fields}");
    }
}

/// Web cache deception: a personal page under a name that looks like a file. Only what the origin
/// says decides; no ending of a path does.
#[test]
fn looks_deceive_nobody() {
    let origin = Origin::start(|seen| {
        let user = seen.field("cookie").unwrap_or("nobody").to_owned();
        let page = format!("account of {user}");
        match seen.path().split('?').next().unwrap_or_default() {
            path if path.starts_with("/silent") => response("", page),
            path if path.starts_with("/private") => {
                response("cache-control: private, max-age=60\r\n", page)
            }
            path if path.starts_with("/cookie") => response("set-cookie: s=1\r\n", page),
            _ => response("cache-control: no-store\r\n", page),
        }
    });
    let edge = Edge::with_memory(origin.port, "32 MiB");
    for kind in ["silent", "private", "cookie", "nostore"] {
        for ending in
            ["", ".css", "/x.css", ";x.css", "%2Fx.css", "/%2e%2e/x.js", "?x.css", "%00.css"]
        {
            let path = format!("/{kind}/me{ending}");
            let victim = get(edge.http, &path, "Cookie: victim\r\n");
            assert!(victim.contains("account of victim"), "{path}: {victim}");
            let other = get(edge.http, &path, "");
            assert!(content(&other).ends_with("account of nobody"), "{path}: {other}");
        }
    }
    // RFC 9111 3.5: with Authorization only what says so is for all.
    let basic = Origin::start(|seen| kept("", seen.field("authorization").unwrap_or("none")));
    let edge = Edge::with_memory(basic.port, "32 MiB");
    let first = get(edge.http, "/a.css", "Authorization: Basic secret\r\n");
    assert!(first.contains("Basic secret"), "{first}");
    assert_eq!(content(&get(edge.http, "/a.css", "")), "none");
}

/// Every URL is its own: none that differs in an octet of its path or query gets another's answer.
#[test]
fn keys_do_not_collide() {
    let origin = Origin::start(|seen| kept("", format!("[{}]", seen.path())));
    let edge = Edge::with_memory(origin.port, "32 MiB");
    let paths = [
        "/a",
        "/A",
        "/a/",
        "//a",
        "/a?",
        "/a?b",
        "/a?b=",
        "/a?b&c",
        "/a?b%26c",
        "/a?c&b",
        "/a%3Fb",
        "/a%2fb",
        "/a/b",
        "/a%2Fb",
        "/a;b",
        "/a%00",
        "/%61",
        "/./a",
        "/x/../a",
        "/x/%2e%2e/a",
        "/a%20b",
        "/a+b",
        "/a?b=http://a.test/a",
        "/http://a.test/a",
        "/a%0d%0ax:y",
        "/a\\b",
    ];
    for round in 1..=2 {
        for path in paths {
            let answer = get(edge.http, path, "");
            assert_eq!(content(&answer), format!("[{path}]"), "{answer}");
            assert_eq!(answer.contains("; hit"), round == 2, "{path}: {answer}");
        }
    }
    for path in paths {
        assert_eq!(origin.count(path), 1, "{path}: as it came, and once");
    }
    // A fragment is no part of a request (RFC 9112 3.2), nor are octets that no URL has.
    for path in ["/a#b", "/a\u{7f}", "/a\u{1}"] {
        let answer = get(edge.http, path, "");
        let of_a = content(&answer) == "[/a]";
        assert!(of_a || answer.starts_with("HTTP/1.1 400"), "{path:?}: {answer}");
    }
}

/// Many ranges in one field would be many answers: the field is passed over (RFC 9110 14.2).
#[test]
fn range_bombs() {
    let origin = Origin::start(|_| kept("", vec![b'r'; 200_000]));
    let edge = Edge::with_memory(origin.port, "32 MiB");
    assert_eq!(content(&get(edge.http, "/file", "")).len(), 200_000);
    let many = vec!["0-"; 8_000].join(",");
    for range in [many.as_str(), "0-,0-,0-", "5-0,1-2", "0-1,-1", "5-1", "x", "-"] {
        let answer = get(edge.http, "/file", &format!("Range: bytes={range}\r\n"));
        let shown = &range[..range.len().min(20)];
        assert!(answer.starts_with("HTTP/1.1 200"), "{shown}: {}", &answer[..100]);
        assert_eq!(content(&answer).len(), 200_000, "{shown}");
    }
    for range in ["200000-", "-0", "99999999999999999999999-"] {
        let answer = get(edge.http, "/file", &format!("Range: bytes={range}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 416"), "{range}: {answer}");
    }
    assert_eq!(origin.count("/file"), 1);
}

/// A response in which a client's own field decides is many: beyond `vary_limit` (8 when unset)
/// they are passed on and not kept, and those that are there stay.
#[test]
fn vary_explosions() {
    let origin =
        Origin::start(|seen| kept("vary: x-any\r\n", seen.field("x-any").unwrap_or("none")));
    let edge = Edge::with_memory(origin.port, "32 MiB");
    for number in 0..300 {
        let value = format!("v{number}");
        let answer = get(edge.http, "/page", &format!("X-Any: {value}\r\n"));
        assert_eq!(content(&answer), value);
        let told = field(&answer, "cache-status").unwrap_or_default();
        assert_eq!(told.contains("RESP_VARY_LIMIT"), number >= 8, "{number}: {answer}");
    }
    for (value, kept) in [("v0", true), ("v7", true), ("v299", false)] {
        let answer = get(edge.http, "/page", &format!("X-Any: {value}\r\n"));
        assert_eq!(answer.contains("; hit"), kept, "{answer}");
        assert_eq!(content(&answer), value);
    }
}

/// Nothing is unpacked here: what is small when it is packed stays small.
#[test]
fn compression_bombs() {
    // Ten octets that mean as many as somebody likes.
    let packed = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    let origin = Origin::start(move |seen| match seen.path() {
        "/up" => kept("", seen.content.len().to_string()),
        _ => kept("content-encoding: gzip\r\n", packed),
    });
    let edge = Edge::with_memory(origin.port, "32 MiB");
    let upload = [
        &b"POST /up HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Encoding: gzip\r\n\
           Content-Length: 10\r\n\r\n"[..],
        &packed,
    ]
    .concat();
    let answer = say(edge.http, &upload);
    assert_eq!(content(&answer), "10", "{answer}");
    let seen = origin.seen();
    assert_eq!(seen[0].field("content-encoding"), Some("gzip"));
    for _ in 0..2 {
        let answer = get(edge.http, "/down", "Accept-Encoding: gzip\r\n");
        assert_eq!(field(&answer, "content-length"), Some("10"), "{answer}");
    }
}
