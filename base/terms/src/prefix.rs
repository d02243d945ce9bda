//! Client prefixes: which network speaks for a client.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The client unit of `address`: its /24 (IPv4) or /48 (IPv6), the leaf of every latency table
/// (steering model, section 2).
#[must_use]
pub fn client_unit(address: IpAddr) -> IpNet {
    let full = host_prefix(address);
    truncate(full, if address.is_ipv4() { 24 } else { 48 })
}

/// The prefix that holds `address` alone.
#[must_use]
pub fn host_prefix(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

fn truncate(net: IpNet, length: u8) -> IpNet {
    match net {
        IpNet::V4(v4) => Ipv4Net::new(v4.addr(), length).map_or(net, |n| IpNet::V4(n.trunc())),
        IpNet::V6(v6) => Ipv6Net::new(v6.addr(), length).map_or(net, |n| IpNet::V6(n.trunc())),
    }
}

#[cfg(test)]
mod tests {
    use super::client_unit;

    fn check(address: &str, unit: &str) {
        assert_eq!(client_unit(address.parse().unwrap()).to_string(), unit);
    }

    #[test]
    fn units() {
        check("198.51.100.200", "198.51.100.0/24");
        check("2001:db8:1:2:3::4", "2001:db8:1::/48");
    }
}
