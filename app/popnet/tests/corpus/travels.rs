//! Transfers, updates and kept zones, as this program and others send and write them.

use std::sync::Arc;

use popnet_dns::{Class, Flags, Name, Rcode, Rtype};
use popnet_nameserver::{history_entries, history_of};
use popnet_terms::Timestamp;
use popnet_transfer::stored::{write_step, write_zone};
use popnet_transfer::{
    Algorithm, Difference, Head, History, Key, Rr, Serial, Soa, ask, between, notification, pack,
    reply, tsig,
};

use super::targets::travels::{CONTENT, IMAGE, THEN, apex, key};

type Seed = (&'static str, &'static str, Vec<u8>);

pub(crate) fn all() -> Vec<Seed> {
    let soa = CONTENT.soa().unwrap();
    let mut later = CONTENT.clone();
    later.remove(&record("www", Rtype::A, &[192, 0, 2, 2]));
    later.add(&record("new", Rtype::A, &[192, 0, 2, 9]));
    later.remove(&soa);
    later.add(&Rr { rdata: Soa::renumbered(&soa.rdata, Serial(8)), ..soa.clone() });
    let step = between(&CONTENT, &later).unwrap();
    let last = later.soa().unwrap();
    let whole: Vec<Rr> = later.records().chain([last.clone()]).collect();
    let steps: Vec<Rr> =
        [&last].into_iter().chain(step.records()).chain([&last]).cloned().collect();
    let mut signed = ask(7, &apex(), Rtype::SOA, None);
    tsig::sign(&mut signed, &key(), THEN);
    let name: Name = "xfr".parse().unwrap();
    vec![
        ("zone_transfer", "whole.bin", sent(&whole)),
        ("zone_transfer", "steps.bin", sent(&steps)),
        ("zone_transfer", "same.bin", sent(std::slice::from_ref(&soa))),
        (
            "zone_transfer",
            "refused.bin",
            framed(&reply(&ask(7, &apex(), Rtype::AXFR, None), Rcode::REFUSED)),
        ),
        ("dns_update", "signed.bin", signed),
        ("dns_update", "notify.bin", notification(7, &apex(), &soa)),
        ("dns_update", "update.bin", update(&step)),
        ("kept_zone", "zone.bin", write_zone(&CONTENT, Timestamp(5))),
        ("kept_zone", "step.bin", write_step(&step)),
        ("kept_history", "two_steps.bin", history()),
        ("kept_zone", "key.txt", Key::file(&name, Algorithm::Sha256, b"secret").into_bytes()),
    ]
}

/// Two steps that lead to the zone as the target has it.
fn history() -> Vec<u8> {
    let soa = CONTENT.soa().unwrap();
    let state = |serial: u32| {
        let mut state = CONTENT.clone();
        state.remove(&soa);
        state.add(&Rr { rdata: Soa::renumbered(&soa.rdata, Serial(serial)), ..soa.clone() });
        if serial < 7 {
            let last = u8::try_from(serial).unwrap();
            state.add(&record("old", Rtype::A, &[192, 0, 2, last]));
        }
        state
    };
    let mut history = History::new(1 << 20);
    for serial in [5, 6] {
        history.push(Arc::new(between(&state(serial), &state(serial + 1)).unwrap()));
    }
    let entries = history_entries(&history, &IMAGE).unwrap();
    let read: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    assert!(history_of(&read, &IMAGE, 1 << 20).is_some_and(|kept| kept.len() == 2));
    entries.iter().flat_map(|entry| framed(entry)).collect()
}

fn record(owner: &str, rtype: Rtype, rdata: &[u8]) -> Rr {
    Rr { owner: apex().below(owner).unwrap(), rtype, ttl: 60, rdata: rdata.into() }
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

fn sent(records: &[Rr]) -> Vec<u8> {
    let question = [apex().as_wire(), &[0, 252, 0, 1]].concat();
    let flags = Flags::default();
    let head = Head { id: 7, flags, question: &question, qtype: Rtype::AXFR, edns: false };
    let messages = pack(&head, records.iter().map(Rr::line)).unwrap();
    messages.iter().flat_map(|message| framed(message)).collect()
}

/// An update that takes away and adds what `step` does, if `www` is there.
pub(crate) fn update(step: &Difference) -> Vec<u8> {
    let count = u16::try_from(step.removed.len() + step.added.len()).unwrap();
    let mut out = Vec::new();
    for number in [7, 0x2800, 1, 1, count, 0] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(&[apex().as_wire(), &[0, 6, 0, 1]].concat());
    let mut entry = |record: &Rr, class: Class, ttl: u32, rdata: &[u8]| {
        out.extend_from_slice(record.owner.as_wire());
        out.extend_from_slice(&record.rtype.to_int().to_be_bytes());
        out.extend_from_slice(&class.to_int().to_be_bytes());
        out.extend_from_slice(&ttl.to_be_bytes());
        out.extend_from_slice(&u16::try_from(rdata.len()).unwrap().to_be_bytes());
        out.extend_from_slice(rdata);
    };
    entry(&record("www", Rtype::A, &[]), Class::ANY, 0, &[]);
    for gone in &step.removed {
        entry(gone, Class::NONE, 0, &gone.rdata);
    }
    for come in &step.added {
        entry(come, Class::IN, come.ttl, &come.rdata);
    }
    out
}
