//! Who may send which batch here: nodes of the network under their own name, for customers whose
//! log server this is (L4, L5).

use popnet_config::network::Network;
use popnet_terms::{CustomerId, NodeName};
use popnet_wire::logging::BatchId;

/// Whether the node whose certificate names `peer` may leave the batch `id` at `own`.
///
/// # Errors
/// Why not, for the sender's log.
pub(crate) fn admit(
    network: &Network,
    own: &NodeName,
    peer: &str,
    id: &BatchId,
) -> Result<(), String> {
    if network.node(&id.sender).is_none() {
        return Err(format!("the configuration has no node {}", id.sender));
    }
    if !network.hostname(&id.sender).eq_ignore_ascii_case(peer) {
        return Err(format!("{peer} may not send in the name of {}", id.sender));
    }
    if !network.log_servers(&id.customer).contains(own) {
        return Err(format!("{own} is not a log server of customer {}", id.customer));
    }
    Ok(())
}

/// The customers whose log server `own` is.
pub(crate) fn customers(network: &Network, own: &NodeName) -> Vec<CustomerId> {
    let ourselves = CustomerId::network();
    std::iter::once(&ourselves)
        .chain(network.customers.keys())
        .filter(|customer| network.log_servers(customer).contains(own))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use popnet_terms::Role;

    use super::*;

    const NETWORK: &str = r#"
[network]
name = "lab"
schema = 1
domain = "cdn.test"
[pops.fra1.nodes.edge1]
roles = ["webcache"]
address = ["127.0.0.1"]
[pops.fra1.nodes.log1]
roles = ["logserver"]
address = ["127.0.0.2"]
[pops.fra1.nodes.log2]
roles = ["logserver"]
address = ["127.0.0.3"]
[logs]
default = ["log1.fra1"]
[customers.acme]
title = "Acme"
[customers.globex]
logs = { servers = ["log2.fra1"] }
"#;

    fn check(own: &str, peer: &str, sender: &str, customer: &str, expected: Result<(), &str>) {
        let network = popnet_config::load(NETWORK, "test.toml").unwrap().network;
        let id = BatchId {
            sender: sender.into(),
            role: Role::Webcache,
            customer: customer.into(),
            seq: 1,
        };
        let said = admit(&network, &own.into(), peer, &id);
        assert_eq!(said.as_ref().copied().map_err(String::as_str), expected);
    }

    #[test]
    fn own_name_and_own_customers() {
        let edge = "edge1.fra1.cdn.test";
        check("log1.fra1", edge, "edge1.fra1", "acme", Ok(()));
        check("log1.fra1", "Edge1.FRA1.cdn.test", "edge1.fra1", "_network", Ok(()));
        check("log2.fra1", edge, "edge1.fra1", "globex", Ok(()));
        let refused = "log1.fra1 is not a log server of customer globex";
        check("log1.fra1", edge, "edge1.fra1", "globex", Err(refused));
        let refused = "edge1.fra1.cdn.test may not send in the name of log2.fra1";
        check("log1.fra1", edge, "log2.fra1", "acme", Err(refused));
        let refused = "the configuration has no node edge9.fra1";
        check("log1.fra1", "edge9.fra1.cdn.test", "edge9.fra1", "acme", Err(refused));
    }

    #[test]
    fn customers_of_a_server() {
        let network = popnet_config::load(NETWORK, "test.toml").unwrap().network;
        let of = |own: &str| customers(&network, &own.into());
        assert_eq!(of("log1.fra1"), ["_network".into(), "acme".into()]);
        assert_eq!(of("log2.fra1"), ["globex".into()]);
    }
}
