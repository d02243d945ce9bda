//! Compiles zones, sites and the network's own names into a [`Catalog`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use popnet_config::network::Network;
use popnet_dns::{Name, Rtype, ZoneFile, ZoneRecord};
use popnet_terms::{PopId, SiteName};

use crate::catalog::{Catalog, Kind, NONE, Node, RrSet, SiteIndex, Zone};
use crate::network;
use crate::table::NameTable;

impl Catalog {
    /// The catalog of `network` with the records of `zones`. `serial` goes into the SOA records
    /// that we make; what cannot be compiled is left out and told by [`Self::problems`].
    #[must_use]
    pub fn build(network: &Network, serial: u32, zones: &[Arc<ZoneFile>]) -> Self {
        let mut draft = Draft::default();
        for zone in zones {
            if draft.apexes.insert(zone.apex.clone(), ()).is_some() {
                draft.problems.push(format!("zone {} is given twice", zone.apex));
            }
        }
        network::add(&mut draft, network, serial);
        for zone in zones {
            for record in &zone.records {
                draft.add_from_zone(&zone.apex, record);
            }
        }
        draft.compile()
    }
}

/// A catalog in the making.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) apexes: BTreeMap<Name, ()>,
    nodes: BTreeMap<Name, DraftNode>,
    pub(crate) sites: Vec<SiteName>,
    /// Labels in front of `origin.POP.DOMAIN`, and the site.
    pub(crate) origins: Vec<(Vec<u8>, SiteIndex)>,
    pub(crate) pops: Vec<PopId>,
    pub(crate) problems: Vec<String>,
}

struct DraftNode {
    kind: Kind,
    sets: BTreeMap<Rtype, DraftSet>,
    parent_ds: Option<DraftSet>,
}

#[derive(Default)]
struct DraftSet {
    ttl: u32,
    /// In canonical order (RFC 4034 6.3), each once.
    records: BTreeSet<Box<[u8]>>,
}

impl DraftSet {
    fn add(&mut self, ttl: u32, rdata: &[u8]) {
        // RFC 2181 5.2: one TTL an RRset; the lowest is the careful one.
        self.ttl = if self.records.is_empty() { ttl } else { self.ttl.min(ttl) };
        self.records.insert(rdata.into());
    }
}

impl Draft {
    /// The apex of the zone that `name` belongs to.
    pub(crate) fn apex_of(&self, name: &Name) -> Option<Name> {
        let above = std::iter::successors(Some(name.clone()), Name::parent);
        above.into_iter().find(|candidate| self.apexes.contains_key(candidate))
    }

    fn node(&mut self, name: &Name) -> &mut DraftNode {
        self.nodes.entry(name.clone()).or_insert_with(|| DraftNode {
            kind: Kind::Plain,
            sets: BTreeMap::new(),
            parent_ds: None,
        })
    }

    /// Adds a record of our own making.
    pub(crate) fn add(&mut self, owner: &Name, rtype: Rtype, ttl: u32, rdata: &[u8]) {
        self.node(owner).sets.entry(rtype).or_default().add(ttl, rdata);
    }

    /// Makes `name` special.
    pub(crate) fn mark(&mut self, name: &Name, kind: Kind) {
        self.node(name).kind = kind;
    }

    fn add_from_zone(&mut self, apex: &Name, record: &ZoneRecord) {
        let Some(deepest) = self.apex_of(&record.owner) else { return };
        if deepest == *apex {
            self.add(&record.owner, record.rtype, record.ttl, &record.rdata);
        } else if deepest == record.owner && record.rtype == Rtype::DS {
            // RFC 4035 3.1.4.1: DS belongs to the upper side of the cut.
            let set = self.node(&record.owner).parent_ds.get_or_insert_default();
            set.add(record.ttl, &record.rdata);
        }
        // Everything else there is the lower zone's business, which is ours too.
    }

    fn compile(mut self) -> Catalog {
        self.add_empty_names();
        let names: Vec<Name> = self.nodes.keys().cloned().collect();
        let table = NameTable::build(names.iter().map(Name::as_wire));
        let apexes: Vec<Name> = self.apexes.keys().cloned().collect();
        let mut catalog = Catalog {
            names: table,
            sites: self.sites,
            origin_names: NameTable::build(self.origins.iter().map(|(name, _)| name.as_slice())),
            origin_sites: self.origins.iter().map(|(_, site)| *site).collect(),
            pops: self.pops,
            problems: self.problems,
            ..Catalog::default()
        };
        let zone_of = |name: &Name| {
            let above = std::iter::successors(Some(name.clone()), Name::parent);
            above.into_iter().find_map(|a| apexes.binary_search(&a).ok()).and_then(number)
        };
        for (name, draft) in &self.nodes {
            let mut node = Node {
                kind: draft.kind,
                zone: zone_of(name).unwrap_or(NONE),
                from: number(catalog.sets.len()).unwrap_or(NONE),
                count: 0,
                cut: NONE,
                wildcard: NONE,
                parent_ds: NONE,
            };
            for (rtype, set) in &draft.sets {
                catalog.push(*rtype, set);
                node.count = node.count.saturating_add(1);
            }
            if let Some(set) = &draft.parent_ds {
                node.parent_ds = number(catalog.sets.len()).unwrap_or(NONE);
                catalog.push(Rtype::DS, set);
            }
            catalog.nodes.push(node);
        }
        catalog.add_zones(&apexes, &zone_of);
        catalog.link(&names);
        catalog
    }

    /// RFC 4592 2.2.2: names between an owner and its apex exist, too.
    fn add_empty_names(&mut self) {
        let owners: Vec<Name> = self.nodes.keys().cloned().collect();
        for owner in owners {
            let mut name = owner;
            while !self.apexes.contains_key(&name) {
                let Some(parent) = name.parent() else { break };
                if self.nodes.contains_key(&parent) {
                    break;
                }
                self.node(&parent);
                name = parent;
            }
        }
    }
}

impl Catalog {
    fn push(&mut self, rtype: Rtype, set: &DraftSet) {
        let count = u16::try_from(set.records.len()).unwrap_or(u16::MAX);
        self.sets.push(RrSet { rtype, count, ttl: set.ttl, at: self.data.len() });
        for rdata in &set.records {
            let length = u16::try_from(rdata.len()).unwrap_or(0);
            self.data.extend_from_slice(&length.to_be_bytes());
            self.data.extend_from_slice(rdata);
        }
    }

    fn add_zones(&mut self, apexes: &[Name], zone_of: &dyn Fn(&Name) -> Option<u32>) {
        for apex in apexes {
            let found = self.find(apex.as_wire());
            let soa = found.as_ref().and_then(|(_, node)| self.set(node, Rtype::SOA));
            if soa.is_none() {
                self.problems.push(format!("zone {apex} has no SOA record"));
            }
            let nothing = RrSet { rtype: Rtype::SOA, count: 0, ttl: 0, at: 0 };
            let soa = soa.unwrap_or(nothing);
            let minimum = self.records(soa).next().and_then(|rdata| rdata.last_chunk::<4>());
            let minimum = minimum.map_or(0, |octets| u32::from_be_bytes(*octets));
            self.zones.push(Zone {
                apex: found.map_or(NONE, |(number, _)| number),
                soa,
                negative_ttl: soa.ttl.min(minimum),
                parent: apex.parent().and_then(|above| zone_of(&above)).unwrap_or(NONE),
            });
        }
    }

    /// Finds for each node the highest cut above it, and tells parents of wildcards.
    fn link(&mut self, names: &[Name]) {
        for (at, name) in names.iter().enumerate() {
            let Some(zone) = self.nodes.get(at).and_then(|node| self.zone(node.zone)).copied()
            else {
                continue;
            };
            let mut cut = NONE;
            let above = std::iter::successors(Some(name.clone()), Name::parent);
            for name in above {
                let Some((number, node)) = self.find(name.as_wire()) else { break };
                if number == zone.apex {
                    break;
                }
                if self.set(&node, Rtype::NS).is_some() {
                    cut = number;
                }
            }
            if let Some(node) = self.nodes.get_mut(at) {
                node.cut = cut;
            }
            if name.as_wire().starts_with(b"\x01*") {
                let parent = name.parent().and_then(|parent| self.names.find(parent.as_wire()));
                let parent = parent.and_then(|parent| self.nodes.get_mut(parent as usize));
                if let (Some(parent), Some(star)) = (parent, number(at)) {
                    parent.wildcard = star;
                }
            }
        }
    }
}

fn number(value: usize) -> Option<u32> {
    u32::try_from(value).ok().filter(|number| *number != NONE)
}
