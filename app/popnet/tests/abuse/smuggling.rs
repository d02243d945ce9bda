//! Requests that two parsers read in two ways. Whatever the trick, the origin never sees
//! `/smuggled`, and sees each request with one length.

use crate::edge::Edge;
use crate::origin::{Origin, kept, say};

/// What a trick hides.
const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// Heads that have to be refused, and no further request be read on their connection. `{}` is what
/// follows the head.
const REFUSED: [(&str, &str); 34] = [
    ("CL.TE", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{}"),
    ("TE.CL", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n{}\r\n0\r\n\r\n"),
    ("CL.0 and TE", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{}"),
    ("CL.CL", "Content-Length: 0\r\nContent-Length: 44\r\n\r\n{}"),
    ("CL.CL equal", "Content-Length: 44\r\nContent-Length: 44\r\n\r\n{}"),
    ("CL list", "Content-Length: 0, 44\r\n\r\n{}"),
    ("CL sign", "Content-Length: +44\r\n\r\n{}"),
    ("CL minus", "Content-Length: -1\r\n\r\n{}"),
    ("CL hex", "Content-Length: 0x2c\r\n\r\n{}"),
    ("CL underscore", "Content-Length: 4_4\r\n\r\n{}"),
    ("CL inner space", "Content-Length: 4 4\r\n\r\n{}"),
    ("CL vertical tab", "Content-Length: \x0b44\r\n\r\n{}"),
    ("CL huge", "Content-Length: 18446744073709551660\r\n\r\n{}"),
    ("CL space before colon", "Content-Length : 44\r\n\r\n{}"),
    ("CL tab before colon", "Content-Length\t: 44\r\n\r\n{}"),
    ("TE space before colon", "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{}"),
    ("TE vertical tab", "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n{}"),
    ("TE twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n{}"),
    ("TE not last", "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{}"),
    ("TE prefix", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{}"),
    ("TE quoted", "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n{}"),
    ("TE null", "Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n{}"),
    ("TE folded", "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{}"),
    ("obs-fold", "X: a\r\n Content-Length: 44\r\n\r\n{}"),
    ("obs-fold first", " X: a\r\n\r\n{}"),
    ("bare CR", "X: a\rContent-Length: 44\r\n\r\n{}"),
    ("bare LF", "X: a\nContent-Length: 44\r\n\r\n{}"),
    ("LF LF", "X: a\n\n{}"),
    ("null", "X: a\0b\r\n\r\n{}"),
    ("no colon", "X\r\n\r\n{}"),
    ("duplicate Host", "Host: b.test\r\n\r\n{}"),
    ("Host folded", "X: a\r\nHost: a.test\r\n\r\n{}"),
    ("Host with space", "Host : b.test\r\n\r\n{}"),
    ("null in name", "Ho\0st: b.test\r\n\r\n{}"),
];

/// Chunked content that has to be refused.
const CHUNKS: [&str; 14] = [
    "0x0\r\n\r\n{}",
    "-0\r\n\r\n{}",
    "+0\r\n\r\n{}",
    " 0\r\n\r\n{}",
    "0 0\r\n\r\n{}",
    "0\n\n{}",
    "0\r\r\n{}",
    "0;a\nb\r\n\r\n{}",
    "0;a\rb\r\n\r\n{}",
    "1\r\nab0\r\n\r\n{}",
    "1\r\na\n0\r\n\r\n{}",
    "10000000000000000\r\n\r\n{}",
    "0\r\nX : y\r\n\r\n{}",
    "0\r\n folded\r\n\r\n{}",
];

/// Sends `request`; the first status, and how many answers came.
fn told(port: u16, request: &str) -> (String, usize) {
    let answer = say(port, request.as_bytes());
    let status = answer.get(9..12).unwrap_or_default().to_owned();
    (status, answer.matches("HTTP/1.1 ").count())
}

#[test]
fn nothing_is_smuggled() {
    let origin = Origin::start(|seen| kept("", seen.path()));
    let edge = Edge::with_memory(origin.port, "32 MiB");
    for (trick, rest) in REFUSED {
        let rest = rest.replace("{}", HIDDEN);
        let request = format!("POST /front HTTP/1.1\r\nHost: a.test\r\n{rest}");
        let (status, answers) = told(edge.http, &request);
        assert_eq!((status.as_str(), answers), ("400", 1), "{trick}: {request:?}");
    }
    for rest in CHUNKS {
        let content = rest.replace("{}", HIDDEN);
        let head = "POST /front HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (status, answers) = told(edge.http, &format!("{head}{content}"));
        // The head may have gone forward already; the content broke off there, too.
        assert!(matches!(&*status, "400" | "502") && answers == 1, "{content:?}: {status}");
    }
    let coded = "POST /front HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
    assert_eq!(told(edge.http, &format!("{coded}0\r\n\r\n")).0, "501");
    // First lines.
    for (line, status) in [
        ("GET /front HTTP/1.1 x", "400"),
        ("GET /a b HTTP/1.1", "400"),
        ("GET\t/front HTTP/1.1", "400"),
        ("GET  /front HTTP/1.1", "400"),
        ("GET /front", "400"),
        ("GET /front HTTP/1.2", "505"),
        ("GET http:// HTTP/1.1", "400"),
        ("GET http://user@a.test/ HTTP/1.1", "400"),
        ("GET ftp://a.test/ HTTP/1.1", "400"),
        ("GET a.test:80 HTTP/1.1", "400"),
        ("GET * HTTP/1.1", "400"),
        ("CONNECT a.test:80 HTTP/1.1", "501"),
        ("TRACE / HTTP/1.1", "501"),
    ] {
        let request = format!("{line}\r\nHost: a.test\r\n\r\n");
        assert_eq!(told(edge.http, &request).0, status, "{line}");
    }
    let reached = origin.seen();
    for seen in &reached {
        assert_ne!(seen.path(), "/smuggled", "{seen:?}");
        let lengths = seen.head.to_ascii_lowercase();
        let count = |name: &str| lengths.matches(&format!("\r\n{name}:")).count();
        assert!(count("content-length") + count("transfer-encoding") <= 1, "{seen:?}");
        assert_eq!(count("host"), 1, "{seen:?}");
    }
}

/// What is well-formed goes on, rewritten by us: nothing of its framing reaches the origin as it
/// came, and an absolute target counts more than `Host`.
#[test]
fn what_goes_on_is_written_anew() {
    let origin = Origin::start(|seen| kept("", seen.path()));
    let edge = Edge::with_memory(origin.port, "32 MiB");
    let chunked = "POST /chunked HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n\
                   2;ext=\"\r\nab\r\n0\r\nContent-Length: 9\r\nHost: b.test\r\n\r\n";
    assert_eq!(told(edge.http, chunked), ("200".to_owned(), 1));
    let absolute = "GET http://a.test/absolute HTTP/1.1\r\nHost: b.test\r\n\r\n";
    assert_eq!(told(edge.http, absolute), ("200".to_owned(), 1));
    let both =
        format!("POST /first HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nab{HIDDEN}");
    assert_eq!(told(edge.http, &both), ("200".to_owned(), 2), "two requests are two requests");
    let seen = origin.seen();
    let of = |path: &str| seen.iter().find(|seen| seen.path() == path).unwrap();
    assert!(!of("/chunked").head.contains("ext"), "{seen:?}");
    let content = String::from_utf8_lossy(&of("/chunked").content);
    assert!(content.contains("ab") && !content.contains("b.test"), "{content}");
    assert_eq!(of("/absolute").field("host"), Some("a.test"));
    assert_eq!(of("/first").content, b"ab");
}
