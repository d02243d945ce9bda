//! Who may ask what: one function, so that the whole table can be read and tested in one place.

use popnet_config::network::Network;
use popnet_runtime::link::Peer;
use popnet_terms::{NodeName, Role};
use popnet_wire::control::Ask;
use popnet_wire::rollout::Down;
use popnet_wire::zoning::ZoneOrder;

/// Who asks, out of the peer's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whoever may open this node's admin socket.
    Local,
    /// A person with a certificate: one label below the network's zone, such as `admin`.
    Person(String),
    /// A node of the network: `NODE.POP` below its zone.
    Node(NodeName),
    /// A name outside the network's zone.
    Stranger(String),
}

impl Who {
    /// Tells nodes from persons by the name in the certificate.
    #[must_use]
    pub fn of(peer: &Peer, domain: &str) -> Self {
        let hostname = match peer {
            Peer::Local => return Self::Local,
            Peer::Node { hostname } => hostname,
        };
        let below = hostname
            .strip_suffix(domain)
            .and_then(|rest| rest.strip_suffix('.'))
            .filter(|rest| !rest.is_empty());
        match below {
            None => Self::Stranger(hostname.to_string()),
            Some(label) if !label.contains('.') => Self::Person(label.to_owned()),
            Some(name) => Self::Node(NodeName::new(name)),
        }
    }
}

/// What the answer depends on.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// This node.
    pub me: &'a NodeName,
    /// The configuration, where it is held.
    pub network: Option<&'a Network>,
    /// Whom this node receives from, by its own `node.toml`.
    pub parents: &'a [NodeName],
}

/// Whether `who` may ask `ask` of this node.
#[must_use]
pub fn may(who: &Who, ask: &Ask, scope: &Scope<'_>) -> bool {
    match who {
        // Pushes travel between nodes only; everything else is a person's to ask (whether this
        // node can answer is another question).
        Who::Local | Who::Person(_) => !matches!(ask, Ask::Rollout(_) | Ask::Purge(_)),
        Who::Stranger(_) => false,
        // What a cache saw of the ways to its clients is for the probes that stand beside it. A
        // cache holds no configuration that would say which of its neighbours are probes.
        Who::Node(node) if matches!(ask, Ask::Trips(_)) => {
            let is_probe = |network: &Network| {
                network.node(node).is_some_and(|known| known.runs(Role::Netprobe))
            };
            node.pop() == scope.me.pop() && scope.network.is_none_or(is_probe)
        }
        Who::Node(node) => match scope.network {
            Some(network) => may_node(node, ask, scope, network),
            // Without a configuration (G6, or before the first), parents are whom one trusts.
            None => scope.parents.contains(node) && is_from_above(ask),
        },
    }
}

fn is_from_above(ask: &Ask) -> bool {
    match ask {
        Ask::NodeStatus
        | Ask::Rollout(_)
        | Ask::Purge(_)
        | Ask::ExplainDns(_)
        | Ask::ExplainUrl(_)
        | Ask::Question(_)
        | Ask::Zone(_)
        | Ask::Inquire(_)
        | Ask::Moves(_)
        | Ask::DnsCounts => true,
        Ask::RoleStatus
        | Ask::Sheet(_)
        | Ask::PurgesSince(_)
        | Ask::At(..)
        | Ask::NetworkStatus
        | Ask::Push(_)
        | Ask::History { .. }
        | Ask::Version(_)
        | Ask::PurgeNetwork(_)
        | Ask::Reload
        | Ask::Trips(_) => false,
    }
}

fn may_node(node: &NodeName, ask: &Ask, scope: &Scope<'_>, network: &Network) -> bool {
    let Some(known) = network.node(node) else { return false };
    let is_master = known.runs(Role::Master) && network.masters.allow.contains(node);
    let shows = known.runs(Role::Netview);
    let holds = known.holds_configuration();
    match ask {
        Ask::NodeStatus | Ask::Sheet(_) | Ask::PurgesSince(_) => true,
        Ask::Rollout(Down::Current | Down::Newer(_)) => holds,
        Ask::Rollout(Down::Prepare(_) | Down::Commit { .. } | Down::Abort { .. }) => {
            is_master || scope.parents.contains(node) || hands_on_to(network, node, scope.me)
        }
        // A7: a node that is no master can be a person's way to a master, not more.
        Ask::NetworkStatus | Ask::History { .. } | Ask::Version(_) | Ask::ExplainDns(_) => holds,
        Ask::ExplainUrl(_) | Ask::Inquire(_) | Ask::Moves(_) | Ask::DnsCounts => holds,
        Ask::Question(_) => is_master || shows,
        Ask::PurgeNetwork(_) => is_master || shows,
        Ask::Zone(ask) if ask.order == ZoneOrder::Status => holds,
        Ask::Purge(_) | Ask::Push(_) | Ask::Zone(_) => is_master,
        Ask::At(..) => shows && !is_master,
        Ask::RoleStatus | Ask::Reload | Ask::Trips(_) => false,
    }
}

/// Whether `from` may stand above `me` in a push: its neighbour in the relay tree (whichever of
/// the two is nearer to the pushing master) or an ancestor that passes over a silent parent.
fn hands_on_to(network: &Network, from: &NodeName, me: &NodeName) -> bool {
    let mut above = me;
    // A relay tree is not deeper than it has parents; a loop ends here too.
    for _ in 0..=network.masters.relay.len() {
        match network.parent(above) {
            Some(parent) if parent == from => return true,
            Some(parent) => above = parent,
            None => break,
        }
    }
    network.children(me).contains(from)
}
