//! A table of questions and answers: zones, delegations, wildcards, aliases, and the network's
//! own names.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use popnet_answer::{Catalog, Filling, Image, Outcome, Reply, Service, lookup, respond, udp_limit};
use popnet_config::network::Network;
use popnet_dns::{
    Envelope, Name, Parsed, Query, Response, Rtype, build_query, parse_query, read_zone,
};

const ZONE: &str = "\
$TTL 300
@ SOA ns1 hostmaster 7 3600 600 604800 60
@ NS ns1
@ NS ns.elsewhere.test.
@ MX 10 mail
ns1 A 192.0.2.1
ns1 AAAA 2001:db8::1
mail A 192.0.2.2
www 60 A 192.0.2.3
www TXT \"hello\"
alias CNAME www
far CNAME www.elsewhere.test.
toward CNAME static.acme.test.
lost CNAME none
ring1 CNAME ring2
ring2 CNAME ring1
grows DNAME more.grows
twice MX 1 mail
twice MX 2 mail
a.b.c A 192.0.2.4
*.wild A 192.0.2.5
*.wild MX 5 mail
sub.wild TXT \"stops the star\"
*.star CNAME www
child NS ns.child
child NS ns1
child DS 1 13 2 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF
ns.child A 192.0.2.6
deep.child A 192.0.2.7
old DNAME new
x.new A 192.0.2.8
inner NS ns1
inner DS 2 13 2 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF
under.inner A 192.0.2.66
steered A 192.0.2.9
steered TXT \"beside\"
steered HTTPS 1 . alpn=h2 ipv4hint=192.0.2.9
@ ALIAS static.acme.test.
borrowed ALIAS alias
borrowed TXT \"own\"
dangling ALIAS www.elsewhere.test.
empty ALIAS nowhere
circle1 ALIAS circle2
circle2 ALIAS circle1
";

const INNER: &str = "@ 300 SOA ns1 h 1 2 3 4 5\n@ 300 NS ns1.example.test.\nw 300 A 192.0.2.10\n";

const NETWORK: &str = r#"
[network]
name = "lab"
schema = 1
domain = "cdn.lab.test"
contact = "noc@lab.test"
[logs]
default = ["log1.fra1"]
[pops.fra1.nodes]
ns1 = { roles = ["nameserver"], address = ["192.0.2.53", "2001:db8::53"], listen = { control = ["192.0.2.53:7701"] } }
edge1 = { roles = ["webcache", "webserver"], address = ["192.0.2.11"] }
log1 = { roles = ["logserver"], address = ["192.0.2.13"] }
[customers.acme]
[origin_groups.www.servers]
east = { address = "203.0.113.1:8080" }
west = { address = "west.acme.test:443", tls = true }
[sites."static.acme.test"]
customer = "acme"
kind = "cached"
origins = "www"
[sites."steered.example.test"]
customer = "acme"
kind = "cached"
origins = "www"
[sites."top.example.org"]
customer = "acme"
kind = "cached"
origins = "www"
[sites."*"]
customer = "acme"
kind = "cached"
origins = "www"
"#;

/// The zone with a chain longer than anybody follows.
fn with_chain() -> String {
    let mut text = ZONE.to_owned();
    for step in 0..20 {
        writeln!(text, "long{step} CNAME long{}", step + 1).unwrap();
    }
    text
}

fn zone(apex: &str, text: &str) -> Arc<Image> {
    let read = read_zone(&name(apex), Path::new("zone"), text.as_bytes(), &mut |_| {
        Err("no includes here".into())
    });
    Arc::new(Image::build(read.unwrap()).unwrap())
}

fn network() -> Network {
    match popnet_config::load(NETWORK, "popnet.toml") {
        Ok(loaded) => loaded.network,
        Err(found) => panic!("{}", popnet_config::render(&found, NETWORK, "popnet.toml")),
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn catalog() -> Catalog {
    let network = network();
    Catalog::build(
        &network,
        42,
        &[zone("example.test", &with_chain()), zone("inner.example.test", INNER)],
    )
}

fn ask(catalog: &Catalog, qname: &str, qtype: Rtype, filling: &Filling<'_>) -> Response {
    let packet = build_query(1, &name(qname), qtype, Some("198.51.100.0/24".parse().unwrap()));
    let Parsed::Query(query) = parse_query(&packet) else { panic!("{qname}") };
    answer(catalog, &query, filling, udp_limit(&query))
}

fn answer(catalog: &Catalog, query: &Query<'_>, filling: &Filling<'_>, limit: usize) -> Response {
    let found = lookup(catalog, query);
    let mut out = [0; 65_535];
    let reply = Reply { limit, scope: 20, server: "ns1", envelope: Envelope::default() };
    let length = respond(catalog, query, &found, filling, &reply, &mut out);
    assert!(length <= limit);
    Response::parse(&out[..length]).unwrap()
}

/// `RCODE [aa] [tc] | answers | authority | additional`, owner and data without TTL.
fn show(response: &Response) -> String {
    let mut text = response.rcode.to_string();
    for (set, word) in [(response.authoritative, " aa"), (response.truncated, " tc")] {
        text.push_str(if set { word } else { "" });
    }
    for section in [&response.answers, &response.authority, &response.additional] {
        text.push_str(" |");
        for record in section {
            let owner =
                record.owner.to_host().replace(".example.test", "").replace(".cdn.lab.test", "");
            let data = match record.rtype {
                Rtype::SOA => "",
                Rtype::DS => record.text.split_whitespace().next().unwrap(),
                _ => record.text.as_str(),
            };
            write!(text, " {owner} {} {} {data};", record.ttl, record.rtype).unwrap();
        }
    }
    text
}

#[test]
fn static_answers() {
    let catalog = catalog();
    assert_eq!(catalog.problems(), &[] as &[String]);
    let ns = "ns1 300 A 192.0.2.1; ns1 300 AAAA 2001:db8::1;";
    let soa = "| example.test 60 SOA ; |";
    let cases: &[(&str, Rtype, String)] = &[
        ("www", Rtype::A, "NOERROR aa | www 60 A 192.0.2.3; | |".into()),
        ("WWW", Rtype::TXT, "NOERROR aa | www 300 TXT \"hello\"; | |".into()),
        ("www", Rtype::AAAA, format!("NOERROR aa | {soa}")),
        ("www", Rtype::HTTPS, format!("NOERROR aa | {soa}")),
        ("none", Rtype::A, format!("NXDOMAIN aa | {soa}")),
        ("x.www", Rtype::A, format!("NXDOMAIN aa | {soa}")),
        // Empty names between exist (RFC 4592 2.2.2).
        ("b.c", Rtype::A, format!("NOERROR aa | {soa}")),
        ("c", Rtype::A, format!("NOERROR aa | {soa}")),
        ("x.b.c", Rtype::A, format!("NXDOMAIN aa | {soa}")),
        ("mail", Rtype::ANY, "NOERROR aa | mail 3600 HINFO \"RFC8482\" \"\"; | |".into()),
        // Aliases.
        ("alias", Rtype::A, "NOERROR aa | alias 300 CNAME www.example.test.; www 60 A 192.0.2.3; | |".into()),
        ("alias", Rtype::CNAME, "NOERROR aa | alias 300 CNAME www.example.test.; | |".into()),
        ("alias", Rtype::ANY, "NOERROR aa | alias 300 CNAME www.example.test.; | |".into()),
        ("alias", Rtype::MX, format!("NOERROR aa | alias 300 CNAME www.example.test.; {soa}")),
        ("far", Rtype::A, "NOERROR aa | far 300 CNAME www.elsewhere.test.; | |".into()),
        ("lost", Rtype::A, format!("NXDOMAIN aa | lost 300 CNAME none.example.test.; {soa}")),
        // Wildcards (RFC 4592).
        ("q.wild", Rtype::A, "NOERROR aa | q.wild 300 A 192.0.2.5; | |".into()),
        ("p.q.wild", Rtype::A, "NOERROR aa | p.q.wild 300 A 192.0.2.5; | |".into()),
        ("*.wild", Rtype::A, "NOERROR aa | *.wild 300 A 192.0.2.5; | |".into()),
        ("q.wild", Rtype::TXT, format!("NOERROR aa | {soa}")),
        ("sub.wild", Rtype::A, format!("NOERROR aa | {soa}")),
        ("x.sub.wild", Rtype::A, format!("NXDOMAIN aa | {soa}")),
        ("wild", Rtype::A, format!("NOERROR aa | {soa}")),
        ("q.star", Rtype::A, "NOERROR aa | q.star 300 CNAME www.example.test.; www 60 A 192.0.2.3; | |".into()),
        // Zone cuts: referrals with glue, the DS on our side, nothing authoritative below.
        ("child", Rtype::A, format!("NOERROR | | child 300 NS ns.child.example.test.; child 300 NS ns1.example.test.; | ns.child 300 A 192.0.2.6; {ns}")),
        ("deep.child", Rtype::A, format!("NOERROR | | child 300 NS ns.child.example.test.; child 300 NS ns1.example.test.; | ns.child 300 A 192.0.2.6; {ns}")),
        ("not.there.child", Rtype::MX, format!("NOERROR | | child 300 NS ns.child.example.test.; child 300 NS ns1.example.test.; | ns.child 300 A 192.0.2.6; {ns}")),
        ("child", Rtype::DS, "NOERROR aa | child 300 DS 1; | |".into()),
        // A zone of ours below a zone of ours.
        ("w.inner", Rtype::A, "NOERROR aa | w.inner 300 A 192.0.2.10; | |".into()),
        ("under.inner", Rtype::A, "NXDOMAIN aa | | inner 5 SOA ; |".into()),
        ("inner", Rtype::NS, format!("NOERROR aa | inner 300 NS ns1.example.test.; | | {ns}")),
        ("inner", Rtype::DS, "NOERROR aa | inner 300 DS 2; | |".into()),
        // DNAME (RFC 6672).
        ("x.old", Rtype::A, "NOERROR aa | old 300 DNAME new.example.test.; x.old 300 CNAME x.new.example.test.; x.new 300 A 192.0.2.8; | |".into()),
        ("old", Rtype::A, format!("NOERROR aa | {soa}")),
    ];
    for (qname, qtype, expected) in cases {
        let qname = format!("{qname}.example.test");
        let response = ask(&catalog, &qname, *qtype, &Filling::Nothing);
        assert_eq!(show(&response), *expected, "{qname} {qtype}");
        assert_eq!(response.edns.unwrap().subnet.unwrap().1, 0, "scope of {qname}");
    }
    let apex = ask(&catalog, "example.test", Rtype::MX, &Filling::Nothing);
    assert_eq!(
        show(&apex),
        "NOERROR aa | example.test 300 MX 10 mail.example.test.; | | mail 300 A 192.0.2.2;"
    );
    // A ring is an error and shown once; of a long chain the asker follows the rest.
    let long = ask(&catalog, "long0.example.test", Rtype::A, &Filling::Nothing);
    assert_eq!((long.rcode.to_string().as_str(), long.answers.len()), ("NOERROR", 12));
    let grows = ask(&catalog, "x.grows.example.test", Rtype::A, &Filling::Nothing);
    let dnames = grows.answers.iter().filter(|record| record.rtype == Rtype::DNAME).count();
    assert_eq!((grows.rcode.to_string().as_str(), dnames, grows.answers.len()), ("NOERROR", 1, 13));
    let made = ask(&catalog, "none.old.example.test", Rtype::CNAME, &Filling::Nothing);
    assert_eq!((made.rcode.to_string().as_str(), made.answers.len()), ("NOERROR", 2));
    let twice = ask(&catalog, "twice.example.test", Rtype::MX, &Filling::Nothing);
    assert_eq!((twice.answers.len(), twice.additional.len()), (2, 1));
    let ring = ask(&catalog, "ring1.example.test", Rtype::A, &Filling::Nothing);
    assert_eq!(ring.rcode.to_string(), "SERVFAIL");
    assert_eq!(ring.answers.len(), 2);
    assert_eq!(ring.edns.unwrap().extended_error, Some((0, String::new())));
    let foreign = ask(&catalog, "elsewhere.test", Rtype::A, &Filling::Nothing);
    assert_eq!(show(&foreign), "REFUSED | | |");
    assert_eq!(foreign.edns.unwrap().extended_error, Some((20, String::new())));
    let axfr = ask(&catalog, "example.test", Rtype::AXFR, &Filling::Nothing);
    assert_eq!(show(&axfr), "REFUSED | | |");
}

#[test]
fn steered_names() {
    let catalog = catalog();
    let addresses = ["192.0.2.11".parse().unwrap(), "2001:db8::11".parse().unwrap()];
    let chosen = Filling::Addresses { addresses: &addresses, ttl: 20 };
    let show_of = |qname: &str, qtype| show(&ask(&catalog, qname, qtype, &chosen));
    let site = "static.acme.test";
    assert_eq!(show_of(site, Rtype::A), "NOERROR aa | static.acme.test 20 A 192.0.2.11; | |");
    assert_eq!(
        show_of(site, Rtype::AAAA),
        "NOERROR aa | static.acme.test 20 AAAA 2001:db8::11; | |"
    );
    let soa = "| static.acme.test 30 SOA ; |";
    assert_eq!(show_of(site, Rtype::HTTPS), format!("NOERROR aa | {soa}"));
    assert_eq!(show_of("x.static.acme.test", Rtype::A), format!("NXDOMAIN aa | {soa}"));
    assert_eq!(
        show_of(site, Rtype::NS),
        "NOERROR aa | static.acme.test 300 NS ns1.fra1.cdn.lab.test.; | | \
         ns1.fra1 300 A 192.0.2.53; ns1.fra1 300 AAAA 2001:db8::53;"
    );
    // Through an alias, and inside a static zone.
    assert_eq!(
        show_of("toward.example.test", Rtype::A),
        "NOERROR aa | toward 300 CNAME static.acme.test.; static.acme.test 20 A 192.0.2.11; | |"
    );
    assert_eq!(
        show_of("steered.example.test", Rtype::A),
        "NOERROR aa | steered 20 A 192.0.2.11; | |"
    );
    assert_eq!(
        show_of("steered.example.test", Rtype::TXT),
        "NOERROR aa | steered 300 TXT \"beside\"; | |"
    );
    // Nothing left: the zone's own record, where there is one.
    let nothing = ask(&catalog, "steered.example.test", Rtype::A, &Filling::Nothing);
    assert_eq!(show(&nothing), "NOERROR aa | steered 300 A 192.0.2.9; | |");
    let nothing = ask(&catalog, site, Rtype::A, &Filling::Nothing);
    assert_eq!(show(&nothing), format!("NOERROR aa | {soa}"));
    let west = name("west.acme.test");
    let alias = ask(&catalog, site, Rtype::A, &Filling::Alias { target: &west, ttl: 20 });
    assert_eq!(show(&alias), "NOERROR aa | static.acme.test 20 CNAME west.acme.test.; | |");
    let edns = ask(&catalog, site, Rtype::A, &chosen).edns.unwrap();
    assert_eq!(edns.subnet, Some(("198.51.100.0/24".parse().unwrap(), 20)));
}

/// A site whose name is the top of a zone with a file, and what is beside it there.
#[test]
fn a_site_at_the_top_of_a_zone() {
    let text = "@ 300 SOA ns1 h 1 2 3 4 60\n@ 300 NS ns1.example.test.\n@ 300 MX 1 m\n\
                @ 300 A 192.0.2.99\n* 300 TXT \"x\"\n";
    let read = read_zone(&name("top.example.org"), Path::new("zone"), text.as_bytes(), &mut |_| {
        Err("no includes here".into())
    });
    let image = Arc::new(Image::build(read.unwrap()).unwrap());
    let catalog = Catalog::build(&network(), 1, &[image]);
    let addresses = ["192.0.2.11".parse().unwrap()];
    let chosen = Filling::Addresses { addresses: &addresses, ttl: 20 };
    let show_of = |qname: &str, qtype, filling| show(&ask(&catalog, qname, qtype, filling));
    let top = "top.example.org";
    assert_eq!(
        show_of(top, Rtype::A, &chosen),
        "NOERROR aa | top.example.org 20 A 192.0.2.11; | |"
    );
    assert_eq!(
        show_of(top, Rtype::A, &Filling::Nothing),
        "NOERROR aa | top.example.org 300 A 192.0.2.99; | |"
    );
    assert_eq!(
        show_of(top, Rtype::MX, &chosen),
        "NOERROR aa | top.example.org 300 MX 1 m.top.example.org.; | |"
    );
    assert_eq!(
        show_of("x.top.example.org", Rtype::TXT, &chosen),
        "NOERROR aa | x.top.example.org 300 TXT \"x\"; | |"
    );
    // One zone is replaced; the site stays where it is.
    let text = text.replace("192.0.2.99", "192.0.2.98");
    let read = read_zone(&name(top), Path::new("zone"), text.as_bytes(), &mut |_| {
        Err("no includes here".into())
    });
    let catalog = catalog.with(Arc::new(Image::build(read.unwrap()).unwrap())).unwrap();
    assert_eq!(
        show(&ask(&catalog, top, Rtype::A, &Filling::Nothing)),
        "NOERROR aa | top.example.org 300 A 192.0.2.98; | |"
    );
    let addresses = show(&ask(&catalog, top, Rtype::A, &chosen));
    assert_eq!(addresses, "NOERROR aa | top.example.org 20 A 192.0.2.11; | |");
    assert!(catalog.with(Arc::new(Image::lacking(name("new.test")))).is_none());
    let catalog = catalog.with(Arc::new(Image::lacking(name(top)))).unwrap();
    let lacking = ask(&catalog, "www.top.example.org", Rtype::A, &chosen);
    assert_eq!(show(&lacking), "SERVFAIL | | |");
    assert_eq!(lacking.edns.unwrap().extended_error, Some((24, String::new())));
}

/// Names between, wildcards on several rungs, and names of the network among them.
#[test]
fn rungs() {
    let text = "@ 300 SOA ns1 h 1 2 3 4 60\n@ 300 NS ns1\n* 300 A 192.0.2.1\n\
                *.b 300 A 192.0.2.2\nx.b 300 TXT \"x\"\n*.c.x.b 300 A 192.0.2.3\n\
                e.f.g 300 A 192.0.2.4\ncut 300 NS ns.far.test.\n\\*.lit 300 A 192.0.2.5\n";
    let sites = ["deep.www.example.test", "in.cut.example.test"].map(|site| {
        format!("[sites.\"{site}\"]\ncustomer = \"acme\"\nkind = \"cached\"\norigins = \"www\"\n")
    });
    let network = popnet_config::load(&format!("{NETWORK}{}", sites.concat()), "popnet.toml");
    let network = network.unwrap_or_else(|found| panic!("{found:?}")).network;
    let catalog = Catalog::build(&network, 1, &[zone("example.test", text)]);
    let addresses = ["192.0.2.11".parse().unwrap()];
    let chosen = Filling::Addresses { addresses: &addresses, ttl: 20 };
    let soa = "NOERROR aa | | example.test 60 SOA ; |";
    let missing = "NXDOMAIN aa | | example.test 60 SOA ; |";
    let cases = [
        ("q", "NOERROR aa | q 300 A 192.0.2.1; | |"),
        ("p.q", "NOERROR aa | p.q 300 A 192.0.2.1; | |"),
        ("b", soa),
        ("q.b", "NOERROR aa | q.b 300 A 192.0.2.2; | |"),
        ("x.b", soa),
        // The closest encloser has no star of its own: those further up do not count.
        ("y.x.b", missing),
        ("c.x.b", soa),
        ("y.c.x.b", "NOERROR aa | y.c.x.b 300 A 192.0.2.3; | |"),
        ("f.g", soa),
        ("y.f.g", missing),
        ("y.e.f.g", missing),
        // A label of one star is a wildcard, however it is written (RFC 4592 2.1.1).
        ("y.lit", "NOERROR aa | y.lit 300 A 192.0.2.5; | |"),
        // A name of the network makes the names above it exist, and stops the stars above it.
        ("deep.www", "NOERROR aa | deep.www 20 A 192.0.2.11; | |"),
        ("www", soa),
        ("y.www", missing),
        // Others answer below a cut, whatever the configuration says.
        ("in.cut", "NOERROR | | cut 300 NS ns.far.test.; |"),
        ("y.in.cut", "NOERROR | | cut 300 NS ns.far.test.; |"),
    ];
    for (qname, expected) in cases {
        let response = ask(&catalog, &format!("{qname}.example.test"), Rtype::A, &chosen);
        assert_eq!(show(&response), expected, "{qname}");
    }
}

#[test]
fn borrowed_addresses() {
    let catalog = catalog();
    let addresses = ["192.0.2.11".parse().unwrap(), "2001:db8::11".parse().unwrap()];
    let chosen = Filling::Addresses { addresses: &addresses, ttl: 20 };
    let show_of = |qname: &str, qtype| show(&ask(&catalog, qname, qtype, &chosen));
    // The apex has the addresses of a steered site, and its own records of other types.
    assert_eq!(
        show_of("example.test", Rtype::AAAA),
        "NOERROR aa | example.test 20 AAAA 2001:db8::11; | |"
    );
    assert!(show_of("example.test", Rtype::MX).contains("MX 10 mail"));
    // Over a CNAME, without showing it.
    assert_eq!(
        show_of("borrowed.example.test", Rtype::A),
        "NOERROR aa | borrowed 60 A 192.0.2.3; | |"
    );
    let soa = "| example.test 60 SOA ; |";
    for (qname, qtype) in [("borrowed", Rtype::AAAA), ("borrowed", Rtype::MX), ("empty", Rtype::A)]
    {
        let qname = format!("{qname}.example.test");
        assert_eq!(show_of(&qname, qtype), format!("NOERROR aa | {soa}"), "{qname}");
    }
    for qname in ["dangling.example.test", "circle1.example.test"] {
        assert!(show_of(qname, Rtype::A).starts_with("SERVFAIL"), "{qname}");
    }
}

#[test]
fn hints_follow_the_choice() {
    let catalog = catalog();
    let addresses = ["192.0.2.11".parse().unwrap(), "2001:db8::11".parse().unwrap()];
    let chosen = Filling::Addresses { addresses: &addresses, ttl: 20 };
    let answer = |filling| {
        let response = ask(&catalog, "steered.example.test", Rtype::HTTPS, filling);
        let record = &response.answers[0];
        (record.ttl, record.text.clone(), response.edns.unwrap().subnet.unwrap().1)
    };
    let text = "1 . alpn=h2 ipv4hint=192.0.2.11 ipv6hint=2001:db8::11";
    assert_eq!(answer(&chosen), (20, text.to_owned(), 20));
    let text = "1 . alpn=h2 ipv4hint=192.0.2.9";
    assert_eq!(answer(&Filling::Nothing), (300, text.to_owned(), 20));
}

#[test]
fn names_of_the_network() {
    let catalog = catalog();
    let cases: &[(&str, Rtype, &str)] = &[
        ("ns1.fra1", Rtype::AAAA, "NOERROR aa | ns1.fra1 300 AAAA 2001:db8::53; | |"),
        ("fra1", Rtype::A, "NOERROR aa | fra1 300 A 192.0.2.11; | |"),
        (
            "store.fra1",
            Rtype::SRV,
            "NOERROR aa | store.fra1 30 SRV 0 1 7604 edge1.fra1.cdn.lab.test.; | | edge1.fra1 300 A 192.0.2.11;",
        ),
        (
            "log.acme",
            Rtype::SRV,
            "NOERROR aa | log.acme 30 SRV 0 1 7603 log1.fra1.cdn.lab.test.; | | log1.fra1 300 A 192.0.2.13;",
        ),
        (
            "log._network",
            Rtype::SRV,
            "NOERROR aa | log._network 30 SRV 0 1 7603 log1.fra1.cdn.lab.test.; | | log1.fra1 300 A 192.0.2.13;",
        ),
        (
            "config",
            Rtype::SRV,
            "NOERROR aa | config 30 SRV 0 1 7701 ns1.fra1.cdn.lab.test.; | | ns1.fra1 300 A 192.0.2.53; ns1.fra1 300 AAAA 2001:db8::53;",
        ),
        ("east.www.origins", Rtype::A, "NOERROR aa | east.www.origins 300 A 203.0.113.1; | |"),
        (
            "west.www.origins",
            Rtype::A,
            "NOERROR aa | west.www.origins 300 CNAME west.acme.test.; | |",
        ),
        ("log.nobody", Rtype::SRV, "NXDOMAIN aa | | cdn.lab.test 30 SOA ; |"),
        ("none.origin.fra1", Rtype::SRV, "NXDOMAIN aa | | cdn.lab.test 30 SOA ; |"),
        ("static.acme.test.origin.fra1", Rtype::A, "NOERROR aa | | cdn.lab.test 30 SOA ; |"),
    ];
    for (qname, qtype, expected) in cases {
        let qname = format!("{qname}.cdn.lab.test");
        let response = ask(&catalog, &qname, *qtype, &Filling::Nothing);
        assert_eq!(show(&response), *expected, "{qname}");
    }
    let soa = ask(&catalog, "cdn.lab.test", Rtype::SOA, &Filling::Nothing);
    assert_eq!(soa.answers[0].text, "ns1.fra1.cdn.lab.test. noc.lab.test. 42 3600 600 604800 30");
    let services = [
        Service { target: name("west.www.origins.cdn.lab.test"), port: 443 },
        Service { target: name("east.www.origins.cdn.lab.test"), port: 8080 },
    ];
    let filling = Filling::Services { services: &services, ttl: 20 };
    let origin = ask(&catalog, "_any.origin.fra1.cdn.lab.test", Rtype::SRV, &filling);
    let lines: Vec<&str> = origin.answers.iter().map(|record| record.text.as_str()).collect();
    assert_eq!(
        lines,
        ["0 1 443 west.www.origins.cdn.lab.test.", "1 1 8080 east.www.origins.cdn.lab.test."]
    );
    let texts = ["resolver 192.0.2.1".to_owned()];
    let whoami = ask(&catalog, "whoami.cdn.lab.test", Rtype::TXT, &Filling::Texts(&texts));
    assert_eq!(show(&whoami), "NOERROR aa | whoami 0 TXT \"resolver 192.0.2.1\"; | |");
}

#[test]
fn what_does_not_fit_is_truncated() {
    let mut text = ZONE.to_owned();
    for n in 0..200 {
        writeln!(text, "big A 198.51.100.{n}").unwrap();
    }
    let network = network();
    let catalog = Catalog::build(&network, 1, &[zone("example.test", &text)]);
    let response = ask(&catalog, "big.example.test", Rtype::A, &Filling::Nothing);
    assert!(response.truncated && response.answers.is_empty());
    let packet = build_query(1, &name("big.example.test"), Rtype::A, None);
    let Parsed::Query(query) = parse_query(&packet) else { panic!() };
    let whole = answer(&catalog, &query, &Filling::Nothing, 65_535);
    assert_eq!((whole.truncated, whole.answers.len()), (false, 200));
}

#[test]
fn other_classes_are_refused() {
    let catalog = catalog();
    let mut packet = build_query(1, &name("version.bind"), Rtype::TXT, None);
    let class = 12 + 14 + 3;
    assert_eq!(packet[class], 1);
    packet[class] = 3;
    let Parsed::Query(query) = parse_query(&packet) else { panic!() };
    assert!(matches!(lookup(&catalog, &query).outcome, Outcome::Refused));
}
