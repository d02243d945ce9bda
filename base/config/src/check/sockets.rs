//! Machines: no two claim one socket, and no node claims one twice.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use popnet_terms::{NodeName, Role};

use super::{At, Checker};
use crate::network::{Network, Node, Service};
use crate::path::TreePath;

/// What carries a service. The order is the one in which they are reported.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Carrier {
    Tcp,
    Udp,
}

/// What a node opens: for each socket the service that needs it.
type Opened = BTreeMap<(SocketAddr, Carrier), Service>;

pub(super) fn check(checker: &mut Checker<'_>) {
    let network = checker.network;
    let nodes: Vec<(NodeName, &Node)> =
        network.nodes().map(|(name, _, node)| (name, node)).collect();
    for (name, node) in &nodes {
        twice(checker, name, node);
    }
    for (at, (name, node)) in nodes.iter().enumerate() {
        for (other_name, other) in nodes.iter().skip(at + 1) {
            claims(checker, (name, node), (other_name, other));
        }
    }
}

fn path_of(node: &NodeName) -> TreePath {
    TreePath::of(["pops", node.pop().as_str(), "nodes", node.node()])
}

/// Two nodes may be one machine, but not one socket: name servers would call one server by two
/// names, and health and billing would mix.
fn claims(checker: &mut Checker<'_>, first: (&NodeName, &Node), second: (&NodeName, &Node)) {
    let Some(at) = second.1.address.iter().position(|ip| first.1.address.contains(ip)) else {
        return;
    };
    let network = checker.network;
    let opened = opened(network, first.1);
    let Some((socket, _)) =
        self::opened(network, second.1).into_keys().find(|key| opened.contains_key(key))
    else {
        return;
    };
    let Some(ip) = second.1.address.get(at) else { return };
    let known = first.1.address.iter().position(|one| one == ip).unwrap_or(0);
    let one = (path_of(first.0).key("address").index(known), first.0);
    let two = (path_of(second.0).key("address").index(at), second.0);
    // The later line is the newcomer, whatever the order of the POPs' names.
    let line = |path: &TreePath| checker.mark(path, At::Value, "").line;
    let ((old, old_name), (new, new_name)) =
        if line(&one.0) <= line(&two.0) { (one, two) } else { (two, one) };
    let mark = checker.mark(&old, At::Value, path_of(old_name).to_string());
    let found = checker.error("E0405", format!("two nodes claim {ip}"), &new, At::Value);
    found.others.push(mark);
    found.label = path_of(new_name).to_string();
    found.notes.push(format!("both listen on {socket}"));
    found.notes.push(
        "name servers would call one machine by two names; health and billing would mix".into(),
    );
    found.help = "give one of them another address, or other ports with `listen`".into();
}

fn twice(checker: &mut Checker<'_>, name: &NodeName, node: &Node) {
    let mut seen = Opened::new();
    for (service, carrier) in services(checker.network, node) {
        for socket in node.reached(service) {
            let Some(other) = seen.insert((socket, carrier), service) else { continue };
            let path = path_of(name).key("listen").key(service.name());
            let message = format!("{name} listens twice on {socket}");
            let found = checker.error("E0406", message, &path, At::Value);
            found.label = format!("for {} and {}", other.name(), service.name());
            let listen = path_of(name).key("listen");
            found.help = format!("give one of them another port in {listen}");
            if carrier == Carrier::Udp && [other, service].contains(&Service::Https) {
                found.help += ", or serve no HTTP/3 there: http3 = false";
            }
            break;
        }
    }
}

fn opened(network: &Network, node: &Node) -> Opened {
    let of = |(service, carrier): (Service, Carrier)| {
        node.reached(service).into_iter().map(move |socket| ((socket, carrier), service))
    };
    services(network, node).into_iter().flat_map(of).collect()
}

/// What the node's roles open.
fn services(network: &Network, node: &Node) -> Vec<(Service, Carrier)> {
    let mut services = Vec::new();
    if network.is_managed() {
        services.push((Service::Control, Carrier::Tcp));
    }
    for role in &node.roles {
        match role {
            Role::Nameserver => services.extend([
                (Service::Dns, Carrier::Udp),
                (Service::Dns, Carrier::Tcp),
                (Service::Dot, Carrier::Tcp),
                (Service::Doh, Carrier::Tcp),
                (Service::Doq, Carrier::Udp),
                (Service::Probe, Carrier::Udp),
            ]),
            Role::Webcache => {
                services.push((Service::Http, Carrier::Tcp));
                if network.sites.values().any(|site| site.tls.is_some()) {
                    services.push((Service::Https, Carrier::Tcp));
                    if node.serves_http3() {
                        services.push((Service::Https, Carrier::Udp));
                    }
                }
            }
            Role::Webserver => services.push((Service::Store, Carrier::Tcp)),
            Role::Logserver => services.push((Service::Logs, Carrier::Udp)),
            Role::Netview => services.push((Service::Netview, Carrier::Tcp)),
            Role::Netprobe => services.push((Service::Page, Carrier::Tcp)),
            Role::Master => {}
        }
    }
    services
}
