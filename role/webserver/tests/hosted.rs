#![expect(clippy::unwrap_used, reason = "a test")]
//! A site whose origin is a folder: real files, asked over the disk tier's socket.

#[expect(dead_code, reason = "what origins that are servers need")]
mod support;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use http::Request;
use popnet_http::body::Body;
use popnet_terms::OriginId;
use popnet_wire::sheet::{OriginAddress, Sheet};
use support::{Got, Node, SITE, sheet};

const DISK: u64 = 64 << 20;

fn hosted(folder: &Path) -> Sheet {
    let mut sheet = sheet(&[]);
    let origin = OriginAddress {
        id: OriginId { group: "www".into(), server: "directory".into() },
        host: folder.to_str().unwrap().into(),
        port: 0,
        tls: false,
    };
    sheet.sites.iter_mut().for_each(|site| site.origins.push(origin.clone()));
    sheet
}

fn put(folder: &Path, name: &str, octets: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, octets).unwrap();
    age(&path, 3_600);
}

/// Makes a file as old as that, so that its tag is a strong one.
fn age(path: &Path, seconds: u64) {
    let then = SystemTime::now() - Duration::from_secs(seconds);
    File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

async fn ask(node: &Node, method: &str, path: &str, fields: &[(&str, &str)]) -> Got {
    let mut request = Request::builder().method(method).uri(path).header("host", SITE);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    node.ask(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn pages_types_and_validators() {
    let at = tempfile::tempdir().unwrap();
    let www = at.path().join("www");
    put(&www, "index.html", b"<p>front");
    put(&www, "a/index.html", b"<p>a");
    put(&www, "a/logo.svg", b"<svg/>");
    put(&www, "a b/c.bin", &[0, 1, 2]);
    put(&www, ".well-known/security.txt", b"Contact: x");
    let node = Node::start(at.path(), hosted(&www), DISK).await;

    let front = node.get("/").await;
    assert_eq!((front.status.as_u16(), front.text()), (200, "<p>front"));
    assert_eq!(front.field("content-type"), "text/html; charset=utf-8");
    assert_eq!(front.field("content-length"), "8");
    assert_eq!(front.field("popnet-origin"), "www/directory; status=200; bytes=8");
    assert_eq!(node.get("/a/").await.text(), "<p>a");
    let moved = node.get("/a?x=1").await;
    assert_eq!((moved.status.as_u16(), moved.field("location")), (301, "/a/?x=1"));
    assert_eq!(node.get("/a/logo.svg").await.field("content-type"), "image/svg+xml");
    let plain = node.get("/a%20b/c.bin").await;
    assert_eq!(plain.field("content-type"), "application/octet-stream");
    assert_eq!(plain.body.unwrap().as_ref(), [0, 1, 2]);
    assert_eq!(node.get("/.well-known/security.txt").await.text(), "Contact: x");
    assert_eq!(node.get("/a%20b/").await.status, 404, "no listing");

    let tag = front.field("etag");
    assert!(tag.starts_with('"'), "strong: {tag}");
    // Another method than GET goes by the cache and comes to the folder as it is.
    let head = ask(&node, "HEAD", "/a/logo.svg", &[]).await;
    assert_eq!((head.status.as_u16(), head.field("content-length")), (200, "6"));
    let post = ask(&node, "POST", "/a/logo.svg", &[]).await;
    assert_eq!((post.status.as_u16(), post.field("allow")), (405, "GET, HEAD"));
}

#[tokio::test]
async fn conditions_and_ranges() {
    let at = tempfile::tempdir().unwrap();
    let www = at.path().join("www");
    put(&www, "ten.txt", b"0123456789");
    // Nothing is stored: every question comes to the folder.
    let node = Node::start(at.path(), hosted(&www), 0).await;
    let first = node.get("/ten.txt").await;
    let (tag, modified) = (first.field("etag"), first.field("last-modified"));
    let check = async |fields: &[(&str, &str)], status: u16, text: &str, range: &str| {
        let got = ask(&node, "GET", "/ten.txt", fields).await;
        let found = (got.status.as_u16(), got.field("content-range"));
        assert_eq!(found, (status, range), "{fields:?}");
        if status < 300 {
            assert_eq!(got.text(), text, "{fields:?}");
            assert_eq!(got.field("etag"), tag, "{fields:?}");
        }
    };
    check(&[("range", "bytes=2-4")], 206, "234", "bytes 2-4/10").await;
    check(&[("range", "bytes=7-")], 206, "789", "bytes 7-9/10").await;
    check(&[("range", "bytes=-2")], 206, "89", "bytes 8-9/10").await;
    check(&[("range", "bytes=10-")], 416, "", "bytes */10").await;
    check(&[("range", "bytes=1-2"), ("if-range", tag)], 206, "12", "bytes 1-2/10").await;
    check(&[("range", "bytes=1-2"), ("if-range", "\"x\"")], 200, "0123456789", "").await;
    check(&[("range", "bytes=1-2"), ("if-range", modified)], 206, "12", "bytes 1-2/10").await;
    check(&[("if-none-match", tag)], 304, "", "").await;
    check(&[("if-modified-since", modified)], 304, "", "").await;
    check(&[("if-none-match", "\"x\""), ("if-modified-since", modified)], 200, "0123456789", "")
        .await;
    check(&[("if-match", "\"x\"")], 412, "", "").await;
    check(&[("if-match", tag)], 200, "0123456789", "").await;
    check(&[("if-unmodified-since", modified)], 200, "0123456789", "").await;
    let long_ago = "Sun, 06 Nov 1994 08:49:37 GMT";
    check(&[("if-unmodified-since", long_ago)], 412, "", "").await;

    // A file that was changed just now has no strong tag yet; a changed one has another.
    fs::write(www.join("ten.txt"), "9876543210").unwrap();
    let fresh = node.get("/ten.txt").await;
    assert!(fresh.field("etag").starts_with("W/"), "{:?}", fresh.fields);
    age(&www.join("ten.txt"), 60);
    let settled = node.get("/ten.txt").await;
    assert_ne!(settled.field("etag"), tag);
    assert_eq!(settled.text(), "9876543210");
}

#[tokio::test]
async fn nothing_outside_and_nothing_hidden() {
    let at = tempfile::tempdir().unwrap();
    let www = at.path().join("www");
    put(&www, "fine.txt", b"fine");
    put(&www, ".git/config", b"secret");
    put(&www, "a/.env", b"secret");
    put(at.path(), "secret.txt", b"secret");
    put(at.path(), "beside/secret.txt", b"secret");
    symlink("fine.txt", www.join("inner")).unwrap();
    symlink("../secret.txt", www.join("outer")).unwrap();
    symlink(at.path().join("secret.txt"), www.join("whole")).unwrap();
    symlink("../beside", www.join("folder")).unwrap();
    symlink("/proc/self/cwd", www.join("magic")).unwrap();
    symlink("circle", www.join("circle")).unwrap();
    nix::unistd::mkfifo(&www.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let node = Node::start(at.path(), hosted(&www), DISK).await;
    for path in [
        "/.git/config",
        "/a/.env",
        "/%2egit/config",
        "/outer",
        "/whole",
        "/folder/secret.txt",
        "/magic/Cargo.toml",
        "/circle",
        "/pipe",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/a/..%2f..%2fsecret.txt",
        "/..%5csecret.txt",
        "/fine.txt%00.html",
        "/fine.txt/",
        "/fine.txt/x",
        "//fine.txt",
        "/%2fetc/passwd",
        "/a",
        "/nothing",
        "/%ff%fe",
        "/fine%",
    ] {
        let got = node.get(path).await;
        let expected = if path == "/a" { 301 } else { 404 };
        assert_eq!(got.status.as_u16(), expected, "{path}");
        assert!(!got.text().contains("secret"), "{path}");
    }
    assert_eq!(node.get("/inner").await.text(), "fine");
    assert_eq!(node.get(&format!("/{}", "x".repeat(5_000))).await.status, 404);
}

#[tokio::test]
async fn cached_like_any_origin_and_gone_with_its_folder() {
    let at = tempfile::tempdir().unwrap();
    let www = at.path().join("www");
    put(&www, "big.bin", &vec![7; 3 << 20]);
    let mut sheet = hosted(&www);
    for site in &mut sheet.sites {
        site.cache.default_ttl = popnet_terms::Seconds(60);
    }
    let node = Node::start(at.path(), sheet, DISK).await;
    assert_eq!(node.hit("/big.bin").await.body.unwrap(), vec![7; 3 << 20]);
    fs::remove_dir_all(&www).unwrap();
    assert_eq!(node.hit("/big.bin").await.status, 200);
    let gone = node.get("/other").await;
    assert_eq!(gone.status, 502);
    let told = gone.field("proxy-status");
    assert!(told.contains("destination_unavailable") && !told.contains("www"), "{told}");
}

#[tokio::test]
async fn a_release_is_seen_whole() {
    let at = tempfile::tempdir().unwrap();
    let www = at.path().join("www");
    put(&www, ".releases/1/a.txt", b"one");
    put(&www, ".releases/2/a.txt", b"two");
    put(&www, "a.txt", b"below");
    let node = Node::start(at.path(), hosted(&www), 0).await;
    assert_eq!(node.get("/a.txt").await.text(), "below");
    for (number, text) in [("1", "one"), ("2", "two")] {
        symlink(format!(".releases/{number}"), www.join(".next")).unwrap();
        fs::rename(www.join(".next"), www.join(".current")).unwrap();
        assert_eq!(node.get("/a.txt").await.text(), text);
    }
    assert_eq!(node.get("/.releases/1/a.txt").await.status, 404);
    // A link that leads nowhere is no folder with other content.
    fs::remove_dir_all(www.join(".releases")).unwrap();
    assert_ne!(node.get("/a.txt").await.status, 200);
}

#[tokio::test]
async fn ten_gigabytes_looked_into_at_random() {
    const LENGTH: u64 = 10 << 30;
    const SLICE: u64 = 1 << 20;
    let at = tempfile::tempdir().unwrap();
    let www = at.path().join("www");
    put(&www, "film.bin", b"");
    let film = File::options().write(true).open(www.join("film.bin")).unwrap();
    film.set_len(LENGTH).unwrap();
    let places: Vec<u64> = (1..=40).map(|number| number * 262_144_007 % (LENGTH - 99)).collect();
    for place in &places {
        film.write_all_at(format!("{place:020}").as_bytes(), *place).unwrap();
    }
    age(&www.join("film.bin"), 3_600);
    let mut sheet = hosted(&www);
    for site in &mut sheet.sites {
        site.cache.default_ttl = popnet_terms::Seconds(60);
        site.cache.max_object = LENGTH * 2;
    }
    let node = Node::start(at.path(), sheet, DISK).await;
    let look = async |from: u64, to: u64| {
        let range = format!("bytes={from}-{to}");
        ask(&node, "GET", "/film.bin", &[("range", &range)]).await
    };
    for place in &places {
        let got = look(*place, place + 19).await;
        let told = format!("bytes {place}-{}/{LENGTH}", place + 19);
        assert_eq!((got.status.as_u16(), got.field("content-range")), (206, told.as_str()));
        assert_eq!(got.field("content-length"), "20");
        assert_eq!(got.text(), format!("{place:020}"));
        // No more than a place that lies across two slices needs.
        let asked = got.field("popnet-origin");
        let octets: u64 = asked.rsplit_once("bytes=").unwrap().1.parse().unwrap();
        assert!(octets <= 2 * SLICE, "{asked}");
    }
    // Close by it is there already.
    let place = places[7] - places[7] % SLICE;
    let late = std::time::Instant::now() + Duration::from_secs(5);
    let near = loop {
        let near = look(place + 5, place + 1_000_000).await;
        if near.field("popnet-cache").starts_with("hit_disk") {
            break near;
        }
        assert!(std::time::Instant::now() < late, "{:?}", near.fields);
    };
    assert_eq!(near.field("popnet-origin"), "");
    assert_eq!(near.body.unwrap().len(), 999_996);
    // Behind the end, in a slice that begins before it, and in one that does not.
    let gone = look(LENGTH, LENGTH + 9).await;
    assert_eq!(gone.field("content-range"), format!("bytes */{LENGTH}"));
    film.set_len(LENGTH - 100).unwrap();
    age(&www.join("film.bin"), 60);
    let gone = look(LENGTH - 50, LENGTH - 40).await;
    let told = format!("bytes */{}", LENGTH - 100);
    assert_eq!((gone.status.as_u16(), gone.field("content-range")), (416, told.as_str()));
}
