//! The sample configurations load unchanged.

use popnet_config::network::Network;

fn load(text: &str) -> Network {
    toml_edit::de::from_str(text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn samples_load() {
    let network = load(include_str!("../../../examples/network.toml"));
    assert_eq!(network.nodes().count(), 11);
    assert_eq!(load(include_str!("../../../examples/single-dns.toml")).zones.len(), 1);
    assert_eq!(load(include_str!("../../../examples/single-cache.toml")).sites.len(), 1);
}
