//! DNS: packets, answers to them, and zone files.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use popnet_answer::{
    Catalog, Filling, Image, Outcome, Reply, Service, lookup, refuse, respond, udp_limit,
};
use popnet_config::network::Network;
use popnet_dns::{
    Envelope, Mistake, Name, Parsed, Query, Response, Rtype, ZoneFile, build_query, parse_query,
    rdata_text, read_zone,
};

/// A small network, and beside it a zone of its own.
pub(crate) static NETWORK: LazyLock<Network> = LazyLock::new(|| {
    let loaded = popnet_config::load(include_str!("network.toml"), "network.toml");
    loaded.expect("the network is a good one").network
});

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let zone = read(include_bytes!("example.zone")).expect("the zone is a good one");
    let image = Image::build(zone).expect("the zone is a good one");
    Catalog::build(&NETWORK, 42, &[Arc::new(image)])
});

pub(crate) fn apex() -> Name {
    "example.test".parse().expect("a name")
}

pub(crate) fn read(octets: &[u8]) -> Result<ZoneFile, Vec<Mistake>> {
    read_zone(&apex(), "zone".as_ref(), octets, &mut |_| Err("no includes".to_owned()))
}

/// A packet on the DNS port, read only.
pub fn dns_query(octets: &[u8]) {
    if let Parsed::Query(query) = parse_query(octets) {
        let _ = (query.qname.to_name().to_string(), query.qname.to_name().to_host());
        let _ = query.edns.and_then(|edns| edns.client_subnet).and_then(|subnet| subnet.net());
    }
}

/// A packet on the DNS port, answered: every answer must be a response that others can read.
pub fn dns_answer(octets: &[u8]) {
    let mut out = [0; 65_535];
    match parse_query(octets) {
        Parsed::Query(query) => {
            for limit in [udp_limit(&query), out.len()] {
                let length = answer(&CATALOG, &query, limit, &mut out);
                assert!(length <= limit);
                let response = Response::parse(out.get(..length).unwrap_or_default());
                let response = response.expect("our answers can be read");
                assert_eq!(response.id, query.id);
            }
        }
        Parsed::Refuse(refusal) => {
            let length = refuse(&refusal, &mut out);
            let response = Response::parse(out.get(..length).unwrap_or_default());
            assert_eq!(response.expect("our refusals can be read").id, refusal.id);
        }
        Parsed::Drop(_) => {}
    }
}

pub(crate) fn answer(catalog: &Catalog, query: &Query<'_>, limit: usize, out: &mut [u8]) -> usize {
    let found = lookup(catalog, query);
    let addresses: [IpAddr; 2] = [[192, 0, 2, 11].into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()];
    let services = [Service { target: apex(), port: 8_080 }];
    let texts = [format!("resolver {}", "192.0.2.77")];
    let filling = match found.outcome {
        Outcome::Steered { .. } => Filling::Addresses { addresses: &addresses, ttl: 20 },
        Outcome::Origin { .. } => Filling::Services { services: &services, ttl: 20 },
        Outcome::Whoami => Filling::Texts(&texts),
        Outcome::Records(_)
        | Outcome::Minimal
        | Outcome::Referral(..)
        | Outcome::NoData(_)
        | Outcome::NxDomain(_)
        | Outcome::Elsewhere
        | Outcome::TooLong
        | Outcome::Endless
        | Outcome::Lacking
        | Outcome::Refused => Filling::Nothing,
    };
    let server = "ns1.fra1.cdn.lab.test";
    let envelope =
        Envelope { cookie: Some([7; 24]), keepalive: Some(100), padding: Some(query.id) };
    let reply = Reply { limit, scope: 20, server, envelope };
    respond(catalog, query, &found, &filling, &reply, out)
}

/// A name server's answer, as a cache's directory reads it, and record data as people see it.
pub fn dns_response(octets: &[u8]) {
    if let Ok(response) = Response::parse(octets) {
        let _ = (response.addresses().count(), response.ttl(), format!("{response:?}"));
    }
    if let Some((rtype, rdata)) = octets.split_first_chunk::<2>() {
        let _ = rdata_text(Rtype::from_int(u16::from_be_bytes(*rtype)), rdata);
    }
}

/// A zone file: one that is taken is also served, each of its names.
pub fn zone_file(octets: &[u8]) {
    let Ok(zone) = read(octets) else { return };
    let Ok(image) = Image::build(zone.clone()) else { return };
    let catalog = Catalog::build(&NETWORK, 1, &[Arc::new(image)]);
    let mut out = [0; 65_535];
    for record in zone.records.iter().take(64) {
        let _ = rdata_text(record.rtype, &record.rdata);
        for rtype in [record.rtype, Rtype::A] {
            let packet = build_query(1, &record.owner, rtype, None);
            let Parsed::Query(query) = parse_query(&packet) else { continue };
            let length = answer(&catalog, &query, 65_535, &mut out);
            let response = Response::parse(out.get(..length).unwrap_or_default());
            assert_eq!(response.expect("our answers can be read").id, 1);
        }
    }
}
