#![expect(clippy::unwrap_used, reason = "a test")]
//! The stub client against a real server that behaves and misbehaves.

mod support;

use std::net::IpAddr;

use popnet_directory::lookup::{self, LookupError, read_answer};
use popnet_dns::{Name, QueryForm, Rcode, Rtype};
use support::{Server, Zone};

fn zone() -> Zone {
    let mut zone = Zone { ttl: 60, ..Zone::default() };
    zone.addresses.insert("edge1.fra1.cdn.test".into(), "192.0.2.7".parse().unwrap());
    zone
}

fn name() -> Name {
    "edge1.fra1.cdn.test".parse().unwrap()
}

#[tokio::test]
async fn answers_and_refusals_of_a_name() {
    let server = Server::start(zone()).await;
    let local = Some("127.0.0.1".parse().unwrap());
    let found = lookup::query(server.at, &name(), Rtype::A, None, local).await.unwrap();
    let addresses: Vec<IpAddr> = found.addresses().collect();
    assert_eq!(addresses, ["192.0.2.7".parse::<IpAddr>().unwrap()]);
    let other: Name = "nobody.cdn.test".parse().unwrap();
    let none = lookup::query(server.at, &other, Rtype::A, None, None).await.unwrap();
    assert_eq!(none.rcode, Rcode::NXDOMAIN);
}

#[tokio::test]
async fn foreign_packets_are_passed_over() {
    let server = Server::start(zone()).await;
    // Another number, junk, and nothing at all, all before the true answer.
    let form = QueryForm {
        id: 0,
        name: &name(),
        qtype: Rtype::A,
        recursion_desired: false,
        dnssec_ok: false,
        nsid: false,
        subnet: None,
    };
    let mut forged = popnet_dns::build_query_form(&form);
    forged[2] |= 0x80;
    server.zone.lock().unwrap().noise = vec![forged, b"junk".to_vec(), Vec::new()];
    let found = lookup::query(server.at, &name(), Rtype::A, None, None).await.unwrap();
    assert_eq!(found.addresses().count(), 1);
}

#[tokio::test]
async fn a_cut_answer_is_asked_for_over_tcp() {
    let server = Server::start(zone()).await;
    server.zone.lock().unwrap().truncated = true;
    let found = lookup::query(server.at, &name(), Rtype::A, None, None).await.unwrap();
    assert_eq!((found.truncated, found.addresses().count()), (false, 1));
}

#[tokio::test]
async fn silence_has_an_end() {
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = silent.local_addr().unwrap();
    let begun = std::time::Instant::now();
    let error = lookup::query(at, &name(), Rtype::A, None, None).await.unwrap_err();
    assert!(matches!(error, LookupError::Silent(_)), "{error}");
    assert!(begun.elapsed() < 2 * lookup::ATTEMPT * lookup::ATTEMPTS);
    drop(silent);
    let error = lookup::query(at, &name(), Rtype::A, None, None).await.unwrap_err();
    assert!(matches!(error, LookupError::Unreachable { .. }), "{error}");
}

#[test]
fn junk_is_no_answer() {
    let name = name();
    let form = QueryForm {
        id: 7,
        name: &name,
        qtype: Rtype::A,
        recursion_desired: false,
        dnssec_ok: false,
        nsid: false,
        subnet: None,
    };
    let query = popnet_dns::build_query_form(&form);
    let mut state = 1u32;
    for _ in 0..5_000 {
        let mut packet = query.clone();
        for _ in 0..3 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (state >> 8) as usize % packet.len();
            packet[at] ^= state.to_be_bytes()[0];
        }
        let _ = read_answer(7, &form, &packet);
        assert_eq!(popnet_directory::read_sheet(&packet), None);
    }
}
