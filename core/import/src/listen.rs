//! Where the server listens, over what, and how often it answers one asker.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::access::access;
use crate::bind::{Top, find, is_yes, note, word_of};
use crate::report::{Kind, Note};
use crate::tree::Statement;

/// Where the server listens.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    pub(crate) dns: Vec<SocketAddr>,
    pub(crate) dot: Vec<SocketAddr>,
    pub(crate) doh: Vec<SocketAddr>,
    /// Chain and key of the encrypted ones.
    pub(crate) certificate: Option<(String, String)>,
    /// Keys of `dns.rate_limit` and their values, as TOML.
    pub(crate) rates: Vec<(&'static str, Rate)>,
}

/// A value of `dns.rate_limit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rate {
    PerSecond(u32),
    Number(u32),
    Nets(Vec<IpNet>),
}

/// What `options` say about it.
pub(crate) fn listen(top: &Top<'_>, notes: &mut Vec<Note>) -> Listening {
    let options = top.options.unwrap_or_default();
    let mut found = Listening::default();
    let mut said = false;
    for statement in options {
        match statement.name().as_str() {
            "listen-on" => {
                said = true;
                one(top, statement, false, &mut found, notes);
            }
            "listen-on-v6" => one(top, statement, true, &mut found, notes),
            _ => {}
        }
    }
    // BIND listens on every IPv4 address when it is not told where.
    if !said {
        found.dns.push(SocketAddr::new(IpAddr::from([0, 0, 0, 0]), port(options, "port", 53)));
    }
    if let Some(limit) = find(options, "rate-limit") {
        found.rates = rates(top, limit, notes);
    }
    found
}

fn port(options: &[Statement], name: &str, usual: u16) -> u16 {
    word_of(options, name).and_then(|port| port.parse().ok()).unwrap_or(usual)
}

fn one(
    top: &Top<'_>,
    statement: &Statement,
    six: bool,
    found: &mut Listening,
    notes: &mut Vec<Note>,
) {
    let options = top.options.unwrap_or_default();
    let tls = statement.after("tls").map(|word| word.text.as_str()).filter(|tls| *tls != "none");
    let http = statement.after("http").is_some();
    let (key, usual) = match (tls, http) {
        (None, false) => ("listen.dns", port(options, "port", 53)),
        (Some(_), false) => ("listen.dot", port(options, "tls-port", 853)),
        (Some(_), true) => ("listen.doh", port(options, "https-port", 443)),
        (None, true) => {
            let why = "DNS over HTTPS without TLS is not offered: put the front's TLS here";
            notes.push(note(Kind::Left, statement, why));
            return;
        }
    };
    if let Some(tls) = tls {
        certificate(top, statement, tls, found, notes);
    }
    let port = statement.after("port").and_then(|port| port.text.parse().ok()).unwrap_or(usual);
    let sockets = sockets(top, statement, six, port, notes);
    notes.push(note(Kind::Taken, statement, key));
    match key {
        "listen.dot" => found.dot.extend(sockets),
        "listen.doh" => found.doh.extend(sockets),
        _ => found.dns.extend(sockets),
    }
}

/// Files of the `tls` statement that is named; `ephemeral` has none.
fn certificate(
    top: &Top<'_>,
    statement: &Statement,
    tls: &str,
    found: &mut Listening,
    notes: &mut Vec<Note>,
) {
    if tls == "ephemeral" {
        let why = "the certificate is one of the network's own authority";
        notes.push(note(Kind::Taken, statement, why));
        return;
    }
    let block = top.tls.get(tls).copied().unwrap_or_default();
    let (Some(chain), Some(key)) = (word_of(block, "cert-file"), word_of(block, "key-file")) else {
        let why = format!("tls {tls:?} names no certificate: it will be one of our own authority");
        notes.push(note(Kind::Left, statement, why));
        return;
    };
    let path = |file: &str| top.folder.join(file).display().to_string();
    let files = (path(chain), path(key));
    if found.certificate.get_or_insert_with(|| files.clone()) != &files {
        let why = "name servers have one certificate: this one is not taken";
        notes.push(note(Kind::Left, statement, why));
    }
}

/// The addresses of a list, each with the port.
fn sockets(
    top: &Top<'_>,
    statement: &Statement,
    six: bool,
    port: u16,
    notes: &mut Vec<Note>,
) -> Vec<SocketAddr> {
    let list = access(statement.block().unwrap_or_default(), &top.acls);
    let mut sockets = Vec::new();
    for net in list.prefixes.iter().filter(|net| net.addr().is_ipv6() == six) {
        if net.prefix_len() == 0 || net.prefix_len() == net.max_prefix_len() {
            sockets.push(SocketAddr::new(net.addr(), port));
        } else if net.addr().is_loopback() {
            sockets.push(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port));
        } else {
            let why = format!("write the addresses of this machine out: {net} is a network");
            notes.push(note(Kind::Left, statement, why));
        }
    }
    for lost in &list.lost {
        let why = format!("write the addresses of this machine out: {lost}");
        notes.push(note(Kind::Left, statement, why));
    }
    sockets
}

/// `rate-limit`: BIND's numbers have names of ours.
fn rates(top: &Top<'_>, limit: &Statement, notes: &mut Vec<Note>) -> Vec<(&'static str, Rate)> {
    let block = limit.block().unwrap_or_default();
    if word_of(block, "log-only").is_some_and(is_yes) {
        notes.push(note(Kind::Left, limit, "ours limits or does not: it has no trial run"));
        return Vec::new();
    }
    notes.push(note(Kind::Taken, limit, "dns.rate_limit"));
    let mut rates = Vec::new();
    for statement in block {
        let number = || statement.word(1).and_then(|word| word.text.parse::<u32>().ok());
        let per_second = || number().filter(|number| *number > 0).map(Rate::PerSecond);
        let (key, rate) = match statement.name().as_str() {
            "responses-per-second" => ("responses", per_second()),
            "nodata-per-second" => ("nodata", per_second()),
            "nxdomains-per-second" => ("nxdomains", per_second()),
            "referrals-per-second" => ("referrals", per_second()),
            "errors-per-second" => ("errors", per_second()),
            "all-per-second" => ("all", per_second()),
            "slip" => ("slip", number().filter(|slip| *slip <= 10).map(Rate::Number)),
            "ipv4-prefix-length" => ("ipv4_prefix", number().map(Rate::Number)),
            "ipv6-prefix-length" => ("ipv6_prefix", number().map(Rate::Number)),
            "exempt-clients" => {
                let list = access(statement.block().unwrap_or_default(), &top.acls);
                for lost in &list.lost {
                    notes.push(note(Kind::Left, statement, format!("not exempt here: {lost}")));
                }
                ("exempt", Some(Rate::Nets(list.prefixes)))
            }
            "window" | "min-table-size" | "max-table-size" | "log-only" => {
                notes.push(note(Kind::Unneeded, statement, "popnet's table has its own size"));
                continue;
            }
            "qps-scale" => {
                notes.push(note(Kind::Left, statement, "limits of ours do not scale with load"));
                continue;
            }
            _ => {
                notes.push(note(Kind::Unknown, statement, "nothing that BIND limits"));
                continue;
            }
        };
        let taken = rate.map(|rate| rates.push((key, rate)));
        notes.push(match taken {
            Some(()) => note(Kind::Taken, statement, format!("dns.rate_limit.{key}")),
            None => note(Kind::Left, statement, "0 is no limit here: leave it out"),
        });
    }
    rates
}
