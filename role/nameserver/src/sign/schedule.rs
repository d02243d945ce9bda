//! Which zones are signed, with what, and when again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use popnet_config::network::{Dnssec, DnssecAlgorithm, DnssecDenial};
use popnet_dns::{Name, Rtype, ZoneFile, ZoneRecord};
use popnet_runtime::Context;
use popnet_sign::{Algorithm, Denial, Duty, ParentView, Plan, Policy, sign_zone};
use popnet_terms::{Role, Seconds, Span, Timestamp};

use super::folder::KeyFolder;
use super::{kept, online};

/// Signatures hold for two weeks: a week's holiday with a broken signer breaks nothing.
const VALIDITY: Span = Span::seconds(14 * 86_400);
/// Shorter ones would be made again all the time; longer ones do not fit their field's use.
const VALIDITY_MIN: u32 = 3_600;
const VALIDITY_MAX: u32 = 365 * 86_400;
/// TTL of the keys: an hour more or less matters to no change of keys.
const KEY_TTL: Seconds = Seconds(3_600);
/// Until all servers of a zone have what one has: NOTIFY takes seconds; a lost one is found by
/// the SOA's refresh, which is an hour or two nearly everywhere.
const PROPAGATION: Seconds = Seconds(7_200);
/// Longer TTLs than this are cut by resolvers (RFC 8767 4).
const TTL_MAX: u32 = 7 * 86_400;
/// Zones with something due are looked at no more often than this.
const PAUSE: i64 = 10 * 1_000_000;
/// Without anything due, a zone is looked at once a day all the same.
const DAY: i64 = 86_400 * 1_000_000;

/// A zone that is to be signed.
#[derive(Debug)]
pub(crate) struct SigningZone<'a> {
    /// Its records, without signatures.
    pub(crate) zone: ZoneFile,
    /// Names whose records are chosen when they are asked for.
    pub(crate) made: Vec<(Name, Vec<Rtype>)>,
    pub(crate) rules: &'a Dnssec,
}

/// A zone that was signed.
#[derive(Debug)]
pub(crate) struct Dressed {
    pub(crate) zone: ZoneFile,
    pub(crate) keys: online::ZoneKeys,
}

/// The signer of this node.
#[derive(Debug)]
pub(crate) struct Signers {
    keys: PathBuf,
    role_dir: PathBuf,
    /// When each zone is due.
    due: BTreeMap<Name, Timestamp>,
}

impl Signers {
    pub(crate) fn new(context: &Context) -> Self {
        Self {
            keys: context.state_dir.join("keys").join("dnssec"),
            role_dir: context.role_dir(Role::Nameserver),
            due: BTreeMap::new(),
        }
    }

    /// When the first zone is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.due.values().min().copied()
    }

    /// Whether a zone's time has come; for one that was never signed it has.
    pub(crate) fn is_due(&self, zone: &Name, now: Timestamp) -> bool {
        self.due.get(zone).is_none_or(|due| *due <= now)
    }

    /// Lets a zone be due at once.
    pub(crate) fn hasten(&mut self, zone: &Name) {
        if let Some(due) = self.due.get_mut(zone) {
            *due = Timestamp(0);
        }
    }

    /// Forgets zones that are no longer signed here.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Name) -> bool) {
        self.due.retain(|zone, _| keep(zone));
    }

    /// Signs a zone, keeping what still holds of its last signatures. `may_make` says whether keys
    /// may be made here.
    ///
    /// # Errors
    /// What is missing, in words; the zone stays as it was.
    pub(crate) fn sign(
        &mut self,
        signing: &SigningZone<'_>,
        now: Timestamp,
        parent: Option<&ParentView>,
        may_make: bool,
    ) -> Result<Dressed, String> {
        let apex = &signing.zone.apex;
        // Whatever goes wrong, it is tried again.
        self.due.insert(apex.clone(), Timestamp(now.0 + DAY / 24));
        let policy = policy_of(signing.rules, &signing.zone);
        let mut keys = KeyFolder::open(&KeyFolder::of(&self.keys, apex), apex)?;
        let next_key = match keys.advance(&policy, now, parent, may_make) {
            Ok(next) => next,
            // A change of keys that has to wait is no reason to let signatures end.
            Err(why) if keys.duties().iter().any(|duty| duty.signs_zone) => {
                tracing::warn!(zone = %apex, %why, "the zone's keys do not change");
                None
            }
            Err(why) => return Err(why),
        };
        let duties = keys.duties();
        let zone = without_ours(&signing.zone, &keys);
        let plan = Plan { made: &signing.made, ..plan_of(signing.rules, &duties, now) };
        let path = kept::path(&self.role_dir, apex);
        let before = kept::load(&path, apex);
        let signed = sign_zone(&zone, &plan, before.as_ref());
        let signed = signed.map_err(|error| error.to_string())?;
        if signed.made > 0 || before.as_ref().is_none_or(|before| *before != signed.zone) {
            let (serial, made, kept) = (signed.serial, signed.made, signed.kept);
            tracing::info!(zone = %apex, serial, made, kept, "zone signed");
            kept::save(&path, &signed.zone);
        }
        let due = next_key.map_or(signed.renew_at, |key| key.min(signed.renew_at));
        let due = due.0.clamp(now.0 + PAUSE, now.0 + DAY);
        self.due.insert(apex.clone(), Timestamp(due));
        let ds = keys.keys().map(|(key, _)| key.ds.clone()).collect();
        let keys = online::ZoneKeys::new(&duties, plan.validity, ds);
        Ok(Dressed { zone: signed.zone, keys })
    }
}

/// A zone that was signed before comes with records of our keys, which may have gone since.
fn without_ours(zone: &ZoneFile, keys: &KeyFolder) -> ZoneFile {
    let is_ours = |record: &ZoneRecord| match record.rtype {
        Rtype::DNSKEY | Rtype::CDNSKEY => {
            keys.keys().any(|(_, key)| key.is_some_and(|key| *key.dnskey() == *record.rdata))
        }
        Rtype::CDS => keys.keys().any(|(tracked, _)| *tracked.ds == *record.rdata),
        _ => false,
    };
    let records = zone.records.iter().filter(|record| !is_ours(record)).cloned().collect();
    ZoneFile { apex: zone.apex.clone(), records }
}

/// The rules for a zone's keys.
#[must_use]
pub fn policy_of(rules: &Dnssec, zone: &ZoneFile) -> Policy {
    let longest = zone.records.iter().map(|record| record.ttl).max().unwrap_or(0);
    let life = |span: Option<Span>| span.map(|span| Seconds(span.as_seconds()));
    Policy {
        algorithm: match rules.algorithm {
            Some(DnssecAlgorithm::Ed25519) => Algorithm::Ed25519,
            Some(DnssecAlgorithm::Ecdsap256sha256) | None => Algorithm::Ecdsap256sha256,
        },
        is_split: !rules.single_key,
        zsk_lifetime: life(rules.zsk_lifetime),
        ksk_lifetime: life(rules.ksk_lifetime),
        key_ttl: KEY_TTL,
        zone_ttl: Seconds(longest.clamp(KEY_TTL.0, TTL_MAX)),
        propagation: PROPAGATION,
    }
}

/// How a zone with these rules and keys is signed now.
#[must_use]
pub fn plan_of<'a>(rules: &Dnssec, duties: &'a [Duty], now: Timestamp) -> Plan<'a> {
    let validity = rules.validity.unwrap_or(VALIDITY).as_seconds();
    let validity = validity.clamp(VALIDITY_MIN, VALIDITY_MAX);
    Plan {
        duties,
        denial: match rules.denial() {
            DnssecDenial::Nsec => Denial::Nsec,
            DnssecDenial::Nsec3 => Denial::Nsec3,
            DnssecDenial::Compact => Denial::Compact,
        },
        validity: Seconds(validity),
        jitter: Seconds(validity / 8),
        refresh: Seconds(validity / 3),
        key_ttl: KEY_TTL,
        now,
        made: &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use popnet_sign::RrsigHead;
    use std::path::Path;

    fn rules() -> Dnssec {
        Dnssec {
            sign: true,
            algorithm: Some(DnssecAlgorithm::Ed25519),
            denial: None,
            nsec3: false,
            single_key: true,
            validity: None,
            zsk_lifetime: None,
            ksk_lifetime: None,
            parents: Vec::new(),
        }
    }

    fn zone() -> ZoneFile {
        let text = b"$TTL 1h\n@ SOA ns h 1 2 3 4 5\n NS ns\nns A 192.0.2.1\n";
        let apex = "example.test".parse().unwrap();
        popnet_dns::read_zone(&apex, Path::new("z"), text, &mut |_| Err(String::new())).unwrap()
    }

    fn signers(folder: &Path) -> Signers {
        let keys = folder.join("keys");
        Signers { keys, role_dir: folder.join("role"), due: BTreeMap::new() }
    }

    #[test]
    fn a_restart_changes_nothing_until_something_is_due() {
        let state = tempfile::tempdir().unwrap();
        let (rules, day) = (rules(), 86_400 * 1_000_000);
        let signing = SigningZone { zone: zone(), made: Vec::new(), rules: &rules };
        let mut first = signers(state.path());
        let start = Timestamp(1_700_000_000 * 1_000_000);
        let one = first.sign(&signing, start, None, true).unwrap().zone;
        let mut again = signers(state.path());
        let two = again.sign(&signing, Timestamp(start.0 + 60), None, false).unwrap().zone;
        assert_eq!(one, two);
        assert!(first.next().unwrap() > start);
        let apex = &signing.zone.apex;
        assert!(!first.is_due(apex, start) && first.is_due(apex, Timestamp(start.0 + 2 * day)));
        first.hasten(apex);
        assert!(first.is_due(apex, start));

        // For a year signatures never end, and each look is a cheap one.
        let mut changes = 0;
        let mut now = start;
        let mut last = two;
        while now.0 < start.0 + 365 * day {
            now = again.next().unwrap();
            let next = again.sign(&signing, now, None, false).unwrap().zone;
            for record in next.records.iter().filter(|record| record.rtype == Rtype::RRSIG) {
                let head = RrsigHead::read(&record.rdata).unwrap();
                assert!(head.left(now) > 4 * 86_400, "{head:?}");
            }
            changes += usize::from(next != last);
            last = next;
        }
        assert!((40..600).contains(&changes), "{changes}");
    }

    #[test]
    fn without_a_key_nothing_is_signed() {
        let state = tempfile::tempdir().unwrap();
        let rules = rules();
        let signing = SigningZone { zone: zone(), made: Vec::new(), rules: &rules };
        let mut signers = signers(state.path());
        let now = Timestamp(1_700_000_000 * 1_000_000);
        let refused = signers.sign(&signing, now, None, false).unwrap_err();
        assert!(refused.contains("several name servers must have the same"), "{refused}");
        assert!(signers.next().unwrap() > now);
    }

    #[test]
    fn a_change_that_nobody_may_begin_leaves_the_zone_signed() {
        let state = tempfile::tempdir().unwrap();
        let mut rules = Dnssec { single_key: false, ..rules() };
        rules.zsk_lifetime = Some(Span::seconds(30 * 86_400));
        let signing = SigningZone { zone: zone(), made: Vec::new(), rules: &rules };
        let mut signers = signers(state.path());
        let start = Timestamp(1_700_000_000 * 1_000_000);
        signers.sign(&signing, start, None, true).unwrap();
        let late = Timestamp(start.0 + 40 * 86_400 * 1_000_000);
        let signed = signers.sign(&signing, late, None, false).unwrap().zone;
        let heads = signed.records.iter().filter(|record| record.rtype == Rtype::RRSIG);
        let mut heads = heads.map(|record| RrsigHead::read(&record.rdata).unwrap());
        assert!(heads.all(|head| head.left(late) > 4 * 86_400));
        let keys = |zone: &ZoneFile| {
            zone.records.iter().filter(|record| record.rtype == Rtype::DNSKEY).count()
        };
        assert_eq!(keys(&signed), 2);
        // The node that may begins it: the next key is known before it is used.
        let signed = signers.sign(&signing, late, None, true).unwrap().zone;
        assert_eq!(keys(&signed), 3);
    }
}
