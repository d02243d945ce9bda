//! A whole zone: records in, records with signatures out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use domain::base::iana::Rtype;
use popnet_dns::{Name, ZoneFile, ZoneRecord};
use popnet_terms::{Seconds, Timestamp};
use xxhash_rust::xxh3::xxh3_64;

use crate::canonical::{canonical_order, canonical_rdata};
use crate::chain::{Denial, PARAMETERS, hash_of, nsec_at, nsec3_at, nsec3_owner};
use crate::key::Key;
use crate::rrsig::{RrsigHead, SignError, Window, sign_set};

/// Signatures begin an hour ago: validators' clocks differ.
const EARLIER: i64 = 3_600 * 1_000_000;

/// What a key does at one time.
#[derive(Clone, Debug)]
pub struct Duty {
    /// The key.
    pub key: Arc<Key>,
    /// Its DNSKEY record stands in the zone.
    pub is_published: bool,
    /// It signs the DNSKEY, CDS and CDNSKEY RRsets.
    pub signs_keys: bool,
    /// It signs everything else.
    pub signs_zone: bool,
    /// The parent is asked to name it, by CDS and CDNSKEY records (RFC 7344).
    pub is_announced: bool,
}

/// How a zone is signed.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// Who signs what.
    pub duties: &'a [Duty],
    /// How absence is shown.
    pub denial: Denial,
    /// For how long a new signature holds.
    pub validity: Seconds,
    /// A signature ends up to this much earlier, each at its own time, so that not all have to be
    /// made again at once. At most half of `validity` is used.
    pub jitter: Seconds,
    /// A signature that holds no longer than this is made again.
    pub refresh: Seconds,
    /// TTL of DNSKEY, CDS and CDNSKEY.
    pub key_ttl: Seconds,
    /// Now.
    pub now: Timestamp,
    /// Names whose records of these types are made when they are asked for: they exist, also
    /// those without any type, below which something is made.
    pub made: &'a [(Name, Vec<Rtype>)],
}

/// A signed zone.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The zone, its records in canonical order.
    pub zone: ZoneFile,
    /// Its serial number. It differs from the earlier one when any record does.
    pub serial: u32,
    /// Signatures made now.
    pub made: usize,
    /// Signatures kept.
    pub kept: usize,
    /// When the first signature has to be made again.
    pub renew_at: Timestamp,
}

/// Signs `zone`. `before` is what this function gave last time: signatures in it that still hold
/// long enough and whose RRsets have not changed are kept. DNSSEC records in `zone` that signing
/// makes are left out; DNSKEY records of others stay (RFC 8901).
///
/// # Errors
/// No key signs, or a key of another zone does, or the zone has no SOA record.
pub fn sign_zone(
    zone: &ZoneFile,
    plan: &Plan<'_>,
    before: Option<&ZoneFile>,
) -> Result<Signed, SignError> {
    let apex = &zone.apex;
    for duty in plan.duties {
        if duty.key.zone() != apex {
            let (key, zone) = (duty.key.stem(), apex.to_string());
            return Err(SignError::Foreign { key, zone });
        }
    }
    let signs = |of: fn(&Duty) -> bool| plan.duties.iter().any(of);
    if !signs(|duty| duty.signs_zone) || !signs(|duty| duty.signs_keys && duty.is_published) {
        return Err(SignError::NoKey(apex.to_string()));
    }
    let mut owners = Owners::group(zone, plan);
    let soa = owners.soa(apex).ok_or_else(|| SignError::NoSoa(apex.to_string()))?;
    owners.deny(apex, plan, soa.negative_ttl)?;
    let before = Before::of(before);
    let mut signing = Signing {
        plan,
        before: &before,
        records: Vec::with_capacity(zone.records.len() * 3),
        same: 0,
        made: 0,
        kept: 0,
        left_min: i64::from(u32::MAX),
    };
    let mut sets = 0;
    for owner in owners.by_order.values() {
        for (rtype, set) in &owner.sets {
            if *rtype == Rtype::SOA && owner.name == *apex {
                continue;
            }
            sets += 1;
            signing.add(owner, *rtype, set)?;
        }
    }
    let is_same = signing.made == 0
        && signing.same == sets
        && before.sets.len() == sets + 1
        && before.signatures == signing.kept + before.soa_signatures(apex);
    let others = signing.records.len();
    let serial = signing.soa(&mut owners, apex, &soa, is_same)?;
    // The SOA came last, for its serial; it stands first.
    let mut records = signing.records.split_off(others);
    records.append(&mut signing.records);
    let left = signing.left_min.saturating_sub(i64::from(plan.refresh.0)).max(0);
    let left = Duration::from_secs(u64::try_from(left).unwrap_or(0));
    Ok(Signed {
        zone: ZoneFile { apex: apex.clone(), records },
        serial,
        made: signing.made,
        kept: signing.kept,
        renew_at: plan.now.after(left),
    })
}

/// One RRset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Set {
    ttl: u32,
    /// Canonical data, and the data as it came where that differs.
    records: BTreeMap<Box<[u8]>, Option<Box<[u8]>>>,
}

impl Set {
    fn add(&mut self, rtype: Rtype, ttl: u32, rdata: &[u8]) {
        // RFC 2181 5.2: one TTL an RRset; the lowest is the careful one.
        self.ttl = if self.records.is_empty() { ttl } else { self.ttl.min(ttl) };
        let canonical = canonical_rdata(rtype, rdata);
        let differs = *canonical != *rdata;
        self.records.insert((*canonical).into(), differs.then(|| rdata.into()));
    }

    fn one(ttl: u32, rdata: Vec<u8>) -> Self {
        Self { ttl, records: BTreeMap::from([(rdata.into(), None)]) }
    }
}

/// Where a name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the zone: everything is signed.
    Inside,
    /// A zone cut: only what the parent knows is signed (RFC 4035 2.2).
    Cut,
    /// Below a cut: glue.
    Below,
}

#[derive(Debug)]
struct Owner {
    name: Name,
    place: Place,
    sets: BTreeMap<Rtype, Set>,
    /// Types that exist without standing here; `None` where nothing is made.
    made: Option<Vec<Rtype>>,
}

impl Owner {
    fn is_signed(&self, rtype: Rtype) -> bool {
        match self.place {
            Place::Inside => true,
            Place::Cut => matches!(rtype, Rtype::DS | Rtype::NSEC),
            Place::Below => false,
        }
    }

    /// The types of its NSEC or NSEC3 record, which is itself one of `with`.
    fn types(&self, with: &[Rtype]) -> Vec<Rtype> {
        let seen = |rtype: &Rtype| match self.place {
            Place::Inside => true,
            Place::Cut => matches!(*rtype, Rtype::NS | Rtype::DS),
            Place::Below => false,
        };
        let mut types: Vec<Rtype> = self.sets.keys().copied().filter(seen).collect();
        types.extend(self.made.iter().flatten());
        types.extend_from_slice(with);
        types
    }

    fn is_empty(&self) -> bool {
        self.sets.is_empty() && self.made.is_none()
    }
}

/// What the SOA record says, and its data with a free place for the serial.
struct Soa {
    serial: u32,
    negative_ttl: u32,
}

#[derive(Debug, Default)]
struct Owners {
    by_order: BTreeMap<Vec<u8>, Owner>,
}

impl Owners {
    fn group(zone: &ZoneFile, plan: &Plan<'_>) -> Self {
        let mut owners = Self::default();
        let announces = plan.duties.iter().any(|duty| duty.is_announced);
        for record in &zone.records {
            let ours = match record.rtype {
                Rtype::RRSIG | Rtype::NSEC | Rtype::NSEC3 | Rtype::NSEC3PARAM => true,
                Rtype::CDS | Rtype::CDNSKEY => announces,
                _ => false,
            };
            if !ours {
                let sets = &mut owners.at(&record.owner).sets;
                let set = sets.entry(record.rtype).or_default();
                set.add(record.rtype, record.ttl, &record.rdata);
            }
        }
        for (name, types) in plan.made {
            if name.is_within(&zone.apex) {
                let owner = owners.at(name);
                let fresh = types.iter().filter(|rtype| !owner.sets.contains_key(rtype));
                owner.made = Some(fresh.copied().collect());
            }
        }
        owners.add_keys(&zone.apex, plan);
        owners.find_cuts(&zone.apex);
        owners
    }

    fn at(&mut self, name: &Name) -> &mut Owner {
        self.by_order.entry(canonical_order(name.as_wire())).or_insert_with(|| Owner {
            name: name.clone(),
            place: Place::Inside,
            sets: BTreeMap::new(),
            made: None,
        })
    }

    fn add_keys(&mut self, apex: &Name, plan: &Plan<'_>) {
        let ttl = plan.key_ttl.0;
        let sets = &mut self.at(apex).sets;
        let mut add = |rtype, rdata: &[u8]| {
            sets.entry(rtype).or_default().add(rtype, ttl, rdata);
        };
        for duty in plan.duties {
            if duty.is_published {
                add(Rtype::DNSKEY, duty.key.dnskey());
            }
            if duty.is_announced {
                add(Rtype::CDS, &duty.key.ds());
                add(Rtype::CDNSKEY, duty.key.dnskey());
            }
        }
    }

    fn find_cuts(&mut self, apex: &Name) {
        let mut cut: Option<Vec<u8>> = None;
        for (order, owner) in &mut self.by_order {
            if cut.as_ref().is_some_and(|cut| order.starts_with(cut)) {
                owner.place = Place::Below;
            } else if owner.sets.contains_key(&Rtype::NS) && owner.name != *apex {
                owner.place = Place::Cut;
                cut = Some(order.clone());
            }
        }
    }

    fn soa(&self, apex: &Name) -> Option<Soa> {
        let owner = self.by_order.get(&canonical_order(apex.as_wire()))?;
        let set = owner.sets.get(&Rtype::SOA)?;
        let (canonical, _) = set.records.first_key_value()?;
        let numbers = canonical.len().checked_sub(20)?;
        let serial = canonical.get(numbers..)?.first_chunk::<4>()?;
        let minimum = canonical.last_chunk::<4>()?;
        // RFC 9077 3: denial lives as long as the negative answer.
        let negative_ttl = set.ttl.min(u32::from_be_bytes(*minimum));
        Some(Soa { serial: u32::from_be_bytes(*serial), negative_ttl })
    }

    /// Adds the records that show what does not exist.
    fn deny(&mut self, apex: &Name, plan: &Plan<'_>, ttl: u32) -> Result<(), SignError> {
        match plan.denial {
            Denial::Nsec => self.chain(ttl),
            Denial::Nsec3 => self.chain_hashes(apex, ttl)?,
            Denial::Compact => {}
        }
        Ok(())
    }

    fn chain(&mut self, ttl: u32) {
        let seen = |owner: &Owner| owner.place != Place::Below && !owner.is_empty();
        let names: Vec<Name> =
            self.by_order.values().filter(|owner| seen(owner)).map(|o| o.name.clone()).collect();
        let next = names.iter().cycle().skip(1);
        let owners = self.by_order.values_mut().filter(|owner| seen(owner));
        for (owner, next) in owners.zip(next) {
            let types = owner.types(&[Rtype::RRSIG, Rtype::NSEC]);
            let set = Set::one(ttl, nsec_at(next.as_wire(), &types));
            owner.sets.insert(Rtype::NSEC, set);
        }
    }

    fn chain_hashes(&mut self, apex: &Name, ttl: u32) -> Result<(), SignError> {
        let long = || SignError::Long(apex.to_string());
        let parameters = Set::one(0, PARAMETERS.to_vec());
        self.at(apex).sets.insert(Rtype::NSEC3PARAM, parameters);
        let mut hashes: BTreeMap<[u8; 20], Vec<Rtype>> = BTreeMap::new();
        for owner in self.by_order.values().filter(|owner| owner.place != Place::Below) {
            let signed = owner.sets.keys().any(|rtype| owner.is_signed(*rtype));
            let with: &[Rtype] =
                if signed || owner.made.as_ref().is_some_and(|made| !made.is_empty()) {
                    &[Rtype::RRSIG]
                } else {
                    &[]
                };
            let hash = hash_of(owner.name.as_wire());
            hashes.insert(hash, owner.types(with));
            // RFC 5155 7.1: empty names between an owner and the apex have records, too.
            let mut name = owner.name.clone();
            while name != *apex {
                let Some(parent) = name.parent() else { break };
                if self.by_order.contains_key(&canonical_order(parent.as_wire())) {
                    break;
                }
                hashes.entry(hash_of(parent.as_wire())).or_default();
                name = parent;
            }
        }
        let all: Vec<[u8; 20]> = hashes.keys().copied().collect();
        for ((hash, types), next) in hashes.iter().zip(all.iter().cycle().skip(1)) {
            let name = nsec3_owner(hash, apex).ok_or_else(long)?;
            let set = Set::one(ttl, nsec3_at(next, types));
            self.at(&name).sets.insert(Rtype::NSEC3, set);
        }
        Ok(())
    }
}

/// A signature: what its head says, and all of it.
type Rrsig<'a> = (RrsigHead, &'a [u8]);

/// What was signed last time.
#[derive(Debug, Default)]
struct Before<'a> {
    sets: HashMap<(&'a Name, Rtype), Set>,
    /// By owner and covered type.
    rrsigs: HashMap<(&'a Name, Rtype), Vec<Rrsig<'a>>>,
    signatures: usize,
}

impl<'a> Before<'a> {
    fn of(zone: Option<&'a ZoneFile>) -> Self {
        let mut before = Self::default();
        for record in zone.into_iter().flat_map(|zone| &zone.records) {
            let owner = &record.owner;
            if record.rtype != Rtype::RRSIG {
                let set = before.sets.entry((owner, record.rtype)).or_default();
                set.add(record.rtype, record.ttl, &record.rdata);
            } else if let Some(head) = RrsigHead::read(&record.rdata) {
                before.signatures += 1;
                let known = before.rrsigs.entry((owner, head.covered)).or_default();
                known.push((head, &record.rdata));
            }
        }
        before
    }

    fn rrsigs<'s>(&'s self, owner: &'s Name, rtype: Rtype) -> &'s [Rrsig<'a>] {
        self.rrsigs.get(&(owner, rtype)).map_or(&[], Vec::as_slice)
    }

    fn soa_signatures(&self, apex: &Name) -> usize {
        self.rrsigs(apex, Rtype::SOA).len()
    }
}

struct Signing<'a> {
    plan: &'a Plan<'a>,
    before: &'a Before<'a>,
    records: Vec<ZoneRecord>,
    /// RRsets as they were.
    same: usize,
    made: usize,
    kept: usize,
    /// Seconds until the first signature ends.
    left_min: i64,
}

impl Signing<'_> {
    fn add(&mut self, owner: &Owner, rtype: Rtype, set: &Set) -> Result<(), SignError> {
        let is_same = self.before.sets.get(&(&owner.name, rtype)) == Some(set);
        self.same += usize::from(is_same);
        for (canonical, original) in &set.records {
            let rdata = original.as_ref().unwrap_or(canonical);
            self.push(&owner.name, rtype, set.ttl, rdata.clone());
        }
        if !owner.is_signed(rtype) {
            return Ok(());
        }
        let is_key = matches!(rtype, Rtype::DNSKEY | Rtype::CDS | Rtype::CDNSKEY);
        let plan = self.plan;
        for duty in plan.duties {
            let signs = if is_key { duty.signs_keys } else { duty.signs_zone };
            if signs {
                self.sign(owner, rtype, set, &duty.key, is_same)?;
            }
        }
        Ok(())
    }

    fn sign(
        &mut self,
        owner: &Owner,
        rtype: Rtype,
        set: &Set,
        key: &Key,
        is_same: bool,
    ) -> Result<(), SignError> {
        let (plan, before) = (self.plan, self.before);
        let holds = |head: &RrsigHead| {
            is_same
                && head.tag == key.tag()
                && head.algorithm == key.algorithm().number()
                && head.ttl == set.ttl
                && head.has_begun(plan.now)
                && head.left(plan.now) > i64::from(plan.refresh.0)
        };
        let known = before.rrsigs(&owner.name, rtype).iter().find(|(head, _)| holds(head));
        let rrsig = if let Some((_, rdata)) = known {
            self.kept += 1;
            (*rdata).into()
        } else {
            self.made += 1;
            let window = self.window(&owner.name, rtype);
            let records = set.records.keys().map(|rdata| &**rdata);
            sign_set(key, owner.name.as_wire(), rtype, Seconds(set.ttl), records, window)?
        };
        if let Some(head) = RrsigHead::read(&rrsig) {
            self.left_min = self.left_min.min(head.left(plan.now));
        }
        self.push(&owner.name, Rtype::RRSIG, set.ttl, rrsig);
        Ok(())
    }

    /// When a new signature holds: its end depends on what is signed, so that every server of a
    /// zone has the same ends, and a zone's ends are spread.
    fn window(&self, owner: &Name, rtype: Rtype) -> Window {
        let plan = self.plan;
        let spread = u64::from(plan.jitter.0.min(plan.validity.0 / 2)) + 1;
        let seed = [owner.as_wire(), &rtype.to_int().to_be_bytes()].concat();
        let early = xxh3_64(&seed) % spread;
        let validity = u64::from(plan.validity.0).saturating_sub(early);
        Window {
            from: Timestamp(plan.now.0.saturating_sub(EARLIER)),
            until: plan.now.after(Duration::from_secs(validity)),
        }
    }

    /// Adds the SOA record, whose serial depends on everything else.
    fn soa(
        &mut self,
        owners: &mut Owners,
        apex: &Name,
        soa: &Soa,
        is_same: bool,
    ) -> Result<u32, SignError> {
        let no_soa = || SignError::NoSoa(apex.to_string());
        let mut set = owners.at(apex).sets.remove(&Rtype::SOA).ok_or_else(no_soa)?;
        let last = self.before.sets.get(&(apex, Rtype::SOA)).and_then(serial_of);
        let mut serial = match last {
            // RFC 1982: the zone's own number where it is newer, else the last one for now.
            Some(last) if soa.serial.wrapping_sub(last).cast_signed() <= 0 => last,
            Some(_) | None => soa.serial,
        };
        set = with_serial(&set, serial);
        let was_signed = |duty: &Duty| {
            let known = self.before.rrsigs(apex, Rtype::SOA);
            let fresh = |head: &RrsigHead| {
                head.tag == duty.key.tag()
                    && head.left(self.plan.now) > i64::from(self.plan.refresh.0)
            };
            known.iter().any(|(head, _)| fresh(head))
        };
        let signers = || self.plan.duties.iter().filter(|duty| duty.signs_zone);
        let stays = is_same
            && self.before.sets.get(&(apex, Rtype::SOA)) == Some(&set)
            && signers().all(was_signed)
            && signers().count() == self.before.soa_signatures(apex);
        if !stays && last == Some(serial) {
            // Zero is no serial for some tools; RFC 1982 does not need it.
            serial = serial.wrapping_add(1).max(1);
            set = with_serial(&set, serial);
        }
        let owner = owners.at(apex);
        self.add(owner, Rtype::SOA, &set)?;
        Ok(serial)
    }

    fn push(&mut self, owner: &Name, rtype: Rtype, ttl: u32, rdata: Box<[u8]>) {
        self.records.push(ZoneRecord { owner: owner.clone(), rtype, ttl, rdata, line: 0 });
    }
}

/// The serial in an SOA set: the first of five numbers at the end.
fn serial_of(set: &Set) -> Option<u32> {
    let (rdata, _) = set.records.first_key_value()?;
    let numbers = rdata.get(rdata.len().checked_sub(20)?..)?;
    numbers.first_chunk::<4>().map(|octets| u32::from_be_bytes(*octets))
}

fn with_serial(set: &Set, serial: u32) -> Set {
    let replace = |rdata: &[u8]| {
        let mut rdata: Box<[u8]> = rdata.into();
        let at = rdata.len().saturating_sub(20);
        if let Some(place) = rdata.get_mut(at..at + 4) {
            place.copy_from_slice(&serial.to_be_bytes());
        }
        rdata
    };
    let records = set.records.iter();
    let records = records.map(|(key, original)| (replace(key), original.as_deref().map(replace)));
    Set { ttl: set.ttl, records: records.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Algorithm;
    use std::path::Path;

    const TEXT: &str = "$TTL 1h\n@ SOA ns h 7 2h 15m 1w 5m\n NS ns\nns A 192.0.2.1\n\
                        sub NS ns.sub\nns.sub A 192.0.2.9\na.b.c TXT x\n*.w A 192.0.2.3\n\
                        Mixed MX 10 Mail.Example.Test.\n";

    fn zone(more: &str) -> ZoneFile {
        let text = format!("{TEXT}{more}");
        let apex = "example.test".parse().unwrap();
        popnet_dns::read_zone(&apex, Path::new("z"), text.as_bytes(), &mut |_| Err(String::new()))
            .unwrap()
    }

    fn duty(key: Key) -> Duty {
        Duty {
            key: Arc::new(key),
            is_published: true,
            signs_keys: true,
            signs_zone: true,
            is_announced: true,
        }
    }

    fn duties() -> Vec<Duty> {
        let apex = "example.test".parse().unwrap();
        vec![duty(Key::generate(&apex, Algorithm::Ed25519, true).unwrap().0)]
    }

    fn plan(duties: &[Duty], seconds: i64) -> Plan<'_> {
        Plan {
            duties,
            denial: Denial::Nsec,
            validity: Seconds(14 * 86_400),
            jitter: Seconds(86_400),
            refresh: Seconds(5 * 86_400),
            key_ttl: Seconds(3_600),
            now: Timestamp((1_700_000_000 + seconds) * 1_000_000),
            made: &[],
        }
    }

    fn texts(signed: &Signed, rtype: Rtype) -> Vec<String> {
        let of_type = signed.zone.records.iter().filter(|record| record.rtype == rtype);
        let line = |record: &ZoneRecord| {
            format!("{} {}", record.owner, popnet_dns::rdata_text(rtype, &record.rdata))
        };
        of_type.map(line).collect()
    }

    #[test]
    fn the_chain_of_a_zone() {
        let duties = duties();
        let signed = sign_zone(&zone(""), &plan(&duties, 0), None).unwrap();
        let expected = [
            "example.test. a.b.c.example.test. NS SOA RRSIG NSEC DNSKEY CDS CDNSKEY",
            "a.b.c.example.test. mixed.example.test. TXT RRSIG NSEC",
            "mixed.example.test. ns.example.test. MX RRSIG NSEC",
            "ns.example.test. sub.example.test. A RRSIG NSEC",
            "sub.example.test. *.w.example.test. NS RRSIG NSEC",
            "*.w.example.test. example.test. A RRSIG NSEC",
        ];
        assert_eq!(texts(&signed, Rtype::NSEC), expected);
        assert_eq!(signed.made, texts(&signed, Rtype::RRSIG).len());
        assert_eq!((signed.serial, signed.zone.records[0].rtype), (7, Rtype::SOA));
        let glue = |line: &String| line.starts_with("ns.sub");
        assert!(!texts(&signed, Rtype::RRSIG).iter().any(glue));
        let wild: Vec<_> =
            texts(&signed, Rtype::RRSIG).into_iter().filter(|l| l.starts_with("*.w")).collect();
        assert!(wild[0].contains(" A 15 3 3600 "), "{wild:?}");
        assert!(texts(&signed, Rtype::MX)[0].contains("Mail.Example.Test"));
    }

    #[test]
    fn signatures_stay_while_they_can() {
        let duties = duties();
        let first = sign_zone(&zone(""), &plan(&duties, 0), None).unwrap();
        let again = sign_zone(&zone(""), &plan(&duties, 60), Some(&first.zone)).unwrap();
        assert_eq!((again.made, again.serial, &again.zone), (0, 7, &first.zone));
        assert_eq!(again.renew_at, first.renew_at);

        let more = sign_zone(&zone("new A 192.0.2.7\n"), &plan(&duties, 60), Some(&first.zone));
        let more = more.unwrap();
        // The new set, its NSEC and its neighbour's, and the SOA.
        assert_eq!((more.made, more.serial), (4, 8));

        let less = sign_zone(&zone(""), &plan(&duties, 120), Some(&more.zone)).unwrap();
        assert_eq!((less.made, less.serial), (2, 9));

        let day = 86_400;
        assert!(first.renew_at > plan(&duties, 7 * day).now);
        let due =
            sign_zone(&zone(""), &plan(&duties, 8 * day + 40_000), Some(&first.zone)).unwrap();
        assert!(due.made > 1 && due.kept > 1 && due.serial == 8, "{} {}", due.made, due.kept);
        let late = sign_zone(&zone(""), &plan(&duties, 20 * day), Some(&first.zone)).unwrap();
        assert_eq!(late.kept, 0);
        // A clock that goes back makes new ones, too.
        let early = sign_zone(&zone(""), &plan(&duties, -2 * 3_600), Some(&first.zone)).unwrap();
        assert_eq!(early.kept, 0);

        let text = TEXT.replace(" 7 2h", " 4000000000 2h");
        let apex = "example.test".parse().unwrap();
        let older = popnet_dns::read_zone(&apex, Path::new("z"), text.as_bytes(), &mut |_| {
            Err(String::new())
        });
        // 4,000,000,000 is older than 7 (RFC 1982).
        let kept = sign_zone(&older.unwrap(), &plan(&duties, 1), Some(&first.zone)).unwrap();
        assert_eq!((kept.serial, kept.made), (7, 0));
    }

    #[test]
    fn another_key_signs_all_again() {
        let duties_one = duties();
        let first = sign_zone(&zone(""), &plan(&duties_one, 0), None).unwrap();
        let mut both = duties();
        both.push(Duty { signs_zone: false, ..duties_one[0].clone() });
        let second = sign_zone(&zone(""), &plan(&both, 9), Some(&first.zone)).unwrap();
        assert_eq!(texts(&second, Rtype::DNSKEY).len(), 2);
        assert_eq!((second.kept, second.serial), (0, 8));
        let third = sign_zone(&zone(""), &plan(&both[..1], 9), Some(&second.zone)).unwrap();
        assert_eq!(third.serial, 9);
    }

    #[test]
    fn names_with_made_records_are_in_the_chain() {
        let (duties, name) = (duties(), "steered.example.test".parse().unwrap());
        let made = [(name, vec![Rtype::A, Rtype::AAAA])];
        let signed = sign_zone(&zone(""), &Plan { made: &made, ..plan(&duties, 0) }, None).unwrap();
        let nsec = texts(&signed, Rtype::NSEC).join("\n");
        assert!(
            nsec.contains("steered.example.test. sub.example.test. A AAAA RRSIG NSEC"),
            "{nsec}"
        );
        let hashed = Plan { made: &made, denial: Denial::Nsec3, ..plan(&duties, 0) };
        let signed = sign_zone(&zone(""), &hashed, None).unwrap();
        let nsec3 = texts(&signed, Rtype::NSEC3);
        // Seven owners and the empty names b.c, c and w.
        assert_eq!(nsec3.len(), 10, "{nsec3:#?}");
        assert!(nsec3.iter().any(|line| line.ends_with(" A AAAA RRSIG")), "{nsec3:#?}");
        assert!(nsec3.iter().all(|line| line.contains(" 1 0 0 - ")), "{nsec3:#?}");
    }

    #[test]
    fn what_cannot_be_signed() {
        let duties = duties();
        let none = sign_zone(&zone(""), &plan(&[], 0), None).unwrap_err();
        assert_eq!(none, SignError::NoKey("example.test.".to_owned()));
        let mut other = zone("");
        other.apex = "other.test".parse().unwrap();
        assert!(matches!(
            sign_zone(&other, &plan(&duties, 0), None),
            Err(SignError::Foreign { .. })
        ));
        let mut bare = zone("");
        bare.records.retain(|record| record.rtype != Rtype::SOA);
        let error = sign_zone(&bare, &plan(&duties, 0), None).unwrap_err();
        assert_eq!(error, SignError::NoSoa("example.test.".to_owned()));
    }
}
