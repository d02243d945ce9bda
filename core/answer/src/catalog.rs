//! The table of everything this server answers for: immutable, published whole.

use popnet_dns::Rtype;
use popnet_terms::{PopId, SiteName};

use crate::table::NameTable;

/// A site's number in one catalog.
pub type SiteIndex = u32;

/// No node.
pub(crate) const NONE: u32 = u32::MAX;

/// Zones, sites and the network's own names.
#[derive(Debug, Default)]
pub struct Catalog {
    pub(crate) names: NameTable,
    /// One a name, in the same order.
    pub(crate) nodes: Vec<Node>,
    /// RRsets, those of a node together, by type.
    pub(crate) sets: Vec<RrSet>,
    /// Record data: two octets of length, then the data, for each record.
    pub(crate) data: Vec<u8>,
    pub(crate) zones: Vec<Zone>,
    pub(crate) sites: Vec<SiteName>,
    /// Sites as POPs ask for their origins: the labels before `origin.POP.DOMAIN`.
    pub(crate) origin_names: NameTable,
    /// For each of these the site.
    pub(crate) origin_sites: Vec<SiteIndex>,
    pub(crate) pops: Vec<PopId>,
    pub(crate) problems: Vec<String>,
}

/// A name that exists, with records or without.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) zone: u32,
    /// Its RRsets.
    pub(crate) from: u32,
    pub(crate) count: u16,
    /// The zone cut at or above it, [`NONE`] for authoritative names.
    pub(crate) cut: u32,
    /// `*` below it, or [`NONE`].
    pub(crate) wildcard: u32,
    /// DS records that a parent zone of ours has for this apex: an RRset, or [`NONE`].
    pub(crate) parent_ds: u32,
}

/// What is special about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Plain,
    /// Addresses are chosen.
    Steered(SiteIndex),
    /// Below it the origins of sites are chosen for this POP.
    Origins(u32),
    /// Tells the asker who it is.
    Whoami,
}

/// Records of one owner and type, in the catalog that it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RrSet {
    pub(crate) rtype: Rtype,
    pub(crate) count: u16,
    pub(crate) ttl: u32,
    pub(crate) at: usize,
}

/// A zone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zone {
    pub(crate) apex: u32,
    /// Its SOA RRset.
    pub(crate) soa: RrSet,
    /// How long its "no" holds (RFC 2308 5).
    pub(crate) negative_ttl: u32,
    /// The zone of ours above it, or [`NONE`].
    pub(crate) parent: u32,
}

impl Catalog {
    /// The site with this number.
    #[must_use]
    pub fn site(&self, index: SiteIndex) -> Option<&SiteName> {
        self.sites.get(index as usize)
    }

    /// Every site, in order of its number.
    #[must_use]
    pub fn sites(&self) -> &[SiteName] {
        &self.sites
    }

    /// The POP with this number.
    #[must_use]
    pub fn pop(&self, index: u32) -> Option<&PopId> {
        self.pops.get(index as usize)
    }

    /// What could not be compiled, in words.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Names, those without records included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether it has no names at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(crate) fn find(&self, wire: &[u8]) -> Option<(u32, Node)> {
        let number = self.names.find(wire)?;
        Some((number, *self.nodes.get(number as usize)?))
    }

    pub(crate) fn zone(&self, number: u32) -> Option<&Zone> {
        self.zones.get(number as usize)
    }

    /// The RRsets of a node.
    pub(crate) fn sets(&self, node: &Node) -> &[RrSet] {
        let from = node.from as usize;
        self.sets.get(from..from + usize::from(node.count)).unwrap_or_default()
    }

    /// The RRset of a node with this type.
    pub(crate) fn set(&self, node: &Node, rtype: Rtype) -> Option<RrSet> {
        self.sets(node).iter().find(|set| set.rtype == rtype).copied()
    }

    /// The data of each record.
    pub(crate) fn records(&self, set: RrSet) -> Records<'_> {
        Records { rest: self.data.get(set.at..).unwrap_or_default(), left: set.count }
    }
}

/// The data of an RRset's records, one by one.
#[derive(Clone, Debug)]
pub(crate) struct Records<'c> {
    rest: &'c [u8],
    left: u16,
}

impl<'c> Iterator for Records<'c> {
    type Item = &'c [u8];

    fn next(&mut self) -> Option<&'c [u8]> {
        self.left = self.left.checked_sub(1)?;
        let (length, rest) = self.rest.split_first_chunk::<2>()?;
        let (rdata, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        self.rest = rest;
        Some(rdata)
    }
}
