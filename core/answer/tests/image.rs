//! Zones as they are compiled: order, names between, flags, signatures, and what is refused.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::path::Path;

use popnet_answer::{Builder, Denial, Image};
use popnet_dns::{Name, Place, Rtype, ZoneFile, ZoneRecord, rdata_text, read_zone};

const TOP: &str = "$TTL 300\n@ SOA ns h 7 3600 600 604800 60\n@ NS ns\n";

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn zone(text: &str) -> ZoneFile {
    let text = format!("{TOP}{text}");
    let read = read_zone(&name("example.test"), Path::new("zone"), text.as_bytes(), &mut |_| {
        Err("no includes here".into())
    });
    read.unwrap()
}

fn image(text: &str) -> Image {
    Image::build(zone(text)).unwrap()
}

/// A name relative to the zone.
fn wire(text: &str) -> Vec<u8> {
    if text.is_empty() {
        return Vec::new();
    }
    let whole = name(text);
    whole.as_wire()[..whole.as_wire().len() - 1].to_vec()
}

fn show(image: &Image, relative: &[u8]) -> String {
    let whole = image.whole(relative).unwrap().to_name().to_host();
    whole.strip_suffix("example.test").unwrap().trim_end_matches('.').to_owned()
}

#[test]
fn canonical_order_with_the_names_between() {
    let image = image("z A 192.0.2.1\nx.b.a A 192.0.2.2\n*.a A 192.0.2.3\nB A 192.0.2.4\n");
    let names: Vec<String> = image.entries().map(|entry| show(&image, entry.name)).collect();
    assert_eq!(names, ["", "a", "*.a", "b.a", "x.b.a", "b", "z"]);
    assert_eq!((image.len(), image.record_count(), image.serial()), (7, 6, 7));
    assert_eq!(image.negative_ttl(), 60);
    let a = image.find(&wire("a")).unwrap();
    assert!(a.is_empty() && a.has_star());
    assert!(!image.find(&wire("b.a")).unwrap().has_star());
    assert!(image.find(&wire("none")).is_none() && image.find(&wire("c.b.a")).is_none());
    let lines: Vec<String> = image
        .records()
        .map(|r| format!("{} {} {}", show(&image, r.name), r.rtype, rdata_text(r.rtype, r.rdata)))
        .collect();
    let expected = [
        " NS ns.example.test.",
        " SOA ns.example.test. h.example.test. 7 3600 600 604800 60",
        "*.a A 192.0.2.3",
        "x.b.a A 192.0.2.2",
        "b A 192.0.2.4",
        "z A 192.0.2.1",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn sets_have_one_ttl_and_each_record_once() {
    let image = image("w 60 A 192.0.2.2\nw 30 A 192.0.2.1\nw 90 A 192.0.2.2\nw TXT a\n");
    let set = image.set(&wire("w"), Rtype::A).unwrap();
    assert_eq!((set.ttl, set.count), (30, 2));
    let records: Vec<&[u8]> = set.records().collect();
    assert_eq!(records, [&[192, 0, 2, 1], &[192, 0, 2, 2]]);
    let types: Vec<Rtype> = image.find(&wire("w")).unwrap().sets().map(|s| s.rtype).collect();
    assert_eq!(types, [Rtype::A, Rtype::TXT]);
}

#[test]
fn cuts_renamed_names_and_hashes() {
    let image = image(
        "child NS ns.child\nns.child A 192.0.2.1\nold DNAME new\nx.old A 192.0.2.2\n\
         0p9mhaveqvm6t7vbl5lop2u3t2rp3tom NSEC3 1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr A\n\
         2t7b4g4vsa5smi47k61mv5bv1a22bojr NSEC3 1 0 0 - 0p9mhaveqvm6t7vbl5lop2u3t2rp3tom A\n",
    );
    let child = image.find(&wire("child")).unwrap();
    assert!(child.is_cut() && !child.is_occluded());
    let glue = image.find(&wire("ns.child")).unwrap();
    assert!(glue.is_occluded() && !glue.is_cut());
    // Neither a name that is renamed nor that of an NSEC3 record can be asked for.
    assert!(image.find(&wire("x.old")).is_none());
    assert!(image.find(&wire("0p9mhaveqvm6t7vbl5lop2u3t2rp3tom")).is_none());
    assert_eq!(image.entries().count(), image.len());
    assert_eq!(image.denial(), Denial::None, "nothing is signed");
    let label = |hash: &str| {
        let entry = image.covering_hash(hash.as_bytes()).unwrap();
        String::from_utf8(entry.name[1..4].to_vec()).unwrap()
    };
    assert_eq!(label("0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"), "0p9");
    assert_eq!(label("1000000000000000000000000000000"), "0p9");
    assert_eq!(label("3000000000000000000000000000000"), "2t7");
    assert_eq!(label("0000000000000000000000000000000"), "2t7");
}

#[test]
fn signatures_stand_behind_what_they_cover() {
    let sig = |covered: &str| {
        format!("RRSIG {covered} 13 3 300 20300101000000 20200101000000 1 example.test. AAAA")
    };
    let text = format!(
        "@ DNSKEY 257 3 13 AAAA\n@ {}\n@ {}\nw {}\nw {}\nw A 192.0.2.1\nw NSEC example.test. A\n\
         @ NSEC w.example.test. SOA NS\n",
        sig("SOA"),
        sig("DNSKEY"),
        sig("NSEC"),
        sig("A")
    );
    let image = image(&text);
    assert!(image.is_signed());
    assert_eq!(image.denial(), Denial::Nsec);
    let entry = image.find(&wire("w")).unwrap();
    let set = entry.set(Rtype::A).unwrap();
    assert_eq!(set.signatures().unwrap().covers(), Some(Rtype::A));
    assert_eq!(entry.signatures(Rtype::NSEC).unwrap().covers(), Some(Rtype::NSEC));
    assert!(entry.signatures(Rtype::TXT).is_none());
    assert!(image.top().unwrap().set(Rtype::NS).unwrap().signatures().is_none());
    let covering = |text: &str| show(&image, image.covering(&wire(text)).unwrap().name);
    assert_eq!(covering("a"), "");
    assert_eq!(covering("w"), "w");
    assert_eq!(covering("a.w"), "w");
    assert_eq!(covering("zz"), "w");
}

#[test]
fn flaws() {
    let whole = |text: &str| -> Vec<String> {
        let read: Result<Image, _> = Image::build(zone(text));
        read.unwrap_err().iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        whole("sub SOA ns h 1 2 3 4 5\n"),
        ["line 4: sub.example.test. has an SOA record, but is not the top"]
    );
    assert_eq!(whole("d DNAME a\nd DNAME b\n"), ["line 5: d.example.test. has two DNAME records"]);
    let record = |owner: &str, rtype, rdata: &[u8]| ZoneRecord {
        owner: name(owner),
        rtype,
        ttl: 1,
        rdata: rdata.into(),
        line: 1,
    };
    let built = |records| {
        let flaws = Image::build(ZoneFile { apex: name("example.test"), records }).unwrap_err();
        flaws.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    assert!(built(vec![]).contains("needs exactly one SOA record at its top, it has 0"));
    assert!(built(vec![]).contains("no NS record"));
    assert!(built(vec![record("a.test", Rtype::A, b"1234")]).contains("does not belong"));
    assert!(built(vec![record("example.test", Rtype::ANY, b"")]).contains("no zone can hold"));
}

#[test]
fn more_records_than_an_rrset_can_count() {
    let mut builder = Builder::new(name("example.test"));
    let owner = name("w.example.test");
    for number in 0..70_000u32 {
        let rdata = number.to_be_bytes();
        builder.add(owner.as_wire(), Rtype::A, 1, &rdata, Place::default());
    }
    let flaws = builder.finish().unwrap_err();
    assert!(flaws.iter().any(|flaw| flaw.what.contains("more than 65,535 records")), "{flaws:?}");
}

#[test]
fn more_types_than_a_name_can_count() {
    let mut builder = Builder::new(name("example.test"));
    let owner = name("w.example.test");
    for rtype in (1..=65_535u16).filter(|rtype| ![5, 6, 41, 46, 255].contains(rtype)) {
        builder.add(owner.as_wire(), Rtype::from_int(rtype), 1, b"\0", Place::default());
        let rrsig = [rtype.to_be_bytes().as_slice(), b"rest"].concat();
        builder.add(owner.as_wire(), Rtype::RRSIG, 1, &rrsig, Place::default());
    }
    let flaws = builder.finish().unwrap_err();
    assert!(flaws.iter().any(|flaw| flaw.what.contains("more than 65,535 RRsets")), "{flaws:?}");
}

#[test]
fn every_name_is_found_and_no_other() {
    let mut builder = Builder::new(name("example.test"));
    let mut state = 7u64;
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..5_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let text = format!("n{}.p{}", (state >> 33) % 3_000, (state >> 50) % 50);
        builder.add(
            name(&format!("{text}.example.test")).as_wire(),
            Rtype::A,
            1,
            &[192, 0, 2, 1],
            Place::default(),
        );
        names.insert(text);
    }
    let soa = [b"\0\0".as_slice(), &[0; 20]].concat();
    builder.add(name("example.test").as_wire(), Rtype::SOA, 1, &soa, Place::default());
    builder.add(name("example.test").as_wire(), Rtype::NS, 1, b"\0", Place::default());
    let image = builder.finish().unwrap();
    for number in 0..3_000 {
        for parent in 0..50 {
            let text = format!("n{number}.p{parent}");
            assert_eq!(image.find(&wire(&text)).is_some(), names.contains(&text), "{text}");
        }
    }
    let mut owners: Vec<Vec<Vec<u8>>> = Vec::new();
    for entry in image.entries() {
        let whole = image.whole(entry.name).unwrap().to_name();
        let labels = whole.to_host().split('.').rev().map(|l| l.as_bytes().to_vec()).collect();
        owners.push(labels);
    }
    assert!(owners.is_sorted(), "canonical order");
}
