//! Where an address of an answer really listens. DNS answers carry no ports; a network whose
//! caches do not listen on port 80 (the demo) needs this to be talked to.

use std::net::{IpAddr, SocketAddr};

use popnet_config::network::{Network, Service};
use popnet_terms::{OriginId, Role, TargetId};

/// What stands behind an address.
pub(crate) struct Behind {
    /// Which target.
    pub(crate) target: TargetId,
    /// Where it answers HTTP.
    pub(crate) http: SocketAddr,
}

/// What stands behind `address` in `network`; `None` for an address that is nobody's.
pub(crate) fn behind(network: &Network, address: IpAddr) -> Option<Behind> {
    let cache = network.nodes().filter(|(_, _, node)| node.runs(Role::Webcache)).find_map(
        |(_, pop, node)| {
            let http = node.listens(Service::Http).into_iter().find(|at| at.ip() == address)?;
            Some(Behind { target: TargetId::Pop(pop.clone()), http })
        },
    );
    cache.or_else(|| origin(network, address))
}

fn origin(network: &Network, address: IpAddr) -> Option<Behind> {
    network.origin_groups.iter().find_map(|(group, of)| {
        of.servers.iter().find_map(|(server, at)| {
            let http = match at.address.parse::<SocketAddr>() {
                Ok(socket) => socket,
                Err(_) => SocketAddr::new(at.address.parse().ok()?, 80),
            };
            let id = OriginId { group: group.clone(), server: server.as_str().into() };
            (http.ip() == address).then_some(Behind { target: TargetId::Origin(id), http })
        })
    })
}

/// Where the network's name servers answer.
pub(crate) fn nameservers(network: &Network) -> Vec<SocketAddr> {
    network
        .nodes()
        .filter(|(_, _, node)| node.runs(Role::Nameserver))
        .filter_map(|(_, _, node)| node.listens(Service::Dns).into_iter().next())
        .collect()
}
