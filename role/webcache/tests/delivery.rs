//! What a site asks for on the way to its clients.

#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod world;

use std::sync::Arc;

use popnet_terms::Seconds;
use popnet_wire::delivery::{Cors, Delivery, FieldChange};
use popnet_wire::sheet::{PathRule, SiteSheet};
use world::{Answer, Reaction, World, sheet, site};

const ROOM: u64 = 16 << 20;

/// A world in which a.test has `delivery`, and `private` below `/private/`.
async fn world(delivery: &Delivery, private: Option<&Delivery>) -> World {
    let world = World::new(ROOM, |_| {
        Reaction::ok("cache-control: max-age=60\r\nserver: origin/1\r\nx-old: 1", "content")
    })
    .await;
    rule(&world, 8, delivery, private);
    world
}

fn rule(world: &World, epoch: u64, delivery: &Delivery, private: Option<&Delivery>) {
    let rule = private.map(|private| PathRule {
        path: "/private/*".into(),
        bypass: false,
        set_cookie: None,
        default_ttl: None,
        delivery: Some(Arc::new(private.clone())),
    });
    let own = SiteSheet {
        delivery: Arc::new(delivery.clone()),
        paths: rule.into_iter().collect(),
        ..site("a.test")
    };
    let sheet = sheet(epoch, vec![own, site("b.test")]);
    world.directory.replace(sheet, Vec::new(), Default::default());
}

fn set(name: &str, value: &str) -> FieldChange {
    FieldChange { name: name.into(), value: Some(value.into()) }
}

fn networks(text: &str) -> Vec<ipnet::IpNet> {
    vec![text.parse().unwrap()]
}

fn is_refused(answer: &Answer, reason: &str) -> bool {
    answer.status == 403 && answer.cache_status() == format!("mem.lab; detail={reason}")
}

/// Asks until the rules of a new sheet hold.
async fn until(world: &World, path: &str, holds: impl Fn(&Answer) -> bool) -> Answer {
    for _ in 0..200 {
        let answer = world.get(path, "").await;
        if holds(&answer) {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the rules do not hold within two seconds");
}

#[tokio::test]
async fn fields_are_changed_both_ways_and_at_once() {
    let delivery = Delivery {
        hsts: Some(Seconds(3_600)),
        response: vec![
            FieldChange { name: "server".into(), value: None },
            set("x-frame-options", "DENY"),
        ],
        ..Delivery::default()
    };
    let world = world(&delivery, None).await;
    let first = until(&world, "/page", |answer| answer.field("x-frame-options").is_some()).await;
    assert_eq!((first.field("server"), first.field("x-old")), (None, Some("1")));
    // Without TLS nothing is promised about it.
    assert_eq!(first.field("strict-transport-security"), None);
    for _ in 0..3 {
        let hit = world.get("/page", "").await;
        assert!(hit.cache_status().starts_with("mem.lab; hit"), "{}", hit.head);
        assert_eq!(hit.head.matches("x-frame-options: DENY").count(), 1, "{}", hit.head);
        assert_eq!((hit.field("server"), hit.field("x-old")), (None, Some("1")));
    }
    // Other rules hold for what is stored already.
    let other = Delivery {
        response: vec![set("x-frame-options", "SAMEORIGIN")],
        request: vec![set("x-secret", "shared"), FieldChange { name: "x-own".into(), value: None }],
        ..Delivery::default()
    };
    rule(&world, 9, &other, None);
    let is_new = |answer: &Answer| answer.field("x-frame-options") == Some("SAMEORIGIN");
    let renewed = until(&world, "/page", is_new).await;
    assert_eq!(renewed.field("server"), Some("origin/1"));
    let asked = world.asked();
    assert_eq!(world.get("/new", "X-Own: 1\r\nConnection: x-secret\r\n").await.status, 200);
    assert_eq!(world.asked(), asked + 1);
    let seen = world.last_seen();
    assert_eq!((seen.field("x-secret"), seen.field("x-own")), (Some("shared"), None));
}

#[tokio::test]
async fn networks_and_pages_are_kept_out_by_every_way_to_a_path() {
    let closed = Delivery { deny: networks("127.0.0.0/8"), ..Delivery::default() };
    let world = world(&Delivery::default(), Some(&closed)).await;
    let first = until(&world, "/private/x", |answer| answer.status == 403).await;
    assert!(is_refused(&first, "ACCESS_DENIED"), "{}", first.head);
    let asked = world.asked();
    for way in [
        "/private/x?a=b",
        "/%70rivate/x",
        "//private/x",
        "/open/../private/x",
        "/open/%2e%2e%2fprivate/x",
        "/private/../open",
    ] {
        let answer = world.get(way, "").await;
        assert!(is_refused(&answer, "ACCESS_DENIED"), "{way}: {}", answer.head);
    }
    assert_eq!(world.asked(), asked, "nothing of it reached the disk tier");
    assert_eq!(world.get("/privateer", "").await.status, 200);
    let pages = Delivery { referrers: vec!["*.friend.test".into()], ..Delivery::default() };
    rule(&world, 9, &pages, None);
    let foreign = "Referer: https://thief.test/page\r\n";
    until(&world, "/private/x", |answer| answer.status == 200).await;
    assert!(is_refused(&world.get("/image", foreign).await, "ACCESS_DENIED"));
    for page in ["https://www.friend.test/", "http://a.test/own"] {
        assert_eq!(world.get("/image", &format!("Referer: {page}\r\n")).await.status, 200);
    }
    // Stored by now, and still not for everybody.
    assert!(is_refused(&world.get("/image", foreign).await, "ACCESS_DENIED"));
}

#[tokio::test]
async fn who_comes_without_tls_is_sent_to_it() {
    let delivery = Delivery { https: true, hsts: Some(Seconds(60)), ..Delivery::default() };
    let world = world(&delivery, None).await;
    let sent = until(&world, "/a/b?c=d", |answer| answer.status == 308).await;
    assert_eq!(sent.field("location"), Some("https://a.test/a/b?c=d"));
    assert_eq!(sent.cache_status(), "mem.lab; detail=HTTPS_ONLY");
    let posted = world.ask("POST", "/form", "", b"x=1").await;
    assert_eq!((posted.status, posted.field("location")), (308, Some("https://a.test/form")));
    let story = world.explain("/a/b").await;
    assert!(
        story.checks.iter().any(|(name, found)| {
            &**name == "delivery" && &**found == "TLS only, HSTS for 60 s"
        })
    );
}

#[tokio::test]
async fn leave_for_scripts_is_given_here_and_one_response_serves_all() {
    let cors = Cors {
        origins: vec!["https://one.test".into(), "https://two.test".into()],
        methods: vec!["PUT".into()],
        max_age: Some(Seconds(600)),
        ..Cors::default()
    };
    let delivery = Delivery { cors: Some(cors), ..Delivery::default() };
    let world = world(&delivery, None).await;
    until(&world, "/data", |answer| answer.field("vary") == Some("Origin")).await;
    let asked = world.asked();
    let leave = "access-control-allow-origin";
    for (origin, expected) in [
        ("https://one.test", Some("https://one.test")),
        ("https://two.test", Some("https://two.test")),
        ("https://three.test", None),
    ] {
        let answer = world.get("/data", &format!("Origin: {origin}\r\n")).await;
        assert_eq!((answer.status, answer.field(leave)), (200, expected), "{origin}");
    }
    let question = "Origin: https://one.test\r\nAccess-Control-Request-Method: PUT\r\n";
    let answer = world.ask("OPTIONS", "/data", question, b"").await;
    assert_eq!((answer.status, answer.field(leave)), (204, Some("https://one.test")));
    assert_eq!(answer.field("access-control-max-age"), Some("600"));
    assert_eq!(answer.cache_status(), "mem.lab; detail=CORS_PREFLIGHT");
    assert_eq!(world.asked(), asked, "all of it without the disk tier");
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let delivery = Delivery { rate: Some("1/s".parse().unwrap()), ..Delivery::default() };
    let world = world(&Delivery::default(), Some(&delivery)).await;
    let over = until(&world, "/private/x", |answer| answer.status == 429).await;
    let wait: u32 = over.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    assert_eq!(over.cache_status(), "mem.lab; detail=RATE_LIMITED");
    // Neither a server that resolves the path nor one that does not is asked more often.
    for way in ["/open/../private/x", "/private/../open"] {
        assert_eq!(world.get(way, "").await.status, 429, "{way}");
    }
    // Nobody counts elsewhere.
    for _ in 0..20 {
        assert_eq!(world.get("/open", "").await.status, 200);
    }
}
