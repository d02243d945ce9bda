//! `popnet fetch`: a client of our network that says which server it got, and why not another.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use popnet_terms::TargetId;
use popnet_wire::control::Problem;
use serde_json::json;

use super::explain::city_resolver;
use super::{admin, network};
use crate::cli::FetchArguments;
use crate::demo::visit::{self, Visit, Visitor};
use crate::output::{self, Done, Outcome, Style, print_json};

pub(crate) async fn execute(
    arguments: &FetchArguments,
    context: Option<&Path>,
    style: Style,
) -> Outcome {
    let uri = arguments.url.parse::<http::Uri>().ok();
    let uri = uri.filter(|uri| uri.host().is_some() && uri.scheme().is_some());
    let Some(uri) = uri else {
        let what = format!("{:?} is no URL that begins with http:// and a host", arguments.url);
        return Err(Problem::new("U0030", what, "popnet fetch http://static.acme.test/hello.txt")
            .with_exit(2));
    };
    if uri.scheme_str() != Some("http") {
        let what = "only http:// can be fetched so far";
        return Err(Problem::new("U0018", what, "curl --resolve … for https").with_exit(2));
    }
    let (_, _, network) = network(&admin(context)?).await?;
    let from = arguments.from.as_deref().map(|name| city_resolver(&network, name)).transpose()?;
    let visitor = Visitor::new(network, from);
    let mut all = Vec::new();
    let mut last_well = true;
    let mut left = if arguments.watch { None } else { Some(arguments.repeat) };
    while left != Some(0) {
        let fetched = once(&visitor, &uri).await;
        last_well = fetched.well();
        left = left.map(|left| left - 1);
        match (style.json, arguments.watch) {
            (true, false) => all.push(fetched.json()),
            (true, true) => print_json("fetch/v1", &fetched.json()),
            (false, _) => println!("{}", fetched.text()),
        }
        if output::unheard() {
            break;
        }
        if left != Some(0) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    if style.json {
        print_json("fetch/v1", &json!({ "url": uri.to_string(), "fetches": all }));
    }
    Ok(if last_well { Done::WELL } else { Done { exit: 1 } })
}

/// What came of one fetch.
struct Fetched {
    /// Time of day it ended.
    at: jiff::Zoned,
    /// Where it went, when a name server said.
    address: Option<IpAddr>,
    /// What that is.
    target: Option<TargetId>,
    status: Option<u16>,
    cache: &'static str,
    octets: usize,
    ms: u128,
    error: Option<String>,
}

impl Fetched {
    /// Whether somebody answered, and not with a failure of a server.
    fn well(&self) -> bool {
        self.error.is_none() && self.status.is_some_and(|status| status < 500)
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "at": self.at.timestamp().to_string(),
            "address": self.address,
            "target": self.target.as_ref().map(ToString::to_string),
            "status": self.status,
            "cache": self.cache,
            "octets": self.octets,
            "ms": u64::try_from(self.ms).unwrap_or(u64::MAX),
            "error": self.error,
        })
    }

    fn text(&self) -> String {
        let Self { cache, octets, ms, .. } = self;
        let clock = self.at.strftime("%H:%M:%S");
        let what = match (&self.error, self.status) {
            (Some(error), _) => error.clone(),
            (None, Some(status)) => format!("{status}  {cache:<5} {ms:>4} ms  {octets} octets"),
            (None, None) => String::new(),
        };
        match (self.address, &self.target) {
            (Some(address), Some(target)) => format!("{clock}  {address} {target}  {what}"),
            (Some(address), None) => format!("{clock}  {address} ?  {what}"),
            (None, _) => format!("{clock}  {what}"),
        }
    }
}

async fn once(visitor: &Visitor, uri: &http::Uri) -> Fetched {
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
        Err(error) => (None, "-", 0, Some(error)),
    };
    Fetched {
        at: jiff::Zoned::now(),
        address: visit.address.map(|address| address.ip()),
        target: visit.target,
        status,
        cache,
        octets,
        ms: begun.elapsed().as_millis(),
        error,
    }
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
