//! Pages over a real socket, with a made-up network behind a real admin socket.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests"
)]

mod fake;
mod http;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fake::Fake;
use http::{Asked, Client};
use popnet_netview::users::UserRole;
use popnet_runtime::clock;

const PASSWORD: &str = "a made-up password";

async fn net() -> Fake {
    let net = Fake::start(0).await;
    let users = net.users();
    for (name, role) in [
        ("ada", UserRole::Owner),
        ("obs", UserRole::Observer),
        ("ann", UserRole::CustomerAdmin("acme".into())),
        ("vic", UserRole::CustomerViewer("acme".into())),
        ("bill", UserRole::CustomerBilling("acme".into())),
    ] {
        users.create(name, &role, None, clock::now()).unwrap();
    }
    net
}

/// Logged in by a one-time link.
async fn enter(net: &Fake, user: &str) -> Client {
    let token = net.users().once(user, clock::now()).unwrap();
    let mut client = Client::new(net.address);
    let entered = client.get(&format!("/login?once={token}")).await;
    assert_eq!(entered.status, 303, "{}", entered.text);
    client.cookie = Some(entered.cookie());
    client
}

/// Waits until the poller has seen everything once.
async fn settled(client: &Client, path: &str, word: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(8);
    loop {
        let page = client.get(path).await;
        if page.text.contains(word) {
            return page.text;
        }
        assert!(Instant::now() < deadline, "{word:?} never came to {path}: {}", page.text);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn form_token(page: &str) -> String {
    let at = page.find("name=\"token\" value=\"").expect("a form with a token") + 20;
    page[at..].split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn login_by_password() {
    let net = net().await;
    net.users().reset("ada", Some(PASSWORD)).unwrap();
    let client = Client::new(net.address);
    let sent = client.get("/?x=1").await;
    assert_eq!((sent.status, sent.field("location")), (303, "/login?next=/%3Fx%3D1"));

    let wrong = client.post("/login", "user=ada&password=not+the+password").await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.text.contains("wrong") && wrong.field("set-cookie").is_empty());

    let right = client.post("/login", "user=ada&password=a+made-up+password&next=%2Fpops").await;
    assert_eq!((right.status, right.field("location")), (303, "/pops"));
    let cookie = right.field("set-cookie").to_owned();
    for flag in ["popnet=", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="] {
        assert!(cookie.contains(flag), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "plain HTTP on loopback: {cookie}");

    let away = client.post("/login", "user=ada&password=a+made-up+password&next=//evil.test").await;
    assert_eq!(away.field("location"), "/");
}

#[tokio::test]
async fn wrong_passwords_wait() {
    let net = net().await;
    net.users().reset("ada", Some(PASSWORD)).unwrap();
    let client = Client::new(net.address);
    let mut statuses = Vec::new();
    for _ in 0..11 {
        statuses.push(client.post("/login", "user=ada&password=wrong+wrong+wrong").await.status);
    }
    assert!(statuses[..10].iter().all(|status| *status == 401), "{statuses:?}");
    let waits = client.post("/login", "user=ada&password=a+made-up+password").await;
    assert_eq!(waits.status, 429, "even the right one");
    assert!(waits.field("retry-after").parse::<u64>().unwrap() >= 1);
}

#[tokio::test]
async fn one_time_links_work_once_and_sessions_end() {
    let net = net().await;
    let token = net.users().once("ada", clock::now()).unwrap();
    let mut client = Client::new(net.address);
    let first = client.get(&format!("/login?once={token}")).await;
    assert_eq!(first.status, 303);
    let second = client.get(&format!("/login?once={token}")).await;
    assert_eq!(second.status, 401);
    assert!(second.text.contains("used already"));

    client.cookie = Some(first.cookie());
    let page = client.get("/").await;
    assert_eq!(page.status, 200);
    let refused = client.post("/logout", "token=0123").await;
    assert_eq!(refused.status, 403, "no logout without the form's token");
    let out = client.post("/logout", &format!("token={}", form_token(&page.text))).await;
    assert!(out.field("set-cookie").contains("Max-Age=0"));
    assert_eq!(client.get("/").await.status, 303, "the session has ended");
}

#[tokio::test]
async fn every_response_is_strict() {
    let net = net().await;
    let client = enter(&net, "ada").await;
    for path in ["/", "/login", "/nowhere", "/api/v1/status", "/api/v1/x", "/assets/netview.js"] {
        let response = client.get(path).await;
        let policy = response.field("content-security-policy");
        for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert_eq!(response.field("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(response.field("referrer-policy"), "same-origin", "{path}");
    }
    for path in ["/", "/pops", "/config", "/explain", "/c/acme", "/c/acme/purge", "/login"] {
        let text = client.get(path).await.text;
        assert!(!text.contains(" style=") && !text.contains("<style"), "{path}: inline style");
        assert!(!text.contains(" onclick") && !text.contains("<script>"), "{path}: inline script");
        for outside in ["src=\"http", "href=\"http", "src=\"//"] {
            assert!(!text.contains(outside), "{path}: an outside address");
        }
        let drawn = text.matches("<svg").count();
        let said = text.matches("role=\"img\" aria-label").count()
            + text.matches("aria-hidden=\"true\"").count();
        assert_eq!(drawn, said, "{path}: every drawing has words or is decoration");
        let heads = text.matches("<th ").count();
        assert_eq!(heads, text.matches("<th scope=").count(), "{path}: heads have a scope");
    }
}

#[tokio::test]
async fn foreign_hosts_and_origins_are_refused() {
    let net = net().await;
    let client = enter(&net, "ada").await;
    let rebound = client.ask(Asked::get("/").with("host", "evil.test")).await;
    assert_eq!(rebound.status, 421);
    let ours = client.ask(Asked::get("/").with("host", "netview.cdn.test:7600")).await;
    assert_eq!(ours.status, 200);

    let token = form_token(&client.get("/").await.text);
    let body = format!("token={token}&what=url&text=static.acme.test/a&kind=soft");
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "http://evil.test"),
        ("origin", "null"),
    ] {
        let asked = Asked::post("/c/acme/purge", &body).with(name, value);
        assert_eq!(client.ask(asked).await.status, 403, "{name}: {value}");
    }
    let other = "token=00&what=url&text=static.acme.test/a&kind=soft";
    assert_eq!(client.post("/c/acme/purge", other).await.status, 403, "no token of this session");
    let own = Asked::post("/c/acme/purge", &body).with("sec-fetch-site", "same-origin");
    assert_eq!(client.ask(own).await.status, 303);
}

/// Every route × every kind of user: 404 is what a user may not see, 403 what a role may not do.
#[tokio::test]
async fn scopes() {
    let net = net().await;
    let job = {
        let owner = enter(&net, "ada").await;
        let token = form_token(&owner.get("/").await.text);
        let body = format!("token={token}&what=site&text=www.globex.test&kind=soft");
        let begun = owner.post("/c/globex/purge", &body).await;
        begun.field("location").rsplit('/').next().unwrap().to_owned()
    };
    settled(&enter(&net, "ada").await, "/api/v1/decisions", "d-0600d000").await;
    let foreign_job = format!("/c/globex/purge/{job}");
    let own_page_of_foreign_job = format!("/c/acme/purge/{job}");
    let api_job = format!("/api/v1/purges/{job}");
    let stream_job = format!("/api/v1/stream?topics=purge:{job}");
    let routes: &[(&str, [u16; 5])] = &[
        //                                             ada  obs  ann  vic  bill
        ("/pops", [200, 200, 404, 404, 404]),
        ("/config", [200, 200, 404, 404, 404]),
        ("/explain", [200, 200, 200, 200, 200]),
        ("/c/acme", [200, 200, 200, 200, 200]),
        ("/c/acme/lines", [200, 200, 200, 200, 404]),
        ("/c/acme/purge", [200, 403, 200, 403, 403]),
        ("/c/globex", [200, 200, 404, 404, 404]),
        ("/c/globex/lines", [200, 200, 404, 404, 404]),
        ("/c/globex/purge", [200, 403, 404, 404, 404]),
        (&foreign_job, [200, 200, 404, 404, 404]),
        (&own_page_of_foreign_job, [404, 404, 404, 404, 404]),
        ("/c/nobody", [404, 404, 404, 404, 404]),
        ("/c/_network", [404, 404, 404, 404, 404]),
        ("/api/v1/me", [200, 200, 200, 200, 200]),
        ("/api/v1/status", [200, 200, 404, 404, 404]),
        ("/api/v1/pops", [200, 200, 404, 404, 404]),
        ("/api/v1/decisions", [200, 200, 200, 200, 200]),
        ("/api/v1/decisions/d-0600d000", [200, 200, 404, 404, 404]),
        ("/api/v1/decisions/d-7f3a91c2", [200, 200, 200, 200, 200]),
        ("/api/v1/stats/timeseries", [200, 200, 200, 200, 200]),
        ("/api/v1/stats/timeseries?customer=globex", [200, 200, 404, 404, 404]),
        ("/api/v1/purges", [200, 200, 200, 200, 200]),
        ("/api/v1/purges?customer=globex", [200, 200, 404, 404, 404]),
        (&api_job, [200, 200, 404, 404, 404]),
        ("/api/v1/stream?topics=pops", [200, 200, 404, 404, 404]),
        ("/api/v1/stream?topics=traffic:globex", [200, 200, 404, 404, 404]),
        ("/api/v1/stream?topics=traffic:acme,purges:acme", [200, 200, 200, 200, 200]),
        (&stream_job, [200, 200, 404, 404, 404]),
        ("/api/v1/stream?topics=", [400, 400, 400, 400, 400]),
    ];
    for (column, user) in ["ada", "obs", "ann", "vic", "bill"].into_iter().enumerate() {
        let client = enter(&net, user).await;
        for (path, want) in routes {
            let answer = client.head_of(path).await;
            assert_eq!(answer.status, want[column], "{user} {path}");
            if path.starts_with("/api/") && answer.status != 200 {
                assert_eq!(answer.field("content-type"), "application/problem+json", "{path}");
            }
        }
    }
    let nobody = Client::new(net.address);
    for (path, _) in routes {
        let want = if path.starts_with("/api/") { 401 } else { 303 };
        assert_eq!(nobody.head_of(path).await.status, want, "nobody {path}");
    }
}

#[tokio::test]
async fn customers_see_their_own_only() {
    let net = net().await;
    let client = enter(&net, "ann").await;
    let home = client.get("/").await;
    assert_eq!(home.field("location"), "/c/acme");
    let mut pages = settled(&client, "/c/acme", "static.acme.test").await;
    settled(&client, "/api/v1/decisions", "d-7f3a91c2").await;
    for path in [
        "/explain?d=d-7f3a91c2",
        "/explain?d=d-0600d000",
        "/explain?q=www.globex.test",
        "/explain?q=http://www.globex.test/secret",
        "/api/v1/decisions",
        "/api/v1/decisions/d-7f3a91c2",
        "/api/v1/stats/timeseries",
        "/c/acme/lines",
    ] {
        pages.push_str(&client.get(path).await.text);
    }
    for word in ["Globex", "secret-of-globex", "d-0600d000"] {
        assert!(!pages.contains(word), "{word} leaks");
    }
    let story = client.get("/explain?d=d-7f3a91c2").await.text;
    assert!(story.contains("DOWN_PROBE") && story.contains("Shown as ranks"), "{story}");
    assert!(!story.contains("0.84") && !story.contains("3 in a row"), "loads or details leak");
    let asked = net.world.scopes.lock().unwrap().clone();
    assert!(!asked.is_empty() && asked.iter().all(|scope| format!("{scope:?}").contains("acme")));

    let page = client.get("/c/acme/purge").await.text;
    let token = form_token(&page);
    let body = format!("token={token}&what=url&text=http://www.globex.test/&kind=soft");
    let refused = client.post("/c/acme/purge", &body).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("is not a site of Acme Outdoor"), "{}", refused.text);
}

#[tokio::test]
async fn the_overview_shows_the_network() {
    let net = net().await;
    net.world.requests.store(5, Ordering::Relaxed);
    let client = enter(&net, "ada").await;
    let text = settled(&client, "/", "d-7f3a91c2").await;
    for word in [
        "northlight",
        "Frankfurt",
        "degraded",
        "load 0.84",
        "nrt1 is down",
        "edge-http: connection refused",
        "edge1.nrt1 does not answer",
        "edge1.fra1 is behind",
        "runs v40, in force is v41",
        "198.51.100.53",
        "BEST_SCORE",
        "1/3",
    ] {
        assert!(text.contains(word), "{word:?} is missing: {text}");
    }
    let story = client.get("/explain?d=d-7f3a91c2").await.text;
    for word in [
        "DOWN_PROBE",
        "3 in a row",
        "popnet explain dns static.acme.test",
        "came next",
        "acme-www/west",
    ] {
        assert!(story.contains(word), "{word:?} is missing: {story}");
    }
    let masked = enter(&net, "obs").await.get("/").await.text;
    assert!(!masked.contains("198.51.100.53") && masked.contains("198.51.100.0/24"));
    let now = client.get("/explain?q=static.acme.test&resolver=198.51.100.53").await.text;
    assert!(now.contains("would answer now"), "{now}");
    let url = client.get("/explain?q=http://static.acme.test/a.css").await.text;
    assert!(url.contains("HIT_MEMORY"), "{url}");
}

#[tokio::test]
async fn the_daemon_sees_the_role() {
    let net = net().await;
    let path = net.dir.path().join("netview.sock");
    let mut link = popnet_runtime::link::Link::local(&path).await.unwrap();
    let reply = link.ask_one(&popnet_wire::control::Ask::RoleStatus).await.unwrap();
    assert!(format!("{reply:?}").contains("up: true"), "{reply:?}");
}

#[tokio::test]
async fn hostile_names_stay_text() {
    let net = net().await;
    let client = enter(&net, "ada").await;
    let hostile = "%3Cscript%3Ealert(1)%3C/script%3E\"'";
    let config = client.get("/config").await.text;
    assert!(config.contains("Tokyo joins"), "{config}");
    let pages = [
        config,
        client.get("/c/acme").await.text,
        client.get("/c/acme/lines").await.text,
        client.get(&format!("/explain?q={hostile}&resolver={hostile}")).await.text,
        client.get(&format!("/explain?d={hostile}")).await.text,
        client.get(&format!("/login?next={hostile}")).await.text,
        client.post("/login", &format!("user={hostile}&password=x&next={hostile}")).await.text,
    ];
    for page in pages {
        assert!(!page.contains("<script>"), "{page}");
    }
    for junk in [
        "/explain?d=",
        "/explain?q=%FF%00",
        "/c/%2e%2e",
        "/c/%F0%9F",
        "/%",
        "/api/v1/decisions/%00",
    ] {
        let status = client.get(junk).await.status;
        assert!((200..500).contains(&status), "{junk}: {status}");
    }
}

#[tokio::test]
async fn a_purge_shows_its_receipts() {
    let net = net().await;
    let client = enter(&net, "ann").await;
    let page = client.get("/c/acme/purge").await.text;
    let body = format!(
        "token={}&what=url&text=https://static.acme.test/a.css&kind=hard",
        form_token(&page)
    );
    let begun = client.post("/c/acme/purge", &body).await;
    assert_eq!(begun.status, 303, "{}", begun.text);
    let job = begun.field("location").to_owned();
    let text = settled(&client, &job, "<b>partly</b>").await;
    for word in [
        "f-0007",
        "edge1.fra1",
        "applied",
        "1.80",
        "edge1.nrt1",
        "unreachable",
        "connection refused",
        "2 of 3 nodes",
    ] {
        assert!(text.contains(word), "{word:?} is missing: {text}");
    }
    let list = client.get("/c/acme/purge").await.text;
    assert!(list.contains("url static.acme.test/a.css") && list.contains("f-0007"), "{list}");

    // The same over the interface.
    let me: serde_json::Value = serde_json::from_str(&client.get("/api/v1/me").await.text).unwrap();
    let order = r#"{"customer":"acme","by":"key","what":["news"]}"#;
    let asked = Asked::post("/api/v1/purges", order).with("content-type", "application/json");
    let refused = client.ask(asked.clone()).await;
    assert_eq!((refused.status, refused.field("content-type")), (403, "application/problem+json"));
    let accepted =
        client.ask(asked.with("popnet-form-token", me["form_token"].as_str().unwrap())).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
}

#[tokio::test]
async fn events_arrive() {
    let net = net().await;
    let client = enter(&net, "ada").await;
    let mut events = client.events("/api/v1/stream?topics=figures,decisions&form=html").await;
    let first = events.next().await;
    assert!(first.contains("event: figures") && first.contains("id: "), "{first}");
    // A request happens: the page knows within two seconds.
    settled(&client, "/api/v1/status", "\"complete\":true").await;
    net.world.requests.store(4_242, Ordering::Relaxed);
    let since = Instant::now();
    loop {
        let event = events.next().await;
        // Three sites at two POPs count the same made-up number.
        if event.contains("event: figures") && event.contains("in the last hour") {
            let hour = net_hour(&client).await;
            if hour {
                break;
            }
        }
        assert!(since.elapsed() < Duration::from_secs(4), "never came: {event}");
    }
    assert!(since.elapsed() < Duration::from_millis(2_500), "{:?}", since.elapsed());

    let mut json = client.events("/api/v1/stream?topics=pops").await;
    let event = json.next().await;
    assert!(event.contains("\"state\":\"degraded\""), "{event}");
}

async fn net_hour(client: &Client) -> bool {
    let status = client.get("/api/v1/status").await.text;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    status["data"]["figures"]["last_hour"]["requests"].as_u64().unwrap() > 4_242 * 6
}

#[tokio::test]
async fn pages_hold_when_nobody_answers() {
    let net = net().await;
    let client = enter(&net, "ada").await;
    settled(&client, "/", "d-7f3a91c2").await;
    net.world.logs_mute.store(true, Ordering::Relaxed);
    let partial = settled(&client, "/", "log1.fra1 has not answered").await;
    assert!(partial.contains("d-7f3a91c2"), "the last good word stands");
    assert_eq!(client.get("/c/acme").await.status, 200);
    net.world.mute.store(true, Ordering::Relaxed);
    let silent = settled(&client, "/", "out for lunch").await;
    assert!(silent.contains("this is from") && silent.contains("Frankfurt"), "{silent}");
    for path in ["/pops", "/config", "/explain?q=static.acme.test", "/c/acme", "/c/acme/purge"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    let status = client.get("/api/v1/status").await.text;
    assert!(status.contains("\"complete\":false"), "{status}");

    net.end.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), net.running.wait()).await;
    assert_eq!(ended.unwrap(), popnet_runtime::Ended::Stopped);
}
