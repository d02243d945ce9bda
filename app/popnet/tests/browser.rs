//! A browser's eyes: acme's page through the caches, and NetView with login, live figures, the
//! last decisions and a purge.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use support::{Demo, chromedriver};

/// Chromium under chromedriver, both from the distribution.
struct Browser {
    driver: Child,
    profile: tempfile::TempDir,
    port: u16,
}

impl Browser {
    fn start() -> Self {
        let (driver, port) = chromedriver();
        Self { driver, profile: tempfile::tempdir().unwrap(), port }
    }

    /// A session; with a proxy when one is given.
    async fn open(&self, name: &str, proxy: Option<&str>) -> Client {
        let mut arguments: Vec<String> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--window-size=1280,1600",
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.push(format!("--user-data-dir={}", self.profile.path().join(name).display()));
        if let Some(proxy) = proxy {
            arguments.push(format!("--proxy-server=http://{proxy}"));
        }
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("goog:chromeOptions".into(), json!({ "args": arguments }));
        ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{}", self.port))
            .await
            .expect("a browser session")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Keeps a picture of the page below target/screenshots.
async fn picture(client: &Client, name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}.png"));
    let image = client.screenshot().await.unwrap();
    assert!(image.len() > 4_000, "an empty picture of {name}");
    std::fs::write(&path, image).unwrap();
    path
}

/// What the page shows at `css`, looked up and read in one step: an element found first and read
/// later may belong to a page that has been left meanwhile.
async fn shown(client: &Client, css: &str) -> Option<String> {
    let read = "return document.querySelector(arguments[0])?.innerText";
    client.execute(read, vec![json!(css)]).await.ok()?.as_str().map(str::to_owned)
}

/// Waits until what the page shows at `css` holds `word`, and returns it.
async fn wait_at(client: &Client, css: &str, word: &str) -> String {
    let mut text = None;
    for _ in 0..100 {
        text = shown(client, css).await;
        if let Some(text) = &text
            && text.contains(word)
        {
            return text.clone();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{word:?} did not appear at {css}:\n{text:?}")
}

/// Waits until the page's text holds `word`.
async fn wait_for(client: &Client, word: &str) -> String {
    wait_at(client, "body", word).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_as_people_see_them() {
    let demo = Demo::start(38);
    let browser = Browser::start();
    acme_through_the_caches(&demo, &browser).await;
    netview(&demo, &browser).await;
}

async fn acme_through_the_caches(demo: &Demo, browser: &Browser) {
    let client = browser.open("acme", Some(&format!("{}:7681", demo.at(1)))).await;
    client.goto("http://static.acme.test/").await.unwrap();
    assert_eq!(client.title().await.unwrap(), "Acme Outdoor");
    wait_at(&client, "h1", "Acme Outdoor").await;
    let loaded = client
        .execute(
            "const i = document.querySelector('img'); return i.complete && i.naturalWidth",
            vec![],
        )
        .await
        .unwrap();
    assert_eq!(loaded, json!(320), "the image of the page is shown");
    picture(&client, "acme").await;
    client.close().await.unwrap();
}

async fn netview(demo: &Demo, browser: &Browser) {
    let client = browser.open("netview", None).await;
    let home = format!("http://{}:7600/", demo.at(1));
    client.goto(&home).await.unwrap();
    assert!(client.current_url().await.unwrap().path().starts_with("/login"), "without a session");
    picture(&client, "login").await;
    client.goto(demo.ready["netview"].as_str().unwrap()).await.unwrap();
    for word in ["iad1", "fra1", "nrt1", "up"] {
        wait_for(&client, word).await;
    }
    // What happens now is on the page without loading it again.
    demo.curl(7682, "http://static.acme.test/hello.txt");
    demo.dig(11, &["-b", &format!("{}.2.1", demo.net), "static.acme.test"]);
    wait_for(&client, "BEST_SCORE").await;
    picture(&client, "overview").await;

    client.goto(&format!("{home}c/acme")).await.unwrap();
    wait_for(&client, "static.acme.test").await;
    picture(&client, "customer").await;

    client.goto(&format!("{home}c/acme/purge")).await.unwrap();
    picture(&client, "purge").await;
    purge_by_form(demo, &client).await;
    client.close().await.unwrap();
}

async fn purge_by_form(demo: &Demo, client: &Client) {
    demo.curl(7682, "http://static.acme.test/tent.svg");
    assert!(
        demo.curl(7682, "http://static.acme.test/tent.svg").field("cache-status").contains("; hit")
    );
    let form = client.form(Locator::Css("form[action$='/purge']")).await.unwrap();
    form.set_by_name("what", "url").await.unwrap();
    form.set_by_name("text", "http://static.acme.test/tent.svg").await.unwrap();
    form.set_by_name("kind", "hard").await.unwrap();
    form.submit().await.unwrap();
    let page = wait_for(client, "applied").await;
    for node in ["edge1.iad1", "edge1.fra1", "edge1.nrt1"] {
        assert!(page.contains(node), "{node} is missing:\n{page}");
    }
    picture(client, "purged").await;
    let after = demo.curl(7682, "http://static.acme.test/tent.svg");
    assert!(after.field("cache-status").contains("fwd="), "{}", after.head);
}
