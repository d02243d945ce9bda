//! Zones that travel: transfers, notifications and updates as they come in, and what is kept.

use std::sync::{Arc, LazyLock};

use popnet_answer::Image;
use popnet_dns::{Name, Rcode, Rtype, read_zone};
use popnet_nameserver::{history_entries, history_of};
use popnet_transfer::stored::{read_step, read_zone as read_kept, write_step, write_zone};
use popnet_transfer::{
    Access, Algorithm, Arrival, Arrived, Content, Grant, Grants, Incoming, Key, Keys, Limits,
    Progress, Serial, Wanted, concern, reply, tsig, update,
};

/// When signatures are looked at, in seconds since 1970.
pub(crate) const THEN: u64 = 1_700_000_000;

/// The zone that is transferred and updated.
pub(crate) static CONTENT: LazyLock<Content> = LazyLock::new(|| {
    let text = "$TTL 60\n@ SOA ns h 7 1 1 1 1\n@ NS ns\nns A 192.0.2.1\nwww A 192.0.2.2\n\
                c CNAME www\nt TXT a\nt TXT b\n";
    let mut none = |_: &std::path::Path| Err("no includes".to_owned());
    let zone = read_zone(&apex(), "zone".as_ref(), text.as_bytes(), &mut none);
    Content::from(&zone.expect("the zone is a good one"))
});

pub(crate) fn apex() -> Name {
    "example.test".parse().expect("a name")
}

/// The key that both sides know.
pub(crate) fn key() -> Arc<Key> {
    let name = "xfr".parse().expect("a name");
    Arc::new(Key::new(name, Algorithm::Sha256, b"secret"))
}

/// The messages of a transfer, each with its length before it.
pub fn zone_transfer(octets: &[u8]) {
    let limits = Limits { records: 200, octets: 20_000 };
    for wanted in [Wanted::Whole, Wanted::Since(Serial(7))] {
        let mut arrival = Arrival::new(7, apex(), wanted, limits);
        let mut rest = octets;
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let (message, after) = after.split_at_checked(length).unwrap_or((after, &[]));
            rest = after;
            match arrival.message(message) {
                Ok(Progress::More) => {}
                Ok(Progress::Done(arrived)) => {
                    take(arrived);
                    break;
                }
                Err(_) => break,
            }
        }
    }
}

fn take(arrived: Arrived) {
    match arrived {
        Arrived::Unchanged(_) | Arrived::AskWhole => {}
        Arrived::Whole(records) => {
            let content = Content::of(apex(), records);
            if content.fault().is_none() {
                let kept = read_kept(&write_zone(&content, popnet_terms::Timestamp(1)));
                assert_eq!(kept.expect("what we wrote").content, content);
            }
        }
        Arrived::Steps(steps) => {
            let mut content = CONTENT.clone();
            for step in &steps {
                assert_eq!(read_step(&write_step(step)).as_ref(), Some(step));
                if content.apply(step).is_err() {
                    break;
                }
            }
        }
    }
}

/// A packet on the DNS port that is no plain question: its signature, and the update in it. What
/// an update changes must lead back to where it began.
pub fn dns_update(octets: &[u8]) {
    let _ = concern(octets);
    let _ = reply(octets, Rcode::REFUSED);
    let mut keys = Keys::default();
    keys.add((*key()).clone());
    let mut message = octets.to_vec();
    match tsig::check(&mut message, &keys, THEN) {
        Ok(Some(mut signer)) => {
            let mut answer = reply(&message, Rcode::NOERROR);
            signer.sign(&mut answer, THEN);
        }
        Ok(None) => assert_eq!(message, octets),
        Err(rejection) => {
            let _ = (rejection.word(), rejection.reply(octets));
        }
    }
    let mut checker = tsig::sign(&mut reply(&[0; 12], Rcode::NOERROR), &key(), THEN);
    let _ = checker.check(&mut octets.to_vec(), THEN);
    let Ok(incoming) = Incoming::parse(&message) else { return };
    let _ = (incoming.soas().count(), incoming.base(&apex()));
    let who = Access { anyone: true, ..Access::default() };
    let types = vec![Rtype::A, Rtype::TXT, Rtype::NS, Rtype::SOA, Rtype::CNAME, Rtype::ANY];
    let all = Grants(vec![Grant { who, types, ..Grant::default() }]);
    let mut content = CONTENT.clone();
    match update(&mut content, &incoming, &all) {
        Ok(Some(step)) => {
            assert_eq!(content.fault(), None);
            content.apply(&step.reversed()).expect("the step leads back");
            assert_eq!(content, *CONTENT);
        }
        Ok(None) | Err(_) => assert_eq!(content, *CONTENT),
    }
}

/// [`CONTENT`] in the form that answers are made from.
pub(crate) static IMAGE: LazyLock<Image> =
    LazyLock::new(|| Image::build(CONTENT.to_file()).expect("the zone is a good one"));

/// The entries of a file of differences, each with its length before it; a journal's checksums are
/// off already.
pub fn kept_history(octets: &[u8]) {
    let (mut entries, mut rest) = (Vec::new(), octets);
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, after) = after.split_at_checked(length).unwrap_or((after, &[]));
        entries.push(entry);
        rest = after;
    }
    for limit in [1 << 20, 200] {
        let Some(history) = history_of(&entries, &IMAGE, limit) else { continue };
        assert!(history.octets() <= limit && history.end() == Some(Serial(7)));
        let again = history_entries(&history, &IMAGE).expect("no step is longer than its entry");
        let again: Vec<&[u8]> = again.iter().map(Vec::as_slice).collect();
        let again = history_of(&again, &IMAGE, limit).expect("what we wrote");
        assert!(again.steps().eq(history.steps()));
    }
}

/// A zone, a step or a key as it lies on disk.
pub fn kept_zone(octets: &[u8]) {
    if let Some(kept) = read_kept(octets) {
        let again = read_kept(&write_zone(&kept.content, kept.confirmed));
        assert_eq!(again, Some(kept));
    }
    if let Some(step) = read_step(octets) {
        assert_eq!(read_step(&write_step(&step)), Some(step));
    }
    if let Ok(text) = str::from_utf8(octets) {
        let _ = Key::read(key().name(), text);
    }
}
