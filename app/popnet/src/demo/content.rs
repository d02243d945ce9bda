//! The demo's origins: customers' own servers with something to look at.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, HeaderValue};
use axum::response::IntoResponse;
use axum::routing::get;
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeaderLayer;

/// Octets of the large file.
const LARGE: usize = 20_000_000;

const PAGE: &str = r#"<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Acme Outdoor</title>
<link rel="stylesheet" href="/style.css">
<h1>Acme Outdoor</h1>
<p>This page lies on acme's own server. You see it through a cache of the demo network.</p>
<p><img src="/tent.svg" alt="a tent under stars" width="320" height="200"></p>
<p><a href="/hello.txt">hello.txt</a> · <a href="/large.bin">large.bin (20 MB)</a></p>
</html>
"#;

const STYLE: &str = "body{font:18px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;\
padding:0 1rem;background:#f6f3ec;color:#23313b}h1{color:#1c5c54}img{border-radius:8px}\n";

const TENT: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" width="320" height="200" viewBox="0 0 320 200">
<rect width="320" height="200" fill="#16324f"/><circle cx="260" cy="45" r="16" fill="#f4e9c1"/>
<g fill="#f4e9c1"><circle cx="40" cy="30" r="2"/><circle cx="100" cy="50" r="1.5"/>
<circle cx="170" cy="25" r="2"/><circle cx="210" cy="70" r="1.5"/></g>
<path d="M0 160h320v40H0z" fill="#1c5c54"/><path d="M90 165 160 80l70 85z" fill="#d9822b"/>
<path d="M160 80 140 165h40z" fill="#16324f"/></svg>
"##;

/// Writes acme's content below `folder`.
pub(crate) fn write(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("index.html"), PAGE)?;
    std::fs::write(folder.join("style.css"), STYLE)?;
    std::fs::write(folder.join("tent.svg"), TENT)?;
    std::fs::write(folder.join("health.txt"), "acme ok\n")?;
    std::fs::write(folder.join("hello.txt"), "Hello from acme's own server.\n")?;
    let mut large = std::io::BufWriter::new(std::fs::File::create(folder.join("large.bin"))?);
    // xorshift64: every octet differs from its neighbours, the same on every machine.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..LARGE / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        large.write_all(&state.to_le_bytes())?;
    }
    large.flush()
}

/// Acme's server: files below `folder`, fresh for a minute.
pub(crate) fn acme(folder: &Path) -> Router {
    let fresh = HeaderValue::from_static("public, max-age=60");
    Router::new()
        .fallback_service(ServeDir::new(folder))
        .layer(SetResponseHeaderLayer::if_not_present(CACHE_CONTROL, fresh))
}

/// One of globex's servers: says which it is.
pub(crate) fn globex(name: &'static str) -> Router {
    let answer = move || async move {
        ([(CACHE_CONTROL, "no-store")], format!("globex {name} answers.\n")).into_response()
    };
    Router::new().route("/health.txt", get(|| async { "globex ok\n" })).fallback(answer)
}

/// Serves `router` at `address` until the demo ends.
///
/// # Errors
/// The address is taken.
pub(crate) fn serve(
    address: SocketAddr,
    router: Router,
) -> Result<tokio::task::JoinHandle<()>, popnet_runtime::bind::BindError> {
    let listener = popnet_runtime::bind::tcp(address, false)?;
    Ok(tokio::spawn(async move {
        let served = async {
            listener.set_nonblocking(true)?;
            axum::serve(tokio::net::TcpListener::from_std(listener)?, router).await
        };
        if let Err(error) = served.await {
            tracing::error!(%address, %error, "an origin of the demo stopped");
        }
    }))
}
