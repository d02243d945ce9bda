//! From what was found to the octets of a response.

use std::net::IpAddr;

use popnet_dns::{
    EdnsReply, Envelope, Full, Name, Owner, Query, Rcode, Refusal, Rtype, Section, UDP_SIZE, Writer,
};

use crate::catalog::{Catalog, NONE, RrSet};
use crate::lookup::{At, Link, Lookup, Outcome};
use crate::network::srv_rdata;

/// HINFO "RFC8482" "" (RFC 8482 4.2), and how long it may be kept.
const HINFO: &[u8] = b"\x07RFC8482\0";
const HINFO_TTL: u32 = 3_600;

/// RFC 8914 4.21.
const NOT_AUTHORITATIVE: u16 = 20;

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
        extended_error: (lookup.outcome == Outcome::Refused).then_some(NOT_AUTHORITATIVE),
        envelope: reply.envelope,
    });
    let writer = Writer::start(out, reply.limit, query.id, query.flags, query.question, edns);
    let mut pen = Pen { catalog, writer };
    if pen.answer(query.qtype, lookup, filling).is_err() {
        pen.writer.truncate(query.question);
    }
    pen.writer.finish()
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

impl Pen<'_, '_> {
    fn answer(
        &mut self,
        qtype: Rtype,
        lookup: &Lookup<'_>,
        filling: &Filling<'_>,
    ) -> Result<(), Full> {
        let delegated = matches!(lookup.outcome, Outcome::Referral(_)) && lookup.chain.is_empty();
        if !delegated && lookup.outcome != Outcome::Refused {
            self.writer.authoritative();
        }
        for link in &lookup.chain {
            self.link(link)?;
        }
        let owner = lookup.owner.as_owner();
        match lookup.outcome {
            Outcome::Records(set) => {
                self.set(Section::Answer, owner, set)?;
                self.additional(set, NONE)
            }
            Outcome::Steered { fallback, zone, .. } => {
                self.steered(owner, qtype, fallback, zone, filling)
            }
            Outcome::Origin { zone, .. } => self.services(owner, zone, filling),
            Outcome::Whoami => self.texts(owner, filling),
            Outcome::Minimal => {
                self.writer.record(Section::Answer, owner, Rtype::HINFO, HINFO_TTL, HINFO)
            }
            Outcome::Referral(cut) => self.referral(cut),
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
            Outcome::Endless => {
                self.writer.rcode(Rcode::SERVFAIL);
                Ok(())
            }
            Outcome::Refused => {
                self.writer.rcode(Rcode::REFUSED);
                Ok(())
            }
        }
    }

    fn link(&mut self, link: &Link<'_>) -> Result<(), Full> {
        match link {
            Link::Alias { owner, set } => self.set(Section::Answer, owner.as_owner(), *set),
            Link::Renamed { dname, set, owner, to } => {
                self.set(Section::Answer, Owner::Name(dname), *set)?;
                let owner = owner.as_owner();
                // RFC 6672 3.1: the made CNAME has the DNAME's TTL.
                self.writer.record(Section::Answer, owner, Rtype::CNAME, set.ttl, to.as_wire())
            }
        }
    }

    fn set(&mut self, section: Section, owner: Owner<'_>, set: RrSet) -> Result<(), Full> {
        for rdata in self.catalog.records(set) {
            self.writer.record(section, owner, set.rtype, set.ttl, rdata)?;
        }
        Ok(())
    }

    /// Addresses of the names in `set`. Inside the cut `glue` they must fit (RFC 9471), elsewhere
    /// they are a kindness.
    fn additional(&mut self, set: RrSet, glue: u32) -> Result<(), Full> {
        let skip = match set.rtype {
            Rtype::NS => 0,
            Rtype::MX => 2,
            Rtype::SRV => 6,
            _ => return Ok(()),
        };
        let catalog = self.catalog;
        for rdata in catalog.records(set) {
            let Some(name) = rdata.get(skip..).and_then(popnet_dns::QName::read) else { continue };
            let Some((_, node)) = catalog.find(name.as_wire()) else { continue };
            for rtype in [Rtype::A, Rtype::AAAA] {
                let Some(addresses) = catalog.set(&node, rtype) else { continue };
                let owner = Owner::Name(name.as_wire());
                let written = self.set(Section::Additional, owner, addresses);
                if written.is_err() && glue != NONE && node.cut == glue {
                    return written;
                }
            }
        }
        Ok(())
    }

    fn referral(&mut self, cut: u32) -> Result<(), Full> {
        let catalog = self.catalog;
        let Some(node) = catalog.nodes.get(cut as usize) else { return Ok(()) };
        let Some(servers) = catalog.set(node, Rtype::NS) else { return Ok(()) };
        self.set(Section::Authority, Owner::Name(catalog.names.name(cut)), servers)?;
        self.additional(servers, cut)
    }

    /// RFC 2308 3: the SOA, with the TTL of the "no".
    fn negative(&mut self, zone: u32) -> Result<(), Full> {
        let catalog = self.catalog;
        let Some(zone) = catalog.zone(zone) else { return Ok(()) };
        let owner = Owner::Name(catalog.names.name(zone.apex));
        let ttl = zone.negative_ttl;
        for rdata in catalog.records(zone.soa) {
            self.writer.record(Section::Authority, owner, Rtype::SOA, ttl, rdata)?;
        }
        Ok(())
    }

    fn steered(
        &mut self,
        owner: Owner<'_>,
        qtype: Rtype,
        fallback: Option<RrSet>,
        zone: u32,
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

    fn services(&mut self, owner: Owner<'_>, zone: u32, filling: &Filling<'_>) -> Result<(), Full> {
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

impl At<'_> {
    fn as_owner(&self) -> Owner<'_> {
        match self {
            Self::Question => Owner::Question,
            Self::Wire(name) => Owner::Name(name),
            Self::Made(name) => Owner::Name(name.as_wire()),
        }
    }
}
