//! Floods against a node with 32 MiB to keep things in: what it holds in memory stays below that
//! and a margin, stated here and in docs/operate/abuse.md, and others are served meanwhile.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::edge::Edge;
use crate::frames::{
    END_HEADERS, END_STREAM, HEADERS, Http2, PING, SETTINGS, WINDOW_UPDATE, frame, request, section,
};
use crate::origin::{Origin, content, get, kept, response};

/// `memory` of the node.
const MEMORY: u64 = 32 << 20;

/// What a node may hold beside what it keeps: buffers of exchanges under way, books of both tiers,
/// and what the allocator has not given back yet.
const MARGIN: u64 = 96 << 20;

/// What an answer that comes from an origin holds on its way through both tiers while its client
/// does not read.
const UNREAD: u64 = 400 << 10;

/// Runs `flood` against a node in front of `origin`; the node stays within its bound, and XX.
fn bounded<T>(origin: &Origin, what: &str, unread: u64, flood: impl FnOnce(&Edge) -> T) {
    let edge = Edge::with_memory(origin.port, "32 MiB");
    let (most, over) = (AtomicU64::new(edge.resident()), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                most.fetch_max(edge.resident(), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(10));
            }
        });
        let _end = End(&over);
        assert_eq!(content(&get(edge.http, "/other", "")), "other", "{what}");
        let held = flood(&edge);
        let answer = get(edge.http, "/other", "");
        assert!(content(&answer) == "other" && answer.contains("; hit"), "{what}: {answer}");
        drop(held);
    });
    let most = most.load(Ordering::Relaxed);
    assert!(most < MEMORY + MARGIN + unread * UNREAD, "{what}: {} MiB", most >> 20);
}

/// Ends the watch, also when something failed.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Pages of 20,000 octets, a large file, and what may not be kept.
fn origin() -> Origin {
    let large = vec![b'l'; 4 << 20];
    Origin::start(move |seen| match seen.path().split(['/', '?']).nth(1).unwrap_or_default() {
        "other" => kept("", "other"),
        "vary" => kept("vary: x-any\r\n", vec![b'v'; 20_000]),
        "large" => response("cache-control: no-store\r\n", &large),
        _ => kept("", vec![b'p'; 20_000]),
    })
}

/// Waits until memory grows no more.
fn until_it_rests(edge: &Edge) {
    let (mut last, mut rests) = (edge.resident(), 0);
    for _ in 0..80 {
        thread::sleep(Duration::from_millis(250));
        let now = edge.resident();
        rests = if now > last + (1 << 20) { 0 } else { rests + 1 };
        if rests == 4 {
            return;
        }
        last = now;
    }
}

/// A connection that has sent `octets` and reads nothing.
fn holding(edge: &Edge, octets: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", edge.http)).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let _ = stream.write_all(octets);
    stream
}

#[test]
fn many_urls() {
    bounded(&origin(), "many URLs", 0, |edge| {
        let mut stream = TcpStream::connect(("127.0.0.1", edge.http)).unwrap();
        let mut answer = vec![0; 1 << 20];
        for number in 0..10_000 {
            let line = format!("GET /page/{number} HTTP/1.1\r\nHost: a.test\r\n\r\n");
            stream.write_all(line.as_bytes()).unwrap();
            let mut got = 0;
            while got < 20_100 || !answer[..got].ends_with(b"pp") {
                got += stream.read(&mut answer[got..]).unwrap();
            }
        }
    });
}

#[test]
fn many_variants() {
    bounded(&origin(), "many variants", 0, |edge| {
        for number in 0..2_000 {
            get(edge.http, "/vary", &format!("X-Any: {number}\r\n"));
        }
    });
}

#[test]
fn heads_that_do_not_end() {
    bounded(&origin(), "1,000 heads that do not end", 0, |edge| {
        let head = format!("GET /{} HTTP/1.1\r\nHost: a.test\r\nX: ", "h".repeat(60_000));
        (0..1_000).map(|_| holding(edge, head.as_bytes())).collect::<Vec<_>>()
    });
}

#[test]
fn content_that_does_not_come() {
    bounded(&origin(), "500 uploads that rest", 0, |edge| {
        let head = "POST /page HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000000\r\n\r\n";
        let octets = [head.as_bytes(), &[b'u'; 100_000]].concat();
        (0..500).map(|_| holding(edge, &octets)).collect::<Vec<_>>()
    });
}

#[test]
fn answers_that_nobody_reads() {
    bounded(&origin(), "200 answers that nobody reads", 200, |edge| {
        let asking = b"GET /large HTTP/1.1\r\nHost: a.test\r\n\r\n".repeat(10);
        let held: Vec<_> = (0..200).map(|_| holding(edge, &asking)).collect();
        until_it_rests(edge);
        held
    });
}

#[test]
fn streams_that_nobody_reads() {
    bounded(&origin(), "20 × 100 streams that nobody reads", 2_000, |edge| {
        let mut held = Vec::new();
        for _ in 0..20 {
            let mut connection = Http2::silent(edge);
            // SETTINGS_INITIAL_WINDOW_SIZE as large as can be.
            let window = [&4_u16.to_be_bytes()[..], &0x7fff_ffff_u32.to_be_bytes()].concat();
            connection.send(&frame(SETTINGS, 0, 0, &window));
            connection.send(&frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes()));
            for number in 0..100 {
                let path = format!("/large/{number}");
                let head = section(&request("GET", &path));
                let flags = END_HEADERS | END_STREAM;
                connection.send(&frame(HEADERS, flags, 2 * number + 1, &head));
            }
            held.push(connection);
        }
        until_it_rests(edge);
        held
    });
}

#[test]
fn frames_that_ask_for_frames() {
    bounded(&origin(), "pings and settings without end", 0, |edge| {
        let mut held = Vec::new();
        for (kind, content) in [(PING, vec![0; 8]), (SETTINGS, vec![0, 4, 0, 0, 255, 255])] {
            let mut connection = Http2::open(edge);
            let batch = frame(kind, 0, 0, &content).repeat(2_000);
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(3) && connection.send(&batch) {}
            held.push(connection);
        }
        held
    });
}

#[test]
fn parts_without_end() {
    let large = vec![b'l'; 24 << 20];
    let origin = Origin::start(move |seen| {
        if seen.path() == "/other" {
            return kept("", "other");
        }
        let range = seen.field("range").and_then(|range| range.strip_prefix("bytes="));
        let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
            return kept("", &large);
        };
        let first: usize = first.parse().unwrap();
        let end = last.parse().map_or(large.len(), |last: usize| large.len().min(last + 1));
        let told = format!("content-range: bytes {first}-{}/{}\r\n", end - 1, large.len());
        let whole = kept(&told, &large[first..end]);
        let text = whole.strip_prefix(b"HTTP/1.1 200 OK").unwrap();
        [&b"HTTP/1.1 206 Partial Content"[..], text].concat()
    });
    bounded(&origin, "300 parts of a large file", 0, |edge| {
        for number in 1..300 {
            let (first, url) = (number * 70_001, number % 5);
            let last = first + 1_000_000;
            get(edge.http, &format!("/film{url}"), &format!("Range: bytes={first}-{last}\r\n"));
        }
    });
}
