//! The hot path: one packet in, one answer out. No lock, no waiting; static answers allocate
//! nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use popnet_answer::{
    Catalog, Filling, Lookup, Outcome, Reply, Service, SiteIndex, lookup, refuse, respond,
    respond_signed,
};
use popnet_config::network::PersistMode;
use popnet_dns::{Envelope, Name, Parsed, Query, Rcode, Rtype, parse_query};
use popnet_guard::Gate;
use popnet_steering::{Choice, Held, Lineup, View};
use popnet_terms::{Because, SiteName, TargetId};
use popnet_wire::logging::Decision;
use popnet_wire::probing::Need;

use crate::counters::count;
use crate::limit::Shield;
use crate::meet::{Form, Welcome};
use crate::memo::{Key, Lineups, Memo};
use crate::notes::Notes;
use crate::ready::Chosen;
use crate::shared::Shared;
use crate::steer::{Asker, Steered, Story, bind, for_pop, for_unit};
use crate::table::{SiteEntry, Table};
use crate::tally::Traits;
use crate::views::ZoneView;

/// How a message came, which says how long its answer may be and what its EDNS part may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
    Tls,
    Https,
    Quic,
}

impl Transport {
    /// Whether nobody on the way can read along: only then padding hides anything.
    pub(crate) fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Https | Self::Quic)
    }

    /// Its word in logs and statistics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Https => "https",
            Self::Quic => "quic",
        }
    }

    /// Whether clients may ask how long an idle connection stays (RFC 7828 3.2, RFC 9250 5.5.2).
    pub(crate) fn keeps_alive(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }
}

/// Both ends of an exchange, and what is between them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    /// Who asks.
    pub(crate) from: SocketAddr,
    /// Where it asks; `None` where a socket has no one address.
    pub(crate) at: Option<SocketAddr>,
    pub(crate) transport: Transport,
}

/// What an answer is made from: taken once a batch.
#[derive(Clone, Copy)]
pub(crate) struct Desk<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) table: &'a Arc<Table>,
    pub(crate) view: &'a View,
    pub(crate) shield: &'a Shield,
    /// The asker's view of our zones; `None`: everybody's.
    seen: Option<&'a ZoneView>,
}

impl<'a> Desk<'a> {
    /// The desk for whoever is in no view.
    pub(crate) fn new(
        shared: &'a Shared,
        table: &'a Arc<Table>,
        view: &'a View,
        shield: &'a Shield,
    ) -> Self {
        Self { shared, table, view, shield, seen: None }
    }

    /// The desk for questions from `from` that were signed with `key`.
    pub(crate) fn facing(&self, from: IpAddr, key: Option<&Name>) -> Self {
        if self.table.views.is_empty() {
            return *self;
        }
        Self { seen: self.table.view_of(from, key), ..*self }
    }

    /// Everything that the asker can see.
    pub(crate) fn catalog(&self) -> &'a Catalog {
        self.seen.map_or(&self.table.catalog, |seen| &seen.catalog)
    }

    /// Who may ask for what of it.
    pub(crate) fn gate(&self) -> &'a Gate {
        self.seen.map_or(&self.shield.gate, ZoneView::gate)
    }

    /// The name of the asker's view.
    pub(crate) fn view_name(&self) -> Option<&'a Arc<str>> {
        self.seen.map(ZoneView::name)
    }

    /// The view's number, 0 for none.
    fn number(&self) -> u16 {
        self.seen.map_or(0, |seen| seen.number)
    }

    /// Whether nothing here asks who is asking, but for the view: then everybody in it gets the
    /// same answer to the same question without a cookie.
    fn is_open(&self) -> bool {
        self.gate().is_open() && self.shield.rates.is_none()
    }

    /// Answers one packet, which nobody signed, into `out`; gives the answer's length, 0 for
    /// silence.
    pub(crate) fn answer(
        &self,
        packet: &[u8],
        ends: &Ends,
        notes: &mut Notes,
        out: &mut [u8],
    ) -> usize {
        let length = self.answer_uncopied(packet, None, ends, notes, out);
        if let Some(tap) = &self.shield.tap {
            notes.copy(tap, packet, ends, out.get(..length).unwrap_or_default());
        }
        length
    }

    /// The same for whoever leaves a copy of its own, of a message that was changed on its way: it
    /// was signed with `key`.
    pub(crate) fn answer_uncopied(
        &self,
        packet: &[u8],
        key: Option<&Name>,
        ends: &Ends,
        notes: &mut Notes,
        out: &mut [u8],
    ) -> usize {
        self.facing(ends.from.ip(), key).reply(packet, ends, notes, out)
    }

    /// Answers at the desk that faces the asker.
    fn reply(&self, packet: &[u8], ends: &Ends, notes: &mut Notes, out: &mut [u8]) -> usize {
        let (from, transport) = (ends.from.ip(), ends.transport);
        notes.query();
        if let Some(length) = self.again(packet, from, transport, notes, out) {
            return length;
        }
        // Looked at where it is: a query is some hundred octets, which nobody needs twice.
        match &parse_query(packet) {
            Parsed::Query(query) => {
                let met = self.meet(query, from, transport, notes.now);
                let length = match met.welcome {
                    Welcome::Asked => {
                        let (length, due) = self.answer_query(query, from, met.form, notes, out);
                        if transport == Transport::Udp {
                            let answer = out.get(..length).unwrap_or_default();
                            self.keep(packet, query, from, &due, notes, answer);
                        }
                        length
                    }
                    Welcome::BadCookie | Welcome::Prohibited => self.turn_away(query, &met, out),
                };
                let sent = self.limit(Some((query, &met)), from, notes.now, length, out);
                // A decision that nobody was told is none. Answers with records are longer than
                // what is left of them when they are cut.
                if sent != length {
                    notes.take_back();
                }
                let said = match met.welcome {
                    Welcome::BadCookie => Some(Rcode::BADCOOKIE),
                    Welcome::Asked | Welcome::Prohibited => None,
                };
                let answer = out.get(..sent).unwrap_or_default();
                notes.tally.count(transport, Traits::of(Some(query), said, answer));
                sent
            }
            Parsed::Refuse(refusal) => {
                if refusal.rcode == Rcode::FORMERR {
                    count(&self.shared.counters.malformed);
                }
                let mut length = refuse(refusal, out);
                if transport == Transport::Udp {
                    length = self.limit(None, from, notes.now, length, out);
                }
                let answer = out.get(..length).unwrap_or_default();
                notes.tally.count(transport, Traits::of(None, Some(refusal.rcode), answer));
                length
            }
            Parsed::Drop(why) => {
                self.shared.counters.drop_packet(*why);
                notes.tally.count(transport, Traits::of(None, None, &[]));
                0
            }
        }
    }

    /// Gives the answer's length, and what is due when it is given again.
    fn answer_query<'q>(
        &'q self,
        query: &'q Query<'q>,
        from: IpAddr,
        form: Form,
        notes: &mut Notes,
        out: &mut [u8],
    ) -> (usize, Due<'q>) {
        let found = lookup(self.catalog(), query);
        let asker = Asker::of(query, from);
        match found.outcome {
            Outcome::Steered { site, .. } => {
                let held = |site: &SiteName, client| self.shared.book.get(site, client);
                let story = self.choose_target(query, asker, site, &held, &mut notes.memo);
                let Some(story) = story else { return (0, Due::Unique) };
                let length = self.write_steered(&story, &found, form, out);
                notes.hit(site, story.unit);
                notes.steered();
                if self.shield.tap.is_some() {
                    notes.names(&story.steered.chosen);
                }
                if let Some(wish) = &story.steered.wish {
                    self.shared.book.wish(wish);
                }
                if story.steered.choice.needs_measurement {
                    let client = asker.measured(story.unit);
                    notes.need(Need { resolver: from, client });
                }
                self.write_down(&story, notes);
                // What is wished for is wished for with each answer, and rows come and go.
                let persist = story.rules.persist.as_ref().map(|persist| persist.mode);
                let is_settled =
                    !story.steered.choice.needs_measurement && persist != Some(PersistMode::Bound);
                (length, if is_settled { Due::Chosen(site, story) } else { Due::Unique })
            }
            Outcome::Origin { site, pop, .. } => {
                let story = self.choose_origin(query, asker, site, pop);
                let Some(story) = story else { return (0, Due::Unique) };
                let choice = &story.steered.choice;
                let services = self.services(choice);
                let filling = Filling::Services { services: &services, ttl: choice.ttl.0 };
                let length = self.write(query, &found, &filling, 0, form, out);
                self.write_down(&story, notes);
                (length, Due::Unique)
            }
            Outcome::Whoami => {
                let texts = whoami(&asker, self.shared);
                let texts = Filling::Texts(&texts);
                (self.write(query, &found, &texts, 0, form, out), Due::Unique)
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
            | Outcome::Refused => {
                (self.write(query, &found, &Filling::Nothing, 0, form, out), Due::Nothing)
            }
        }
    }

    /// The answer that the very same question got before, when it is ready.
    fn again(
        &self,
        packet: &[u8],
        from: IpAddr,
        transport: Transport,
        notes: &mut Notes,
        out: &mut [u8],
    ) -> Option<usize> {
        if transport != Transport::Udp || !self.is_open() {
            return None;
        }
        notes.ready.follow(self.table);
        let (answer, traits, chosen) =
            notes.ready.find(packet, self.number(), from, self.view.generation)?;
        let (number, rest) = out.split_first_chunk_mut::<2>()?;
        *number = *packet.first_chunk()?;
        rest.get_mut(..answer.len())?.copy_from_slice(answer);
        let length = 2 + answer.len();
        notes.tally.count(transport, traits);
        notes.tally.count_ready();
        if let Some(Chosen { client, site, story, targets, .. }) = chosen {
            let (client, site, story) = (*client, *site, story.clone());
            let targets = self.shield.tap.as_ref().map(|_| Arc::clone(targets));
            notes.hit(site, client);
            notes.steered();
            if let Some(targets) = &targets {
                notes.names(targets);
            }
            let id = notes.number(self.shared);
            if let Some((customer, decision)) = story.filter(|_| is_sampled(id, self.table.sample))
            {
                let now = notes.now;
                notes.decision(customer, Decision { id, ts: now, resolver: from, ..decision });
            }
        }
        Some(length)
    }

    /// Keeps an answer for the same question, when nothing else went into it. Signatures end, and
    /// cookies are of a time and an address.
    fn keep(
        &self,
        packet: &[u8],
        query: &Query<'_>,
        from: IpAddr,
        due: &Due<'_>,
        notes: &mut Notes,
        answer: &[u8],
    ) {
        let edns = query.edns.as_ref();
        let has_cookie = edns.is_some_and(|edns| edns.cookie.is_some());
        if answer.is_empty() || !self.is_open() || has_cookie {
            return;
        }
        let unit = match due {
            Due::Unique => return,
            Due::Nothing => None,
            Due::Chosen(..) => Some(from),
        };
        if !notes.ready.is_wanted(packet, self.number(), unit) {
            return;
        }
        let mut zones = self.catalog().zones().iter();
        if edns.is_some_and(|edns| edns.dnssec_ok) && zones.any(|zone| zone.image().is_signed()) {
            return;
        }
        let chosen = match due {
            Due::Chosen(site, story) => {
                let told = story.site.is_logged.then(|| {
                    let decision = story.tell(self.shared, self.table, 0, notes.now);
                    (story.site.customer.clone(), decision)
                });
                let targets = Arc::clone(&story.steered.chosen);
                Some(Chosen::new(from, story.unit, self.view.generation, *site, targets, told))
            }
            Due::Unique | Due::Nothing => None,
        };
        let traits = Traits::of(Some(query), None, answer);
        notes.ready.keep(packet, self.number(), from, (answer, traits), chosen);
    }

    fn write(
        &self,
        query: &Query<'_>,
        found: &Lookup<'_>,
        filling: &Filling<'_>,
        scope: u8,
        form: Form,
        out: &mut [u8],
    ) -> usize {
        let server = &self.shared.hostname;
        let Form { now, limit, envelope } = form;
        let reply = Reply { limit, scope, server, envelope };
        let catalog = self.catalog();
        if !query.edns.is_some_and(|edns| edns.dnssec_ok) {
            return respond(catalog, query, found, filling, &reply, out);
        }
        let ttl_max = match found.outcome {
            Outcome::Steered { site, .. } => self.table.site(site).map(|s| s.answered.ttl_max),
            Outcome::Origin { site, .. } => self.table.site(site).map(|s| s.fetched.ttl_max),
            Outcome::Records(_)
            | Outcome::Whoami
            | Outcome::Minimal
            | Outcome::Referral(..)
            | Outcome::NoData(_)
            | Outcome::NxDomain(_)
            | Outcome::Elsewhere
            | Outcome::TooLong
            | Outcome::Endless
            | Outcome::Lacking
            | Outcome::Refused => None,
        };
        let online = self.shared.signing.online();
        let signer = online.at(now, ttl_max.map_or(0, |ttl| ttl.0), self.seen);
        respond_signed(catalog, query, found, filling, (&reply, Some(&signer)), out)
    }

    fn choose_target<'q>(
        &'q self,
        query: &'q Query<'q>,
        asker: Asker,
        index: SiteIndex,
        held: &WhoIsBound<'_>,
        memo: &mut Memo,
    ) -> Option<Story<'q>> {
        let site = self.table.site(index)?;
        let rules = &*site.answered;
        let (unit, qtype) = (asker.unit(rules), query.qtype);
        let (table, view) = (self.table.number, self.view.generation);
        let key = Key { table, view, site: index, unit, qtype };
        let steered = match asker.bound(rules) {
            None => memo.get(key, |lineups| {
                let lineup = self.lineup(lineups, index, site);
                for_unit(self.table, self.view, (site, lineup), unit, qtype, None)
            }),
            Some(client) if client == unit => memo.get(key, |lineups| {
                let lineup = self.lineup(lineups, index, site);
                self.choose_bound((site, lineup), unit, qtype, client, held)
            }),
            // Who is bound is not who the key is about.
            Some(client) => {
                let lineup = self.lineup(&mut memo.lineups, index, site);
                Arc::new(self.choose_bound((site, lineup), unit, qtype, client, held))
            }
        };
        site.resort.note(&steered.choice, self.view.at);
        Some(Story { asker, unit, query, site, rules, steered })
    }

    fn lineup<'l>(
        &self,
        lineups: &'l mut Lineups,
        index: SiteIndex,
        site: &SiteEntry,
    ) -> &'l Lineup {
        let of = (self.table.number, self.view.generation);
        lineups.get(of, index, || Lineup::new(self.view, &site.answered))
    }

    fn choose_bound(
        &self,
        (site, lineup): (&SiteEntry, &Lineup),
        unit: IpNet,
        qtype: Rtype,
        client: IpNet,
        held: &WhoIsBound<'_>,
    ) -> Steered {
        let held = held(&site.name, client);
        let site_now = (site, lineup);
        let steered = for_unit(self.table, self.view, site_now, unit, qtype, held.as_ref());
        bind(steered, site, client, held.as_ref())
    }

    fn write_steered(
        &self,
        story: &Story<'_>,
        found: &Lookup<'_>,
        form: Form,
        out: &mut [u8],
    ) -> usize {
        let Story { asker, query, rules, steered, .. } = story;
        let ttl = steered.choice.ttl.0;
        let filling = match &steered.alias {
            Some(target) => Filling::Alias { target, ttl },
            None if steered.addresses.is_empty() => unfilled(&steered.choice),
            None => Filling::Addresses { addresses: &steered.addresses, ttl },
        };
        let scope = if asker.is_by_subnet(rules) { steered.choice.scope } else { 0 };
        self.write(query, found, &filling, scope, form, out)
    }

    fn choose_origin<'q>(
        &'q self,
        query: &'q Query<'q>,
        asker: Asker,
        site: SiteIndex,
        pop: u32,
    ) -> Option<Story<'q>> {
        let site = self.table.site(site)?;
        let pop = self.catalog().pop(pop)?;
        let unit = popnet_terms::client_unit(asker.resolver);
        let steered = Arc::new(for_pop(self.view, site, pop));
        site.resort.note(&steered.choice, self.view.at);
        Some(Story { asker, unit, query, site, rules: &site.fetched, steered })
    }

    fn services(&self, choice: &Choice) -> Vec<Service> {
        let origin = |target: &TargetId| match target {
            TargetId::Origin(origin) => self.table.service(origin).cloned(),
            TargetId::Pop(_) => None,
        };
        choice.targets.iter().filter_map(|chosen| origin(&chosen.target)).collect()
    }

    /// Notes a decision down, when it is one of those that are.
    fn write_down(&self, story: &Story<'_>, notes: &mut Notes) {
        let id = notes.number(self.shared);
        if story.site.is_logged && is_sampled(id, self.table.sample) {
            let decision = story.tell(self.shared, self.table, id, notes.now);
            notes.decision(story.site.customer.clone(), decision);
        }
    }

    /// The decision that `query` would get, when it leads to one and clients are bound as `held`
    /// says. The very path of an answer, but nothing is counted or remembered.
    pub(crate) fn explain<'q>(
        &'q self,
        query: &'q Query<'q>,
        from: IpAddr,
        held: &WhoIsBound<'_>,
        notes: &Notes,
    ) -> Explained<'q> {
        if !self.gate().admits(from, query.qname.as_wire()) {
            return Explained::Prohibited;
        }
        let found = lookup(self.catalog(), query);
        let asker = Asker::of(query, from);
        let mut out = vec![0; usize::from(u16::MAX)];
        let form = Form { now: notes.now, limit: out.len(), envelope: Envelope::default() };
        match found.outcome {
            Outcome::Steered { site, .. } => {
                let mut memo = Memo::default();
                match self.choose_target(query, asker, site, held, &mut memo) {
                    Some(story) => Explained::Choice(Box::new(story)),
                    None => Explained::Silence,
                }
            }
            Outcome::Origin { site, pop, .. } => {
                match self.choose_origin(query, asker, site, pop) {
                    Some(story) => Explained::Choice(Box::new(story)),
                    None => Explained::Silence,
                }
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
                let (length, _) = self.answer_query(query, from, form, &mut unheard, &mut out);
                out.truncate(length);
                Explained::Octets(found.outcome, out)
            }
        }
    }
}

/// Whom a site's client is bound to.
pub(crate) type WhoIsBound<'a> = dyn Fn(&SiteName, IpNet) -> Option<Held> + 'a;

/// What is due whenever an answer is given again.
enum Due<'q> {
    /// It is not: it holds for this one question only.
    Unique,
    /// Nothing: everybody gets it.
    Nothing,
    /// It was chosen for the unit of one resolver: counted, and written down.
    Chosen(SiteIndex, Story<'q>),
}

/// What a question would lead to.
pub(crate) enum Explained<'t> {
    /// A choice, with everything it rests on.
    Choice(Box<Story<'t>>),
    /// The answer's octets.
    Octets(Outcome<'t>, Vec<u8>),
    /// Not for this asker.
    Prohibited,
    /// No answer.
    Silence,
}

/// Whether the decision is among those that are written down. Numbers are scrambled first, so
/// that a share of them is not the first so many.
fn is_sampled(id: u64, threshold: u64) -> bool {
    id.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31) <= threshold
}

/// What is said where nothing was chosen.
fn unfilled(choice: &Choice) -> Filling<'static> {
    if choice.because == Because::LeftEmpty {
        Filling::Empty
    } else if choice.because == Because::LeftRefused {
        Filling::Failure
    } else {
        Filling::Nothing
    }
}

fn whoami(asker: &Asker, shared: &Shared) -> Vec<String> {
    let mut texts = vec![format!("resolver {}", asker.resolver)];
    texts.extend(asker.subnet.map(|subnet| format!("client-subnet {subnet}")));
    texts.push(format!("nameserver {}", shared.node));
    texts
}
