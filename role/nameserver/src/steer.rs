//! From a steered question to a choice, and from the choice to what is answered and written down.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use popnet_config::network::{PersistBy, PersistMode};
use popnet_dns::{Name, Query, Rtype};
use popnet_steering::{
    Choice, Client, Family, Held, Lineup, Pick, Question, SiteRules, View, choose,
};
use popnet_terms::{Because, PopId, Removed, Seconds, TargetId, TtlBecause, client_unit};
use popnet_wire::logging::Decision;

use crate::bindings::{HOLD, Wish};
use crate::shared::Shared;
use crate::table::{SiteEntry, Table};

/// Who asks, as far as it matters to a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) resolver: IpAddr,
    /// The client subnet of the query.
    pub(crate) subnet: Option<IpNet>,
}

impl Asker {
    pub(crate) fn of(query: &Query<'_>, resolver: IpAddr) -> Self {
        let subnet = query.edns.and_then(|edns| edns.client_subnet?.net());
        // RFC 7871 7.1.2: a source of no length says nothing of the client, and is there to say so.
        let subnet = subnet.filter(|subnet| subnet.prefix_len() > 0);
        Self { resolver, subnet }
    }

    /// The unit that speaks for the client: of the client subnet where the rules let it count,
    /// else of the resolver (N9). A subnet wider than a unit is answered as its first one is, and
    /// the scope says for how little that is right (RFC 7871 7.2.1; ADR 16).
    pub(crate) fn unit(&self, rules: &SiteRules) -> IpNet {
        match self.subnet {
            Some(subnet) if rules.believes(self.resolver) => client_unit(subnet.addr()),
            Some(_) | None => client_unit(self.resolver),
        }
    }

    /// The unit that a round trip to the resolver is kept for, when `unit` was asked for: that one
    /// only where the resolver is a part of it. Else whoever sends a subnet of others would say how
    /// far these are.
    pub(crate) fn measured(&self, unit: IpNet) -> IpNet {
        if unit.contains(&self.resolver) { unit } else { client_unit(self.resolver) }
    }

    /// The client that is bound where the site binds clients: the unit that counts, or the
    /// resolver's own where the configuration says so.
    pub(crate) fn bound(&self, rules: &SiteRules) -> Option<IpNet> {
        let persist = rules.persist.as_ref().filter(|p| p.mode == PersistMode::Bound)?;
        Some(match persist.by {
            Some(PersistBy::Resolver) => client_unit(self.resolver),
            Some(PersistBy::Subnet) | None => self.unit(rules),
        })
    }

    /// Whether the client subnet was what counted: only then has an answer a scope.
    pub(crate) fn is_by_subnet(&self, rules: &SiteRules) -> bool {
        self.subnet.is_some() && rules.believes(self.resolver)
    }
}

/// A choice and how it was come by.
#[derive(Debug)]
pub(crate) struct Steered {
    pub(crate) choice: Choice,
    /// Its addresses, best first.
    pub(crate) addresses: Arc<[IpAddr]>,
    /// Its targets, best first.
    pub(crate) chosen: Arc<[TargetId]>,
    /// The name to answer where what was chosen has no address in the configuration.
    pub(crate) alias: Option<Name>,
    /// The client is to be bound to what was chosen.
    pub(crate) wish: Option<Wish>,
}

impl Steered {
    fn new(choice: Choice, alias: Option<Name>) -> Self {
        let addresses = choice.addresses().collect();
        let chosen = choice.targets.iter().map(|chosen| chosen.target.clone()).collect();
        Self { choice, addresses, chosen, alias, wish: None }
    }
}

/// Which addresses a question for `qtype` is about.
pub(crate) fn family_of(qtype: Rtype) -> Family {
    if qtype == Rtype::AAAA { Family::V6 } else { Family::V4 }
}

/// Chooses addresses for the clients of `unit`; the line-up is that of the site under `view`.
pub(crate) fn for_unit(
    table: &Table,
    view: &View,
    (site, lineup): (&SiteEntry, &Lineup),
    unit: IpNet,
    qtype: Rtype,
    held: Option<&Held>,
) -> Steered {
    if matches!(qtype, Rtype::SVCB | Rtype::HTTPS) {
        return for_hints(table, view, (site, lineup), unit, held);
    }
    let family = family_of(qtype);
    let bound = held.map(|held| held.target.clone());
    let question = |family| Question { client: Client::Unit(unit), family, bound: bound.clone() };
    let choice = lineup.choose(view, &site.answered, &question(family));
    if !choice.targets.is_empty() {
        let alias = alias(table, &choice);
        return Steered::new(choice, alias);
    }
    // Nothing has such an address; but a server that is configured by name may have one.
    let any = lineup.choose(view, &site.answered, &question(Family::Any));
    match alias(table, &any) {
        Some(host) => Steered::new(any, Some(host)),
        None => Steered::new(choice, None),
    }
}

/// The name of what was chosen, where it has no address in the configuration.
fn alias(table: &Table, choice: &Choice) -> Option<Name> {
    let first = choice.targets.first().filter(|chosen| chosen.addresses.is_empty())?;
    host(table, &first.target).cloned()
}

/// Chooses the addresses in a service record: those that the same clients get for A and AAAA.
fn for_hints(
    table: &Table,
    view: &View,
    site: (&SiteEntry, &Lineup),
    unit: IpNet,
    held: Option<&Held>,
) -> Steered {
    let four = for_unit(table, view, site, unit, Rtype::A, held);
    let six = for_unit(table, view, site, unit, Rtype::AAAA, held);
    // What is known by name only is answered as a CNAME, whatever the type.
    let of_six = six.alias.is_none() && four.alias.is_none();
    let more = six.addresses.iter().filter(|_| of_six);
    let addresses = four.addresses.iter().chain(more).copied().collect();
    // Both families stand in one answer, which is right for as few as either is.
    let narrower = if six.choice.scope > four.choice.scope { &six } else { &four };
    let (scope, scope_because) = (narrower.choice.scope, narrower.choice.scope_because);
    let base = if four.choice.targets.is_empty() { six } else { four };
    let pick = Pick { scope, scope_because, ..base.choice.pick };
    let choice = Choice { pick, ..base.choice };
    Steered { addresses, choice, ..base }
}

/// `steered` as it is for `client`, whom the site binds: a bound one is told for no longer than it
/// is bound, and one that is not, or whose target cannot be kept, is to be bound to what it got.
pub(crate) fn bind(
    mut steered: Steered,
    site: &SiteEntry,
    client: IpNet,
    held: Option<&Held>,
) -> Steered {
    let Some(chosen) = steered.chosen.first() else { return steered };
    if let Some(held) = held.filter(|held| held.target == *chosen) {
        let left = Seconds(held.left.0.max(1));
        if left < steered.choice.ttl {
            let pick = &mut steered.choice.pick;
            (pick.ttl, pick.ttl_because) = (left, TtlBecause::BindingEnds);
        }
        return steered;
    }
    // For the other family only: whoever is asked for the first again must find it.
    let lacks_family = held.is_some_and(|held| {
        let candidate = steered.choice.candidates.iter().find(|c| c.target == held.target);
        let removed = candidate.and_then(|candidate| candidate.removed.as_ref());
        removed.is_some_and(|removal| removal.reason == Removed::NoAddressOfFamily)
    });
    // What is only better than nothing binds nobody.
    let is_sound = matches!(
        steered.choice.because,
        Because::BestScore | Because::TieWithin | Because::OnlyCandidate | Because::ShedTo
    );
    if is_sound && !lacks_family {
        let rules = &site.answered;
        let hold = rules.persist.as_ref().and_then(|persist| persist.hold);
        steered.wish = Some(Wish {
            site: site.name.clone(),
            client,
            target: chosen.clone(),
            round: held.map_or(0, |held| held.round.saturating_add(1)),
            hold: hold.map_or(HOLD, |hold| hold.duration()),
        });
    }
    steered
}

fn host<'t>(table: &'t Table, target: &TargetId) -> Option<&'t Name> {
    match target {
        TargetId::Origin(origin) => table.host(origin),
        TargetId::Pop(_) => None,
    }
}

/// Chooses origins for a POP (W3).
pub(crate) fn for_pop(view: &View, site: &SiteEntry, pop: &PopId) -> Steered {
    let client = Client::Pop(pop.clone());
    let question = Question { client, family: Family::Any, bound: None };
    Steered::new(choose(view, &site.fetched, &question), None)
}

/// A choice's place in the log.
pub(crate) struct Story<'a> {
    pub(crate) asker: Asker,
    pub(crate) unit: IpNet,
    pub(crate) query: &'a Query<'a>,
    pub(crate) site: &'a SiteEntry,
    pub(crate) rules: &'a SiteRules,
    pub(crate) steered: Arc<Steered>,
}

impl Story<'_> {
    /// The decision as it is written down.
    pub(crate) fn tell(
        &self,
        shared: &Shared,
        table: &Table,
        id: u64,
        now: popnet_terms::Timestamp,
    ) -> Decision {
        let choice = &self.steered.choice;
        Decision {
            id,
            ts: now,
            ns: shared.node.clone(),
            config: table.epoch,
            resolver: self.asker.resolver,
            ecs: self.asker.subnet,
            client: self.unit,
            qname: self.query.qname.to_host(),
            qtype: self.query.qtype.to_int(),
            site: self.site.name.clone(),
            policy: self.rules.policy.clone(),
            answers: Arc::clone(&self.steered.addresses),
            ttl: if choice.targets.is_empty() { Seconds(0) } else { choice.ttl },
            chosen: Arc::clone(&self.steered.chosen),
            because: choice.because,
            margin: choice.margin,
            candidates: Arc::clone(&choice.candidates),
        }
    }
}
