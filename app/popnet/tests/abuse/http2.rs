//! HTTP/2 as a way to smuggle towards an origin of HTTP/1.1, and as a way to make work.

use crate::edge::Edge;
use crate::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, Fate, HEADERS, Http2, RST_STREAM, frame, request,
    section,
};
use crate::origin::{Origin, kept};

/// RFC 9113 7.
const ENHANCE_YOUR_CALM: u32 = 11;
const OK: Fate = Fate::Answered(0x88);

/// RFC 9113 8.2 and 8.3: what cannot be said in HTTP/1.1, or would say something else there, ends
/// the stream, and nothing of it reaches the origin.
#[test]
fn nothing_is_smuggled_downwards() {
    let origin = Origin::start(|seen| kept("", seen.path()));
    let edge = Edge::with_memory(origin.port, "32 MiB");
    let get = request("GET", "/front");
    let with = |field: (&'static str, &'static str)| [&get[..], &[field]].concat();
    let tricks: Vec<Vec<(&str, &str)>> = vec![
        with(("transfer-encoding", "chunked")),
        with(("connection", "transfer-encoding")),
        with(("keep-alive", "1")),
        with(("proxy-connection", "close")),
        with(("upgrade", "h2c")),
        with(("te", "trailers, chunked")),
        with(("x", "a\r\ntransfer-encoding: chunked")),
        with(("x", "a\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a.test")),
        with(("x", "a\nb")),
        with(("x", "a\rb")),
        with(("x", "a\0b")),
        with(("x: y\r\ntransfer-encoding", "chunked")),
        with(("x y", "z")),
        with(("x:", "z")),
        with(("Upper", "z")),
        with(("", "z")),
        with((":path", "/smuggled")),
        with((":method", "POST")),
        with((":authority", "b.test")),
        with((":unknown", "x")),
        with(("content-length", "5")),
        with(("content-length", "x")),
        with(("content-length", "0, 0")),
        vec![("x", "before"), get[0], get[1], get[2], get[3]],
        request("GET", "/front HTTP/1.1\r\nhost: b.test\r\n\r\nGET /smuggled").to_vec(),
        request("GET", "/a b").to_vec(),
        request("GET", "").to_vec(),
        request("GET", "smuggled").to_vec(),
        request("GET /smuggled HTTP/1.1\r\nx: ", "/").to_vec(),
        request("", "/").to_vec(),
        vec![get[0], get[1], (":authority", "a.test\r\nx: y"), get[3]],
        vec![get[0], get[1], (":authority", "user@a.test"), get[3]],
        vec![get[0], get[1], get[3]],
        vec![get[0], get[2], get[3]],
        vec![get[1], get[2], get[3]],
    ];
    for trick in tricks {
        let mut connection = Http2::open(&edge);
        let fate = connection.ask(1, &trick, None);
        assert!(!matches!(fate, OK | Fate::Silence), "{trick:?}: {fate:?}");
    }
    let reached = origin.seen();
    assert!(reached.is_empty(), "{reached:?}");
}

/// What may be said is said once: one length, one host, and that is the authority's.
#[test]
fn what_goes_down_is_written_anew() {
    let origin = Origin::start(|seen| kept("", seen.path()));
    let edge = Edge::with_memory(origin.port, "32 MiB");
    // Content of another length than it says (RFC 9113 8.1.1).
    for (length, data) in [("3", "four"), ("44", "four"), ("0", "four")] {
        let fields = [&request("POST", "/post")[..], &[("content-length", length)]].concat();
        let fate = Http2::open(&edge).ask(1, &fields, Some(data.as_bytes()));
        assert!(!matches!(fate, OK | Fate::Silence), "{length}: {fate:?}");
    }
    let whole = origin.seen().iter().filter(|seen| seen.content == b"four").count();
    assert_eq!(whole, 0, "{:?}", origin.seen());
    let mut connection = Http2::open(&edge);
    let fields = [&request("POST", "/good")[..], &[("cookie", "a=1"), ("cookie", "b=2")]].concat();
    assert_eq!(connection.ask(1, &fields, Some(b"four")), OK);
    let two_hosts = [&request("GET", "/hosts")[..], &[("host", "b.test")]].concat();
    let fate = connection.ask(3, &two_hosts, None);
    let seen = origin.seen();
    let good = seen.iter().find(|seen| seen.path() == "/good").unwrap();
    assert_eq!(good.field("cookie"), Some("a=1; b=2"));
    for seen in seen.iter().filter(|seen| seen.path() == "/hosts") {
        assert_eq!(seen.field("host"), Some("a.test"), "{fate:?}");
        assert_eq!(seen.head.to_ascii_lowercase().matches("\r\nhost:").count(), 1);
    }
}

/// CVE-2023-44487: requests taken back as soon as they are made end the connection.
#[test]
fn rapid_reset() {
    let origin = Origin::start(|seen| kept("", seen.path()));
    let edge = Edge::with_memory(origin.port, "32 MiB");
    let mut connection = Http2::open(&edge);
    let head = section(&request("GET", "/reset"));
    let mut batch = Vec::new();
    for number in 0..20_000 {
        let stream = 2 * number + 1;
        batch.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &head));
        batch.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        if batch.len() > 32 << 10 && !connection.send(&std::mem::take(&mut batch)) {
            break;
        }
    }
    // The word may be lost when what was sent after it meets a closed connection.
    let fate = connection.fate(u32::MAX);
    assert!(matches!(fate, Fate::Ended(ENHANCE_YOUR_CALM) | Fate::Closed), "{fate:?}");
    let asked = origin.count("/reset");
    assert!(asked < 1_000, "the origin was asked {asked} times");
    assert_eq!(Http2::open(&edge).ask(1, &request("GET", "/after"), None), OK);
}

/// CVE-2024-27316: a head in ever more frames ends, as does one in ever so many small ones.
#[test]
fn continuation_flood() {
    let edge = Edge::with_memory(Origin::start(|seen| kept("", seen.path())).port, "32 MiB");
    let value = "v".repeat(1_000);
    for piece in [section(&[("x", &value)]).repeat(16), section(&[("x", "y")]), Vec::new()] {
        let mut connection = Http2::open(&edge);
        connection.send(&frame(HEADERS, END_STREAM, 1, &section(&request("GET", "/front"))));
        let one = frame(CONTINUATION, 0, 1, &piece);
        let batch = one.repeat((32 << 10) / one.len() + 1);
        let mut sent = 0;
        while sent < 64 << 20 && connection.send(&batch) {
            sent += batch.len();
        }
        assert!(sent < 64 << 20, "{} octets a frame: {sent} octets were taken", piece.len());
        let fate = connection.fate(1);
        assert!(matches!(fate, Fate::Ended(_) | Fate::Closed), "{fate:?}");
    }
    assert_eq!(Http2::open(&edge).ask(1, &request("GET", "/after"), None), OK);
}

/// A head of too many octets is refused in words, or ends the stream.
#[test]
fn heads_are_bounded() {
    let origin = Origin::start(|seen| kept("", seen.path()));
    let edge = Edge::with_memory(origin.port, "32 MiB");
    let long = "v".repeat(15_000);
    for fields in [vec![("x", long.as_str()); 5], vec![("x", "y"); 3_000]] {
        let mut connection = Http2::open(&edge);
        let all = section(&[&request("GET", "/front")[..], &fields[..]].concat());
        let mut pieces = all.chunks(16_000).peekable();
        let mut kind = HEADERS;
        while let Some(piece) = pieces.next() {
            let last = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            let end = if kind == HEADERS { END_STREAM } else { 0 };
            connection.send(&frame(kind, last | end, 1, piece));
            kind = CONTINUATION;
        }
        let fate = connection.fate(1);
        assert!(!matches!(fate, OK | Fate::Silence), "{fate:?}");
    }
    assert!(origin.seen().is_empty(), "{:?}", origin.seen());
    // A field that stands for many (RFC 7541): 4,000 octets said once, meant four thousand times.
    let mut connection = Http2::open(&edge);
    let mut bomb = section(&request("GET", "/bomb"));
    let mut named = section(&[("bomb", &"b".repeat(4_000))]);
    named[0] = 0x40;
    bomb.extend(named);
    bomb.extend(vec![0xbe; 8_000]);
    connection.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb));
    let fate = connection.fate(1);
    assert!(!matches!(fate, OK | Fate::Silence), "{fate:?}");
    assert!(origin.seen().is_empty());
}
