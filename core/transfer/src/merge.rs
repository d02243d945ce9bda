//! The difference between two states of a zone that are read side by side in canonical order,
//! without either in memory as a whole.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::iter::Peekable;

use popnet_dns::{Name, Rtype};

use crate::difference::Difference;
use crate::record::{Line, Rr};

/// The step from `old` to `new`: records of the zone `apex` in canonical order of their owners
/// (RFC 4034 6.1), which are given relative to it. `None` when one has no SOA record, or the
/// difference has more than `limit` octets.
pub fn merge<'a>(
    apex: &Name,
    old: impl Iterator<Item = Line<'a>>,
    new: impl Iterator<Item = Line<'a>>,
    limit: usize,
) -> Option<Difference> {
    let mut found = Found { apex, soa: (None, None), removed: vec![], added: vec![], left: limit };
    let (mut old, mut new) = (Groups(old.peekable()), Groups(new.peekable()));
    let (mut before, mut after) = (old.next_group(), new.next_group());
    loop {
        let order = match (before.first(), after.first()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(before), Some(after)) => canonical(before.owner, after.owner),
        };
        let (gone, come) = match order {
            Ordering::Less => (std::mem::replace(&mut before, old.next_group()), Vec::new()),
            Ordering::Greater => (Vec::new(), std::mem::replace(&mut after, new.next_group())),
            Ordering::Equal => (
                std::mem::replace(&mut before, old.next_group()),
                std::mem::replace(&mut after, new.next_group()),
            ),
        };
        found.owner(&gone, &come)?;
    }
    let (Some(old), Some(new)) = found.soa else { return None };
    Some(Difference { old, removed: found.removed, new, added: found.added })
}

struct Found<'n> {
    apex: &'n Name,
    soa: (Option<Rr>, Option<Rr>),
    removed: Vec<Rr>,
    added: Vec<Rr>,
    /// Octets that may still be added.
    left: usize,
}

impl Found<'_> {
    /// Compares the records of one owner.
    fn owner(&mut self, old: &[Line<'_>], new: &[Line<'_>]) -> Option<()> {
        let is_top = old.first().or(new.first()).is_some_and(|line| line.owner.is_empty());
        if old == new && !is_top {
            return Some(());
        }
        let key = |line: &Line<'_>| (line.rtype, line.rdata.to_vec(), line.ttl);
        let known: BTreeSet<_> = old.iter().map(key).collect();
        let wanted: BTreeSet<_> = new.iter().map(key).collect();
        for line in old {
            let rr = self.whole(*line)?;
            if line.rtype == Rtype::SOA {
                self.soa.0 = Some(rr);
            } else if !wanted.contains(&key(line)) {
                self.left = self.left.checked_sub(crate::content::size(&rr))?;
                self.removed.push(rr);
            }
        }
        for line in new {
            let rr = self.whole(*line)?;
            if line.rtype == Rtype::SOA {
                self.soa.1 = Some(rr);
            } else if !known.contains(&key(line)) {
                self.left = self.left.checked_sub(crate::content::size(&rr))?;
                self.added.push(rr);
            }
        }
        Some(())
    }

    fn whole(&self, line: Line<'_>) -> Option<Rr> {
        let Line { owner, rtype, ttl, rdata } = line;
        let owner = Name::from_wire(&[owner, self.apex.as_wire()].concat())?;
        Some(Rr { owner, rtype, ttl, rdata: rdata.into() })
    }
}

/// The records of one owner after the other.
struct Groups<I: Iterator>(Peekable<I>);

impl<'a, I: Iterator<Item = Line<'a>>> Groups<I> {
    fn next_group(&mut self) -> Vec<Line<'a>> {
        let Some(first) = self.0.next() else { return Vec::new() };
        let mut group = vec![first];
        while let Some(line) = self.0.next_if(|line| line.owner == first.owner) {
            group.push(line);
        }
        group
    }
}

/// RFC 4034 6.1, for names relative to one apex.
fn canonical(one: &[u8], other: &[u8]) -> Ordering {
    let labels = |name: &[u8]| {
        let mut labels = Vec::new();
        let mut rest = name;
        while let Some((length, after)) = rest.split_first() {
            let (label, after) =
                after.split_at_checked(usize::from(*length)).unwrap_or((after, &[]));
            labels.push(label.to_vec());
            rest = after;
        }
        labels.reverse();
        labels
    };
    if one == other { Ordering::Equal } else { labels(one).cmp(&labels(other)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Content;
    use crate::difference::between;
    use crate::testing::{name, zone};

    /// The records as an image gives them.
    fn sorted(content: &Content) -> Vec<Rr> {
        let mut records: Vec<Rr> = content.records().collect();
        records.sort_by(|a, b| canonical(front(a), front(b)));
        records
    }

    fn front(record: &Rr) -> &[u8] {
        let wire = record.owner.as_wire();
        &wire[..wire.len() - name("example").as_wire().len()]
    }

    fn step(old: &Content, new: &Content, limit: usize) -> Option<Difference> {
        let (old, new) = (sorted(old), sorted(new));
        let lines = |records: &'static [Rr]| {
            records.iter().map(|record| Line { owner: front(record), ..record.line() })
        };
        let (old, new) = (old.leak(), new.leak());
        merge(&name("example"), lines(old), lines(new), limit)
    }

    #[test]
    fn the_same_as_in_memory() {
        let states = [
            zone(1, &["a A 192.0.2.1", "z.a TXT x", "b.a MX 1 a", "zz A 192.0.2.3"]),
            zone(2, &["a A 192.0.2.2", "b.a MX 1 a", "aa.b TXT y", "zz 5 A 192.0.2.3"]),
            zone(3, &[]),
            zone(4, &["a.b.c TXT z"]),
        ];
        for (at, old) in states.iter().enumerate() {
            for new in &states[at + 1..] {
                let found = step(old, new, 1 << 20).unwrap();
                let expected = between(old, new).unwrap();
                let sort = |mut rrs: Vec<Rr>| {
                    rrs.sort_by(|a, b| (&a.owner, a.rtype).cmp(&(&b.owner, b.rtype)));
                    rrs
                };
                assert_eq!((&found.old, &found.new), (&expected.old, &expected.new));
                assert_eq!(sort(found.removed), sort(expected.removed));
                assert_eq!(sort(found.added), sort(expected.added));
                assert!(step(old, new, 10).is_none(), "too long");
            }
        }
    }
}
