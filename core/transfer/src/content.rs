//! A zone that can be edited: what transfers and updates are applied to.

use std::collections::BTreeMap;

use popnet_dns::{Name, Rtype, ZoneFile};

use crate::record::{Rr, Soa, canonical};

/// The records of one RRset: their data, and the seconds to keep each. Signatures over several
/// types are one set here and keep a TTL each (RFC 4034 3).
pub(crate) type Set = BTreeMap<Box<[u8]>, u32>;

/// A zone, ordered for looking up and for comparing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    apex: Name,
    /// By owner and type.
    pub(crate) sets: BTreeMap<(Name, Rtype), Set>,
    records: usize,
    octets: usize,
}

impl Content {
    /// A zone without records.
    #[must_use]
    pub fn new(apex: Name) -> Self {
        Self { apex, sets: BTreeMap::new(), records: 0, octets: 0 }
    }

    /// The zone's name.
    #[must_use]
    pub fn apex(&self) -> &Name {
        &self.apex
    }

    /// How many records it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Octets of its records as a transfer would send them, without compression.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// Its SOA record.
    #[must_use]
    pub fn soa(&self) -> Option<Rr> {
        let set = self.set(&self.apex, Rtype::SOA)?;
        let (rdata, ttl) = set.first_key_value()?;
        Some(Rr { owner: self.apex.clone(), rtype: Rtype::SOA, ttl: *ttl, rdata: rdata.clone() })
    }

    /// What its SOA record says.
    #[must_use]
    pub fn numbers(&self) -> Option<Soa> {
        Soa::of(&self.soa()?.rdata)
    }

    pub(crate) fn set(&self, owner: &Name, rtype: Rtype) -> Option<&Set> {
        self.sets.get(&(owner.clone(), rtype))
    }

    /// The RRsets of `owner`.
    pub(crate) fn sets_of(&self, owner: &Name) -> impl Iterator<Item = (Rtype, &Set)> {
        let from = (owner.clone(), Rtype::from_int(0));
        let to = (owner.clone(), Rtype::from_int(u16::MAX));
        self.sets.range(from..=to).map(|((_, rtype), set)| (*rtype, set))
    }

    /// Adds a record; one that is there already gets the new TTL. Records of an RRset have one TTL
    /// (RFC 2181 5.2), which is the newest, save for signatures.
    pub fn add(&mut self, record: &Rr) {
        let set = self.sets.entry((record.owner.clone(), record.rtype)).or_default();
        let known = twin(set, record.rtype, &record.rdata);
        let size = size(record);
        let old = match known {
            Some(known) => set.insert(known, record.ttl),
            None => set.insert(record.rdata.clone(), record.ttl),
        };
        if old.is_none() {
            self.records += 1;
            self.octets += size;
        }
        if record.rtype != Rtype::RRSIG {
            for ttl in set.values_mut() {
                *ttl = record.ttl;
            }
        }
    }

    /// Takes a record out, whatever its TTL; says whether it was there.
    pub fn remove(&mut self, record: &Rr) -> bool {
        let key = (record.owner.clone(), record.rtype);
        let Some(set) = self.sets.get_mut(&key) else { return false };
        let Some(known) = twin(set, record.rtype, &record.rdata) else { return false };
        set.remove(&known);
        if set.is_empty() {
            self.sets.remove(&key);
        }
        self.records -= 1;
        self.octets -= size(record);
        true
    }

    /// Every record: the SOA first, then in the order of names and types.
    pub fn records(&self) -> impl Iterator<Item = Rr> {
        self.soa().into_iter().chain(self.rest())
    }

    /// Every record but the SOA.
    fn rest(&self) -> impl Iterator<Item = Rr> {
        let sets = self.sets.iter().filter(|((_, rtype), _)| *rtype != Rtype::SOA);
        sets.flat_map(|((owner, rtype), set)| {
            set.iter().map(move |(rdata, ttl)| Rr {
                owner: owner.clone(),
                rtype: *rtype,
                ttl: *ttl,
                rdata: rdata.clone(),
            })
        })
    }

    /// The zone in the form that is compiled for answering.
    #[must_use]
    pub fn to_file(&self) -> ZoneFile {
        ZoneFile { apex: self.apex.clone(), records: self.records().map(Into::into).collect() }
    }

    /// The zone that `records` make, which lie within `apex`.
    pub fn of(apex: Name, records: impl IntoIterator<Item = Rr>) -> Self {
        let mut content = Self::new(apex);
        for record in records {
            content.add(&record);
        }
        content
    }

    /// What keeps this from being served as a zone, in words.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let count = |rtype| self.set(&self.apex, rtype).map_or(0, Set::len);
        let elsewhere =
            self.sets.keys().any(|(owner, rtype)| *rtype == Rtype::SOA && *owner != self.apex);
        if count(Rtype::SOA) != 1 || elsewhere {
            return Some(format!("zone {} needs exactly one SOA record, at its top", self.apex));
        }
        if count(Rtype::NS) == 0 {
            return Some(format!("zone {} has no NS record at its top", self.apex));
        }
        None
    }
}

impl From<&ZoneFile> for Content {
    fn from(zone: &ZoneFile) -> Self {
        Self::of(zone.apex.clone(), zone.records.iter().cloned().map(Rr::from))
    }
}

/// The data in `set` that means the same as `rdata`.
fn twin(set: &Set, rtype: Rtype, rdata: &[u8]) -> Option<Box<[u8]>> {
    if let Some((known, _)) = set.get_key_value(rdata) {
        return Some(known.clone());
    }
    // Only types with names in them can be the same in other letters (RFC 4034 6.2).
    if set.is_empty() || !has_names(rtype) {
        return None;
    }
    let wanted = canonical(rtype, rdata);
    set.keys().find(|known| canonical(rtype, known) == wanted).cloned()
}

fn has_names(rtype: Rtype) -> bool {
    matches!(
        rtype,
        Rtype::NS
            | Rtype::CNAME
            | Rtype::SOA
            | Rtype::PTR
            | Rtype::MX
            | Rtype::SRV
            | Rtype::DNAME
            | Rtype::NAPTR
            | Rtype::RRSIG
            | Rtype::RP
            | Rtype::AFSDB
            | Rtype::KX
            | Rtype::MINFO
    )
}

/// Octets of a record on the wire.
pub(crate) fn size(record: &Rr) -> usize {
    record.owner.as_wire().len() + 10 + record.rdata.len()
}
