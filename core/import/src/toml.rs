//! What was read, written down as a configuration of ours.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use toml_edit::{Key, Value};

use crate::bind::{Wanted, note};
use crate::report::{Kind, Note};
use crate::zones::{Listening, Server, ZonePlan};

/// The usual port of DNS.
const PORT: u16 = 53;

/// The configuration of one name server with these zones.
pub(crate) fn write(
    wanted: &Wanted<'_>,
    listen: &Listening,
    zones: &[ZonePlan<'_>],
    notes: &mut Vec<Note>,
) -> String {
    let mut out =
        String::from("# Made by `popnet import bind`; its report says what is not here.\n\n");
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line("[network]".to_owned());
    line(format!("name = {}", quoted(wanted.network)));
    line("schema = 1".to_owned());
    line(format!("domain = {}", quoted(wanted.domain)));
    line(String::new());
    line("[pops.main.nodes.ns1]".to_owned());
    line("roles = [\"nameserver\"]".to_owned());
    let concrete = listen.sockets.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified());
    let mut addresses: Vec<IpAddr> = wanted.addresses.to_vec();
    if addresses.is_empty() {
        addresses.extend(concrete);
        addresses.dedup();
    }
    if addresses.is_empty() {
        line(
            "# The machine's own addresses belong here; --address of the import writes them."
                .to_owned(),
        );
        addresses.push(IpAddr::from([127, 0, 0, 1]));
    }
    line(format!("address = {}", array(addresses.iter().map(ToString::to_string))));
    let usual: Vec<SocketAddr> = addresses.iter().map(|ip| SocketAddr::new(*ip, PORT)).collect();
    if listen.sockets != usual {
        let sockets = array(listen.sockets.iter().map(ToString::to_string));
        line(format!("listen = {{ dns = {sockets} }}"));
    }
    for zone in zones.iter().filter(|zone| zone.is_taken()) {
        line(String::new());
        let place = zone.place().to_string().replace(char::is_control, " ");
        line(format!("[zones.{}]  # {place}", key(&zone.name)));
        one(zone, &mut line, notes);
    }
    out
}

fn one(zone: &ZonePlan<'_>, line: &mut impl FnMut(String), notes: &mut Vec<Note>) {
    if let Some(file) = &zone.file {
        line(format!("file = {}", quoted(file)));
    }
    let mut say = |why: String| notes.push(note(Kind::Left, zone.statement, why));
    servers("primaries", &zone.primaries, line, &mut say);
    // Ours may transfer whom we notify; single addresses that may transfer are such servers.
    let mut secondaries = zone.notified.clone();
    if let Some(list) = &zone.transfer {
        // This machine itself is no other server.
        let others = list.hosts().filter(|address| !address.is_loopback());
        let hosts = others.map(|address| Server { address, port: PORT, key: None });
        for host in hosts {
            if !secondaries.iter().any(|known| known.address == host.address) {
                secondaries.push(host);
            }
        }
        if list.has_wide() {
            say(format!("transfers to {}: name each server in secondaries", list.words()));
        }
    }
    servers("secondaries", &secondaries, line, &mut say);
    if let Some(name) = &zone.key {
        line(format!("tsig_key = {}", quoted(name)));
    }
    if let Some(list) = zone.query.as_ref().filter(|list| !list.is_any()) {
        say(format!("queries from {} only: popnet answers everybody", list.words()));
    }
    if let Some(list) = zone.update.as_ref().filter(|list| !list.is_none()) {
        say(format!("updates from {}: popnet takes no updates for it", list.words()));
    }
    if let Some(list) = zone.notify.as_ref().filter(|list| !list.is_none()) {
        say(format!("notifications from {}: popnet listens to its primaries", list.words()));
    }
    if let Some(signing) = zone.signing {
        let algorithm = signing.algorithm.map(|name| format!(", algorithm = {}", quoted(name)));
        line(format!("dnssec = {{ sign = true{} }}", algorithm.unwrap_or_default()));
    }
}

fn servers(
    name: &str,
    servers: &[Server],
    line: &mut impl FnMut(String),
    say: &mut impl FnMut(String),
) {
    if servers.is_empty() {
        return;
    }
    for server in servers.iter().filter(|server| server.port != PORT) {
        say(format!("{name}: {} is asked on port 53, not {}", server.address, server.port));
    }
    let all = servers.iter().map(|server| server.address.to_string());
    line(format!("{name} = {}", array(all)));
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn key(text: &str) -> String {
    Key::new(text).to_string()
}

fn array(items: impl Iterator<Item = String>) -> String {
    let mut text = String::from("[");
    for (at, item) in items.enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}{}", if at > 0 { ", " } else { "" }, quoted(&item));
    }
    text.push(']');
    text
}
