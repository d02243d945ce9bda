//! Chromium by HTTP/1.1, 2 and 3: a page with a picture, a script and a part of a file.

use std::process::Child;
use std::time::Duration;

use fantoccini::ClientBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;

use crate::edge::{Edge, Nginx, noise};
use crate::support::chromedriver;

/// Says into itself how it came, and what its own requests got.
const PAGE: &str = "<!doctype html><title>page</title><img src=dot.png><p id=told></p><script>
const came = () => performance.getEntriesByType('navigation')[0].nextHopProtocol;
(async () => {
  const image = document.querySelector('img');
  await image.decode();
  const part = await fetch('file.bin', { headers: { range: 'bytes=1000-1999' } });
  const whole = await (await fetch('file.bin?whole')).arrayBuffer();
  const hash = new Uint32Array(whole).reduce((sum, word) => (sum ^ word) >>> 0, 0);
  const length = (await part.arrayBuffer()).byteLength;
  const told = [came(), image.naturalWidth, part.status, length, whole.byteLength, hash];
  document.querySelector('#told').textContent = told.join(' ');
})().catch(why => document.querySelector('#told').textContent = why);
</script>";

const FILE_OCTETS: usize = 400_000;

/// chromedriver, which steers the browser.
struct Driver {
    process: Child,
    port: u16,
}

impl Driver {
    fn start() -> Self {
        let (process, port) = chromedriver();
        Self { process, port }
    }

    /// What the page at `url` says in a browser with `more` arguments, once it is done.
    async fn told(&self, edge: &Edge, url: &str, more: &[&str]) -> String {
        let profile = tempfile::tempdir().unwrap();
        let mut arguments = vec![
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--no-first-run".to_owned(),
            "--no-proxy-server".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--host-resolver-rules=MAP a.test 127.0.0.1".to_owned(),
            format!("--ignore-certificate-errors-spki-list={}", edge.key_sha256),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("goog:chromeOptions".into(), json!({ "args": arguments }));
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{}", self.port))
            .await
            .expect("a browser session");
        client.goto(url).await.unwrap_or_else(|error| panic!("{url}: {error}\n{}", edge.log()));
        let read = "return document.querySelector('#told')?.textContent";
        let mut told = String::new();
        for _ in 0..400 {
            let said = client.execute(read, vec![]).await.unwrap();
            told = said.as_str().unwrap_or_default().to_owned();
            if !told.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        client.close().await.unwrap();
        told
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A picture of 3 × 1 dots.
const DOTS_HEX: &str = "89504E470D0A1A0A0000000D49484452000000030000000108000000003E8B4B68000000\
                        0C49444154789C631068F80000022401816F91E4640000000049454E44AE426082";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromium_by_every_version() {
    let nginx = Nginx::start();
    let file = noise(FILE_OCTETS);
    let words = file.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
    let hash = words.fold(0, |sum, word| sum ^ word);
    std::fs::write(nginx.www().join("page.html"), PAGE).unwrap();
    let dots = data_encoding::HEXUPPER.decode(DOTS_HEX.as_bytes()).unwrap();
    std::fs::write(nginx.www().join("dot.png"), dots).unwrap();
    std::fs::write(nginx.www().join("file.bin"), &file).unwrap();
    let edge = Edge::before(nginx.port);
    let clear = format!("http://a.test:{}/page.html", edge.http);
    let tls = format!("https://a.test:{}/page.html", edge.https);
    let quic = format!("--origin-to-force-quic-on=a.test:{}", edge.https);
    let driver = Driver::start();
    let expected = |version| format!("{version} 3 206 1000 {FILE_OCTETS} {hash}");
    assert_eq!(driver.told(&edge, &clear, &["--disable-quic"]).await, expected("http/1.1"));
    assert_eq!(driver.told(&edge, &tls, &["--disable-quic"]).await, expected("h2"));
    assert_eq!(driver.told(&edge, &tls, &["--enable-quic", &quic]).await, expected("h3"));
    // By HTTP/3 it all came from what HTTP/2 had brought.
    let asked = nginx.asked_for("/page.html");
    assert_eq!(asked.len(), 2, "{asked:?}");
    let asked = nginx.asked_for("/file.bin");
    assert_eq!(asked.len(), 4, "a part and the whole, in clear and by TLS: {asked:?}");
}
