//! Datagrams and connections of each kind that a name server takes, for its targets as a whole.

use popnet_dns::{Name, QueryForm, Rtype, build_query_form};
use popnet_transfer::{Content, Difference, Rr, Soa, ask, between, notification};

use super::targets::travels::CONTENT;

type Seed = (&'static str, &'static str, Vec<u8>);

/// Octets that say who asks, as the targets read them.
const FRONT: u8 = 0;
const TRUSTED: u8 = 1;
const ANYBODY: u8 = 3;
const STRICT: u8 = 4;
const SIGNS: u8 = 8;
const SHOWS_COOKIE: u8 = 16;

pub(crate) fn all() -> Vec<Seed> {
    let steered = plain("steered.signed.test", Rtype::A);
    let transfer = ask(7, &name("example.test"), Rtype::AXFR, None);
    let soa = soa();
    let differences = ask(7, &name("example.test"), Rtype::IXFR, Some(&soa));
    let told = notification(7, &name("second.test"), &soa);
    let update = super::travels::update(&step());
    let cookie = with_cookie(&plain("www.example.test", Rtype::A));
    let head = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x09\xc0\0\x02\x35\x10\0\0\x35";
    let all = [&steered[..], &cookie, &update, &transfer, &told, &differences];
    let many = all.map(framed).concat();
    vec![
        ("dns_udp", "steered.bin", [&[ANYBODY], &steered[..]].concat()),
        ("dns_udp", "absent.bin", [&[ANYBODY], &plain("no.signed.test", Rtype::A)[..]].concat()),
        ("dns_udp", "hashed.bin", [&[ANYBODY], &plain("no.hashed.test", Rtype::MX)[..]].concat()),
        ("dns_udp", "compact.bin", [&[ANYBODY], &plain("no.compact.test", Rtype::MX)[..]].concat()),
        ("dns_udp", "private.bin", [&[ANYBODY], &plain("private.test", Rtype::NS)[..]].concat()),
        ("dns_udp", "cookie.bin", [&[ANYBODY | STRICT | SHOWS_COOKIE], &cookie[..]].concat()),
        ("dns_udp", "cookie_of_old.bin", [&[ANYBODY | STRICT], &cookie[..]].concat()),
        ("dns_udp", "signed.bin", [&[ANYBODY | SIGNS], &steered[..]].concat()),
        ("dns_udp", "update.bin", [&[ANYBODY | SIGNS], &update[..]].concat()),
        ("dns_udp", "update_refused.bin", [&[ANYBODY], &update[..]].concat()),
        ("dns_udp", "update_of_few_types.bin", [&[TRUSTED], &update[..]].concat()),
        ("dns_udp", "notify.bin", [&[ANYBODY | SIGNS], &told[..]].concat()),
        ("dns_udp", "ixfr.bin", [&[TRUSTED], &differences[..]].concat()),
        ("dns_udp", "axfr.bin", [&[TRUSTED], &transfer[..]].concat()),
        ("dns_stream", "many.bin", [&[TRUSTED, 0], &many[..]].concat()),
        ("dns_stream", "many_in_pieces.bin", [&[TRUSTED | SIGNS, 7], &many[..]].concat()),
        ("dns_stream", "octet_by_octet.bin", [&[TRUSTED, 1], &many[..]].concat()),
        ("dns_stream", "behind_a_front.bin", [&[FRONT, 40], &head[..], &many[..]].concat()),
        ("dns_stream", "strict.bin", [&[ANYBODY | STRICT, 9], &many[..]].concat()),
    ]
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn plain(text: &str, qtype: Rtype) -> Vec<u8> {
    build_query_form(&QueryForm {
        id: 7,
        name: &name(text),
        qtype,
        recursion_desired: false,
        dnssec_ok: true,
        nsid: true,
        subnet: Some("198.51.100.0/24".parse().unwrap()),
    })
}

/// With a client's cookie and a server's of another time behind the other options.
fn with_cookie(query: &[u8]) -> Vec<u8> {
    let mut query = query.to_vec();
    // The last record is EDNS, with options of so many octets: NSID, and a subnet of 24 bits.
    let options = 4 + 11;
    let at = query.len() - options - 2;
    let [0, length] = query.get_mut(at..at + 2).unwrap() else { panic!("no short option") };
    assert_eq!(*length, 15);
    *length += 28;
    query.extend([0, 10, 0, 24]);
    query.extend(1..=24);
    query
}

fn soa() -> Rr {
    CONTENT.soa().unwrap()
}

fn step() -> Difference {
    let mut later: Content = CONTENT.clone();
    let soa = soa();
    let serial = Soa::of(&soa.rdata).unwrap().serial.next();
    let owner = name("new.example.test");
    later.add(&Rr { owner, rtype: Rtype::A, ttl: 60, rdata: [192, 0, 2, 9].into() });
    later.remove(&soa);
    later.add(&Rr { rdata: Soa::renumbered(&soa.rdata, serial), ..soa });
    between(&CONTENT, &later).unwrap()
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}
