//! Compact denial of existence (RFC 9824): a signed zone without a chain, whose keys are here, has
//! an NSEC record made for each name that is denied something. It speaks of that name alone, so
//! that nobody can list the others, and one signature is all it takes.
//!
//! A name that is not there, and one that a wildcard stands in for, are said to exist.

use popnet_dns::{
    ALIAS, Full, NXNAME, Owner, QName, Rtype, Section, name_after, name_beside, type_bitmap,
};

use crate::catalog::{Node, Zone};
use crate::image::{Denial, Kind, RrSet};
use crate::lookup::Spot;
use crate::proof::Made;
use crate::respond::Pen;

impl<'c> Pen<'c, '_> {
    /// Whether `zone` denies so, to this asker.
    pub(crate) fn is_compact(&self, zone: &Zone) -> bool {
        self.is_secure(zone) && zone.image.denial() == Denial::None && self.may_make(zone)
    }

    /// There is no `name` (RFC 9824 3.1).
    pub(crate) fn deny_name(&mut self, zone: &Zone, name: &[u8]) -> Result<(), Full> {
        self.deny_rest(zone, name, [NXNAME])
    }

    /// `name`, or the wildcard that stands in for it, has no records of the type asked for (RFC
    /// 9824 3.2 and 3.3). Names that only have others below them have none at all.
    pub(crate) fn deny_type(&mut self, spot: &Spot<'c>, name: &[u8]) -> Result<(), Full> {
        let (asked, node) = (self.asked, spot.node(name));
        if node.is_some_and(|node| node.is_cut()) {
            return self.deny_keys(spot.zone, name);
        }
        let types = node.map(|node| types(&node)).unwrap_or_default();
        self.deny_rest(spot.zone, name, types.into_iter().filter(|rtype| *rtype != asked))
    }

    /// The zone of others at `cut` has no DS records (RFC 9824 3.4).
    pub(crate) fn deny_keys(&mut self, zone: &Zone, cut: &[u8]) -> Result<(), Full> {
        self.made_nsec(zone, cut, &name_beside(cut), [Rtype::NS])
    }

    /// `name` has `types` and what denies the rest.
    pub(crate) fn deny_rest(
        &mut self,
        zone: &Zone,
        name: &[u8],
        types: impl IntoIterator<Item = Rtype>,
    ) -> Result<(), Full> {
        self.made_nsec(zone, name, &name_after(name), types)
    }

    fn made_nsec(
        &mut self,
        zone: &Zone,
        name: &[u8],
        next: &QName,
        types: impl IntoIterator<Item = Rtype>,
    ) -> Result<(), Full> {
        let types = type_bitmap(types.into_iter().chain([Rtype::RRSIG, Rtype::NSEC]));
        let rdata = [next.as_wire(), &types].concat();
        self.made_denial(zone, name, Rtype::NSEC, zone.image.negative_ttl(), &rdata)
    }

    /// A wildcard's records as those of `name`, with a signature that says so: the wildcard's own
    /// would need a proof that there is no such name.
    pub(crate) fn expanded(
        &mut self,
        zone: &Zone,
        owner: Owner<'_>,
        name: &[u8],
        set: RrSet<'_>,
    ) -> Result<(), Full> {
        if set.rtype == Rtype::RRSIG {
            return self.set(Section::Answer, owner, set);
        }
        let records: Vec<&[u8]> = set.records().collect();
        for rdata in &records {
            self.writer.record(Section::Answer, owner, set.rtype, set.ttl, rdata)?;
        }
        let made = Made {
            apex: zone.image.apex().as_wire(),
            owner: name,
            rtype: set.rtype,
            ttl: set.ttl,
            records: &records,
            is_chosen: false,
            is_kept: true,
        };
        self.sign(zone, Section::Answer, owner, &made)
    }
}

/// What there is at a name, or may be when it is asked for.
fn types(node: &Node<'_>) -> Vec<Rtype> {
    let sets = node.base.into_iter().flat_map(|entry| entry.sets());
    let mut types: Vec<Rtype> = sets.map(|set| set.rtype).collect();
    if matches!(node.kind(), Kind::Steered(_)) || node.set(ALIAS).is_some() {
        types.extend([Rtype::A, Rtype::AAAA]);
    }
    types
}
