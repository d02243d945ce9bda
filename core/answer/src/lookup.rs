//! From a question to what answers it (RFC 1034 4.3.2).

use popnet_dns::{ALIAS, Class, QName, Query, Rtype};

use crate::catalog::{Catalog, Node, SiteIndex, Zone};
use crate::image::{Entry, Kind, RrSet, Standing};

/// Aliases followed inside our zones; of a longer chain the asker follows the rest.
const CHAIN_MAX: u8 = 12;

/// What a question leads to.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'c> {
    /// Aliases on the way. They are not kept: whoever writes them down walks them again, so that
    /// an answer needs no memory for them.
    pub(crate) aliases: u8,
    /// What is at their end.
    pub outcome: Outcome<'c>,
    /// Whether that was found through an ALIAS: records of another name, shown as the owner's.
    pub(crate) is_borrowed: bool,
    /// Where that is.
    pub spot: Option<Spot<'c>>,
}

impl Lookup<'_> {
    /// The wildcard that stands in for `name`, which was asked for. What an alias led to is
    /// another name's.
    #[must_use]
    pub fn star(&self, name: &[u8]) -> Option<QName> {
        if self.aliases > 0 { None } else { self.spot?.star(name) }
    }
}

/// Where in a zone an answer was found: what a proof of it is made from.
#[derive(Clone, Copy, Debug)]
pub struct Spot<'c> {
    /// The zone.
    pub zone: &'c Zone,
    /// Octets of the closest encloser, relative to the apex, when the name itself does not exist
    /// (RFC 4592 3.3.1): as many at the end of the relative name.
    pub encloser: Option<u8>,
    /// Whether `*` below the encloser stands in for the name.
    pub by_wildcard: bool,
}

impl<'c> Spot<'c> {
    /// The whole name of the wildcard that stands in for `name`.
    pub(crate) fn star(&self, name: &[u8]) -> Option<QName> {
        let relative = self.zone.image.relative(name).filter(|_| self.by_wildcard)?;
        let length = usize::from(self.encloser?);
        let encloser = relative.get(relative.len().checked_sub(length)?..)?;
        QName::join(b"\x01*", self.zone.image.whole(encloser)?.as_wire())
    }

    /// What answers for `name` here.
    pub(crate) fn node(&self, name: &[u8]) -> Option<Node<'c>> {
        let star = self.star(name);
        let name = star.as_ref().map_or(name, QName::as_wire);
        self.zone.node(self.zone.image.relative(name)?)
    }
}

/// What is at the end.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'c> {
    /// Records of a zone.
    Records(RrSet<'c>),
    /// Addresses that steering chooses; `fallback` are the zone's own, for when nothing is left.
    Steered {
        /// The site.
        site: SiteIndex,
        /// Records of the type asked for that stand in the zone.
        fallback: Option<RrSet<'c>>,
        /// The zone, for a negative answer.
        zone: &'c Zone,
    },
    /// Origins of a site for a POP, chosen by steering (W3).
    Origin {
        /// The site.
        site: SiteIndex,
        /// The POP.
        pop: u32,
        /// The zone, for a negative answer.
        zone: &'c Zone,
    },
    /// The asker wants to know how it looks from here.
    Whoami,
    /// ANY: RFC 8482.
    Minimal,
    /// Others know: the zone cut with its name servers.
    Referral(&'c Zone, Entry<'c>),
    /// The name exists, the type does not there.
    NoData(&'c Zone),
    /// The name does not exist.
    NxDomain(&'c Zone),
    /// An alias led out of our zones: the asker goes on from there.
    Elsewhere,
    /// A DNAME made a name that is too long (RFC 6672 2.2).
    TooLong,
    /// Aliases without end, or an ALIAS that leads out of our zones.
    Endless,
    /// Our zone, but we have no content of it that may be used.
    Lacking,
    /// Not our zone, class or kind of question.
    Refused,
}

impl Outcome<'_> {
    /// The response code and the reason in words, for what has no records to show.
    #[must_use]
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Records(_) => ("NOERROR", "the zone's own records"),
            Self::Steered { .. } => ("NOERROR", "the site's addresses are chosen for each client"),
            Self::Origin { .. } => ("NOERROR", "the site's origins are chosen for each POP"),
            Self::Whoami => ("NOERROR", "tells the asker's own address"),
            Self::Minimal => ("NOERROR", "ANY gets a minimal answer (RFC 8482)"),
            Self::Referral(..) => ("NOERROR", "the name is delegated to other servers"),
            Self::NoData(_) => ("NOERROR", "the name exists, but has no records of this type"),
            Self::NxDomain(_) => ("NXDOMAIN", "the zone has no such name"),
            Self::Elsewhere => ("NOERROR", "an alias that leads out of our zones"),
            Self::TooLong => ("YXDOMAIN", "renaming by DNAME makes the name too long"),
            Self::Endless => ("SERVFAIL", "the aliases have no end, or an ALIAS leads elsewhere"),
            Self::Lacking => ("SERVFAIL", "the zone has expired, or was never transferred"),
            Self::Refused => ("REFUSED", "not a question about a zone or site of ours"),
        }
    }
}

/// Looks a question up.
#[must_use]
pub fn lookup<'c>(catalog: &'c Catalog, query: &Query<'_>) -> Lookup<'c> {
    let mut walk = Walk::new(catalog, query);
    // Transfers are not served here; the other meta types mean nothing to an authoritative server.
    let meta = (249..=254).contains(&query.qtype.to_int());
    if query.qclass != Class::IN || meta {
        let outcome = Outcome::Refused;
        return Lookup { aliases: 0, outcome, is_borrowed: false, spot: None };
    }
    for aliases in 0..CHAIN_MAX {
        let end = |outcome, spot| Lookup { aliases, outcome, is_borrowed: false, spot };
        match walk.step() {
            (Step::End(Outcome::Refused), _) if aliases > 0 => {
                return end(Outcome::Elsewhere, None);
            }
            (Step::End(outcome), spot) => return end(outcome, spot),
            (Step::Through(zone, set), spot) => {
                let outcome = walk.borrow(zone, set, CHAIN_MAX - aliases);
                return Lookup { aliases, outcome, is_borrowed: true, spot };
            }
            (Step::Alias(set), _) => walk.follow(set),
            (Step::Renamed { suffix, set }, spot) => {
                if walk.rename(suffix, set).is_none() {
                    // The DNAME is shown, and the name that it was about.
                    return Lookup { aliases: aliases + 1, ..end(Outcome::TooLong, spot) };
                }
                // The CNAME that it makes is what was asked for (RFC 6672 3.1).
                if matches!(query.qtype, Rtype::CNAME | Rtype::ANY) {
                    return Lookup { aliases: aliases + 1, ..end(Outcome::Elsewhere, None) };
                }
            }
        }
    }
    let (aliases, outcome) = match ring(catalog, query) {
        Some(aliases) => (aliases, Outcome::Endless),
        // RFC 1034 3.6.2: nobody should fail at a chain; the asker goes on from where we stop.
        None => (CHAIN_MAX, Outcome::Elsewhere),
    };
    Lookup { aliases, outcome, is_borrowed: false, spot: None }
}

/// After how many aliases a name comes again, if one does (RFC 1034 3.6.2: an error).
#[cold]
fn ring(catalog: &Catalog, query: &Query<'_>) -> Option<u8> {
    let mut walk = Walk::new(catalog, query);
    let mut seen: [Option<QName>; CHAIN_MAX as usize] = [None; CHAIN_MAX as usize];
    for aliases in 0..=CHAIN_MAX {
        if seen.iter().flatten().any(|name| name.as_wire() == walk.name()) {
            return Some(aliases);
        }
        if let Some(place) = seen.get_mut(usize::from(aliases)) {
            *place = Some(walk.moved().copied().unwrap_or(query.qname));
        }
        walk.go_on()?;
    }
    None
}

/// The way from a question over aliases.
pub(crate) struct Walk<'c, 'q> {
    catalog: &'c Catalog,
    query: &'q Query<'q>,
    /// The name after the first alias.
    moved: Option<QName>,
}

/// What is found at one name.
pub(crate) enum Step<'c> {
    /// The end of the way.
    End(Outcome<'c>),
    /// A CNAME.
    Alias(RrSet<'c>),
    /// An ALIAS in this zone: the target's addresses are the owner's.
    Through(&'c Zone, RrSet<'c>),
    /// A DNAME whose owner has so many octets.
    Renamed { suffix: usize, set: RrSet<'c> },
}

impl<'c, 'q> Walk<'c, 'q> {
    pub(crate) fn new(catalog: &'c Catalog, query: &'q Query<'q>) -> Self {
        Self { catalog, query, moved: None }
    }

    /// The name that the way has come to; `None`: still that of the question.
    pub(crate) fn moved(&self) -> Option<&QName> {
        self.moved.as_ref()
    }

    pub(crate) fn name(&self) -> &[u8] {
        self.moved.as_ref().unwrap_or(&self.query.qname).as_wire()
    }

    /// Goes over one alias; `None` where there is none, or no name behind it.
    fn go_on(&mut self) -> Option<()> {
        match self.step().0 {
            Step::Alias(set) => {
                self.follow(set);
                Some(())
            }
            Step::Renamed { suffix, set } => self.rename(suffix, set),
            Step::End(_) | Step::Through(..) => None,
        }
    }

    /// Whether one of the next `steps` aliases is the DNAME of `owner`.
    pub(crate) fn passes(mut self, steps: u8, owner: &[u8]) -> bool {
        for _ in 0..steps {
            if let Step::Renamed { suffix, .. } = self.step().0
                && self.name().len().checked_sub(suffix).and_then(|at| self.name().get(at..))
                    == Some(owner)
            {
                return true;
            }
            if self.go_on().is_none() {
                return false;
            }
        }
        false
    }

    /// Goes to the target of a CNAME.
    pub(crate) fn follow(&mut self, set: RrSet<'c>) {
        // What is no name cannot be in an image; it would end the way at the root.
        let target = set.records().next().unwrap_or(&[0]);
        self.moved = QName::read(target).or(QName::read(&[0]));
    }

    /// Goes to the name that a DNAME makes (RFC 6672 2.2); `None` when it is too long.
    pub(crate) fn rename(&mut self, suffix: usize, set: RrSet<'c>) -> Option<()> {
        let name = self.name();
        let front = name.get(..name.len().checked_sub(suffix)?)?;
        self.moved = Some(QName::join(front, set.records().next()?)?);
        Some(())
    }

    /// The addresses of the target of an ALIAS, as those of a name in `zone`. They can only come
    /// from zones and sites of ours: this server asks nobody.
    fn borrow(&mut self, zone: &'c Zone, set: RrSet<'c>, steps: u8) -> Outcome<'c> {
        self.follow(set);
        for _ in 0..steps {
            match self.step().0 {
                Step::Through(_, set) | Step::Alias(set) => self.follow(set),
                Step::Renamed { suffix, set } => {
                    if self.rename(suffix, set).is_none() {
                        break;
                    }
                }
                Step::End(end) => {
                    return match end {
                        Outcome::Records(_) => end,
                        Outcome::Steered { site, .. } => {
                            Outcome::Steered { site, fallback: None, zone }
                        }
                        Outcome::NoData(_) | Outcome::NxDomain(_) => Outcome::NoData(zone),
                        Outcome::Lacking => Outcome::Lacking,
                        Outcome::Origin { .. }
                        | Outcome::Whoami
                        | Outcome::Minimal
                        | Outcome::Referral(..)
                        | Outcome::Elsewhere
                        | Outcome::TooLong
                        | Outcome::Endless
                        | Outcome::Refused => Outcome::Endless,
                    };
                }
            }
        }
        Outcome::Endless
    }

    /// Looks at the present name.
    pub(crate) fn step(&self) -> (Step<'c>, Option<Spot<'c>>) {
        let (name, qtype) = (self.name(), self.query.qtype);
        let Some((zone, relative)) = self.catalog.locate(name) else {
            return (Step::End(Outcome::Refused), None);
        };
        let mut spot = Spot { zone, encloser: None, by_wildcard: false };
        if zone.image.standing() == Standing::Lacking {
            return (Step::End(Outcome::Lacking), Some(spot));
        }
        if relative.is_empty()
            && qtype == Rtype::DS
            && let Some(above) = self.catalog.above(zone)
        {
            spot.zone = above;
            return (Step::End(upper_ds(above, name)), Some(spot));
        }
        if let Some(node) = zone.node(relative) {
            return (exact(zone, &node, relative, qtype), Some(spot));
        }
        // The closest encloser (RFC 4592 3.3.1); the apex is one for every name.
        let mut rest = relative;
        while let Some((length, labels)) = rest.split_first() {
            rest = labels.get(usize::from(*length)..).unwrap_or_default();
            if let Some(node) = zone.node(rest) {
                spot.encloser = u8::try_from(rest.len()).ok();
                return (self.below(&mut spot, &node, relative, rest), Some(spot));
            }
        }
        (Step::End(Outcome::NxDomain(zone)), Some(spot))
    }

    /// `relative` does not exist; its closest encloser is `encloser`.
    fn below(
        &self,
        spot: &mut Spot<'c>,
        node: &Node<'c>,
        relative: &[u8],
        encloser: &[u8],
    ) -> Step<'c> {
        let (zone, qtype) = (spot.zone, self.query.qtype);
        if node.is_cut() || node.is_occluded() {
            return referral(zone, relative);
        }
        if let Kind::Origins(pop) = node.kind() {
            let labels = relative.get(..relative.len() - encloser.len()).unwrap_or_default();
            return Step::End(self.origin(labels, pop, zone));
        }
        if let Some(set) = node.set(Rtype::DNAME) {
            let suffix = encloser.len() + zone.image.apex().as_wire().len();
            return Step::Renamed { suffix, set };
        }
        match Some(encloser).filter(|_| node.has_star()).and_then(|encloser| zone.star(encloser)) {
            // RFC 4592 4.2: NS at a wildcard is undefined; the name exists, that is all we say.
            Some(star) if star.is_cut() => Step::End(Outcome::NoData(zone)),
            Some(star) => {
                spot.by_wildcard = true;
                at_node(zone, &star, qtype)
            }
            None => Step::End(Outcome::NxDomain(zone)),
        }
    }

    fn origin(&self, labels: &[u8], pop: u32, zone: &'c Zone) -> Outcome<'c> {
        let frame = &self.catalog.frame;
        let number = frame.origin_names.find(labels);
        let site = number.and_then(|number| frame.origin_sites.get(number as usize));
        match site {
            Some(site) if self.query.qtype == Rtype::SRV => {
                Outcome::Origin { site: *site, pop, zone }
            }
            Some(_) => Outcome::NoData(zone),
            None => Outcome::NxDomain(zone),
        }
    }
}

fn referral<'c>(zone: &'c Zone, relative: &[u8]) -> Step<'c> {
    let cut = zone.cut(relative);
    Step::End(cut.map_or(Outcome::NoData(zone), |cut| Outcome::Referral(zone, cut)))
}

/// The DS records of the zone `name` of ours in the zone of ours above it: RFC 4035 3.1.4.1.
fn upper_ds<'c>(above: &'c Zone, name: &[u8]) -> Outcome<'c> {
    if above.image.standing() == Standing::Lacking {
        return Outcome::Lacking;
    }
    let relative = above.image.relative(name).unwrap_or_default();
    match above.cut(relative) {
        Some(cut) if cut.name != relative => Outcome::Referral(above, cut),
        Some(_) | None => {
            let set = above.node(relative).and_then(|node| node.set(Rtype::DS));
            set.map_or(Outcome::NoData(above), Outcome::Records)
        }
    }
}

/// The name itself exists.
fn exact<'c>(zone: &'c Zone, node: &Node<'c>, relative: &[u8], qtype: Rtype) -> Step<'c> {
    if node.is_occluded() {
        return referral(zone, relative);
    }
    if node.is_cut() {
        // RFC 4035 3.1.4.1: the upper side of a cut knows its DS.
        return match qtype {
            Rtype::DS => {
                let set = node.set(Rtype::DS);
                Step::End(set.map_or(Outcome::NoData(zone), Outcome::Records))
            }
            _ => referral(zone, relative),
        };
    }
    at_node(zone, node, qtype)
}

fn at_node<'c>(zone: &'c Zone, node: &Node<'c>, qtype: Rtype) -> Step<'c> {
    let address = matches!(qtype, Rtype::A | Rtype::AAAA);
    let end = match node.kind() {
        Kind::Steered(site) if address => {
            Outcome::Steered { site, fallback: node.fallback(qtype), zone }
        }
        // The addresses in a service's hints are those that its name has (RFC 9460 7.3).
        Kind::Steered(site)
            if matches!(qtype, Rtype::SVCB | Rtype::HTTPS) && node.set(qtype).is_some() =>
        {
            Outcome::Steered { site, fallback: node.set(qtype), zone }
        }
        Kind::Steered(_) if qtype == Rtype::ANY => Outcome::Minimal,
        Kind::Steered(_) => node.set(qtype).map_or(Outcome::NoData(zone), Outcome::Records),
        Kind::Whoami if qtype == Rtype::TXT => Outcome::Whoami,
        Kind::Whoami if qtype == Rtype::ANY => Outcome::Minimal,
        Kind::Plain | Kind::Whoami | Kind::Origins(_) => return plain(zone, node, qtype),
    };
    Step::End(end)
}

fn plain<'c>(zone: &'c Zone, node: &Node<'c>, qtype: Rtype) -> Step<'c> {
    if let Some(set) = node.set(qtype) {
        return Step::End(Outcome::Records(set));
    }
    match node.set(Rtype::CNAME) {
        Some(set) if qtype == Rtype::ANY => Step::End(Outcome::Records(set)),
        Some(set) => Step::Alias(set),
        None if matches!(qtype, Rtype::A | Rtype::AAAA)
            && let Some(set) = node.set(ALIAS) =>
        {
            Step::Through(zone, set)
        }
        None if qtype == Rtype::ANY && !node.is_empty() => Step::End(Outcome::Minimal),
        None => Step::End(Outcome::NoData(zone)),
    }
}
