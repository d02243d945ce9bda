//! Answers from zones allocate nothing: from the packet to the octets of the response.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::sync::Arc;

use popnet_answer::{Catalog, Filling, Image, Reply, lookup, respond, udp_limit};
use popnet_config::network::Network;
use popnet_dns::{Envelope, Name, Parsed, Rtype, build_query, parse_query, read_zone};

const ZONE: &str = "\
$TTL 300
@ SOA ns1 hostmaster 7 3600 600 604800 60
@ NS ns1
@ MX 10 mail
ns1 A 192.0.2.1
mail A 192.0.2.2
mail AAAA 2001:db8::2
alias CNAME alias2
alias2 CNAME alias3
alias3 CNAME mail
*.wild A 192.0.2.5
child NS ns.child
ns.child A 192.0.2.6
old DNAME new
x.new A 192.0.2.8
ring CNAME ring
";

const NETWORK: &str = r#"
[network]
name = "lab"
schema = 1
domain = "cdn.lab.test"
[pops.fra1.nodes.ns1]
roles = ["nameserver"]
address = ["192.0.2.53"]
[customers.acme]
[origin_groups.www.servers]
east = { address = "203.0.113.1:8080" }
[sites."steered.example.test"]
customer = "acme"
kind = "cached"
origins = "www"
"#;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn network() -> Network {
    popnet_config::load(NETWORK, "popnet.toml").unwrap_or_else(|_| panic!("a good one")).network
}

#[test]
fn nothing_is_allocated_for_an_answer() {
    let zone = read_zone(&name("example.test"), Path::new("zone"), ZONE.as_bytes(), &mut |_| {
        Err("no includes here".into())
    });
    let image = Arc::new(Image::build(zone.unwrap()).unwrap());
    let catalog = Catalog::build(&network(), 1, &[image]);
    let addresses = ["192.0.2.11".parse().unwrap()];
    let chosen = Filling::Addresses { addresses: &addresses, ttl: 20 };
    let cases = [
        ("mail.example.test", Rtype::A, 1),
        ("mail.example.test", Rtype::TXT, 0),
        ("mail.example.test", Rtype::ANY, 1),
        ("none.example.test", Rtype::A, 0),
        ("a.b.c.none.example.test", Rtype::A, 0),
        ("alias.example.test", Rtype::AAAA, 4),
        ("q.wild.example.test", Rtype::A, 1),
        ("example.test", Rtype::MX, 1),
        ("www.child.example.test", Rtype::A, 0),
        ("x.old.example.test", Rtype::A, 3),
        ("ring.example.test", Rtype::A, 1),
        ("steered.example.test", Rtype::A, 1),
        ("elsewhere.test", Rtype::A, 0),
    ];
    let mut out = [0; 1_232];
    for (qname, qtype, answers) in cases {
        let packet = build_query(1, &name(qname), qtype, Some("198.51.100.0/24".parse().unwrap()));
        let mut length = 0;
        let counted = allocation_counter::measure(|| {
            let Parsed::Query(query) = parse_query(&packet) else { return };
            let found = lookup(&catalog, &query);
            let limit = udp_limit(&query);
            let envelope = Envelope::default();
            let reply = Reply { limit, scope: 24, server: "ns1", envelope };
            length = respond(&catalog, &query, &found, &chosen, &reply, &mut out);
        });
        let response = popnet_dns::Response::parse(out.get(..length).unwrap()).unwrap();
        assert_eq!(response.answers.len(), answers, "{qname} {qtype}: {response:?}");
        assert_eq!(counted.count_total, 0, "{qname} {qtype}");
    }
}
