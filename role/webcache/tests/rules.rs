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

/// A server of `0123456789`, part by part.
fn by_parts(seen: &world::Seen) -> Reaction {
    const DIGITS: &str = "0123456789";
    let always = "etag: \"a\"\r\ncache-control: max-age=60";
    let part = match seen.field("range") {
        None => return Reaction::ok(always, DIGITS),
        Some("bytes=-5") => 5..10,
        Some("bytes=2-3") => 2..4,
        Some(_) => 4..10,
    };
    let told = format!("{always}\r\ncontent-range: bytes {}-{}/10", part.start, part.end - 1);
    let mut reaction = Reaction::ok(&told, &DIGITS[part]);
    reaction.head = reaction.head.replace("200 OK", "206 Partial Content");
    reaction
}

#[tokio::test]
async fn parts_are_fetched_and_kept_as_parts() {
    let world = World::new(ROOM, by_parts).await;
    let get = async |range: &str| {
        let answer = world.get("/x", &format!("Range: bytes={range}\r\n")).await;
        let told = answer.field("content-range").unwrap_or("-").to_owned();
        let content = String::from_utf8(answer.content.clone()).unwrap();
        (answer.status, told, content, world.asked())
    };
    let expect =
        |told: &str, content: &str, asked: usize| (206, told.to_owned(), content.to_owned(), asked);
    assert_eq!(get("-5").await, expect("bytes 5-9/10", "56789", 1));
    assert_eq!(world.last_seen().field("range"), Some("bytes=-5"));
    assert_eq!(get("-5").await, expect("bytes 5-9/10", "56789", 1));
    assert_eq!(get("6-7").await, expect("bytes 6-7/10", "67", 1), "from what is stored");
    assert_eq!(get("9-").await, expect("bytes 9-9/10", "9", 1));
    assert_eq!(get("2-3").await, expect("bytes 2-3/10", "23", 2), "beside the other part");
    assert_eq!(get("-5").await, expect("bytes 5-9/10", "56789", 2));
    // The whole is asked for without a range, and answers every range from then on.
    let whole = world.get("/x", "").await;
    assert_eq!((whole.status, whole.content.as_slice()), (200, b"0123456789".as_slice()));
    assert!(whole.cache_status().contains("fwd=partial"), "{}", whole.head);
    assert_eq!(world.last_seen().field("range"), None);
    assert_eq!(get("1-2").await, expect("bytes 1-2/10", "12", 3));
    let head = world.ask("HEAD", "/x", "Range: bytes=-5\r\n", b"").await;
    assert_eq!((head.status, head.field("content-length")), (200, Some("10")));
    // What begins at the first octet brings the whole.
    let first = world.get("/y", "Range: bytes=0-3\r\n").await;
    assert_eq!((first.status, first.content.as_slice()), (206, b"0123".as_slice()));
    assert_eq!((world.asked(), world.last_seen().field("range")), (4, None));
    // A purge takes parts as well.
    assert_eq!(get("-5").await.3, 4);
    let what = PurgeWhat::Url { site: "a.test".into(), host: "a.test".into(), path: "/x".into() };
    assert_eq!(world.purge(what, PurgeKind::Hard).await, 3);
    assert_eq!(get("-5").await.3, 5);
}

#[tokio::test]
async fn many_who_want_one_part_share_its_fetch_and_no_other() {
    let (open, gate) = watch::channel(false);
    let world = World::new(ROOM, move |seen| {
        let mut reaction = by_parts(seen);
        let content = reaction.pieces.remove(0);
        let head = std::mem::replace(&mut reaction.head, "HTTP/1.1 102 Processing".to_owned());
        let last = [head.as_bytes(), b"\r\n\r\n", &content].concat();
        reaction.pieces = vec![bytes::Bytes::new(), last.into()];
        reaction.gate = Some(gate.clone());
        reaction
    })
    .await;
    let ask = |range: &str| {
        let head = format!(
            "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nRange: bytes={range}\r\n\r\n"
        );
        let to = world.http;
        tokio::spawn(async move { raw(to, head.as_bytes()).await })
    };
    let asking: Vec<_> = ["-5", "2-3", "-5", "2-3", "-5"].map(ask).into();
    while world.asked() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    open.send_replace(true);
    for answer in asking {
        let answer = String::from_utf8(answer.await.unwrap()).unwrap();
        assert!(answer.ends_with("\r\n\r\n56789") || answer.ends_with("\r\n\r\n23"), "{answer}");
    }
    assert_eq!(world.asked(), 2, "one fetch for each part");
}

/// A server of a file of 3 MiB and 10 octets, `fields` with every part.
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]
fn large(fields: &'static str) -> impl Fn(&world::Seen) -> Reaction {
    const LENGTH: usize = (3 << 20) + 10;
    move |seen| {
        let content: Vec<u8> = (0..LENGTH).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let Some(range) = seen.field("range") else { return Reaction::ok(fields, content) };
        let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let first: usize = first.parse().unwrap();
        let end = LENGTH.min(last.parse::<usize>().unwrap() + 1);
        if first >= LENGTH {
            let told = format!("content-length: 0\r\ncontent-range: bytes */{LENGTH}");
            return Reaction::status("416 Range Not Satisfiable", &told);
        }
        let told = format!("{fields}\r\ncontent-range: bytes {first}-{}/{LENGTH}", end - 1);
        let mut reaction = Reaction::ok(&told, content[first..end].to_vec());
        reaction.head = reaction.head.replace("200 OK", "206 Partial Content");
        reaction
    }
}

#[tokio::test]
async fn of_a_large_file_whole_slices_go_forward() {
    for (fields, asked) in
        [("etag: \"a\"\r\ncache-control: max-age=60", 1), ("cache-control: no-store", 3)]
    {
        let world = World::new(64 << 20, large(fields)).await;
        for (first, last) in
            [(1_500_000, 1_500_009), (1_048_576, 2_097_151), (1_500_005, 1_500_005)]
        {
            let got = world.get("/f", &format!("Range: bytes={first}-{last}\r\n")).await;
            let told = format!("bytes {first}-{last}/3145738");
            assert_eq!(
                (got.status, got.field("content-range")),
                (206, Some(told.as_str())),
                "{fields}"
            );
            let expected: Vec<u8> =
                (first..=last).map(|at: u64| u8::try_from(at % 251).unwrap()).collect();
            assert!(got.content == expected, "{fields} {first}");
            assert_eq!(world.last_seen().field("range"), Some("bytes=1048576-2097151"));
        }
        assert_eq!(world.asked(), asked, "{fields}");
        // The end of the file lies in the slice; what is asked for, behind it.
        let tail = world.get("/f", "Range: bytes=3145730-3145999\r\n").await;
        assert_eq!(tail.field("content-range"), Some("bytes 3145730-3145737/3145738"), "{fields}");
        let before = world.asked();
        let gone = world.get("/f", "Range: bytes=3145738-3145739\r\n").await;
        assert_eq!((gone.status, gone.content.len()), (416, 0), "{fields}");
        assert!(world.asked() <= before + 2, "{fields}: no more than once for each question");
    }
}

/// While the whole is on its way, a place far behind is not waited for; what lies near is.
#[tokio::test]
async fn who_seeks_does_not_wait_for_all_that_lies_before() {
    const LENGTH: usize = 12 << 20;
    let (open, gate) = watch::channel(false);
    let world = World::new(64 << 20, move |seen| {
        let told = "cache-control: max-age=60\r\netag: \"a\"";
        if let Some(range) = seen.field("range") {
            let first: usize =
                range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
            let fields = format!("{told}\r\ncontent-range: bytes {first}-{}/{LENGTH}", LENGTH - 1);
            let mut reaction = Reaction::ok(&fields, vec![b'p'; LENGTH - first]);
            reaction.head = reaction.head.replace("200 OK", "206 Partial Content");
            return reaction;
        }
        let mut reaction = Reaction::ok(told, vec![b'w'; 1 << 20]);
        let length = format!("content-length: {LENGTH}\r\n");
        reaction.head = reaction.head.replace("content-length: 1048576\r\n", &length);
        reaction.pieces.push(vec![b'w'; LENGTH - (1 << 20)].into());
        reaction.gate = Some(gate.clone());
        reaction
    })
    .await;
    let ask = |range: &'static str| {
        let to = world.http;
        let head = format!(
            "GET /f HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nRange: bytes={range}\r\n\r\n"
        );
        tokio::spawn(async move { Answer::of(raw(to, head.as_bytes()).await) })
    };
    let whole = ask("0-");
    while world.asked() < 1 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let far = ask("12000000-").await.unwrap();
    assert_eq!(far.status, 206, "{}", far.head);
    assert_eq!(far.content, vec![b'p'; LENGTH - 12_000_000]);
    assert_eq!(world.last_seen().field("range"), Some("bytes=12000000-"));
    let near = ask("3000000-");
    open.send_replace(true);
    assert!(near.await.unwrap().content == vec![b'w'; LENGTH - 3_000_000]);
    assert!(whole.await.unwrap().content == vec![b'w'; LENGTH]);
    assert_eq!(world.asked(), 2, "what lies near came with the whole");
}
