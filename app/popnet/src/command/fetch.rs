//! `popnet fetch`: a client of our network that says which server it got, and why not another.

use std::path::Path;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use popnet_wire::control::Problem;
use serde_json::json;

use super::explain::city_resolver;
use super::{admin, network};
use crate::cli::FetchArguments;
use crate::demo::visit::{self, Visit, Visitor};
use crate::output::{Done, Outcome, Style, print_json};

pub(crate) async fn execute(
    arguments: &FetchArguments,
    context: Option<&Path>,
    style: Style,
) -> Outcome {
    let uri = arguments.url.parse::<http::Uri>().ok().filter(|uri| uri.host().is_some());
    let Some(uri) = uri else {
        let what = format!("{:?} is no URL", arguments.url);
        return Err(Problem::new("U0010", what, "popnet fetch http://static.acme.test/hello.txt")
            .with_exit(2));
    };
    if uri.scheme_str() != Some("http") {
        let what = "only http:// can be fetched so far";
        return Err(Problem::new("U0018", what, "curl --resolve … for https").with_exit(2));
    }
    let (_, _, network) = network(&admin(context)?).await?;
    let from = arguments.from.as_deref().map(|name| city_resolver(&network, name)).transpose()?;
    let visitor = Visitor::new(network, from);
    let mut rounds = if arguments.watch { u32::MAX } else { arguments.repeat.max(1) };
    loop {
        let well = once(&visitor, &uri, style).await;
        rounds -= 1;
        if rounds == 0 {
            return Ok(if well { Done::WELL } else { Done { exit: 1 } });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Fetches once and prints a line; whether it went well.
async fn once(visitor: &Visitor, uri: &http::Uri, style: Style) -> bool {
    let begun = Instant::now();
    let request = http::Request::get(uri.clone()).body(visit::no_content());
    let visit = match request {
        Ok(request) => visitor.fetch(request).await,
        Err(error) => Visit::failed(error.to_string()),
    };
    let (status, cache, octets, error) = match visit.answer {
        Ok(response) => {
            let status = response.status().as_u16();
            let cache = cache_word(response.headers());
            match response.into_body().collect().await {
                Ok(body) => (Some(status), cache, body.to_bytes().len(), None),
                Err(error) => (Some(status), cache, 0, Some(error.to_string())),
            }
        }
        Err(error) => (None, "", 0, Some(error)),
    };
    let ms = begun.elapsed().as_millis();
    let address = visit.address.map_or_else(|| "?".to_owned(), |a| a.ip().to_string());
    let target = visit.target.map_or_else(|| "?".to_owned(), |t| t.to_string());
    if style.json {
        print_json(
            "fetch/v1",
            &json!({ "url": uri.to_string(), "address": address, "target": target, "status": status,
                     "cache": cache, "octets": octets, "ms": ms, "error": error }),
        );
    } else {
        let clock = jiff::Zoned::now().strftime("%H:%M:%S");
        let what = match (&error, status) {
            (Some(error), _) => error.clone(),
            (None, Some(status)) => format!("{status}  {cache:<5} {ms:>4} ms  {octets} octets"),
            (None, None) => String::new(),
        };
        println!("{clock}  {address} {target}  {what}");
    }
    error.is_none() && status.is_some_and(|status| status < 500)
}

/// `hit`, `stale` or `miss`, from the `Cache-Status` member nearest to us (RFC 9211).
fn cache_word(fields: &http::HeaderMap) -> &'static str {
    let last = fields.get_all("cache-status").iter().next_back();
    let Some(text) = last.and_then(|value| value.to_str().ok()) else { return "-" };
    let member = text.rsplit(", ").next().unwrap_or(text);
    if member.contains("; hit") {
        "hit"
    } else if member.contains("fwd=stale") {
        "stale"
    } else {
        "miss"
    }
}
