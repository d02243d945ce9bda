//! Whatever comes in, nothing panics, and an update is made whole or not at all.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use popnet_dns::{Flags, Name, Rtype, read_zone};
use popnet_transfer::stored::{read_step, read_zone as read_kept, write_step, write_zone};
use popnet_transfer::{
    Access, Arrival, Arrived, Content, Grant, Grants, Head, Incoming, Limits, Progress, Rr, Serial,
    Soa, Wanted, between, concern, notification, pack, reply, update,
};

const ROUNDS: usize = 20_000;

fn apex() -> Name {
    "example.".parse().unwrap()
}

fn zone(serial: u32, more: &str) -> Content {
    let text = format!(
        "$TTL 60\n@ SOA ns h {serial} 1 1 1 1\n@ NS ns\nns A 192.0.2.1\nm MX 1 ns\nt TXT a b\n{more}"
    );
    let mut none = |_: &std::path::Path| Err("no files".to_owned());
    Content::from(&read_zone(&apex(), "t".as_ref(), text.as_bytes(), &mut none).unwrap())
}

/// Each of `seeds` with some octets changed, or cut.
fn mutated(seeds: &[Vec<u8>], mut look: impl FnMut(&[u8])) {
    let mut state = 5u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap()
    };
    for round in 0..ROUNDS {
        let mut octets = seeds[round % seeds.len()].clone();
        for _ in 0..1 + next() % 4 {
            let at = next() % octets.len();
            octets[at] = u8::try_from(next() % 256).unwrap();
        }
        if next() % 4 == 0 {
            octets.truncate(next() % octets.len());
        }
        look(&octets);
    }
}

#[test]
fn transfers() {
    let (old, new) = (zone(1, ""), zone(2, "new A 192.0.2.2\n"));
    let step = between(&old, &new).unwrap();
    let last = new.soa().unwrap();
    let whole: Vec<Rr> = new.records().chain([last.clone()]).collect();
    let steps: Vec<Rr> =
        [&last].into_iter().chain(step.records()).chain([&last]).cloned().collect();
    let question = [apex().as_wire(), &[0, 252, 0, 1]].concat();
    let flags = Flags::default();
    let head = Head { id: 7, flags, question: &question, qtype: Rtype::AXFR, edns: false };
    let message = |records: &[Rr]| pack(&head, records.iter().map(Rr::line)).unwrap().remove(0);
    // QR is set by the one who writes answers.
    let limits = Limits { records: 50, octets: 2_000 };
    let (mut wholes, mut walked) = (0, 0);
    mutated(&[message(&whole), message(&steps)], |octets| {
        for wanted in [Wanted::Whole, Wanted::Since(Serial(1))] {
            let mut arrival = Arrival::new(7, apex(), wanted, limits);
            match arrival.message(octets) {
                Ok(Progress::Done(Arrived::Whole(records))) => {
                    let content = Content::of(apex(), records);
                    assert!(content.octets() <= limits.octets);
                    let _ = content.fault();
                    wholes += 1;
                }
                Ok(Progress::Done(Arrived::Steps(steps))) => {
                    let mut content = old.clone();
                    walked += usize::from(steps.iter().all(|step| content.apply(step).is_ok()));
                }
                Ok(_) | Err(_) => {}
            }
        }
    });
    assert!(wholes > 100 && walked > 100, "{wholes} {walked}: the seeds are of no use");
}

#[test]
fn updates() {
    let content = zone(1, "");
    let mut seed = reply(&[0, 7, 0x28, 0, 0, 1, 0, 0, 0, 0, 0, 0], popnet_dns::Rcode::NOERROR);
    seed.clear();
    for number in [7u16, 0x2800, 1, 1, 2, 0] {
        seed.extend_from_slice(&number.to_be_bytes());
    }
    seed.extend_from_slice(&[apex().as_wire(), &[0, 6, 0, 1]].concat());
    // If `m` has an MX record: `t` loses its texts, `x` gets an address.
    seed.extend_from_slice(b"\x01m\x07example\0\0\x0f\0\xff\0\0\0\0\0\0");
    seed.extend_from_slice(b"\x01t\x07example\0\0\x10\0\xff\0\0\0\0\0\0");
    seed.extend_from_slice(b"\x01x\x07example\0\0\x01\0\x01\0\0\0\x3c\0\x04\x01\x02\x03\x04");
    let told = notification(7, &apex(), &content.soa().unwrap());
    let who = Access { anyone: true, ..Access::default() };
    let types = vec![Rtype::A, Rtype::TXT, Rtype::NS, Rtype::SOA, Rtype::CNAME, Rtype::ANY];
    let all = Grants(vec![Grant { who, types, ..Grant::default() }]);
    let mut made = 0;
    mutated(&[seed, told], |octets| {
        let _ = (concern(octets), reply(octets, popnet_dns::Rcode::REFUSED));
        let Ok(message) = Incoming::parse(octets) else { return };
        let mut changed = content.clone();
        match update(&mut changed, &message, &all) {
            Ok(Some(step)) => {
                assert_eq!(changed.fault(), None);
                assert!(step.to().is_after(step.from()));
                let mut walked = content.clone();
                walked.apply(&step).unwrap();
                assert_eq!(walked, changed, "the step says all that changed");
                changed.apply(&step.reversed()).unwrap();
                assert_eq!(changed, content);
                made += 1;
            }
            Ok(None) | Err(_) => assert_eq!(changed, content),
        }
    });
    assert!(made > 100, "{made}: the seeds are of no use");
}

#[test]
fn files() {
    let (old, new) = (zone(1, ""), zone(2, "new A 192.0.2.2\n"));
    let kept = write_zone(&old, popnet_terms::Timestamp(3));
    let step = write_step(&between(&old, &new).unwrap());
    mutated(&[kept, step], |octets| {
        if let Some(kept) = read_kept(octets) {
            let _ = kept.content.numbers().map(|Soa { serial, .. }| serial);
            let again = read_kept(&write_zone(&kept.content, kept.confirmed)).unwrap();
            assert_eq!(again, kept);
        }
        if let Some(step) = read_step(octets) {
            assert_eq!(read_step(&write_step(&step)).unwrap(), step);
            let _ = old.clone().apply(&step);
        }
    });
}
