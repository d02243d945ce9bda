//! From a question to what answers it (RFC 1034 4.3.2).

use popnet_dns::{Class, Name, QName, Query, Rtype, suffixes};

use crate::catalog::{Catalog, Kind, NONE, Node, RrSet, SiteIndex};

/// Aliases followed inside our zones; a longer chain is a mistake or a ring.
const CHAIN_MAX: usize = 12;

/// What a question leads to.
#[derive(Debug)]
pub struct Lookup<'c> {
    /// Aliases on the way.
    pub(crate) chain: Vec<Link<'c>>,
    /// The name at their end.
    pub(crate) owner: At<'c>,
    /// What is there.
    pub outcome: Outcome,
}

/// One alias.
#[derive(Debug)]
pub(crate) enum Link<'c> {
    /// A CNAME of a zone.
    Alias { owner: At<'c>, set: RrSet },
    /// A DNAME of a zone and the CNAME that follows from it (RFC 6672 3.1).
    Renamed { dname: &'c [u8], set: RrSet, owner: At<'c>, to: Name },
}

/// A name of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum At<'c> {
    /// The one of the question.
    Question,
    /// One in the catalog.
    Wire(&'c [u8]),
    /// One that a DNAME made.
    Made(Name),
}

/// What is at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Records of a zone.
    Records(RrSet),
    /// Addresses that steering chooses; `fallback` are the zone's own, for when nothing is left.
    Steered {
        /// The site.
        site: SiteIndex,
        /// Records of the type asked for that stand in the zone.
        fallback: Option<RrSet>,
        /// The zone, for a negative answer.
        zone: u32,
    },
    /// Origins of a site for a POP, chosen by steering (W3).
    Origin {
        /// The site.
        site: SiteIndex,
        /// The POP.
        pop: u32,
        /// The zone, for a negative answer.
        zone: u32,
    },
    /// The asker wants to know how it looks from here.
    Whoami,
    /// ANY: RFC 8482.
    Minimal,
    /// Others know: the zone cut's name servers.
    Referral(u32),
    /// The name exists, the type does not there.
    NoData(u32),
    /// The name does not exist.
    NxDomain(u32),
    /// An alias led out of our zones: the asker goes on from there.
    Elsewhere,
    /// A DNAME made a name that is too long (RFC 6672 2.2).
    TooLong,
    /// Aliases without end.
    Endless,
    /// Not our zone, class or kind of question.
    Refused,
}

impl Outcome {
    /// The response code and the reason in words, for what has no records to show.
    #[must_use]
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Records(_) => ("NOERROR", "the zone's own records"),
            Self::Steered { .. } => ("NOERROR", "the site's addresses are chosen for each client"),
            Self::Origin { .. } => ("NOERROR", "the site's origins are chosen for each POP"),
            Self::Whoami => ("NOERROR", "tells the asker's own address"),
            Self::Minimal => ("NOERROR", "ANY gets a minimal answer (RFC 8482)"),
            Self::Referral(_) => ("NOERROR", "the name is delegated to other servers"),
            Self::NoData(_) => ("NOERROR", "the name exists, but has no records of this type"),
            Self::NxDomain(_) => ("NXDOMAIN", "the zone has no such name"),
            Self::Elsewhere => ("NOERROR", "an alias that leads out of our zones"),
            Self::TooLong => ("YXDOMAIN", "renaming by DNAME makes the name too long"),
            Self::Endless => ("SERVFAIL", "the aliases have no end"),
            Self::Refused => ("REFUSED", "not a question about a zone or site of ours"),
        }
    }
}

/// Looks a question up.
#[must_use]
pub fn lookup<'c>(catalog: &'c Catalog, query: &Query<'_>) -> Lookup<'c> {
    let mut found = Lookup { chain: Vec::new(), owner: At::Question, outcome: Outcome::Refused };
    // Transfers are not served; the other meta types mean nothing to an authoritative server.
    let meta = (249..=254).contains(&query.qtype.to_int());
    if query.qclass != Class::IN || meta {
        return found;
    }
    let mut name = query.qname;
    for _ in 0..CHAIN_MAX {
        let next = match step(catalog, name.as_wire(), query.qtype) {
            Step::End(Outcome::Refused) if !found.chain.is_empty() => {
                found.outcome = Outcome::Elsewhere;
                return found;
            }
            Step::End(outcome) => {
                found.outcome = outcome;
                return found;
            }
            Step::Alias(set) => found.follow(catalog, set),
            Step::Renamed { dname, set } => found.rename(catalog, &name, dname, set),
        };
        let Some(next) = next else { return found };
        name = next;
    }
    found.outcome = Outcome::Endless;
    found
}

impl<'c> Lookup<'c> {
    /// Takes a CNAME into the chain; gives the name to go on with.
    fn follow(&mut self, catalog: &'c Catalog, set: RrSet) -> Option<QName> {
        let target = catalog.records(set).next()?;
        let owner = std::mem::replace(&mut self.owner, At::Wire(target));
        self.chain.push(Link::Alias { owner, set });
        QName::read(target)
    }

    fn rename(
        &mut self,
        catalog: &'c Catalog,
        name: &QName,
        dname: &'c [u8],
        set: RrSet,
    ) -> Option<QName> {
        let target = catalog.records(set).next()?;
        let labels = name.as_wire().len().checked_sub(dname.len())?;
        let made = [name.as_wire().get(..labels)?, target].concat();
        let Some(to) = Name::from_wire(&made) else {
            self.outcome = Outcome::TooLong;
            return None;
        };
        let owner = std::mem::replace(&mut self.owner, At::Made(to.clone()));
        self.chain.push(Link::Renamed { dname, set, owner, to });
        QName::read(&made)
    }
}

enum Step<'c> {
    End(Outcome),
    Alias(RrSet),
    Renamed { dname: &'c [u8], set: RrSet },
}

fn step<'c>(catalog: &'c Catalog, name: &[u8], qtype: Rtype) -> Step<'c> {
    for suffix in suffixes(name) {
        let Some((number, node)) = catalog.find(suffix) else { continue };
        return if suffix.len() == name.len() {
            exact(catalog, number, &node, qtype)
        } else {
            below(catalog, number, &node, name, suffix, qtype)
        };
    }
    Step::End(Outcome::Refused)
}

/// The name itself is in the catalog.
fn exact<'c>(catalog: &'c Catalog, number: u32, node: &Node, qtype: Rtype) -> Step<'c> {
    if node.cut != NONE {
        // RFC 4035 3.1.4.1: the upper side of a cut knows its DS.
        if node.cut != number || qtype != Rtype::DS {
            return Step::End(Outcome::Referral(node.cut));
        }
        let set = catalog.set(node, Rtype::DS);
        return Step::End(set.map_or(Outcome::NoData(node.zone), Outcome::Records));
    }
    if qtype == Rtype::DS
        && let Some(zone) = catalog.zone(node.zone)
        && zone.apex == number
        && zone.parent != NONE
    {
        let set = catalog.sets.get(node.parent_ds as usize).copied();
        return Step::End(set.map_or(Outcome::NoData(zone.parent), Outcome::Records));
    }
    at_node(catalog, node, qtype)
}

/// `suffix` is the closest encloser of a name that is not in the catalog (RFC 4592 3.3.1).
fn below<'c>(
    catalog: &'c Catalog,
    number: u32,
    node: &Node,
    name: &[u8],
    suffix: &[u8],
    qtype: Rtype,
) -> Step<'c> {
    if node.cut != NONE {
        return Step::End(Outcome::Referral(node.cut));
    }
    if let Kind::Origins(pop) = node.kind {
        let labels = name.get(..name.len() - suffix.len()).unwrap_or_default();
        return Step::End(origin(catalog, labels, pop, node.zone, qtype));
    }
    if let Some(set) = catalog.set(node, Rtype::DNAME) {
        return Step::Renamed { dname: catalog.names.name(number), set };
    }
    match catalog.nodes.get(node.wildcard as usize) {
        Some(wildcard) if wildcard.cut == NONE => at_node(catalog, wildcard, qtype),
        // RFC 4592 4.2: NS at a wildcard is undefined; the name exists, and that is all we say.
        Some(_) => Step::End(Outcome::NoData(node.zone)),
        None => Step::End(Outcome::NxDomain(node.zone)),
    }
}

fn origin(catalog: &Catalog, labels: &[u8], pop: u32, zone: u32, qtype: Rtype) -> Outcome {
    let number = catalog.origin_names.find(labels);
    let site = number.and_then(|number| catalog.origin_sites.get(number as usize));
    match site {
        Some(site) if qtype == Rtype::SRV => Outcome::Origin { site: *site, pop, zone },
        Some(_) => Outcome::NoData(zone),
        None => Outcome::NxDomain(zone),
    }
}

fn at_node<'c>(catalog: &Catalog, node: &Node, qtype: Rtype) -> Step<'c> {
    let address = matches!(qtype, Rtype::A | Rtype::AAAA);
    let end = match node.kind {
        Kind::Steered(site) if address => {
            let fallback = catalog.set(node, qtype);
            Outcome::Steered { site, fallback, zone: node.zone }
        }
        Kind::Steered(_) if qtype == Rtype::ANY => Outcome::Minimal,
        Kind::Steered(_) => {
            catalog.set(node, qtype).map_or(Outcome::NoData(node.zone), Outcome::Records)
        }
        Kind::Whoami if qtype == Rtype::TXT => Outcome::Whoami,
        Kind::Whoami if qtype == Rtype::ANY => Outcome::Minimal,
        Kind::Plain | Kind::Whoami | Kind::Origins(_) => return plain(catalog, node, qtype),
    };
    Step::End(end)
}

fn plain<'c>(catalog: &Catalog, node: &Node, qtype: Rtype) -> Step<'c> {
    if let Some(set) = catalog.set(node, qtype) {
        return Step::End(Outcome::Records(set));
    }
    match catalog.set(node, Rtype::CNAME) {
        Some(set) if qtype == Rtype::ANY => Step::End(Outcome::Records(set)),
        Some(set) => Step::Alias(set),
        None if qtype == Rtype::ANY && node.count > 0 => Step::End(Outcome::Minimal),
        None => Step::End(Outcome::NoData(node.zone)),
    }
}
