//! `popnet purge`: empty content out of every POP, with a line a node.

use std::path::Path;
use std::sync::Arc;

use popnet_admin::Purged;
use popnet_config::network::{Network, SiteKind};
use popnet_terms::{CustomerId, SiteName};
use popnet_wire::control::Problem;
use popnet_wire::purging::{PurgeKind, PurgeOrder, PurgeReceipt, PurgeState, PurgeWhat};
use serde_json::json;

use super::{admin, known_customer, network};
use crate::cli::{PurgeArguments, PurgeCommand};
use crate::output::{Done, Outcome, Style, consent, print_json};

pub(crate) async fn execute(
    arguments: PurgeArguments,
    context: Option<&Path>,
    style: Style,
) -> Outcome {
    let admin = admin(context)?;
    let (_, _, network) = network(&admin).await?;
    let order = order(&arguments, &network)?;
    if let Some(site) = direct(&order.what, &network) {
        return Ok(nothing_cached(site, &order, style));
    }
    let soft = if arguments.hard { "hard" } else { "soft" };
    if arguments.dry_run {
        if style.json {
            let plan = json!({ "dry_run": true, "what": order.what.to_string(),
                               "kind": order.kind, "customer": order.customer });
            print_json("purge/v1", &plan);
        } else {
            println!("would purge {soft}, {} of customer {}", order.what, order.customer);
        }
        return Ok(Done::WELL);
    }
    let question = format!("purge {soft}, {} of customer {}?", order.what, order.customer);
    if !consent(arguments.yes, style, &question)? {
        return Ok(Done::WELL);
    }
    let purged = admin
        .purge(order, |purge, receipts| {
            if style.json {
                return;
            }
            if receipts.is_empty() {
                println!("purge {} {soft}, {}", purge.id, purge.order.what);
            }
            receipts.iter().for_each(|receipt| println!("  {}", line(receipt)));
        })
        .await?;
    Ok(report(&purged, style))
}

/// The site, when its visitors go to the customer's own servers and no cache has anything of it.
fn direct<'a>(what: &'a PurgeWhat, network: &Network) -> Option<&'a SiteName> {
    let (PurgeWhat::Url { site, .. } | PurgeWhat::Prefix { site, .. } | PurgeWhat::Site { site }) =
        what
    else {
        return None;
    };
    network.sites.get(site).filter(|rules| rules.kind == SiteKind::Direct).map(|_| site)
}

fn nothing_cached(site: &SiteName, order: &PurgeOrder, style: Style) -> Done {
    if style.json {
        let done = json!({ "id": null, "what": order.what.to_string(), "kind": order.kind,
                           "nodes": 0, "applied": 0, "objects": 0, "receipts": [] });
        print_json("purge/v1", &done);
    } else {
        println!("nothing to do: {site} is a direct site, which no cache of ours serves");
    }
    Done::WELL
}

fn report(purged: &Purged, style: Style) -> Done {
    let mut objects = 0;
    let mut applied = 0;
    for receipt in &purged.receipts {
        if let PurgeState::Applied { objects: touched, .. } = &receipt.state {
            applied += 1;
            objects += touched;
        }
    }
    let nodes = purged.receipts.len();
    if style.json {
        print_json(
            "purge/v1",
            &json!({
                "id": purged.purge.id.to_string(),
                "what": purged.purge.order.what.to_string(),
                "kind": purged.purge.order.kind,
                "nodes": nodes,
                "applied": applied,
                "objects": objects,
                "receipts": purged.receipts.iter().map(receipt_json).collect::<Vec<_>>(),
            }),
        );
    } else {
        let verb = match purged.purge.order.kind {
            PurgeKind::Soft => "expired",
            PurgeKind::Hard => "removed",
        };
        // Only what a URL names is looked up on disk; the rest is marked, however much it is.
        let disk = match purged.purge.order.what {
            PurgeWhat::Url { .. } => "",
            PurgeWhat::Prefix { .. } | PurgeWhat::Tag { .. } | PurgeWhat::Site { .. } => {
                " in memory and whatever lies on disk"
            }
        };
        println!("  {applied} of {nodes} nodes, {verb}: {}{disk}", count(objects));
    }
    if applied == nodes { Done::WELL } else { Done::PARTLY }
}

fn receipt_json(receipt: &PurgeReceipt) -> serde_json::Value {
    match &receipt.state {
        PurgeState::Applied { objects, took } => json!({
            "node": receipt.node, "state": "applied", "objects": objects, "ms": took.as_millis_f64(),
        }),
        PurgeState::Unreachable(why) => {
            json!({ "node": receipt.node, "state": "unreachable", "why": why })
        }
    }
}

fn count(objects: u64) -> String {
    if objects == 1 { "1 object".to_owned() } else { format!("{objects} objects") }
}

fn line(receipt: &PurgeReceipt) -> String {
    match &receipt.state {
        PurgeState::Applied { objects, took } => {
            let ms = took.as_millis_f64();
            format!("{:<14} applied {ms:.1} ms, {}", receipt.node, count(*objects))
        }
        PurgeState::Unreachable(why) => {
            format!("{:<14} {why}; it applies the purge as soon as it returns", receipt.node)
        }
    }
}

fn order(arguments: &PurgeArguments, network: &Network) -> Result<PurgeOrder, Problem> {
    let (what, site) = what(&arguments.what, network)?;
    let owner = site.and_then(|site| network.sites.get(&site)).map(|site| site.customer.clone());
    let customer = match (&arguments.customer, owner) {
        (Some(given), Some(owner)) if *given != owner && network.customers.contains_key(given) => {
            let text = format!("that site is customer {owner}'s, not {given}'s");
            return Err(Problem::new("U0012", text, "leave --customer out").with_exit(4));
        }
        (Some(given), _) => known_customer(given, network)?.clone(),
        (None, Some(owner)) => owner,
        (None, None) => only_customer(network)?,
    };
    let kind = if arguments.hard { PurgeKind::Hard } else { PurgeKind::Soft };
    Ok(PurgeOrder { customer, what, kind, actor: Arc::from("command line") })
}

fn only_customer(network: &Network) -> Result<CustomerId, Problem> {
    let mut customers = network.customers.keys();
    match (customers.next(), customers.next()) {
        (Some(only), None) => Ok(only.clone()),
        _ => {
            let text = "a key can be in several customers' content";
            Err(Problem::new("U0011", text, "popnet purge key KEY --customer NAME").with_exit(2))
        }
    }
}

fn what(
    command: &PurgeCommand,
    network: &Network,
) -> Result<(PurgeWhat, Option<SiteName>), Problem> {
    match command {
        PurgeCommand::Key { key } if key.trim().is_empty() => {
            let next = "popnet purge key product-1187 --customer NAME";
            Err(Problem::new("U0028", "a key has at least one character", next).with_exit(2))
        }
        PurgeCommand::Key { key } => Ok((PurgeWhat::Tag { tag: key.as_str().into() }, None)),
        PurgeCommand::Site { site } => {
            let site = site_of(site, network)?;
            Ok((PurgeWhat::Site { site: site.clone() }, Some(site)))
        }
        PurgeCommand::Url { url } => {
            let (host, path) = split(url)?;
            let site = site_of(&host, network)?;
            let what = PurgeWhat::Url { site: site.clone(), host: host.into(), path: path.into() };
            Ok((what, Some(site)))
        }
        PurgeCommand::Prefix { url } => {
            let (host, path) = split(url.trim_end_matches('*'))?;
            let site = site_of(&host, network)?;
            Ok((PurgeWhat::Prefix { site: site.clone(), path: path.into() }, Some(site)))
        }
    }
}

/// Host in lower case without port, and path with query.
pub(super) fn split(url: &str) -> Result<(String, String), Problem> {
    let uri = url.parse::<http::Uri>().ok();
    let uri = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    let found = uri.as_ref().and_then(|uri| Some((uri, uri.host()?)));
    let Some((uri, host)) = found.filter(|(_, host)| !host.is_empty()) else {
        let text = format!("{url:?} is no URL that begins with http:// or https:// and a host");
        let next = "write it whole: http://static.acme.test/hello.txt";
        return Err(Problem::new("U0010", text, next).with_exit(2));
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok((host.to_ascii_lowercase(), path.to_owned()))
}

/// The site whose rules `host` has.
pub(super) fn site_of(host: &str, network: &Network) -> Result<SiteName, Problem> {
    let plain = host.trim_end_matches('.').to_ascii_lowercase();
    network.site_of(&plain).map(|(site, _)| site.clone()).ok_or_else(|| {
        let sites: Vec<&str> = network.sites.keys().map(SiteName::as_str).collect();
        let text = format!("no site is called {host}; sites: {}", sites.join(", "));
        Problem::new("U0013", text, "popnet config show").with_exit(3)
    })
}
