//! What is made for one answer in a signed zone, and what of it is signed by whom. That whole
//! answers validate is shown with real validators beside the name server.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::cell::RefCell;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use popnet_answer::{Catalog, Filling, Image, Made, Reply, Sign, lookup, respond_signed};
use popnet_dns::{
    Envelope, Name, Parsed, QueryForm, Response, Rtype, build_query_form, parse_query, rdata_text,
    read_zone,
};

/// Signed by hand: signatures need not be right to be found.
const ZONE: &str = "$TTL 300
@ SOA ns h 7 3600 600 604800 60
@ RRSIG SOA 13 2 300 20300101000000 20200101000000 7 example.test. AAAA
@ NS ns
@ RRSIG NS 13 2 300 20300101000000 20200101000000 7 example.test. AAAA
@ DNSKEY 257 3 13 AAAA
@ RRSIG DNSKEY 13 2 300 20300101000000 20200101000000 7 example.test. AAAA
@ 60 NSEC steered NS SOA RRSIG NSEC DNSKEY
@ 60 RRSIG NSEC 13 2 60 20300101000000 20200101000000 7 example.test. AAAA
steered A 192.0.2.9
steered RRSIG A 13 3 300 20300101000000 20200101000000 7 example.test. AAAA
steered 60 NSEC example.test. A AAAA RRSIG NSEC
steered 60 RRSIG NSEC 13 3 60 20300101000000 20200101000000 7 example.test. AAAA
";

const NETWORK: &str = r#"
[network]
name = "lab"
schema = 1
domain = "cdn.lab.test"
[pops.fra1.nodes]
ns1 = { roles = ["nameserver"], address = ["192.0.2.53"] }
edge1 = { roles = ["webcache", "webserver"], address = ["192.0.2.11"] }
[customers.acme]
[origin_groups.www.servers]
east = { address = "203.0.113.1:8080" }
[sites."steered.example.test"]
customer = "acme"
kind = "cached"
origins = "www"
"#;

/// Signs with the octets "made", and remembers over what.
#[derive(Debug, Default)]
struct Signer {
    asked: RefCell<Vec<String>>,
}

impl Sign for Signer {
    fn signs(&self, apex: &[u8]) -> bool {
        apex == b"\x07example\x04test\0"
    }

    fn sign(&self, made: &Made<'_>, write: &mut dyn FnMut(&[u8])) -> Option<()> {
        let owner = Name::from_wire(made.owner)?;
        let data = made.records.iter().map(|rdata| rdata_text(made.rtype, rdata));
        let data = data.collect::<Vec<_>>().join(", ");
        let kept = if made.is_kept { "kept" } else { "once" };
        let chosen = if made.is_chosen { "chosen" } else { "fixed" };
        let line = format!("{owner} {} {} {kept} {chosen}: {data}", made.ttl, made.rtype);
        self.asked.borrow_mut().push(line);
        let mut rdata = made.rtype.to_int().to_be_bytes().to_vec();
        rdata.extend_from_slice(&[13, 3, 0, 0, 1, 0x2c, 0, 0, 0, 2, 0, 0, 0, 1, 0, 7]);
        rdata.extend_from_slice(made.apex);
        rdata.extend_from_slice(b"made");
        write(&rdata);
        Some(())
    }
}

fn catalog() -> Catalog {
    let apex = "example.test".parse().unwrap();
    let zone = read_zone(&apex, Path::new("z"), ZONE.as_bytes(), &mut |_| Err(String::new()));
    let network = popnet_config::load(NETWORK, "popnet.toml").unwrap().network;
    Catalog::build(&network, 1, &[Arc::new(Image::build(zone.unwrap()).unwrap())])
}

/// The answer's records, and what was signed for it.
fn ask(
    qtype: Rtype,
    dnssec_ok: bool,
    filling: &Filling<'_>,
    has_keys: bool,
) -> (Vec<String>, Vec<String>) {
    let (catalog, signer) = (catalog(), Signer::default());
    let form = QueryForm {
        id: 1,
        name: &"steered.example.test".parse().unwrap(),
        qtype,
        recursion_desired: false,
        dnssec_ok,
        nsid: false,
        subnet: None,
    };
    let packet = build_query_form(&form);
    let Parsed::Query(query) = parse_query(&packet) else { panic!("no query") };
    let found = lookup(&catalog, &query);
    let reply = Reply { limit: 1_232, scope: 0, server: "ns1", envelope: Envelope::default() };
    let mut out = [0; 1_232];
    let by = has_keys.then_some(&signer as &dyn Sign);
    let length = respond_signed(&catalog, &query, &found, filling, (&reply, by), &mut out);
    let response = Response::parse(out.get(..length).unwrap()).unwrap();
    let records = response.answers.iter().chain(&response.authority).map(|record| {
        let owner = record.owner.to_host();
        let made = if record.text.ends_with("bWFkZQ==") { " made" } else { "" };
        let first = record.text.split_whitespace().next().unwrap_or_default();
        match record.rtype {
            Rtype::RRSIG => format!("{owner} {} RRSIG {first}{made}", record.ttl),
            rtype => format!("{owner} {} {rtype} {}", record.ttl, record.text),
        }
    });
    (records.collect(), signer.asked.into_inner())
}

#[test]
fn chosen_addresses_are_signed_as_one() {
    let addresses: [IpAddr; 3] =
        [[192, 0, 2, 11].into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into(), [192, 0, 2, 21].into()];
    let filling = Filling::Addresses { addresses: &addresses, ttl: 20 };
    let (records, signed) = ask(Rtype::A, true, &filling, true);
    let expected = [
        "steered.example.test 20 A 192.0.2.11",
        "steered.example.test 20 A 192.0.2.21",
        "steered.example.test 20 RRSIG A made",
    ];
    assert_eq!(records, expected);
    assert_eq!(signed, ["steered.example.test. 20 A kept chosen: 192.0.2.11, 192.0.2.21"]);
    // Whoever does not ask gets none, and nothing is signed.
    let (records, signed) = ask(Rtype::A, false, &filling, true);
    assert_eq!((records.len(), signed.len()), (2, 0));
    // What nobody can sign is not answered to those who check: the zone's own records are.
    let (records, _) = ask(Rtype::A, true, &filling, false);
    let expected = ["steered.example.test 300 A 192.0.2.9", "steered.example.test 300 RRSIG A"];
    assert_eq!(records, expected);
}

#[test]
fn where_nothing_is_chosen_the_type_is_denied() {
    let (records, signed) = ask(Rtype::AAAA, true, &Filling::Nothing, true);
    let expected = [
        "example.test 60 SOA ns.example.test. h.example.test. 7 3600 600 604800 60",
        "example.test 60 RRSIG SOA",
        "steered.example.test 60 NSEC example.test. A RRSIG NSEC",
        "steered.example.test 60 RRSIG NSEC made",
    ];
    assert_eq!(records, expected);
    let expected = ["steered.example.test. 60 NSEC kept fixed: example.test. A RRSIG NSEC"];
    assert_eq!(signed, expected);
    // Another type is denied by the record that stands there.
    let (records, signed) = ask(Rtype::MX, true, &Filling::Nothing, true);
    assert_eq!(
        records.get(2).unwrap(),
        "steered.example.test 60 NSEC example.test. A AAAA RRSIG NSEC"
    );
    assert!(signed.is_empty(), "{signed:?}");
}

#[test]
fn a_name_in_place_of_addresses_is_signed() {
    let target = "west.acme.test".parse().unwrap();
    let filling = Filling::Alias { target: &target, ttl: 30 };
    let (records, signed) = ask(Rtype::A, true, &filling, true);
    let expected = [
        "steered.example.test 30 CNAME west.acme.test.",
        "steered.example.test 30 RRSIG CNAME made",
    ];
    assert_eq!(records, expected);
    assert_eq!(signed, ["steered.example.test. 30 CNAME kept chosen: west.acme.test."]);
}
