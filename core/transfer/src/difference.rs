//! What changed between two states of a zone.

use popnet_dns::Rtype;

use crate::content::{Content, size};
use crate::record::{Rr, Soa};
use crate::serial::Serial;

/// One step from a serial number to a later one, as RFC 1995 4 sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The SOA record before.
    pub old: Rr,
    /// Records that went, the SOA not among them.
    pub removed: Vec<Rr>,
    /// The SOA record after.
    pub new: Rr,
    /// Records that came, the SOA not among them.
    pub added: Vec<Rr>,
}

impl Difference {
    /// The serial number before.
    #[must_use]
    pub fn from(&self) -> Serial {
        Soa::of(&self.old.rdata).unwrap_or_default().serial
    }

    /// The serial number after.
    #[must_use]
    pub fn to(&self) -> Serial {
        Soa::of(&self.new.rdata).unwrap_or_default().serial
    }

    /// Its records in the order in which they are sent.
    pub fn records(&self) -> impl Iterator<Item = &Rr> {
        let went = std::iter::once(&self.old).chain(&self.removed);
        went.chain(std::iter::once(&self.new)).chain(&self.added)
    }

    /// Octets of its records, without compression.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.records().map(size).sum()
    }

    /// The step back.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self { old: self.new, removed: self.added, new: self.old, added: self.removed }
    }
}

/// The step from `old` to `new`; `None` when one of them has no SOA record or nothing differs.
#[must_use]
pub fn between(old: &Content, new: &Content) -> Option<Difference> {
    if old.sets == new.sets {
        return None;
    }
    let (before, after) = (old.soa()?, new.soa()?);
    let removed = absent(old, new);
    let added = absent(new, old);
    Some(Difference { old: before, removed, new: after, added })
}

/// The records of `here` that `there` has not, or with another TTL.
fn absent(here: &Content, there: &Content) -> Vec<Rr> {
    let mut found = Vec::new();
    for (key, set) in &here.sets {
        let (owner, rtype) = key;
        if *rtype == Rtype::SOA {
            continue;
        }
        let other = there.sets.get(key);
        for (rdata, ttl) in set {
            if other.and_then(|set| set.get(rdata)) != Some(ttl) {
                let rdata = rdata.clone();
                found.push(Rr { owner: owner.clone(), rtype: *rtype, ttl: *ttl, rdata });
            }
        }
    }
    found
}

impl Content {
    /// Goes one step on.
    ///
    /// # Errors
    /// In words: the step begins elsewhere, or takes out what is not there. The content may then
    /// be half changed and is of no use.
    pub fn apply(&mut self, step: &Difference) -> Result<(), String> {
        let here = self.numbers().unwrap_or_default().serial;
        if here != step.from() {
            return Err(format!("the step begins at serial {}, the zone has {here}", step.from()));
        }
        let soa = self.soa().into_iter().collect::<Vec<_>>();
        for record in soa.iter().chain(&step.removed) {
            if !self.remove(record) {
                return Err(format!(
                    "the step takes out a record that is not there: {} {}",
                    record.owner, record.rtype
                ));
            }
        }
        self.add(&step.new);
        for record in &step.added {
            self.add(record);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{rr, zone};

    #[test]
    fn there_and_back() {
        let old = zone(1, &["www A 192.0.2.1", "www A 192.0.2.2", "mail MX 10 Mail.Example."]);
        let mut new = zone(2, &["www A 192.0.2.1", "mail MX 10 mail.example.", "new TXT x"]);
        new.remove(&rr("mail MX 10 mail.example."));
        new.add(&Rr { ttl: 5, ..rr("mail MX 10 mail.example.") });
        let step = between(&old, &new).unwrap();
        assert_eq!((step.from(), step.to()), (Serial(1), Serial(2)));
        // The letters of a name in data are no difference that counts, its TTL is.
        assert_eq!(step.removed.len(), 2);
        assert_eq!(step.added.len(), 2);
        let mut walked = old.clone();
        walked.apply(&step).unwrap();
        assert_eq!(walked, new);
        walked.apply(&step.clone().reversed()).unwrap();
        assert_eq!(walked, old);
        assert!(walked.apply(&step.reversed()).is_err(), "it begins at 2");
        assert!(between(&old, &old.clone()).is_none());
    }

    #[test]
    fn a_step_must_fit() {
        let old = zone(1, &["www A 192.0.2.1"]);
        let step = between(&old, &zone(2, &["www A 192.0.2.3"])).unwrap();
        let mut other = zone(1, &["www A 192.0.2.9"]);
        assert!(other.apply(&step).unwrap_err().contains("not there"));
    }
}
