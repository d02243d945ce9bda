//! From what was found to the octets of a response.

use std::net::IpAddr;

use popnet_dns::{
    EdnsReply, Envelope, Full, Name, Owner, Query, Rcode, Refusal, Rtype, Section, UDP_SIZE,
    Writer, suffixes,
};

use crate::catalog::{Catalog, Zone};
use crate::hints;
use crate::image::{Entry, RrSet};
use crate::lookup::{Lookup, Outcome, Spot, Step, Walk};
use crate::network::srv_rdata;
use crate::proof::{Made, Proved, Sign};

/// HINFO "RFC8482" "" (RFC 8482 4.2), and how long it may be kept.
const HINFO: &[u8] = b"\x07RFC8482\0";
const HINFO_TTL: u32 = 3_600;

/// Most addresses in an answer: it is signed as one piece, and no policy asks for so many.
const ADDRESSES_MAX: usize = 64;

/// Records among which the same target is looked for: large RRsets shall not cost more than that.
const TARGETS_SEEN: usize = 32;

/// RFC 8914 4.1: aliases without end have no code of their own.
const OTHER: u16 = 0;
/// RFC 8914 4.21.
const NOT_AUTHORITATIVE: u16 = 20;
/// RFC 8914 4.25: the zone is ours, but has expired.
const INVALID_DATA: u16 = 24;

/// What the catalog does not hold: chosen for this question.
#[derive(Clone, Copy, Debug)]
pub enum Filling<'a> {
    /// Nothing was chosen. A steered name then shows its zone's own records, if it has any.
    Nothing,
    /// To [`Outcome::Steered`]: no address, whatever records the zone has.
    Empty,
    /// To [`Outcome::Steered`]: no answer. The resolver may try another server.
    Failure,
    /// To [`Outcome::Steered`].
    Addresses {
        /// Best first; those of the other family are left out.
        addresses: &'a [IpAddr],
        /// Seconds.
        ttl: u32,
    },
    /// To [`Outcome::Steered`], where what was chosen is known by name only.
    Alias {
        /// Its name.
        target: &'a Name,
        /// Seconds.
        ttl: u32,
    },
    /// To [`Outcome::Origin`].
    Services {
        /// Best first.
        services: &'a [Service],
        /// Seconds.
        ttl: u32,
    },
    /// To [`Outcome::Whoami`].
    Texts(&'a [String]),
}

/// One service of an SRV answer; its priority is its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Host.
    pub target: Name,
    /// Port.
    pub port: u16,
}

/// How the response is sent.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// Most octets.
    pub limit: usize,
    /// For which client prefix length the answer holds (RFC 7871): only steered answers have one.
    pub scope: u8,
    /// This server's name, for those who ask (RFC 5001).
    pub server: &'a str,
    /// What the way of the query puts into EDNS, whatever the answer is.
    pub envelope: Envelope,
}

/// The largest datagram that may answer `query`.
#[must_use]
pub fn udp_limit(query: &Query<'_>) -> usize {
    query.edns.map_or(512, |edns| usize::from(edns.udp_size.clamp(512, UDP_SIZE)))
}

/// Writes the answer to `query` into `out`, which must hold `reply.limit` octets; gives its length.
#[must_use]
pub fn respond(
    catalog: &Catalog,
    query: &Query<'_>,
    lookup: &Lookup<'_>,
    filling: &Filling<'_>,
    reply: &Reply<'_>,
    out: &mut [u8],
) -> usize {
    respond_signed(catalog, query, lookup, filling, (reply, None), out)
}

/// The same where `signer` signs what is made for this answer, in zones whose keys it has.
#[must_use]
pub fn respond_signed(
    catalog: &Catalog,
    query: &Query<'_>,
    lookup: &Lookup<'_>,
    filling: &Filling<'_>,
    (reply, signer): (&Reply<'_>, Option<&dyn Sign>),
    out: &mut [u8],
) -> usize {
    let steered = matches!(lookup.outcome, Outcome::Steered { .. });
    let scope = if steered { reply.scope } else { 0 };
    let edns = query.edns.map(|asked| EdnsReply {
        dnssec_ok: asked.dnssec_ok,
        compact_ok: asked.compact_ok,
        client_subnet: asked.client_subnet.map(|subnet| (subnet, scope)),
        nsid: asked.nsid.then_some(reply.server),
        extended_error: extended_error(&lookup.outcome),
        envelope: reply.envelope,
    });
    let writer = Writer::start(out, reply.limit, query.id, query.flags, query.question, edns);
    let dnssec_ok = query.edns.is_some_and(|asked| asked.dnssec_ok);
    let proved = Proved::default();
    let is_own = lookup.aliases == 0 && !lookup.is_borrowed;
    let compact_ok = query.edns.is_some_and(|asked| asked.compact_ok);
    let (asked, absent) = (query.qtype, None);
    let mut pen =
        Pen { catalog, writer, asked, dnssec_ok, compact_ok, signer, proved, absent, is_own };
    if pen.answer(query, lookup, filling).is_err() {
        pen.writer.truncate(query.question);
    }
    pen.writer.finish()
}

/// The code of an answer that has nothing but a code.
fn failure(outcome: &Outcome<'_>, filling: &Filling<'_>) -> Option<Rcode> {
    match outcome {
        Outcome::Steered { .. } => matches!(filling, Filling::Failure).then_some(Rcode::SERVFAIL),
        Outcome::TooLong => Some(Rcode::YXDOMAIN),
        Outcome::Endless | Outcome::Lacking => Some(Rcode::SERVFAIL),
        Outcome::Refused => Some(Rcode::REFUSED),
        Outcome::Records(_)
        | Outcome::Origin { .. }
        | Outcome::Whoami
        | Outcome::Minimal
        | Outcome::Referral(..)
        | Outcome::NoData(_)
        | Outcome::NxDomain(_)
        | Outcome::Elsewhere => None,
    }
}

/// What helps the asker to understand why (RFC 8914).
fn extended_error(outcome: &Outcome<'_>) -> Option<u16> {
    match outcome {
        Outcome::Refused => Some(NOT_AUTHORITATIVE),
        Outcome::Lacking => Some(INVALID_DATA),
        Outcome::Endless => Some(OTHER),
        Outcome::Records(_)
        | Outcome::Steered { .. }
        | Outcome::Origin { .. }
        | Outcome::Whoami
        | Outcome::Minimal
        | Outcome::Referral(..)
        | Outcome::NoData(_)
        | Outcome::NxDomain(_)
        | Outcome::Elsewhere
        | Outcome::TooLong => None,
    }
}

/// Writes a refusal into `out`; gives its length.
#[must_use]
pub fn refuse(refusal: &Refusal<'_>, out: &mut [u8]) -> usize {
    let extended_error = refusal.extended_error;
    let edns = refusal.edns.then(|| EdnsReply { extended_error, ..EdnsReply::default() });
    let mut writer = Writer::start(out, 512, refusal.id, refusal.flags, refusal.question, edns);
    writer.rcode(refusal.rcode);
    writer.finish()
}

pub(crate) struct Pen<'c, 'b> {
    catalog: &'c Catalog,
    pub(crate) writer: Writer<'b>,
    /// The type of the question.
    pub(crate) asked: Rtype,
    /// The asker takes signatures and proofs (RFC 3225 3).
    pub(crate) dnssec_ok: bool,
    /// The asker takes NXDOMAIN beside a compact denial (RFC 9824 5.1).
    compact_ok: bool,
    pub(crate) signer: Option<&'b dyn Sign>,
    pub(crate) proved: Proved<'c>,
    /// The type that is not there, where that is the answer.
    pub(crate) absent: Option<Rtype>,
    /// No alias was followed: the answer is about the question's own name.
    is_own: bool,
}

impl<'c> Pen<'c, '_> {
    fn answer(
        &mut self,
        query: &Query<'_>,
        lookup: &Lookup<'c>,
        filling: &Filling<'_>,
    ) -> Result<(), Full> {
        let qtype = query.qtype;
        let is_referred = matches!(lookup.outcome, Outcome::Referral(..)) && lookup.aliases == 0;
        let is_unchosen = matches!(lookup.outcome, Outcome::Steered { .. })
            && matches!(filling, Filling::Failure);
        let is_refused =
            is_unchosen || matches!(lookup.outcome, Outcome::Refused | Outcome::Lacking);
        if !is_referred && !is_refused {
            self.writer.authoritative();
        }
        let mut walk = Walk::new(self.catalog, query);
        for before in 0..lookup.aliases {
            self.alias(&mut walk, Walk::new(self.catalog, query), before)?;
        }
        let place = Place { owner: owner(&walk), name: walk.name(), spot: lookup.spot };
        let (first, aliases) = (Walk::new(self.catalog, query), lookup.aliases);
        if let Some(code) = failure(&lookup.outcome, filling) {
            self.writer.rcode(code);
        }
        match lookup.outcome {
            Outcome::Records(set) if lookup.is_borrowed => {
                self.borrowed(&place, set)?;
                self.prove_aliases(first, aliases)
            }
            Outcome::Records(set) => {
                self.asked(&place, set)?;
                self.prove_aliases(first, aliases)?;
                self.prove_answer(&place)?;
                self.additional(set, None)
            }
            Outcome::Steered { .. } if matches!(filling, Filling::Failure) => Ok(()),
            Outcome::Steered { fallback, zone, .. } => {
                self.steered(&place, qtype, fallback, zone, filling)?;
                self.prove_aliases(first, aliases)
            }
            Outcome::Origin { zone, .. } => {
                self.services(&place, zone, filling)?;
                self.prove_aliases(first, aliases)
            }
            Outcome::Whoami => self.texts(&place, filling),
            Outcome::Minimal => {
                self.minimal(&place)?;
                self.prove_aliases(first, aliases)
            }
            Outcome::Referral(zone, cut) => {
                self.prove_aliases(first, aliases)?;
                self.referral(zone, cut)
            }
            Outcome::NoData(zone) => {
                self.negative(zone)?;
                self.prove_aliases(first, aliases)?;
                self.absent = Some(qtype);
                self.prove_no_type(&place, zone)
            }
            Outcome::NxDomain(zone) => {
                if self.compact_ok || !self.is_compact(zone) {
                    self.writer.rcode(Rcode::NXDOMAIN);
                }
                self.negative(zone)?;
                self.prove_aliases(first, aliases)?;
                place.spot.map_or(Ok(()), |spot| self.prove_missing(&spot, place.name))
            }
            Outcome::Elsewhere => self.prove_aliases(first, aliases),
            Outcome::TooLong | Outcome::Endless | Outcome::Lacking | Outcome::Refused => Ok(()),
        }
    }

    /// Writes one alias and goes to where it leads. `first` has the `before` aliases ahead of it
    /// that are written already.
    fn alias(
        &mut self,
        walk: &mut Walk<'c, '_>,
        first: Walk<'c, '_>,
        before: u8,
    ) -> Result<(), Full> {
        let (step, spot) = walk.step();
        match step {
            Step::End(_) | Step::Through(..) => Ok(()),
            Step::Alias(set) => {
                self.found(&Place { owner: owner(walk), name: walk.name(), spot }, set)?;
                walk.follow(set);
                Ok(())
            }
            Step::Renamed { suffix, set } => {
                let name = walk.name();
                let dname = name.get(name.len().saturating_sub(suffix)..).unwrap_or_default();
                // One DNAME may rename twice; an RRset is shown once (RFC 2181 5).
                if !first.passes(before, dname) {
                    self.set(Section::Answer, Owner::Name(dname), set)?;
                }
                let from = walk.moved().copied();
                if walk.rename(suffix, set).is_none() {
                    return Ok(());
                }
                let from =
                    from.as_ref().map_or(Owner::Question, |from| Owner::Name(from.as_wire()));
                // RFC 6672 3.1: the made CNAME has the DNAME's TTL.
                self.writer.record(Section::Answer, from, Rtype::CNAME, set.ttl, walk.name())
            }
        }
    }

    /// An RRset and, for those who take them, its signatures.
    pub(crate) fn set(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        set: RrSet<'_>,
    ) -> Result<(), Full> {
        for rdata in set.records() {
            self.writer.record(section, owner, set.rtype, set.ttl, rdata)?;
        }
        self.signatures(section, owner, set, set.ttl)
    }

    /// An RRset of the zone as an answer: what a wildcard gives is the name's own where nothing
    /// else could be proven (RFC 9824 3.3).
    fn found(&mut self, place: &Place<'c, '_>, set: RrSet<'_>) -> Result<(), Full> {
        match place.spot.filter(|spot| spot.by_wildcard && self.is_compact(spot.zone)) {
            Some(spot) => self.expanded(spot.zone, place.owner, place.name, set),
            None => self.set(Section::Answer, place.owner, set),
        }
    }

    /// What a wildcard answered needs a proof that the name itself does not exist.
    fn prove_answer(&mut self, place: &Place<'c, '_>) -> Result<(), Full> {
        let spot = place.spot.filter(|spot| spot.by_wildcard);
        spot.map_or(Ok(()), |spot| self.prove_expanded(&spot, place.name))
    }

    fn prove_no_type(&mut self, place: &Place<'c, '_>, zone: &'c Zone) -> Result<(), Full> {
        match place.spot {
            // Below the origins of a POP names exist that stand nowhere.
            Some(spot) if spot.encloser.is_some() && !spot.by_wildcard => {
                self.prove_service(zone, place.name)
            }
            Some(spot) => self.prove_no_data(&spot, place.name),
            None => Ok(()),
        }
    }

    /// ANY (RFC 8482): one of the name's RRsets where signatures are wanted (4.1), which has one;
    /// else a record that is nowhere (4.2).
    fn minimal(&mut self, place: &Place<'c, '_>) -> Result<(), Full> {
        if let Some(spot) = place.spot.filter(|spot| self.is_secure(spot.zone)) {
            let set = spot.node(place.name).and_then(|node| node.some_set());
            if let Some(set) = set {
                self.found(place, set)?;
                return self.prove_answer(place);
            }
            self.writer.record(Section::Answer, place.owner, Rtype::HINFO, HINFO_TTL, HINFO)?;
            return self.sign_at(place, spot.zone, Rtype::HINFO, HINFO_TTL, &[HINFO]);
        }
        self.writer.record(Section::Answer, place.owner, Rtype::HINFO, HINFO_TTL, HINFO)
    }

    /// Signs what was made for the name, or for the wildcard that stands in for it.
    fn sign_at(
        &mut self,
        place: &Place<'c, '_>,
        zone: &'c Zone,
        rtype: Rtype,
        ttl: u32,
        records: &[&[u8]],
    ) -> Result<(), Full> {
        if !self.is_secure(zone) {
            return Ok(());
        }
        let star = place.spot.filter(|_| !self.is_compact(zone));
        let star = star.and_then(|spot| spot.star(place.name));
        let made = Made {
            apex: zone.image.apex().as_wire(),
            owner: star.as_ref().map_or(place.name, popnet_dns::QName::as_wire),
            rtype,
            ttl,
            records,
            is_chosen: matches!(
                rtype,
                Rtype::A | Rtype::AAAA | Rtype::CNAME | Rtype::SRV | Rtype::SVCB | Rtype::HTTPS
            ),
            is_kept: ttl > 0,
        };
        self.sign(zone, Section::Answer, place.owner, &made)?;
        self.prove_answer(place)
    }

    /// An RRset that was asked for. Signatures are kept apart by what they cover, but are one
    /// RRset to those who ask for them.
    fn asked(&mut self, place: &Place<'c, '_>, set: RrSet<'_>) -> Result<(), Full> {
        let mut rest = Some(set);
        while let Some(set) = rest {
            self.found(place, set)?;
            rest = set.more_signatures().filter(|_| set.rtype == Rtype::RRSIG);
        }
        Ok(())
    }

    /// Addresses of the names in `set`. Inside the cut `glue` they must fit (RFC 9471), elsewhere
    /// they are a kindness.
    fn additional(&mut self, set: RrSet<'_>, cut: Option<&[u8]>) -> Result<(), Full> {
        let skip = match set.rtype {
            Rtype::NS => 0,
            // RFC 9460 4.1: the target of a service, too.
            Rtype::MX | Rtype::SVCB | Rtype::HTTPS => 2,
            Rtype::SRV => 6,
            _ => return Ok(()),
        };
        let catalog = self.catalog;
        for (at, rdata) in set.records().enumerate() {
            let target = |rdata: &[u8]| rdata.get(skip..).and_then(popnet_dns::QName::read);
            let Some(name) = target(rdata) else { continue };
            // Each target once; nobody has so many records that the bound matters.
            let mut earlier = set.records().take(at.min(TARGETS_SEEN)).filter_map(target);
            if earlier.any(|other| other.as_wire() == name.as_wire()) {
                continue;
            }
            let Some((zone, relative)) = catalog.locate(name.as_wire()) else { continue };
            let Some(node) = zone.node(relative) else { continue };
            let is_glue =
                || cut.is_some_and(|cut| suffixes(name.as_wire()).any(|suffix| suffix == cut));
            for rtype in [Rtype::A, Rtype::AAAA] {
                let Some(addresses) = node.set(rtype) else { continue };
                let owner = Owner::Name(name.as_wire());
                let written = self.set(Section::Additional, owner, addresses);
                if written.is_err() && is_glue() {
                    return written;
                }
            }
        }
        Ok(())
    }

    fn referral(&mut self, zone: &'c Zone, cut: Entry<'c>) -> Result<(), Full> {
        let (Some(servers), Some(name)) = (cut.set(Rtype::NS), zone.image.whole(cut.name)) else {
            return Ok(());
        };
        self.set(Section::Authority, Owner::Name(name.as_wire()), servers)?;
        self.prove_cut(zone, cut)?;
        self.additional(servers, Some(name.as_wire()))
    }

    /// RFC 2308 3: the SOA, with the TTL of the "no".
    fn negative(&mut self, zone: &Zone) -> Result<(), Full> {
        if let Some(refusal) = zone.image.refusal().filter(|_| self.is_own && !self.is_secure(zone))
        {
            return self.writer.stencil(Section::Authority, refusal);
        }
        if self.asked == Rtype::NSEC && self.is_compact(zone) {
            // What denies the rest is the answer.
            return Ok(());
        }
        let Some(soa) = zone.image.soa() else { return Ok(()) };
        let owner = Owner::Name(zone.image.apex().as_wire());
        let ttl = zone.image.negative_ttl();
        for rdata in soa.records() {
            self.writer.record(Section::Authority, owner, Rtype::SOA, ttl, rdata)?;
        }
        self.signatures(Section::Authority, owner, soa, ttl)
    }

    /// Records of another name, through an ALIAS: with signatures of this name's zone.
    fn borrowed(&mut self, place: &Place<'c, '_>, set: RrSet<'c>) -> Result<(), Full> {
        for rdata in set.records() {
            self.writer.record(Section::Answer, place.owner, set.rtype, set.ttl, rdata)?;
        }
        let Some(spot) = place.spot.filter(|spot| self.is_secure(spot.zone)) else {
            return Ok(());
        };
        let records: Vec<&[u8]> = set.records().collect();
        self.sign_at(place, spot.zone, set.rtype, set.ttl, &records)
    }

    fn steered(
        &mut self,
        place: &Place<'c, '_>,
        qtype: Rtype,
        fallback: Option<RrSet<'c>>,
        zone: &'c Zone,
        filling: &Filling<'_>,
    ) -> Result<(), Full> {
        // Without keys an absence cannot be signed either: then the records stay.
        let is_hidden = matches!(filling, Filling::Empty) && self.may_make(zone);
        let fallback = fallback.filter(|_| !is_hidden);
        let written = match filling {
            // What nobody can sign is worth nothing to those who check.
            _ if !self.may_make(zone) && fallback.is_some() => false,
            Filling::Addresses { addresses, ttl } => match fallback {
                Some(set) if !matches!(qtype, Rtype::A | Rtype::AAAA) => {
                    self.hinted(place, zone, set, addresses, *ttl)?;
                    true
                }
                Some(_) | None => self.addresses(place, qtype, zone, addresses, *ttl)?,
            },
            Filling::Alias { target, ttl } => {
                let (owner, rdata) = (place.owner, target.as_wire());
                self.writer.record(Section::Answer, owner, Rtype::CNAME, *ttl, rdata)?;
                self.sign_at(place, zone, Rtype::CNAME, *ttl, &[rdata])?;
                true
            }
            Filling::Nothing
            | Filling::Empty
            | Filling::Failure
            | Filling::Services { .. }
            | Filling::Texts(_) => false,
        };
        match fallback {
            _ if written => Ok(()),
            Some(set) => {
                self.found(place, set)?;
                self.prove_answer(place)
            }
            None => {
                self.negative(zone)?;
                self.prove_unchosen_at(place, zone, qtype)
            }
        }
    }

    /// The addresses of the family that was asked for; says whether there are any.
    fn addresses(
        &mut self,
        place: &Place<'c, '_>,
        qtype: Rtype,
        zone: &'c Zone,
        addresses: &[IpAddr],
        ttl: u32,
    ) -> Result<bool, Full> {
        let mut octets = [[0; 16]; ADDRESSES_MAX];
        let (mut count, length) = (0, if qtype == Rtype::A { 4 } else { 16 });
        for address in addresses {
            let Some(free) = octets.get_mut(count) else { break };
            match (address, qtype) {
                (IpAddr::V4(v4), Rtype::A) => {
                    if let Some(first) = free.first_chunk_mut::<4>() {
                        *first = v4.octets();
                    }
                }
                (IpAddr::V6(v6), Rtype::AAAA) => *free = v6.octets(),
                _ => continue,
            }
            count += 1;
        }
        let mut records: [&[u8]; ADDRESSES_MAX] = [&[]; ADDRESSES_MAX];
        for (record, octets) in records.iter_mut().zip(&octets) {
            *record = octets.get(..length).unwrap_or_default();
        }
        let records = records.get(..count).unwrap_or_default();
        for rdata in records {
            self.writer.record(Section::Answer, place.owner, qtype, ttl, rdata)?;
        }
        if count > 0 {
            self.sign_at(place, zone, qtype, ttl, records)?;
        }
        Ok(count > 0)
    }

    /// A steered name's SVCB or HTTPS records, with the chosen addresses as hints.
    fn hinted(
        &mut self,
        place: &Place<'c, '_>,
        zone: &'c Zone,
        set: RrSet<'c>,
        addresses: &[IpAddr],
        ttl: u32,
    ) -> Result<(), Full> {
        let ttl = ttl.min(set.ttl);
        let hinted: Vec<_> =
            set.records().map(|rdata| hints::replace(rdata, place.name, addresses)).collect();
        for rdata in &hinted {
            self.writer.record(Section::Answer, place.owner, set.rtype, ttl, rdata)?;
        }
        let records: Vec<&[u8]> = hinted.iter().map(AsRef::as_ref).collect();
        self.sign_at(place, zone, set.rtype, ttl, &records)
    }

    fn prove_unchosen_at(
        &mut self,
        place: &Place<'c, '_>,
        zone: &'c Zone,
        qtype: Rtype,
    ) -> Result<(), Full> {
        if let Some(spot) = place.spot.filter(|_| self.is_compact(zone)) {
            return self.deny_type(&spot, place.name);
        }
        self.prove_answer(place)?;
        let star = place.spot.and_then(|spot| spot.star(place.name));
        let name = star.as_ref().map_or(place.name, popnet_dns::QName::as_wire);
        let relative = zone.image.relative(name).unwrap_or_default();
        self.prove_unchosen(zone, relative, qtype)
    }

    fn services(
        &mut self,
        place: &Place<'c, '_>,
        zone: &'c Zone,
        filling: &Filling<'_>,
    ) -> Result<(), Full> {
        let (services, ttl) = match filling {
            Filling::Services { services, ttl } => (*services, *ttl),
            Filling::Nothing
            | Filling::Empty
            | Filling::Failure
            | Filling::Addresses { .. }
            | Filling::Alias { .. }
            | Filling::Texts(_) => (&[][..], 0),
        };
        if services.is_empty() {
            self.negative(zone)?;
            return self.prove_service(zone, place.name);
        }
        let rdata = |(priority, service): (u16, &Service)| {
            srv_rdata(priority, 1, service.port, &service.target)
        };
        let records: Vec<Vec<u8>> = (0u16..).zip(services).map(rdata).collect();
        for rdata in &records {
            self.writer.record(Section::Answer, place.owner, Rtype::SRV, ttl, rdata)?;
        }
        let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        self.sign_at(place, zone, Rtype::SRV, ttl, &records)
    }

    fn texts(&mut self, place: &Place<'c, '_>, filling: &Filling<'_>) -> Result<(), Full> {
        let Filling::Texts(texts) = filling else { return Ok(()) };
        let mut records = Vec::with_capacity(texts.len());
        for text in *texts {
            let text = text.as_bytes().get(..text.len().min(255)).unwrap_or_default();
            let mut rdata = vec![u8::try_from(text.len()).unwrap_or(0)];
            rdata.extend_from_slice(text);
            // It is about this very question: nobody may keep it.
            self.writer.record(Section::Answer, place.owner, Rtype::TXT, 0, &rdata)?;
            records.push(rdata);
        }
        let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        let zone = place.spot.map(|spot| spot.zone);
        zone.map_or(Ok(()), |zone| self.sign_at(place, zone, Rtype::TXT, 0, &records))
    }
}

/// Where an answer was found, and as what it is written down.
struct Place<'c, 'w> {
    owner: Owner<'w>,
    name: &'w [u8],
    spot: Option<Spot<'c>>,
}

/// The owner of what is found where `walk` stands.
fn owner<'w>(walk: &'w Walk<'_, '_>) -> Owner<'w> {
    walk.moved().map_or(Owner::Question, |name| Owner::Name(name.as_wire()))
}
