//! Signatures over answers that are made when they are asked for: one for each distinct answer,
//! kept as long as it holds, so that signing does not slow steering.
//!
//! Nobody waits: where a shelf is in use by another worker, the signature is made without it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use popnet_answer::{Made, Sign};
use popnet_dns::{Name, Rtype};
use popnet_sign::{Duty, Key, Window, sign_set};
use popnet_terms::{Seconds, Timestamp};
use xxhash_rust::xxh3::xxh3_64;

use crate::views::ZoneView;

/// Shelves: more than workers on any machine, so that two seldom meet at one. One half is for
/// chosen answers: denials of names that somebody makes up do not push them out.
const SHELVES: usize = 64;
/// Signatures on a shelf. A site has few distinct answers: some for each target and family; 16,384
/// of about 300 octets are 5 MiB at most.
const SHELF_MAX: usize = 256;
/// Signatures begin an hour ago: validators' clocks differ.
const EARLIER: i64 = 3_600 * 1_000_000;

/// What signs answers in a zone.
#[derive(Clone, Debug)]
pub(crate) struct ZoneKeys {
    keys: Vec<Arc<Key>>,
    validity: Seconds,
    /// DS records of every key, also of those that do not sign.
    pub(crate) ds: Vec<Vec<u8>>,
}

impl ZoneKeys {
    pub(crate) fn new(duties: &[Duty], validity: Seconds, ds: Vec<Vec<u8>>) -> Self {
        let signers = duties.iter().filter(|duty| duty.signs_zone);
        Self { keys: signers.map(|duty| Arc::clone(&duty.key)).collect(), validity, ds }
    }
}

/// Signs answers, for one state of the keys.
#[derive(Debug)]
pub(crate) struct Online {
    zones: HashMap<Name, ZoneKeys>,
    shelves: Box<[Mutex<Shelf>]>,
}

type Shelf = HashMap<Box<[u8]>, Entry>;

#[derive(Clone, Debug)]
struct Entry {
    rrsigs: Arc<[Box<[u8]>]>,
    /// Made again from then on.
    until: Timestamp,
}

impl Online {
    pub(crate) fn new(zones: HashMap<Name, ZoneKeys>) -> Self {
        let shelves = (0..SHELVES).map(|_| Mutex::default()).collect();
        Self { zones, shelves }
    }

    /// The same shelves serve on where no key has changed.
    pub(crate) fn is_for(&self, zones: &HashMap<Name, ZoneKeys>) -> bool {
        let same = |one: &ZoneKeys, other: &ZoneKeys| {
            one.validity == other.validity
                && one.keys.iter().map(|key| key.dnskey()).eq(other.keys.iter().map(|k| k.dnskey()))
        };
        self.zones.len() == zones.len()
            && self
                .zones
                .iter()
                .all(|(name, keys)| zones.get(name).is_some_and(|other| same(keys, other)))
    }

    /// The signer for one answer, whose TTL is at most `ttl_max`: that is what is signed, so that
    /// answers that differ in their TTL share a signature (RFC 4035 5.3.3).
    /// The zones that a view has of its own are not signed here, whatever they are called.
    pub(crate) fn at<'a>(
        &'a self,
        now: Timestamp,
        ttl_max: u32,
        seen: Option<&'a ZoneView>,
    ) -> At<'a> {
        At { online: self, now, ttl_max, seen }
    }
}

fn make(keys: &ZoneKeys, made: &Made<'_>, ttl: u32, now: Timestamp) -> Option<Entry> {
    let validity = Duration::from_secs(keys.validity.0.into());
    let window =
        Window { from: Timestamp(now.0.saturating_sub(EARLIER)), until: now.after(validity) };
    let sign = |key: &Arc<Key>| {
        let records = made.records.iter().copied();
        sign_set(key, made.owner, made.rtype, Seconds(ttl), records, window)
    };
    let rrsigs: Result<Vec<_>, _> = keys.keys.iter().map(sign).collect();
    let rrsigs = rrsigs.inspect_err(|error| tracing::error!(%error, "an answer is unsigned"));
    Some(Entry { rrsigs: rrsigs.ok()?.into(), until: now.after(validity / 2) })
}

/// Signs one answer.
#[derive(Debug)]
pub(crate) struct At<'a> {
    online: &'a Online,
    now: Timestamp,
    ttl_max: u32,
    seen: Option<&'a ZoneView>,
}

impl<'a> At<'a> {
    fn keys(&self, apex: &[u8]) -> Option<&'a ZoneKeys> {
        self.online.zones.get(apex).filter(|_| self.seen.is_none_or(|seen| !seen.owns(apex)))
    }
}

impl Sign for At<'_> {
    fn signs(&self, apex: &[u8]) -> bool {
        self.keys(apex).is_some()
    }

    fn sign(&self, made: &Made<'_>, write: &mut dyn FnMut(&[u8])) -> Option<()> {
        let (online, now) = (self.online, self.now);
        let keys = self.keys(made.apex)?;
        let ttl = made.ttl.max(if made.is_chosen { self.ttl_max } else { 0 });
        if !made.is_kept {
            let entry = make(keys, made, ttl, now)?;
            entry.rrsigs.iter().for_each(|rrsig| write(rrsig));
            return Some(());
        }
        let name = shelf_name(made, ttl);
        let half = SHELVES / 2;
        let place = usize::try_from(xxh3_64(&name) % half as u64).unwrap_or(0);
        let shelf = online.shelves.get(if made.is_chosen { place } else { half + place })?;
        let known = shelf.try_lock().ok().and_then(|shelf| shelf.get(&*name).cloned());
        let entry = match known.filter(|entry| entry.until > now) {
            Some(entry) => entry,
            None => {
                let entry = make(keys, made, ttl, now)?;
                if let Ok(mut shelf) = shelf.try_lock() {
                    if shelf.len() >= SHELF_MAX {
                        // So many answers of so few targets: whatever is asked again comes back.
                        shelf.clear();
                    }
                    shelf.insert(name, entry.clone());
                }
                entry
            }
        };
        entry.rrsigs.iter().for_each(|rrsig| write(rrsig));
        Some(())
    }
}

/// Everything that a signature is over, save its time.
fn shelf_name(made: &Made<'_>, ttl: u32) -> Box<[u8]> {
    let mut records: Vec<&[u8]> = made.records.to_vec();
    records.sort_unstable();
    let length: usize = records.iter().map(|rdata| rdata.len() + 2).sum();
    let mut name = Vec::with_capacity(made.apex.len() + made.owner.len() + 8 + length);
    // Both names end with a zero: none is the beginning of another.
    name.extend_from_slice(made.apex);
    name.extend_from_slice(made.owner);
    name.extend_from_slice(&Rtype::to_int(made.rtype).to_be_bytes());
    name.extend_from_slice(&ttl.to_be_bytes());
    for rdata in records {
        name.extend_from_slice(&u16::try_from(rdata.len()).unwrap_or(0).to_be_bytes());
        name.extend_from_slice(rdata);
    }
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use popnet_sign::{Algorithm, RrsigHead};

    fn online() -> (Online, Name) {
        let zone: Name = "example.test".parse().unwrap();
        let (key, _) = Key::generate(&zone, Algorithm::Ecdsap256sha256, false).unwrap();
        let duty = Duty {
            key: Arc::new(key),
            is_published: true,
            signs_keys: false,
            signs_zone: true,
            is_announced: false,
        };
        let keys = ZoneKeys::new(&[duty], Seconds(86_400), Vec::new());
        (Online::new(HashMap::from([(zone.clone(), keys)])), zone)
    }

    fn ask(online: &Online, zone: &Name, now: i64, records: &[&[u8]], ttl: u32) -> Vec<u8> {
        let made = Made {
            apex: zone.as_wire(),
            owner: b"\x03www\x07example\x04test\0",
            rtype: Rtype::A,
            ttl,
            records,
            is_chosen: true,
            is_kept: true,
        };
        let mut got = Vec::new();
        let at = online.at(Timestamp(now * 1_000_000), 300, None);
        at.sign(&made, &mut |rrsig| got.extend_from_slice(rrsig)).unwrap();
        got
    }

    #[test]
    fn one_signature_an_answer() {
        let (online, zone) = online();
        let start = 1_700_000_000;
        let (a, b): (&[u8], &[u8]) = (&[192, 0, 2, 1], &[192, 0, 2, 2]);
        let first = ask(&online, &zone, start, &[a, b], 20);
        // ECDSA takes other random octets each time: equal octets were kept.
        assert_eq!(ask(&online, &zone, start + 9, &[b, a], 60), first);
        assert_eq!(RrsigHead::read(&first).unwrap().ttl, 300);
        assert_ne!(ask(&online, &zone, start + 9, &[a], 60), first);
        let later = ask(&online, &zone, start + 50_000, &[a, b], 20);
        assert_ne!(later, first);
        assert!(
            RrsigHead::read(&later).unwrap().left(Timestamp((start + 50_000) * 1_000_000)) > 80_000
        );
    }

    #[test]
    fn shelves_stay_small() {
        let (online, zone) = online();
        for number in 0..40_000u32 {
            let rdata = (number % 30_000).to_be_bytes();
            let name = shelf_name(
                &Made {
                    apex: zone.as_wire(),
                    owner: zone.as_wire(),
                    rtype: Rtype::A,
                    ttl: 1,
                    records: &[&rdata],
                    is_chosen: true,
                    is_kept: true,
                },
                1,
            );
            assert!(name.len() < 64);
            if number % 16 == 0 {
                ask(&online, &zone, 1_700_000_000, &[&rdata], 20);
            }
        }
        let kept: usize = online.shelves.iter().map(|shelf| shelf.lock().unwrap().len()).sum();
        assert!(kept > 0 && kept <= SHELVES * SHELF_MAX, "{kept}");
        assert!(online.shelves.iter().all(|shelf| shelf.lock().unwrap().len() <= SHELF_MAX));
    }
}
