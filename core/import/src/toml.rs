//! What was read, written down as a configuration of ours.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use toml_edit::{Key, Value};

use crate::access::{Access, show};
use crate::bind::{Wanted, note};
use crate::listen::{Listening, Rate};
use crate::places::Place;
use crate::report::{Kind, Note};
use crate::views::ViewPlan;
use crate::zones::{Grant, Server, ZonePlan};

/// The usual port of DNS.
const PORT: u16 = 53;

/// A configuration that grows line by line.
struct Page(String);

impl Page {
    fn line(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    /// `key = [items]`, when there are any.
    fn list(&mut self, key: &str, items: impl Iterator<Item = String>) {
        let items: Vec<String> = items.collect();
        if !items.is_empty() {
            self.line(&format!("{key} = {}", array(items.into_iter())));
        }
    }
}

/// The configuration of one name server with these zones.
pub(crate) fn write(
    wanted: &Wanted<'_>,
    listen: &Listening,
    (zones, views): (&[ZonePlan<'_>], &[ViewPlan<'_>]),
    notes: &mut Vec<Note>,
) -> String {
    let mut page =
        Page("# Made by `popnet import bind`; its report says what is not here.\n\n".to_owned());
    page.line("[network]");
    page.line(&format!("name = {}", quoted(wanted.network)));
    page.line("schema = 1");
    page.line(&format!("domain = {}", quoted(wanted.domain)));
    page.line("");
    node(&mut page, wanted, listen);
    guard(&mut page, listen);
    all(&mut page, "zones", zones, notes);
    for view in views {
        page.line("");
        page.line(&format!("[[views]]  # {}", remark(&view.statement.place)));
        page.line(&format!("name = {}", quoted(&view.name)));
        let clients = Access { keys: Vec::new(), ..view.clients.clone() };
        page.list("clients", who(&clients).into_iter());
        page.list("keys", view.clients.keys.iter().cloned());
        all(&mut page, "views.zones", &view.zones, notes);
    }
    page.0
}

/// The zones of one table.
fn all(page: &mut Page, table: &str, zones: &[ZonePlan<'_>], notes: &mut Vec<Note>) {
    for zone in zones.iter().filter(|zone| zone.is_taken()) {
        page.line("");
        page.line(&format!("[{table}.{}]  # {}", key(&zone.name), remark(zone.place())));
        one(page, zone, notes);
    }
}

fn remark(place: &Place) -> String {
    place.to_string().replace(char::is_control, " ")
}

fn node(page: &mut Page, wanted: &Wanted<'_>, listen: &Listening) {
    page.line("[pops.main.nodes.ns1]");
    page.line("roles = [\"nameserver\"]");
    let concrete = listen.dns.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified());
    let mut addresses: Vec<IpAddr> = wanted.addresses.to_vec();
    if addresses.is_empty() {
        addresses.extend(concrete);
        addresses.dedup();
    }
    if addresses.is_empty() {
        page.line("# The machine's own addresses belong here: --address of the import.");
        addresses.push(IpAddr::from([127, 0, 0, 1]));
    }
    page.list("address", addresses.iter().map(ToString::to_string));
    let usual: Vec<SocketAddr> = addresses.iter().map(|ip| SocketAddr::new(*ip, PORT)).collect();
    let dns = if listen.dns == usual { &[] } else { listen.dns.as_slice() };
    let said = [("dns", dns), ("dot", &listen.dot), ("doh", &listen.doh)];
    let said: Vec<String> = said
        .iter()
        .filter(|(_, sockets)| !sockets.is_empty())
        .map(|(name, all)| format!("{name} = {}", array(all.iter().map(ToString::to_string))))
        .collect();
    if !said.is_empty() {
        page.line(&format!("listen = {{ {} }}", said.join(", ")));
    }
}

/// What holds for all who ask.
fn guard(page: &mut Page, listen: &Listening) {
    if let Some((chain, key)) = &listen.certificate {
        page.line("");
        page.line("[certificates.dns]");
        page.line(&format!("chain = {}", quoted(chain)));
        page.line(&format!("key = {}", quoted(key)));
        page.line("");
        page.line("[dns]");
        page.line("certificate = \"dns\"");
    }
    if !listen.rates.is_empty() {
        page.line("");
        page.line("[dns.rate_limit]");
        for (name, rate) in &listen.rates {
            let value = match rate {
                Rate::PerSecond(number) => quoted(&format!("{number}/s")),
                Rate::Number(number) => number.to_string(),
                Rate::Nets(nets) => array(nets.iter().map(ToString::to_string)),
            };
            page.line(&format!("{name} = {value}"));
        }
    }
}

fn one(page: &mut Page, zone: &ZonePlan<'_>, notes: &mut Vec<Note>) {
    if let Some(file) = &zone.file {
        page.line(&format!("file = {}", quoted(file)));
    }
    page.list("primaries", zone.primaries.iter().map(peer));
    if zone.is_catalog {
        page.line("catalog = true");
    }
    page.list("secondaries", zone.notified.iter().map(peer));
    if let Some(name) = &zone.key {
        page.line(&format!("tsig_key = {}", quoted(name)));
    }
    page.list("allow_transfer", zone.transfer.iter().flat_map(who));
    if zone.file.is_none() {
        page.list("allow_notify", zone.notify.iter().flat_map(who));
    }
    if let Some(list) = zone.query.as_ref().filter(|list| !list.is_any()) {
        page.line(&format!("allow_query = {}", array(list.prefixes.iter().map(IpNet::to_string))));
        for key in &list.keys {
            let why = format!("who may ask is known by address only: not by key {key}");
            notes.push(note(Kind::Left, zone.statement, why));
        }
    }
    if !zone.grants.is_empty() {
        let grants: Vec<String> = zone.grants.iter().map(grant).collect();
        page.line(&format!("allow_update = [{}]", grants.join(", ")));
    }
    if let Some(signing) = zone.signing {
        let algorithm = signing.algorithm.map(|name| format!(", algorithm = {}", quoted(name)));
        page.line(&format!("dnssec = {{ sign = true{} }}", algorithm.unwrap_or_default()));
    }
}

fn peer(server: &Server) -> String {
    if server.port == PORT {
        server.address.to_string()
    } else {
        SocketAddr::new(server.address, server.port).to_string()
    }
}

/// The entries of an access list.
fn who(list: &Access) -> Vec<String> {
    if list.is_any() {
        return vec!["any".to_owned()];
    }
    let keys = list.keys.iter().map(|key| format!("key:{key}"));
    list.prefixes.iter().map(show).chain(keys).collect()
}

fn grant(grant: &Grant) -> String {
    let mut parts = Vec::new();
    parts.extend(grant.key.iter().map(|key| format!("key = {}", quoted(key))));
    if !grant.from.is_empty() {
        parts.push(format!("from = {}", array(grant.from.iter().map(IpNet::to_string))));
    }
    parts.extend(grant.name.iter().map(|name| format!("names = [{}]", quoted(name))));
    if !grant.types.is_empty() {
        parts.push(format!("types = {}", array(grant.types.iter().cloned())));
    }
    format!("{{ {} }}", parts.join(", "))
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn key(text: &str) -> String {
    Key::new(text).to_string()
}

fn array(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.map(|item| quoted(&item)).collect();
    format!("[{}]", items.join(", "))
}
