//! The table of everything this server answers for: immutable, published whole. Zones are shared
//! with the catalog before, so that one of them can be replaced cheaply.

use std::sync::Arc;

use popnet_dns::{Name, Rtype, suffixes};
use popnet_terms::{PopId, SiteName};

use crate::image::{Entry, Image, Kind, RrSet};
use crate::table::NameTable;

/// A site's number in one catalog.
pub type SiteIndex = u32;

/// Zones, sites and the network's own names.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    pub(crate) frame: Arc<Frame>,
    /// In the order of [`Frame::apexes`].
    pub(crate) zones: Vec<Zone>,
}

/// What stays when a zone changes.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    pub(crate) apexes: NameTable,
    /// Octets of the longest apex: longer names need no look into the table.
    pub(crate) longest: usize,
    pub(crate) sites: Vec<SiteName>,
    /// Sites as POPs ask for their origins: the labels before `origin.POP.DOMAIN`.
    pub(crate) origin_names: NameTable,
    /// For each of these the site.
    pub(crate) origin_sites: Vec<SiteIndex>,
    pub(crate) pops: Vec<PopId>,
    pub(crate) problems: Vec<String>,
}

/// A zone, and what the network adds to it.
#[derive(Clone, Debug)]
pub struct Zone {
    pub(crate) image: Arc<Image>,
    /// The network's own names inside a zone that it did not make. Where both have records of a
    /// name and type, these count.
    pub(crate) own: Option<Arc<Image>>,
    /// The image before it was signed: then `image` holds the records of `own`, too, and some for
    /// names whose addresses are chosen, for servers that do not choose.
    pub(crate) unsigned: Option<Arc<Image>>,
    /// Whether it follows from the configuration alone.
    pub(crate) is_made: bool,
    /// The number of the zone of ours above it.
    pub(crate) parent: Option<u32>,
}

impl Catalog {
    /// This catalog with another state of a zone that it has. `None` when it does not have the
    /// zone: then names of the network may belong elsewhere, and the catalog is to be built anew.
    #[must_use]
    pub fn with(&self, image: Arc<Image>) -> Option<Self> {
        let number = self.frame.apexes.find(image.apex().as_wire())?;
        let mut next = self.clone();
        let zone = next.zones.get_mut(number as usize)?;
        (zone.image, zone.unsigned) = (image, None);
        Some(next)
    }

    /// The same with an image that holds what the network adds to the zone as well, because both
    /// were signed together: what is special about names stays.
    #[must_use]
    pub fn with_joined(&self, image: Arc<Image>) -> Option<Self> {
        let number = self.frame.apexes.find(image.apex().as_wire())?;
        let mut next = self.clone();
        let zone = next.zones.get_mut(number as usize)?;
        let unsigned = zone.unsigned.take().unwrap_or_else(|| Arc::clone(&zone.image));
        if zone.is_made && zone.own.is_none() {
            zone.own = Some(Arc::clone(&unsigned));
        }
        (zone.image, zone.unsigned) = (image, Some(unsigned));
        Some(next)
    }

    /// Takes up the zones of `common`, which were built of the same network, as they stand there:
    /// all but those that are this catalog's `own`.
    pub fn follow(&mut self, common: &Self, own: impl Fn(&Name) -> bool) {
        for zone in &mut self.zones {
            let theirs = common.zone(zone.image.apex()).filter(|zone| !own(zone.image.apex()));
            if let Some(theirs) = theirs {
                // What lies above is counted in our table.
                *zone = Zone { parent: zone.parent, ..theirs.clone() };
            }
        }
    }

    /// The zone with exactly this name.
    #[must_use]
    pub fn zone(&self, apex: &Name) -> Option<&Zone> {
        self.zones.get(self.frame.apexes.find(apex.as_wire())? as usize)
    }

    /// Every zone.
    #[must_use]
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// The site with this number.
    #[must_use]
    pub fn site(&self, index: SiteIndex) -> Option<&SiteName> {
        self.frame.sites.get(index as usize)
    }

    /// Every site, in order of its number.
    #[must_use]
    pub fn sites(&self) -> &[SiteName] {
        &self.frame.sites
    }

    /// The POP with this number.
    #[must_use]
    pub fn pop(&self, index: u32) -> Option<&PopId> {
        self.frame.pops.get(index as usize)
    }

    /// What could not be compiled, in words.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.frame.problems
    }

    /// Names, those without records included.
    #[must_use]
    pub fn len(&self) -> usize {
        let own = |zone: &Zone| zone.own.as_ref().map_or(0, |own| own.len());
        self.zones.iter().map(|zone| zone.image.len() + own(zone)).sum()
    }

    /// Whether it has no names at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The zone that `name` belongs to, and the name relative to its apex.
    pub(crate) fn locate<'n>(&self, name: &'n [u8]) -> Option<(&Zone, &'n [u8])> {
        let may_be = suffixes(name).filter(|suffix| suffix.len() <= self.frame.longest);
        let mut found = may_be.map(|suffix| (suffix, self.frame.apexes.find(suffix)));
        let (apex, number) = found.find_map(|(apex, number)| Some((apex, number?)))?;
        let relative = name.get(..name.len() - apex.len())?;
        Some((self.zones.get(number as usize)?, relative))
    }

    /// The zone of ours above `zone`.
    pub(crate) fn above(&self, zone: &Zone) -> Option<&Zone> {
        self.zones.get(zone.parent? as usize)
    }
}

impl Zone {
    /// Its content; what the network adds is in it only where both were signed together.
    #[must_use]
    pub fn image(&self) -> &Arc<Image> {
        &self.image
    }

    /// The names that the network adds, relative to the apex, with the types that it may answer
    /// there beside those of the image: who signs the zone must know of them.
    pub fn own_names(&self) -> impl Iterator<Item = Entry<'_>> {
        self.own.iter().flat_map(|own| own.entries())
    }

    /// Its content before it was signed here.
    #[must_use]
    pub fn unsigned(&self) -> Option<&Arc<Image>> {
        self.unsigned.as_ref()
    }

    /// What the network adds, in one piece.
    #[must_use]
    pub fn own(&self) -> Option<&Arc<Image>> {
        self.own.as_ref()
    }

    /// Whether it follows from the configuration alone, and came from no file or primary.
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.is_made
    }

    /// What there is at `relative`.
    pub(crate) fn node(&self, relative: &[u8]) -> Option<Node<'_>> {
        let base = self.image.find(relative);
        let own = self.own.as_ref().and_then(|own| own.find(relative));
        if base.is_none() && own.is_none() {
            return None;
        }
        // What the network adds does not know where the zone is cut.
        let is_cut = base.is_none() && self.cut(relative).is_some();
        Some(Node {
            base,
            own,
            unsigned: self.unsigned.as_ref().map(|unsigned| unsigned.find(relative)),
            is_occluded: is_cut || base.is_some_and(|e| e.is_occluded()),
        })
    }

    /// `*` right below `relative`.
    pub(crate) fn star(&self, relative: &[u8]) -> Option<Node<'_>> {
        let mut octets = [0; 2 + 255];
        let star = octets.get_mut(..2 + relative.len())?;
        let (front, rest) = star.split_first_chunk_mut::<2>()?;
        *front = *b"\x01*";
        rest.copy_from_slice(relative);
        self.node(star)
    }

    /// The highest zone cut at or above `relative`.
    pub(crate) fn cut(&self, relative: &[u8]) -> Option<Entry<'_>> {
        let mut rest = relative;
        let mut cut = None;
        while let Some((length, labels)) = rest.split_first() {
            cut = self.image.find(rest).filter(|entry| entry.is_cut()).or(cut);
            rest = labels.get(usize::from(*length)..).unwrap_or_default();
        }
        cut
    }
}

/// A name that exists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'c> {
    pub(crate) base: Option<Entry<'c>>,
    own: Option<Entry<'c>>,
    /// Where the image was signed here, what stood there before.
    unsigned: Option<Option<Entry<'c>>>,
    is_occluded: bool,
}

impl<'c> Node<'c> {
    pub(crate) fn kind(&self) -> Kind {
        let own = self.own.map_or(Kind::Plain, |entry| entry.kind);
        if own == Kind::Plain { self.base.map_or(own, |entry| entry.kind) } else { own }
    }

    pub(crate) fn set(&self, rtype: Rtype) -> Option<RrSet<'c>> {
        let own = self.own.filter(|_| self.unsigned.is_none()).and_then(|entry| entry.set(rtype));
        own.or_else(|| self.base?.set(rtype))
    }

    /// What is answered where nothing was chosen: records that stood there before signing.
    pub(crate) fn fallback(&self, rtype: Rtype) -> Option<RrSet<'c>> {
        let stood = |entry: Option<Entry<'c>>| entry.and_then(|e| e.set(rtype)).is_some();
        match self.unsigned {
            Some(unsigned) if !stood(unsigned) && !stood(self.own) => None,
            Some(_) | None => self.set(rtype),
        }
    }

    /// One of its RRsets that says something about the name.
    pub(crate) fn some_set(&self) -> Option<RrSet<'c>> {
        let says = |set: &RrSet<'c>| {
            !matches!(set.rtype, Rtype::RRSIG | Rtype::NSEC | Rtype::NSEC3 | Rtype::NSEC3PARAM)
        };
        self.base?.sets().find(says)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.base.is_none_or(|entry| entry.is_empty())
            && self.own.is_none_or(|entry| entry.is_empty())
    }

    /// Whether it is the top of somebody else's zone.
    pub(crate) fn is_cut(&self) -> bool {
        self.base.is_some_and(|entry| entry.is_cut())
    }

    /// Whether it lies below such a top.
    pub(crate) fn is_occluded(&self) -> bool {
        self.is_occluded
    }

    pub(crate) fn has_star(&self) -> bool {
        self.base.is_some_and(|entry| entry.has_star())
            || self.own.is_some_and(|entry| entry.has_star())
    }
}
