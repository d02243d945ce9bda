//! From what a person typed to purge orders. An order never reaches another customer's content:
//! each host must be a site of the customer's.

use std::sync::Arc;

use popnet_config::Held;
use popnet_config::network::Network;
use popnet_terms::{NodeName, PopId, Role, SiteName};
use popnet_wire::purging::{PurgeKind, PurgeOrder, PurgeWhat};
use serde::Deserialize;

use crate::access::Visible;
use crate::app::App;
use crate::refusal::Refusal;

/// Most lines of one form: each is a purge of its own.
const LINES_MAX: usize = 10;

/// Longest line; a URL in the log is cut at the same order of size.
const LINE_MAX: usize = 2048;

/// What the lines are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum By {
    /// URLs.
    #[default]
    Url,
    /// First parts of URLs.
    Prefix,
    /// Tags.
    Key,
    /// Whole sites, typed out.
    Site,
}

impl By {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Prefix => "prefix",
            Self::Key => "key",
            Self::Site => "site",
        }
    }
}

/// What a person wants.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) by: By,
    /// One thing a line.
    pub(crate) what: String,
    pub(crate) kind: PurgeKind,
    pub(crate) actor: Arc<str>,
}

/// The orders of a wish, or what is wrong with it.
pub(crate) fn orders(
    held: &Held,
    customer: &Visible,
    wish: &Wish,
) -> Result<Vec<PurgeOrder>, String> {
    let lines: Vec<&str> =
        wish.what.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return Err("Nothing was named: write one URL, prefix, key or site a line.".to_owned());
    }
    if lines.len() > LINES_MAX {
        return Err(format!("{} lines; at most {LINES_MAX} at a time.", lines.len()));
    }
    let order = |line| {
        Ok(PurgeOrder {
            customer: customer.id().clone(),
            what: what(held, customer, wish.by, line)?,
            kind: wish.kind,
            actor: Arc::clone(&wish.actor),
        })
    };
    lines.into_iter().map(order).collect()
}

/// Begins an order and gives back the job's id.
pub(crate) fn begin(app: &App, order: PurgeOrder) -> Result<String, Refusal> {
    let expected = concerned(&app.shared.pulse.held().network, &order);
    Ok(app.shared.jobs.begin(app.shared.pulse.master(), order, expected)?)
}

/// Nodes whose caches may hold what `order` names: those the master will ask.
fn concerned(network: &Network, order: &PurgeOrder) -> Vec<NodeName> {
    let serves = |pop: &PopId| match &order.what {
        PurgeWhat::Url { site, .. } | PurgeWhat::Prefix { site, .. } | PurgeWhat::Site { site } => {
            network.sites.get(site).is_some_and(|of| network.serves(pop, of))
        }
        PurgeWhat::Tag { .. } => {
            let mut own = network.sites.values().filter(|of| of.customer == order.customer);
            own.any(|of| network.serves(pop, of))
        }
    };
    let nodes = network.nodes().filter(|(_, pop, node)| {
        (node.runs(Role::Webcache) || node.runs(Role::Webserver)) && serves(pop)
    });
    nodes.map(|(name, _, _)| name).collect()
}

fn what(held: &Held, customer: &Visible, by: By, line: &str) -> Result<PurgeWhat, String> {
    if line.len() > LINE_MAX {
        return Err(format!("A line is longer than {LINE_MAX} octets."));
    }
    if line.chars().any(char::is_control) {
        return Err("A line has control characters.".to_owned());
    }
    match by {
        By::Key => Ok(PurgeWhat::Tag { tag: Arc::from(line) }),
        By::Site => {
            let site = own_site(held, customer, &line.to_ascii_lowercase(), line)?;
            if site.as_str() != line.to_ascii_lowercase() {
                return Err(format!("{line} is no site of its own; type the site's name."));
            }
            Ok(PurgeWhat::Site { site })
        }
        By::Url => {
            let (host, path) = split(line);
            let site = own_site(held, customer, &host, line)?;
            Ok(PurgeWhat::Url { site, host: host.into(), path })
        }
        By::Prefix => {
            let (host, path) = split(line.trim_end_matches('*'));
            Ok(PurgeWhat::Prefix { site: own_site(held, customer, &host, line)?, path })
        }
    }
}

/// Host in lower case without port, and path with query; the scheme does not matter.
fn split(url: &str) -> (String, Arc<str>) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|c| c.is_ascii_digit()) { name } else { host }
    });
    let path = if path.starts_with('/') { Arc::from(path) } else { format!("/{path}").into() };
    (host.trim_end_matches('.').to_ascii_lowercase(), path)
}

fn own_site(held: &Held, customer: &Visible, host: &str, line: &str) -> Result<SiteName, String> {
    match held.network.site_of(host) {
        Some((name, site)) if site.customer == *customer.id() => Ok(name.clone()),
        // The same words whether it is nobody's or somebody else's.
        Some(_) | None => Err(format!("{line}: {host} is not a site of {}.", customer.title())),
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn urls_are_split() {
        let check = |url: &str, host: &str, path: &str| {
            assert_eq!(split(url), (host.to_owned(), path.into()), "{url}");
        };
        check("https://Static.Acme.test:8443/a/b?c=d#e", "static.acme.test", "/a/b?c=d");
        check("static.acme.test", "static.acme.test", "/");
        check("static.acme.test?x=1", "static.acme.test", "/?x=1");
        check("http://user@static.acme.test./x", "static.acme.test", "/x");
        check("", "", "/");
        check("://", "", "/");
    }
}
