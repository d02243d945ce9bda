//! The hot path: one packet in, one answer out. No lock, no waiting; static answers allocate
//! nothing.

use std::net::IpAddr;

use popnet_answer::{
    Filling, Lookup, Outcome, Reply, Service, SiteIndex, lookup, refuse, respond, udp_limit,
};
use popnet_dns::{Envelope, Parsed, Query, Rcode, parse_query};
use popnet_steering::{Choice, View};
use popnet_terms::TargetId;
use popnet_wire::logging::Decision;
use popnet_wire::probing::Need;

use crate::counters::count;
use crate::notes::Notes;
use crate::shared::Shared;
use crate::steer::{Asker, Steered, Story, for_client, for_pop};
use crate::table::{SiteEntry, Table};

/// How a packet came, which says how long its answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// What an answer is made from: taken once a batch.
pub(crate) struct Desk<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) table: &'a Table,
    pub(crate) view: &'a View,
}

impl Desk<'_> {
    /// Answers one packet into `out`; gives the answer's length, 0 for silence.
    pub(crate) fn answer(
        &self,
        packet: &[u8],
        from: IpAddr,
        transport: Transport,
        notes: &mut Notes,
        out: &mut [u8],
    ) -> usize {
        notes.query();
        match parse_query(packet) {
            Parsed::Query(query) => {
                let limit = match transport {
                    Transport::Udp => udp_limit(&query),
                    Transport::Tcp => usize::from(u16::MAX),
                };
                self.answer_query(&query, from, limit, notes, out)
            }
            Parsed::Refuse(refusal) => {
                if refusal.rcode == Rcode::FORMERR {
                    count(&self.shared.counters.malformed);
                }
                refuse(&refusal, out)
            }
            Parsed::Drop(why) => {
                self.shared.counters.drop_packet(why);
                0
            }
        }
    }

    fn answer_query(
        &self,
        query: &Query<'_>,
        from: IpAddr,
        limit: usize,
        notes: &mut Notes,
        out: &mut [u8],
    ) -> usize {
        let found = lookup(&self.table.catalog, query);
        let asker = Asker::of(query, from);
        match found.outcome {
            Outcome::Steered { site, .. } => {
                let answered = self.steer(query, &found, asker, site, limit, out);
                let Some((length, site_entry, steered)) = answered else { return 0 };
                notes.hit(site);
                notes.steered();
                if steered.choice.needs_measurement {
                    notes.need(Need { resolver: from, client: steered.unit });
                }
                let id = self.shared.next_decision();
                if site_entry.is_logged && is_sampled(id, self.table.sample) {
                    let decision = self.tell_steered(query, asker, site_entry, steered, id, notes);
                    notes.decision(site_entry.customer.clone(), decision);
                }
                length
            }
            Outcome::Origin { site, pop, .. } => {
                let Some((site, choice)) = self.choose_origin(site, pop) else { return 0 };
                let services = self.services(&choice);
                let filling = Filling::Services { services: &services, ttl: choice.ttl.0 };
                let length = self.write(query, &found, &filling, 0, limit, out);
                let id = self.shared.next_decision();
                if site.is_logged && is_sampled(id, self.table.sample) {
                    let decision = self.tell_origin(query, asker, site, choice, id, notes);
                    notes.decision(site.customer.clone(), decision);
                }
                length
            }
            Outcome::Whoami => {
                let texts = whoami(&asker, self.shared);
                self.write(query, &found, &Filling::Texts(&texts), 0, limit, out)
            }
            Outcome::Records(_)
            | Outcome::Minimal
            | Outcome::Referral(..)
            | Outcome::NoData(_)
            | Outcome::NxDomain(_)
            | Outcome::Elsewhere
            | Outcome::TooLong
            | Outcome::Endless
            | Outcome::Lacking
            | Outcome::Refused => self.write(query, &found, &Filling::Nothing, 0, limit, out),
        }
    }

    fn write(
        &self,
        query: &Query<'_>,
        found: &Lookup<'_>,
        filling: &Filling<'_>,
        scope: u8,
        limit: usize,
        out: &mut [u8],
    ) -> usize {
        let server = &self.shared.hostname;
        let reply = Reply { limit, scope, server, envelope: Envelope::default() };
        respond(&self.table.catalog, query, found, filling, &reply, out)
    }

    fn steer(
        &self,
        query: &Query<'_>,
        found: &Lookup<'_>,
        asker: Asker,
        site: SiteIndex,
        limit: usize,
        out: &mut [u8],
    ) -> Option<(usize, &SiteEntry, Steered<'_>)> {
        let site = self.table.site(site)?;
        let steered = for_client(self.table, self.view, site, &asker, query.qtype);
        let addresses: Vec<IpAddr> = steered.choice.addresses().collect();
        let ttl = steered.choice.ttl.0;
        let filling = match steered.alias {
            Some(target) => Filling::Alias { target, ttl },
            None if addresses.is_empty() => Filling::Nothing,
            None => Filling::Addresses { addresses: &addresses, ttl },
        };
        let by_subnet = asker.is_by_subnet(&site.answered);
        let scope = if by_subnet { steered.choice.scope } else { 0 };
        let length = self.write(query, found, &filling, scope, limit, out);
        Some((length, site, steered))
    }

    fn choose_origin(&self, site: SiteIndex, pop: u32) -> Option<(&SiteEntry, Choice)> {
        let site = self.table.site(site)?;
        let pop = self.table.catalog.pop(pop)?;
        Some((site, for_pop(self.view, site, pop)))
    }

    fn services(&self, choice: &Choice) -> Vec<Service> {
        let origin = |target: &TargetId| match target {
            TargetId::Origin(origin) => self.table.service(origin).cloned(),
            TargetId::Pop(_) => None,
        };
        choice.targets.iter().filter_map(|chosen| origin(&chosen.target)).collect()
    }

    fn tell_steered(
        &self,
        query: &Query<'_>,
        asker: Asker,
        site: &SiteEntry,
        steered: Steered<'_>,
        id: u64,
        notes: &Notes,
    ) -> Decision {
        let answers = steered.choice.addresses().collect();
        let rules = &site.answered;
        let story = Story { asker, unit: steered.unit, query, site, rules, answers };
        story.tell(self.shared, self.table, id, notes.now, steered.choice)
    }

    fn tell_origin(
        &self,
        query: &Query<'_>,
        asker: Asker,
        site: &SiteEntry,
        choice: Choice,
        id: u64,
        notes: &Notes,
    ) -> Decision {
        let rules = &site.fetched;
        let unit = popnet_terms::client_unit(asker.resolver);
        let answers = choice.addresses().collect();
        let story = Story { asker, unit, query, site, rules, answers };
        story.tell(self.shared, self.table, id, notes.now, choice)
    }

    /// The decision that `query` would get, when it leads to one. The very path of an answer, but
    /// nothing is counted or remembered.
    pub(crate) fn explain(&self, query: &Query<'_>, from: IpAddr, notes: &Notes) -> Explained<'_> {
        let found = lookup(&self.table.catalog, query);
        let asker = Asker::of(query, from);
        let mut out = vec![0; usize::from(u16::MAX)];
        let limit = out.len();
        match found.outcome {
            Outcome::Steered { site, .. } => {
                let steered = self.steer(query, &found, asker, site, limit, &mut out);
                let Some((_, site, steered)) = steered else { return Explained::Silence };
                let decision = self.tell_steered(query, asker, site, steered, 0, notes);
                Explained::Decision(Box::new(decision))
            }
            Outcome::Origin { site, pop, .. } => {
                let Some((site, choice)) = self.choose_origin(site, pop) else {
                    return Explained::Silence;
                };
                let decision = self.tell_origin(query, asker, site, choice, 0, notes);
                Explained::Decision(Box::new(decision))
            }
            Outcome::Records(_)
            | Outcome::Minimal
            | Outcome::Whoami
            | Outcome::Referral(..)
            | Outcome::NoData(_)
            | Outcome::NxDomain(_)
            | Outcome::Elsewhere
            | Outcome::TooLong
            | Outcome::Endless
            | Outcome::Lacking
            | Outcome::Refused => {
                let mut unheard = Notes::at(notes.now);
                let length = self.answer_query(query, from, limit, &mut unheard, &mut out);
                out.truncate(length);
                Explained::Octets(found.outcome, out)
            }
        }
    }
}

/// What a question would lead to.
pub(crate) enum Explained<'t> {
    /// A choice, with everything it rests on.
    Decision(Box<Decision>),
    /// The answer's octets.
    Octets(Outcome<'t>, Vec<u8>),
    /// No answer.
    Silence,
}

/// Whether the decision is among those that are written down. Numbers are scrambled first, so
/// that a share of them is not the first so many.
fn is_sampled(id: u64, threshold: u64) -> bool {
    id.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31) <= threshold
}

fn whoami(asker: &Asker, shared: &Shared) -> Vec<String> {
    let mut texts = vec![format!("resolver {}", asker.resolver)];
    texts.extend(asker.subnet.map(|subnet| format!("client-subnet {subnet}")));
    texts.push(format!("nameserver {}", shared.node));
    texts
}
