//! Changes from afar (RFC 2136): prerequisites, permission, and the changes themselves, all or
//! none.

use std::collections::BTreeMap;

use popnet_dns::{Class, Name, Rcode, Rtype};

use crate::content::{Content, Set};
use crate::difference::Difference;
use crate::grant::Grants;
use crate::message::{Entry, Incoming};
use crate::record::{Rr, Soa, canonical, is_data};

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {why}")]
pub struct Refused {
    /// What is answered.
    pub code: Rcode,
    /// For the log.
    pub why: String,
}

fn refused<T>(code: Rcode, why: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { code, why: why.into() })
}

/// Carries out `message` on `content` within `grants`; gives the step that was made, `None` when
/// nothing differs afterwards.
///
/// # Errors
/// Nothing was changed, and why.
pub fn update(
    content: &mut Content,
    message: &Incoming,
    grants: &Grants,
) -> Result<Option<Difference>, Refused> {
    let apex = content.apex().clone();
    // RFC 2136 3.1.
    match &message.question {
        Some(zone) if zone.qtype == Rtype::SOA && zone.class == Class::IN => {
            if zone.name != apex {
                return refused(Rcode::NOTAUTH, format!("{} is another zone", zone.name));
            }
        }
        Some(_) | None => return refused(Rcode::FORMERR, "no zone is named"),
    }
    let Some(before) = content.soa() else {
        return refused(Rcode::SERVFAIL, "the zone has no SOA record");
    };
    prerequisites(content, &apex, &message.answers)?;
    for entry in &message.authority {
        form(&apex, entry)?;
        permission(content, grants, entry)?;
    }
    let mut draft = Draft { content, touched: BTreeMap::new() };
    for entry in &message.authority {
        draft.change(&apex, entry);
    }
    Ok(draft.finish(before))
}

/// RFC 2136 3.2.
fn prerequisites(content: &Content, apex: &Name, entries: &[Entry]) -> Result<(), Refused> {
    let mut wanted: BTreeMap<(&Name, Rtype), Vec<Box<[u8]>>> = BTreeMap::new();
    for entry in entries {
        let Entry { owner, rtype, class, ttl, rdata } = entry;
        if *ttl != 0 {
            return refused(Rcode::FORMERR, "a prerequisite with a TTL");
        }
        if !owner.is_within(apex) {
            return refused(Rcode::NOTZONE, format!("{owner} is not in the zone"));
        }
        let in_use = || content.sets_of(owner).next().is_some();
        let exists = || content.set(owner, *rtype).is_some();
        if matches!(*class, Class::ANY | Class::NONE) && !rdata.is_empty() {
            return refused(Rcode::FORMERR, "a prerequisite with data it must not have");
        }
        match (*class, *rtype) {
            (Class::ANY, Rtype::ANY) if !in_use() => {
                return refused(Rcode::NXDOMAIN, format!("{owner} is not in use"));
            }
            (Class::ANY, rtype) if rtype != Rtype::ANY && !exists() => {
                return refused(Rcode::NXRRSET, format!("{owner} has no {rtype}"));
            }
            (Class::NONE, Rtype::ANY) if in_use() => {
                return refused(Rcode::YXDOMAIN, format!("{owner} is in use"));
            }
            (Class::NONE, rtype) if rtype != Rtype::ANY && exists() => {
                return refused(Rcode::YXRRSET, format!("{owner} has {rtype}"));
            }
            (Class::ANY | Class::NONE, _) => {}
            (Class::IN, rtype) if is_data(rtype) => {
                wanted.entry((owner, rtype)).or_default().push(canonical(rtype, rdata));
            }
            _ => return refused(Rcode::FORMERR, "a prerequisite of a class that has no meaning"),
        }
    }
    for ((owner, rtype), mut wanted) in wanted {
        let set = content.set(owner, rtype);
        let mut there: Vec<Box<[u8]>> =
            set.into_iter().flatten().map(|(rdata, _)| canonical(rtype, rdata)).collect();
        there.sort();
        wanted.sort();
        wanted.dedup();
        if there != wanted {
            return refused(Rcode::NXRRSET, format!("{owner} has other {rtype} records"));
        }
    }
    Ok(())
}

/// RFC 2136 3.4.1: the whole section is looked at before anything is changed.
fn form(apex: &Name, entry: &Entry) -> Result<(), Refused> {
    let Entry { owner, rtype, class, ttl, rdata } = entry;
    if !owner.is_within(apex) {
        return refused(Rcode::NOTZONE, format!("{owner} is not in the zone"));
    }
    let good = match *class {
        Class::IN => is_data(*rtype),
        Class::ANY => *ttl == 0 && rdata.is_empty() && (is_data(*rtype) || *rtype == Rtype::ANY),
        Class::NONE => *ttl == 0 && is_data(*rtype),
        _ => false,
    };
    // RFC 2181 8.
    if !good || *ttl > 0x7fff_ffff || (*rtype == Rtype::SOA && is_bad_soa(entry)) {
        return refused(Rcode::FORMERR, format!("a change of {owner} {rtype} has a wrong form"));
    }
    Ok(())
}

fn is_bad_soa(entry: &Entry) -> bool {
    entry.class == Class::IN && Soa::of(&entry.rdata).is_none()
}

/// RFC 2136 3.3, by name and type (RFC 3007 3.1).
fn permission(content: &Content, grants: &Grants, entry: &Entry) -> Result<(), Refused> {
    let Entry { owner, rtype, .. } = entry;
    let apex = content.apex();
    let covered = if *rtype == Rtype::ANY {
        let mut there = content.sets_of(owner).map(|(rtype, _)| rtype);
        grants.cover(apex, owner, Rtype::ANY)
            || there.all(|rtype| is_kept(apex, owner, rtype) || grants.cover(apex, owner, rtype))
    } else {
        grants.cover(apex, owner, *rtype)
    };
    if covered {
        return Ok(());
    }
    refused(Rcode::REFUSED, format!("nobody who asks so may change {owner} {rtype}"))
}

/// RFC 2136 3.4.2.3: what no deletion of whole sets takes.
fn is_kept(apex: &Name, owner: &Name, rtype: Rtype) -> bool {
    owner == apex && matches!(rtype, Rtype::SOA | Rtype::NS)
}

/// The zone while it is changed, and the sets as they were.
struct Draft<'c> {
    content: &'c mut Content,
    touched: BTreeMap<(Name, Rtype), Set>,
}

impl Draft<'_> {
    /// RFC 2136 3.4.2.
    fn change(&mut self, apex: &Name, entry: &Entry) {
        let Entry { owner, rtype, class, ttl, rdata } = entry;
        let record = Rr { owner: owner.clone(), rtype: *rtype, ttl: *ttl, rdata: rdata.clone() };
        match *class {
            Class::ANY if *rtype == Rtype::ANY => {
                let there: Vec<Rtype> =
                    self.content.sets_of(owner).map(|(rtype, _)| rtype).collect();
                for rtype in there {
                    if !is_kept(apex, owner, rtype) {
                        self.clear(owner, rtype);
                    }
                }
            }
            Class::ANY => {
                if !is_kept(apex, owner, *rtype) {
                    self.clear(owner, *rtype);
                }
            }
            Class::NONE => {
                let is_last = || self.content.set(owner, *rtype).is_none_or(|set| set.len() == 1);
                // RFC 2136 3.4.2.4: never the SOA, never the last name server.
                if *rtype == Rtype::SOA || (is_kept(apex, owner, *rtype) && is_last()) {
                    return;
                }
                self.touch(owner, *rtype);
                self.content.remove(&record);
            }
            _ => self.add(apex, &record),
        }
    }

    /// RFC 2136 3.4.2.2.
    fn add(&mut self, apex: &Name, record: &Rr) {
        let Rr { owner, rtype, .. } = record;
        let is_beside = |rtype: Rtype| matches!(rtype, Rtype::RRSIG | Rtype::NSEC);
        let others: Vec<Rtype> = self.content.sets_of(owner).map(|(rtype, _)| rtype).collect();
        let mut others = others.into_iter();
        let conflict = if *rtype == Rtype::CNAME {
            others.any(|there| there != Rtype::CNAME && !is_beside(there))
        } else {
            !is_beside(*rtype) && others.any(|there| there == Rtype::CNAME)
        };
        if conflict {
            return;
        }
        if *rtype == Rtype::SOA {
            let (new, old) = (Soa::of(&record.rdata), self.content.numbers());
            let is_newer = new.zip(old).is_some_and(|(new, old)| new.serial.is_after(old.serial));
            if owner != apex || !is_newer {
                return;
            }
        }
        // One SOA, one CNAME, one DNAME (RFC 6672 2.4): the new replaces the old.
        if matches!(*rtype, Rtype::SOA | Rtype::CNAME | Rtype::DNAME) {
            self.clear(owner, *rtype);
        }
        self.touch(owner, *rtype);
        self.content.add(record);
    }

    fn clear(&mut self, owner: &Name, rtype: Rtype) {
        self.touch(owner, rtype);
        let set = self.content.set(owner, rtype).cloned().unwrap_or_default();
        for (rdata, ttl) in set {
            self.content.remove(&Rr { owner: owner.clone(), rtype, ttl, rdata });
        }
    }

    /// Remembers a set as it was before the first change.
    fn touch(&mut self, owner: &Name, rtype: Rtype) {
        let key = (owner.clone(), rtype);
        let now = || self.content.set(owner, rtype).cloned().unwrap_or_default();
        self.touched.entry(key).or_insert_with(now);
    }

    /// Compares, and gives the zone a new serial number when anything differs (RFC 2136 3.6).
    fn finish(self, before: Rr) -> Option<Difference> {
        let Self { content, touched } = self;
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for ((owner, rtype), old) in touched {
            if rtype == Rtype::SOA {
                continue;
            }
            let new = content.set(&owner, rtype).cloned().unwrap_or_default();
            let only = |here: &Set, there: &Set| -> Vec<Rr> {
                let differs = here.iter().filter(|(rdata, ttl)| there.get(*rdata) != Some(*ttl));
                let whole = differs.map(|(rdata, ttl)| Rr {
                    owner: owner.clone(),
                    rtype,
                    ttl: *ttl,
                    rdata: rdata.clone(),
                });
                whole.collect()
            };
            removed.extend(only(&old, &new));
            added.extend(only(&new, &old));
        }
        let soa = content.soa()?;
        if removed.is_empty() && added.is_empty() && soa == before {
            return None;
        }
        let old = Soa::of(&before.rdata)?;
        let new = if soa == before {
            let rdata = Soa::renumbered(&before.rdata, old.serial.next());
            let new = Rr { rdata, ..before.clone() };
            content.remove(&before);
            content.add(&new);
            new
        } else {
            soa
        };
        Some(Difference { old: before, removed, new, added })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Access;
    use crate::grant::Grant;
    use crate::message::Question;
    use crate::serial::Serial;
    use crate::testing::{name, rr, zone};

    fn all() -> Grants {
        let who = Access { anyone: true, ..Access::default() };
        Grants(vec![Grant { who, ..Grant::default() }])
    }

    fn entry(class: Class, line: &str, ttl: u32) -> Entry {
        let Rr { owner, rtype, rdata, .. } = rr(line);
        Entry { owner, rtype, class, ttl, rdata }
    }

    fn bare(class: Class, owner: &str, rtype: Rtype) -> Entry {
        Entry { owner: name(owner), rtype, class, ttl: 0, rdata: Box::default() }
    }

    fn message(answers: Vec<Entry>, authority: Vec<Entry>) -> Incoming {
        let name = name("example");
        Incoming {
            id: 1,
            is_response: false,
            is_truncated: false,
            opcode: 5,
            rcode: 0,
            question: Some(Question { name, qtype: Rtype::SOA, class: Class::IN }),
            answers,
            authority,
        }
    }

    fn code(answers: Vec<Entry>, authority: Vec<Entry>) -> Rcode {
        let mut content = zone(1, &["a A 192.0.2.1", "a A 192.0.2.2", "c CNAME a"]);
        let before = content.clone();
        match update(&mut content, &message(answers, authority), &all()) {
            Ok(_) => Rcode::NOERROR,
            Err(refused) => {
                assert_eq!(content, before, "{refused}");
                refused.code
            }
        }
    }

    #[test]
    fn each_prerequisite() {
        let add = || vec![entry(Class::IN, "new A 192.0.2.9", 60)];
        let cases = [
            (bare(Class::ANY, "a.example", Rtype::ANY), Rcode::NOERROR),
            (bare(Class::ANY, "x.example", Rtype::ANY), Rcode::NXDOMAIN),
            (bare(Class::ANY, "a.example", Rtype::A), Rcode::NOERROR),
            (bare(Class::ANY, "a.example", Rtype::MX), Rcode::NXRRSET),
            (bare(Class::NONE, "x.example", Rtype::ANY), Rcode::NOERROR),
            (bare(Class::NONE, "a.example", Rtype::ANY), Rcode::YXDOMAIN),
            (bare(Class::NONE, "a.example", Rtype::MX), Rcode::NOERROR),
            (bare(Class::NONE, "a.example", Rtype::A), Rcode::YXRRSET),
            (entry(Class::IN, "a A 192.0.2.1", 0), Rcode::NXRRSET),
            (entry(Class::IN, "c CNAME A.Example.", 0), Rcode::NOERROR),
            (entry(Class::IN, "a A 192.0.2.1", 5), Rcode::FORMERR),
            (entry(Class::ANY, "a A 192.0.2.1", 0), Rcode::FORMERR),
            (entry(Class::CH, "a A 192.0.2.1", 0), Rcode::FORMERR),
            (bare(Class::ANY, "a.elsewhere", Rtype::A), Rcode::NOTZONE),
        ];
        for (prerequisite, expected) in cases {
            let shown = format!("{prerequisite:?}");
            assert_eq!(code(vec![prerequisite], add()), expected, "{shown}");
        }
        let both = ["a A 192.0.2.2", "a A 192.0.2.1"];
        let both = both.iter().map(|line| entry(Class::IN, line, 0)).collect();
        assert_eq!(code(both, add()), Rcode::NOERROR);
    }

    #[test]
    fn forms_and_permission() {
        let cases = [
            (bare(Class::IN, "a.example", Rtype::ANY), Rcode::FORMERR),
            (bare(Class::IN, "a.example", Rtype::AXFR), Rcode::FORMERR),
            (bare(Class::NONE, "a.example", Rtype::ANY), Rcode::FORMERR),
            (entry(Class::NONE, "a A 192.0.2.1", 5), Rcode::FORMERR),
            (entry(Class::ANY, "a A 192.0.2.1", 0), Rcode::FORMERR),
            (bare(Class::ANY, "a.elsewhere", Rtype::A), Rcode::NOTZONE),
            (entry(Class::IN, "sub NS ns", 60), Rcode::NOERROR),
            (entry(Class::IN, "@ NS ns2", 60), Rcode::REFUSED),
            (bare(Class::ANY, "a.example", Rtype::ANY), Rcode::NOERROR),
        ];
        for (change, expected) in cases {
            let shown = format!("{change:?}");
            // Before it a good change, which must not be made when the other is refused.
            let changes = vec![entry(Class::IN, "new A 192.0.2.9", 60), change];
            assert_eq!(code(Vec::new(), changes), expected, "{shown}");
        }
        let mut other = message(Vec::new(), Vec::new());
        other.question =
            Some(Question { name: name("elsewhere"), qtype: Rtype::SOA, class: Class::IN });
        let refused = update(&mut zone(1, &[]), &other, &all()).unwrap_err();
        assert_eq!(refused.code, Rcode::NOTAUTH);
    }

    #[test]
    fn changes_and_the_serial() {
        let mut content = zone(1, &["a A 192.0.2.1", "a A 192.0.2.2", "c CNAME a", "b TXT x"]);
        let old = content.clone();
        let changes = vec![
            entry(Class::NONE, "a A 192.0.2.1", 0),
            entry(Class::IN, "a A 192.0.2.7", 99),
            entry(Class::IN, "c A 192.0.2.8", 60),
            entry(Class::IN, "c CNAME b", 60),
            entry(Class::IN, "b CNAME a", 60),
            bare(Class::ANY, "example", Rtype::ANY),
            entry(Class::IN, "t TXT gone", 60),
            bare(Class::ANY, "t.example", Rtype::TXT),
        ];
        let step = update(&mut content, &message(Vec::new(), changes), &all()).unwrap().unwrap();
        let expected = zone(2, &["a 99 A 192.0.2.2", "a 99 A 192.0.2.7", "c CNAME b", "b TXT x"]);
        assert_eq!(content, expected);
        assert_eq!((step.from(), step.to()), (Serial(1), Serial(2)));
        let mut walked = old.clone();
        walked.apply(&step).unwrap();
        assert_eq!(walked, content, "the step says all that changed");
        content.apply(&step.reversed()).unwrap();
        assert_eq!(content, old, "and leads back");
        // Nothing differs afterwards: no new number.
        let same = vec![entry(Class::IN, "b TXT x", 60)];
        assert_eq!(update(&mut content, &message(Vec::new(), same), &all()), Ok(None));
    }

    #[test]
    fn the_soa_and_the_last_name_server_stay() {
        let mut grants = all();
        grants.0[0].types = vec![Rtype::SOA, Rtype::NS];
        let mut content = zone(5, &[]);
        let mut run = |changes| {
            let step = update(&mut content, &message(Vec::new(), changes), &grants).unwrap();
            step.map(|step| step.to().0)
        };
        let soa = |serial| {
            let Rr { owner, rtype, ttl, rdata } = zone(serial, &[]).soa().unwrap();
            Entry { owner, rtype, class: Class::IN, ttl, rdata }
        };
        let (older, newer) = (soa(4), soa(9));
        assert_eq!(run(vec![entry(Class::NONE, "@ NS ns", 0)]), None);
        assert_eq!(run(vec![bare(Class::ANY, "example", Rtype::NS)]), None);
        assert_eq!(run(vec![bare(Class::ANY, "example", Rtype::SOA)]), None);
        assert_eq!(run(vec![older]), None);
        assert_eq!(run(vec![newer]), Some(9));
        assert_eq!(run(vec![entry(Class::IN, "@ NS ns2", 60)]), Some(10));
        assert_eq!(run(vec![entry(Class::NONE, "@ NS ns", 0)]), Some(11));
    }
}
