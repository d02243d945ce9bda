//! Puts zones, sites and the network's own names together as a [`Catalog`].

use std::collections::BTreeMap;
use std::sync::Arc;

use popnet_config::network::Network;
use popnet_dns::{Name, Place, Rtype, suffixes};
use popnet_terms::{PopId, SiteName};

use crate::catalog::{Catalog, Frame, SiteIndex, Zone};
use crate::image::{Builder, Image, Kind};
use crate::network;
use crate::table::NameTable;

impl Catalog {
    /// The catalog of `network` with `zones`, which it shares. `serial` goes into the SOA records
    /// that we make; what cannot be compiled is left out and told by [`Self::problems`].
    #[must_use]
    pub fn build(network: &Network, serial: u32, zones: &[Arc<Image>]) -> Self {
        let mut draft = Draft::default();
        for image in zones {
            let zone = DraftZone::of(image.apex().clone(), Some(Arc::clone(image)));
            if draft.zones.insert(image.apex().clone(), zone).is_some() {
                draft.problems.push(format!("zone {} is given twice", image.apex()));
            }
        }
        network::add(&mut draft, network, serial);
        draft.compile()
    }
}

/// A catalog in the making.
#[derive(Default)]
pub(crate) struct Draft {
    zones: BTreeMap<Name, DraftZone>,
    pub(crate) sites: Vec<SiteName>,
    /// Labels in front of `origin.POP.DOMAIN`, and the site.
    pub(crate) origins: Vec<(Vec<u8>, SiteIndex)>,
    pub(crate) pops: Vec<PopId>,
    pub(crate) problems: Vec<String>,
}

struct DraftZone {
    /// What was read or transferred.
    image: Option<Arc<Image>>,
    /// What the network makes or adds.
    own: Builder,
}

impl DraftZone {
    fn of(apex: Name, image: Option<Arc<Image>>) -> Self {
        Self { image, own: Builder::new(apex) }
    }
}

impl Draft {
    /// Begins a zone of our own making, unless there is one; says whether it did.
    pub(crate) fn open(&mut self, apex: &Name) -> bool {
        let is_new = !self.zones.contains_key(apex);
        if is_new {
            self.zones.insert(apex.clone(), DraftZone::of(apex.clone(), None));
        }
        is_new
    }

    /// Whether `name` belongs to a zone.
    pub(crate) fn has_zone_of(&self, name: &Name) -> bool {
        suffixes(name.as_wire()).any(|suffix| self.zones.contains_key(suffix))
    }

    fn own(&mut self, owner: &Name) -> Option<&mut Builder> {
        let apex = suffixes(owner.as_wire()).find(|suffix| self.zones.contains_key(*suffix))?;
        Some(&mut self.zones.get_mut(apex)?.own)
    }

    /// Adds a record of our own making.
    pub(crate) fn add(&mut self, owner: &Name, rtype: Rtype, ttl: u32, rdata: &[u8]) {
        if let Some(own) = self.own(owner) {
            own.add(owner.as_wire(), rtype, ttl, rdata, Place::default());
        }
    }

    /// Makes `name` special.
    pub(crate) fn mark(&mut self, name: &Name, kind: Kind) {
        if let Some(own) = self.own(name) {
            own.mark(name.as_wire(), kind);
        }
    }

    fn compile(mut self) -> Catalog {
        let apexes: Vec<Name> = self.zones.keys().cloned().collect();
        let mut zones = Vec::with_capacity(apexes.len());
        for (apex, zone) in self.zones {
            let parent = apex.parent().and_then(|above| {
                let above = suffixes(above.as_wire());
                above.into_iter().find_map(|a| apexes.binary_search_by(|x| x.as_wire().cmp(a)).ok())
            });
            let parent = parent.and_then(|number| u32::try_from(number).ok());
            let is_made = zone.image.is_none();
            let (image, own) = zone.compile(&mut self.problems);
            zones.push(Zone { image, own, unsigned: None, is_made, parent });
        }
        let frame = Frame {
            longest: apexes.iter().map(|apex| apex.as_wire().len()).max().unwrap_or(0),
            apexes: NameTable::build(apexes.iter().map(Name::as_wire)),
            sites: self.sites,
            origin_names: NameTable::build(self.origins.iter().map(|(name, _)| name.as_slice())),
            origin_sites: self.origins.iter().map(|(_, site)| *site).collect(),
            pops: self.pops,
            problems: self.problems,
        };
        Catalog { frame: Arc::new(frame), zones }
    }
}

impl DraftZone {
    fn compile(self, problems: &mut Vec<String>) -> (Arc<Image>, Option<Arc<Image>>) {
        let apex = self.own.apex().clone();
        let mut tell = |flaws: Vec<crate::Flaw>| {
            problems.extend(flaws.iter().map(|flaw| format!("zone {apex}: {flaw}")));
        };
        match self.image {
            Some(image) if self.own.is_empty() => (image, None),
            Some(image) => (image, self.own.finish_part().map_err(&mut tell).ok().map(Arc::new)),
            None => {
                let made = self.own.finish_part().map_err(&mut tell);
                (Arc::new(made.unwrap_or_else(|()| Image::lacking(apex.clone()))), None)
            }
        }
    }
}
