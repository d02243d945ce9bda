//! Every route.

use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{any, get, post};
use axum::{Json, Router};
use serde_json::json;

use crate::app::App;
use crate::guard::guard;
use crate::pages::{config, customer, explain, login, overview, pops, purge};
use crate::refusal::Refusal;
use crate::{api, stream};

/// Longest body of a request: a form of ten long lines.
const BODY_MAX: usize = 64 << 10;

const STYLE: &str = include_str!("../assets/netview.css");
const SCRIPT: &str = include_str!("../assets/netview.js");

/// The routes of one listener.
pub(crate) fn routes(app: App) -> Router {
    // Whole paths, not nested: what asks "is this the interface?" looks at the path.
    let interface = Router::new()
        .route("/api/v1/me", get(api::me))
        .route("/api/v1/status", get(api::status))
        .route("/api/v1/pops", get(api::pops))
        .route("/api/v1/decisions", get(api::decisions))
        .route("/api/v1/decisions/{id}", get(api::decision))
        .route("/api/v1/stats/timeseries", get(api::timeseries))
        .route("/api/v1/purges", get(api::purges).post(api::order))
        .route("/api/v1/purges/{id}", get(api::purge))
        .route("/api/v1/stream", get(stream::stream))
        .route("/api/{*rest}", any(api::nothing));
    Router::new()
        .route("/", get(overview::overview))
        .route("/login", get(login::page).post(login::login))
        .route("/logout", post(login::logout))
        .route("/pops", get(pops::pops))
        .route("/config", get(config::config))
        .route("/explain", get(explain::explain))
        .route("/c/{customer}", get(customer::customer))
        .route("/c/{customer}/lines", get(customer::lines))
        .route("/c/{customer}/purge", get(purge::form).post(purge::begin))
        .route("/c/{customer}/purge/{job}", get(purge::job))
        .route("/assets/netview.css", get(style))
        .route("/assets/netview.js", get(script))
        .route("/livez", get(alive))
        .route("/version", get(version))
        .merge(interface)
        .fallback(nothing)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn_with_state(app.clone(), guard))
        .with_state(app)
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}

async fn script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT)
}

async fn alive() -> &'static str {
    "ok\n"
}

async fn version() -> impl IntoResponse {
    Json(json!({ "version": env!("CARGO_PKG_VERSION") }))
}

async fn nothing() -> Refusal {
    Refusal::not_found()
}

#[cfg(test)]
mod tests {
    use super::{SCRIPT, STYLE};

    #[test]
    fn what_browsers_load_is_small_and_ours() {
        assert!(SCRIPT.len() <= 20 << 10, "{} octets of script", SCRIPT.len());
        for text in [SCRIPT, STYLE] {
            assert!(!text.contains("://"), "an address outside");
        }
    }
}
