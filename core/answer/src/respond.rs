//! From what was found to the octets of a response.

use std::net::IpAddr;

use popnet_dns::{
    EdnsReply, Envelope, Full, Name, Owner, Query, Rcode, Refusal, Rtype, Section, UDP_SIZE,
    Writer, suffixes,
};

use crate::catalog::{Catalog, Zone};
use crate::image::{Entry, RrSet};
use crate::lookup::{Lookup, Outcome, Step, Walk};
use crate::network::srv_rdata;

/// HINFO "RFC8482" "" (RFC 8482 4.2), and how long it may be kept.
const HINFO: &[u8] = b"\x07RFC8482\0";
const HINFO_TTL: u32 = 3_600;

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
    let steered = matches!(lookup.outcome, Outcome::Steered { .. });
    let scope = if steered { reply.scope } else { 0 };
    let edns = query.edns.map(|asked| EdnsReply {
        dnssec_ok: asked.dnssec_ok,
        client_subnet: asked.client_subnet.map(|subnet| (subnet, scope)),
        nsid: asked.nsid.then_some(reply.server),
        extended_error: extended_error(&lookup.outcome),
        envelope: reply.envelope,
    });
    let writer = Writer::start(out, reply.limit, query.id, query.flags, query.question, edns);
    let mut pen = Pen { catalog, writer };
    if pen.answer(query, lookup, filling).is_err() {
        pen.writer.truncate(query.question);
    }
    pen.writer.finish()
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
    let edns = refusal.edns.then(EdnsReply::default);
    let mut writer = Writer::start(out, 512, refusal.id, refusal.flags, refusal.question, edns);
    writer.rcode(refusal.rcode);
    writer.finish()
}

struct Pen<'c, 'b> {
    catalog: &'c Catalog,
    writer: Writer<'b>,
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
        let is_refused = matches!(lookup.outcome, Outcome::Refused | Outcome::Lacking);
        if !is_referred && !is_refused {
            self.writer.authoritative();
        }
        let mut walk = Walk::new(self.catalog, query);
        for _ in 0..lookup.aliases {
            self.alias(&mut walk)?;
        }
        let owner = owner(&walk);
        match lookup.outcome {
            Outcome::Records(set) => {
                self.asked(owner, set)?;
                self.additional(set, None)
            }
            Outcome::Steered { fallback, zone, .. } => {
                self.steered(owner, qtype, fallback, zone, filling)
            }
            Outcome::Origin { zone, .. } => self.services(owner, zone, filling),
            Outcome::Whoami => self.texts(owner, filling),
            Outcome::Minimal => {
                self.writer.record(Section::Answer, owner, Rtype::HINFO, HINFO_TTL, HINFO)
            }
            Outcome::Referral(zone, cut) => self.referral(zone, cut),
            Outcome::NoData(zone) => self.negative(zone),
            Outcome::NxDomain(zone) => {
                self.writer.rcode(Rcode::NXDOMAIN);
                self.negative(zone)
            }
            Outcome::Elsewhere => Ok(()),
            Outcome::TooLong => {
                self.writer.rcode(Rcode::YXDOMAIN);
                Ok(())
            }
            Outcome::Endless | Outcome::Lacking => {
                self.writer.rcode(Rcode::SERVFAIL);
                Ok(())
            }
            Outcome::Refused => {
                self.writer.rcode(Rcode::REFUSED);
                Ok(())
            }
        }
    }

    /// Writes one alias and goes to where it leads.
    fn alias(&mut self, walk: &mut Walk<'c, '_>) -> Result<(), Full> {
        match walk.step().0 {
            Step::End(_) => Ok(()),
            Step::Alias(set) => {
                self.set(Section::Answer, owner(walk), set)?;
                walk.follow(set);
                Ok(())
            }
            Step::Renamed { suffix, set } => {
                let name = walk.name();
                let dname = name.get(name.len().saturating_sub(suffix)..).unwrap_or_default();
                self.set(Section::Answer, Owner::Name(dname), set)?;
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

    fn set(&mut self, section: Section, owner: Owner<'_>, set: RrSet<'_>) -> Result<(), Full> {
        for rdata in set.records() {
            self.writer.record(section, owner, set.rtype, set.ttl, rdata)?;
        }
        Ok(())
    }

    /// An RRset that was asked for. Signatures are kept apart by what they cover, but are one
    /// RRset to those who ask for them.
    fn asked(&mut self, owner: Owner<'_>, set: RrSet<'_>) -> Result<(), Full> {
        let mut rest = Some(set);
        while let Some(set) = rest {
            self.set(Section::Answer, owner, set)?;
            rest = set.more_signatures().filter(|_| set.rtype == Rtype::RRSIG);
        }
        Ok(())
    }

    /// Addresses of the names in `set`. Inside the cut `glue` they must fit (RFC 9471), elsewhere
    /// they are a kindness.
    fn additional(&mut self, set: RrSet<'_>, cut: Option<&[u8]>) -> Result<(), Full> {
        let skip = match set.rtype {
            Rtype::NS => 0,
            Rtype::MX => 2,
            Rtype::SRV => 6,
            _ => return Ok(()),
        };
        let catalog = self.catalog;
        for rdata in set.records() {
            let Some(name) = rdata.get(skip..).and_then(popnet_dns::QName::read) else { continue };
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

    fn referral(&mut self, zone: &Zone, cut: Entry<'_>) -> Result<(), Full> {
        let (Some(servers), Some(name)) = (cut.set(Rtype::NS), zone.image.whole(cut.name)) else {
            return Ok(());
        };
        self.set(Section::Authority, Owner::Name(name.as_wire()), servers)?;
        self.additional(servers, Some(name.as_wire()))
    }

    /// RFC 2308 3: the SOA, with the TTL of the "no".
    fn negative(&mut self, zone: &Zone) -> Result<(), Full> {
        let Some(soa) = zone.image.soa() else { return Ok(()) };
        let owner = Owner::Name(zone.image.apex().as_wire());
        for rdata in soa.records() {
            let ttl = zone.image.negative_ttl();
            self.writer.record(Section::Authority, owner, Rtype::SOA, ttl, rdata)?;
        }
        Ok(())
    }

    fn steered(
        &mut self,
        owner: Owner<'_>,
        qtype: Rtype,
        fallback: Option<RrSet<'_>>,
        zone: &Zone,
        filling: &Filling<'_>,
    ) -> Result<(), Full> {
        let mut any = false;
        match filling {
            Filling::Addresses { addresses, ttl } => {
                for address in *addresses {
                    match (address, qtype) {
                        (IpAddr::V4(v4), Rtype::A) => {
                            self.writer.record(
                                Section::Answer,
                                owner,
                                qtype,
                                *ttl,
                                &v4.octets(),
                            )?;
                        }
                        (IpAddr::V6(v6), Rtype::AAAA) => {
                            self.writer.record(
                                Section::Answer,
                                owner,
                                qtype,
                                *ttl,
                                &v6.octets(),
                            )?;
                        }
                        _ => continue,
                    }
                    any = true;
                }
            }
            Filling::Alias { target, ttl } => {
                let rdata = target.as_wire();
                self.writer.record(Section::Answer, owner, Rtype::CNAME, *ttl, rdata)?;
                any = true;
            }
            Filling::Nothing | Filling::Services { .. } | Filling::Texts(_) => {}
        }
        match fallback {
            _ if any => Ok(()),
            Some(set) => self.set(Section::Answer, owner, set),
            None => self.negative(zone),
        }
    }

    fn services(
        &mut self,
        owner: Owner<'_>,
        zone: &Zone,
        filling: &Filling<'_>,
    ) -> Result<(), Full> {
        let Filling::Services { services, ttl } = filling else { return self.negative(zone) };
        if services.is_empty() {
            return self.negative(zone);
        }
        for (priority, service) in (0u16..).zip(*services) {
            let rdata = srv_rdata(priority, 1, service.port, &service.target);
            self.writer.record(Section::Answer, owner, Rtype::SRV, *ttl, &rdata)?;
        }
        Ok(())
    }

    fn texts(&mut self, owner: Owner<'_>, filling: &Filling<'_>) -> Result<(), Full> {
        let Filling::Texts(texts) = filling else { return Ok(()) };
        for text in *texts {
            let text = text.as_bytes().get(..text.len().min(255)).unwrap_or_default();
            let mut rdata = vec![u8::try_from(text.len()).unwrap_or(0)];
            rdata.extend_from_slice(text);
            // It is about this very question: nobody may keep it.
            self.writer.record(Section::Answer, owner, Rtype::TXT, 0, &rdata)?;
        }
        Ok(())
    }
}

/// The owner of what is found where `walk` stands.
fn owner<'w>(walk: &'w Walk<'_, '_>) -> Owner<'w> {
    walk.moved().map_or(Owner::Question, |name| Owner::Name(name.as_wire()))
}
