//! A record written down once reads, behind each question, like one that is written there.

use popnet_dns::{Flags, Name, Owner, Rtype, Section, Stencil, Writer};

fn name(text: &str) -> Vec<u8> {
    text.parse::<Name>().expect("a name").as_wire().to_vec()
}

fn soa(server: &str, person: &str) -> Vec<u8> {
    [name(server), name(person), vec![7; 20]].concat()
}

/// The question's name with capitals in it, as some ask.
fn question(text: &str) -> Vec<u8> {
    let capitals: Vec<u8> = name(text).iter().map(u8::to_ascii_uppercase).collect();
    [&capitals, &[0, 1, 0, 1][..]].concat()
}

#[test]
fn a_stencil_gives_the_octets_of_a_record() {
    let apexes = ["example.test.", "test.", "a.b.c.example.test."];
    let servers =
        ["ns1.example.test.", "ns.elsewhere.test.", "ns.other.net.", ".", "example.test."];
    let below = ["", "x.", "www.some.deep.", "y.x."];
    let mut compared = 0;
    for (apex, server) in apexes.iter().flat_map(|a| servers.iter().map(move |s| (*a, *s))) {
        let owner: Name = apex.parse().expect("a name");
        for rdata in [soa(server, "host.example.test."), soa(server, server)] {
            let stencil = Stencil::new(&owner, Rtype::SOA, 300, &rdata).expect("short enough");
            for labels in below {
                let question = question(&format!("{labels}{apex}"));
                let (mut plain, mut quick) = ([0; 1232], [0; 1232]);
                let start =
                    |buffer| Writer::start(buffer, 1232, 9, Flags::default(), &question, None);
                let mut writer = start(&mut plain);
                let whose = Owner::Name(owner.as_wire());
                writer.record(Section::Authority, whose, Rtype::SOA, 300, &rdata).expect("room");
                let length = writer.finish();
                let mut writer = start(&mut quick);
                writer.stencil(Section::Authority, &stencil).expect("room");
                let end = writer.finish();
                assert_eq!(quick.get(..end), plain.get(..length), "{labels}{apex} {server}");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 3 * 5 * 2 * 4);
}

#[test]
fn the_root_has_no_stencil() {
    assert!(Stencil::new(&Name::root(), Rtype::SOA, 1, &soa(".", ".")).is_none());
}
