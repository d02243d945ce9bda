//! The other side of the conversation: queries of a stub client, and responses read in full.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use domain::base::iana::{Class, OptRcode as Rcode, Rtype};
use domain::base::message::{Message, RecordSection};
use domain::base::name::{ParsedName, ToName};
use domain::base::rdata::ComposeRecordData;
use domain::base::record::ParsedRecord;
use domain::base::zonefile_fmt::{DisplayKind, ZonefileFmt};
use domain::rdata::AllRecordData;
use ipnet::IpNet;

use crate::edns;
use crate::name::Name;

/// A query that a stub client sends.
#[derive(Clone, Debug)]
pub struct QueryForm<'a> {
    /// Its number: random, so that answers are hard to forge.
    pub id: u16,
    /// The name.
    pub name: &'a Name,
    /// The type.
    pub qtype: Rtype,
    /// Ask the server to do the work; authoritative servers need it not.
    pub recursion_desired: bool,
    /// Ask for signatures.
    pub dnssec_ok: bool,
    /// Ask which server answers.
    pub nsid: bool,
    /// Say for which client network.
    pub subnet: Option<IpNet>,
}

/// The octets of a query to an authoritative server.
#[must_use]
pub fn build_query(id: u16, name: &Name, qtype: Rtype, subnet: Option<IpNet>) -> Vec<u8> {
    build_query_form(&QueryForm {
        id,
        name,
        qtype,
        recursion_desired: false,
        dnssec_ok: false,
        nsid: false,
        subnet,
    })
}

/// The octets of a query.
#[must_use]
pub fn build_query_form(form: &QueryForm<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + form.name.as_wire().len());
    out.extend_from_slice(&form.id.to_be_bytes());
    out.extend_from_slice(&[u8::from(form.recursion_desired), 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    out.extend_from_slice(form.name.as_wire());
    out.extend_from_slice(&form.qtype.to_int().to_be_bytes());
    out.extend_from_slice(&Class::IN.to_int().to_be_bytes());
    edns::EdnsReply {
        dnssec_ok: form.dnssec_ok,
        client_subnet: form.subnet.map(|net| (edns::ClientSubnet::of(net), 0)),
        nsid: form.nsid.then_some(""),
        ..edns::EdnsReply::default()
    }
    .write(0, 0, &mut |octets| out.extend_from_slice(octets));
    out
}

/// Octets that are no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Not a DNS response at all.
    #[error("not a DNS response")]
    Foreign,
    /// The message ends too early or breaks the format.
    #[error("malformed DNS response")]
    Malformed,
}

/// A question as it stands in a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name.
    pub name: Name,
    /// The type.
    pub qtype: Rtype,
    /// The class.
    pub qclass: Class,
}

/// A response, read in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The query's number.
    pub id: u16,
    /// Response code, its EDNS part included.
    pub rcode: Rcode,
    /// AA.
    pub authoritative: bool,
    /// TC: ask again over TCP.
    pub truncated: bool,
    /// RA.
    pub recursion_available: bool,
    /// The question it answers.
    pub question: Option<Question>,
    /// Answer section.
    pub answers: Vec<Record>,
    /// Authority section.
    pub authority: Vec<Record>,
    /// Additional section, without EDNS.
    pub additional: Vec<Record>,
    /// EDNS, if it has one.
    pub edns: Option<ResponseEdns>,
}

/// The EDNS part of a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseEdns {
    /// Largest datagram that the server takes.
    pub udp_size: u16,
    /// DO.
    pub dnssec_ok: bool,
    /// The client subnet that came back, and for which prefix length the answer holds.
    pub subnet: Option<(IpNet, u8)>,
    /// The server's name.
    pub nsid: Option<String>,
    /// Extended error (RFC 8914) and its text.
    pub extended_error: Option<(u16, String)>,
}

/// One record of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who owns it.
    pub owner: Name,
    /// Its class.
    pub class: Class,
    /// Its type.
    pub rtype: Rtype,
    /// Seconds to keep it.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
    /// What it says, as a zone file would write it.
    pub text: String,
}

/// What a record says, for the types that we act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// An address.
    A(Ipv4Addr),
    /// An address.
    Aaaa(Ipv6Addr),
    /// Another name for the owner.
    Cname(Name),
    /// A name server.
    Ns(Name),
    /// A service.
    Srv {
        /// Lower is tried first.
        priority: u16,
        /// Share among equals.
        weight: u16,
        /// Port.
        port: u16,
        /// Host.
        target: Name,
    },
    /// Texts.
    Txt(Vec<Vec<u8>>),
    /// Start of authority: how long its "no" holds.
    Soa {
        /// The zone's number.
        serial: u32,
        /// Negative TTL.
        minimum: u32,
    },
    /// Anything else: see the record's text.
    Other,
}

impl Response {
    /// Reads a response.
    ///
    /// # Errors
    /// Says whether the octets are foreign or malformed.
    pub fn parse(octets: &[u8]) -> Result<Self, ResponseError> {
        let message = Message::from_slice(octets).map_err(|_| ResponseError::Foreign)?;
        let header = message.header();
        if !header.qr() {
            return Err(ResponseError::Foreign);
        }
        let malformed = |_| ResponseError::Malformed;
        let question = match message.question().next() {
            None => None,
            Some(asked) => {
                let asked = asked.map_err(malformed)?;
                let name = own(asked.qname()).ok_or(ResponseError::Malformed)?;
                Some(Question { name, qtype: asked.qtype(), qclass: asked.qclass() })
            }
        };
        let (_, answers, authority, additional) = message.sections().map_err(malformed)?;
        let mut opt = None;
        let response = Self {
            id: header.id(),
            rcode: Rcode::from(header.rcode()),
            authoritative: header.aa(),
            truncated: header.tc(),
            recursion_available: header.ra(),
            question,
            answers: section(answers, &mut opt)?,
            authority: section(authority, &mut opt)?,
            additional: section(additional, &mut opt)?,
            edns: None,
        };
        Ok(response.with_edns(opt))
    }

    /// The records of the answer that have `rtype`, wherever a chain of CNAMEs led.
    pub fn of_type(&self, rtype: Rtype) -> impl Iterator<Item = &Record> {
        self.answers.iter().filter(move |record| record.rtype == rtype)
    }

    /// The addresses in the answer section, in order.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.answers.iter().filter_map(Record::address)
    }

    /// The addresses of `name` in the additional section: what SRV and NS targets come with.
    pub fn addresses_of<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = IpAddr> + 'a {
        self.additional
            .iter()
            .filter(move |record| record.owner == *name)
            .filter_map(Record::address)
    }

    /// For how many seconds the answer may be kept: the lowest TTL of the answer, or what the SOA
    /// of a negative one allows (RFC 2308 5).
    #[must_use]
    pub fn ttl(&self) -> Option<u32> {
        let positive = self.answers.iter().map(|record| record.ttl).min();
        positive.or_else(|| {
            self.authority.iter().find_map(|record| {
                let Data::Soa { minimum, .. } = record.data else { return None };
                Some(record.ttl.min(minimum))
            })
        })
    }

    fn with_edns(mut self, opt: Option<(u16, u32, Vec<u8>)>) -> Self {
        let Some((class, ttl, rdata)) = opt else { return self };
        let high = u16::try_from(ttl >> 24).unwrap_or(0) << 4;
        self.rcode = Rcode::masked_from_int(self.rcode.to_int() | high);
        self.edns = Some(ResponseEdns::read(class, ttl, &rdata));
        self
    }
}

impl ResponseEdns {
    fn read(class: u16, ttl: u32, mut rdata: &[u8]) -> Self {
        let mut edns = Self { udp_size: class, dnssec_ok: ttl & 0x8000 != 0, ..Self::default() };
        while let [c0, c1, l0, l1, rest @ ..] = rdata {
            let length = usize::from(u16::from_be_bytes([*l0, *l1]));
            let Some((content, after)) = rest.split_at_checked(length) else { break };
            rdata = after;
            match u16::from_be_bytes([*c0, *c1]) {
                3 => edns.nsid = Some(String::from_utf8_lossy(content).into_owned()),
                8 => edns.subnet = read_subnet(content),
                15 => {
                    edns.extended_error = content.split_first_chunk::<2>().map(|(code, text)| {
                        let text = String::from_utf8_lossy(text).into_owned();
                        (u16::from_be_bytes(*code), text)
                    });
                }
                _ => {}
            }
        }
        edns
    }
}

/// The client subnet of a response: like that of a query, with a scope.
fn read_subnet(content: &[u8]) -> Option<(IpNet, u8)> {
    let mut asked = content.to_vec();
    let scope = std::mem::take(asked.get_mut(3)?);
    // The same octets as the option of a query with nothing but this option.
    let mut rdata = vec![0, 8, 0, u8::try_from(asked.len()).ok()?];
    rdata.extend_from_slice(&asked);
    let subnet = edns::parse_opt(0, 0, &rdata)?.client_subnet?;
    Some((IpNet::new(subnet.address, subnet.source).ok()?, scope))
}

impl Record {
    /// The address, when the record is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self.data {
            Data::A(v4) => Some(IpAddr::V4(v4)),
            Data::Aaaa(v6) => Some(IpAddr::V6(v6)),
            Data::Cname(_)
            | Data::Ns(_)
            | Data::Srv { .. }
            | Data::Txt(_)
            | Data::Soa { .. }
            | Data::Other => None,
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\t{}\t{}\t{}\t{}", self.owner, self.ttl, self.class, self.rtype, self.text)
    }
}

type Opt = Option<(u16, u32, Vec<u8>)>;

fn section(records: RecordSection<'_, [u8]>, opt: &mut Opt) -> Result<Vec<Record>, ResponseError> {
    let mut out = Vec::new();
    for record in records {
        let record = record.map_err(|_| ResponseError::Malformed)?;
        if record.rtype() == Rtype::OPT {
            let raw = record
                .to_record::<domain::base::opt::Opt<&[u8]>>()
                .map_err(|_| ResponseError::Malformed)?
                .ok_or(ResponseError::Malformed)?;
            let mut octets = Vec::new();
            raw.data().compose_rdata(&mut octets).map_err(|_| ResponseError::Malformed)?;
            *opt = Some((record.class().to_int(), record.ttl().as_secs(), octets));
        } else {
            out.push(one(&record).ok_or(ResponseError::Malformed)?);
        }
    }
    Ok(out)
}

type Parsed<'a> = AllRecordData<&'a [u8], ParsedName<&'a [u8]>>;

fn one(record: &ParsedRecord<'_, [u8]>) -> Option<Record> {
    let full = record.to_any_record::<Parsed<'_>>().ok()?;
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library's list of types grows")]
    let data = match full.data() {
        AllRecordData::A(a) => Data::A(a.addr()),
        AllRecordData::Aaaa(aaaa) => Data::Aaaa(aaaa.addr()),
        AllRecordData::Cname(cname) => Data::Cname(own(cname.cname())?),
        AllRecordData::Ns(ns) => Data::Ns(own(ns.nsdname())?),
        AllRecordData::Srv(srv) => Data::Srv {
            priority: srv.priority(),
            weight: srv.weight(),
            port: srv.port(),
            target: own(srv.target())?,
        },
        AllRecordData::Txt(txt) => Data::Txt(txt.iter().map(<[u8]>::to_vec).collect()),
        AllRecordData::Soa(soa) => {
            Data::Soa { serial: soa.serial().into_int(), minimum: soa.minimum().as_secs() }
        }
        _ => Data::Other,
    };
    Some(Record {
        owner: own(&full.owner())?,
        class: full.class(),
        rtype: full.rtype(),
        ttl: full.ttl().as_secs(),
        data,
        text: text_of(full.data()),
    })
}

pub(crate) fn text_of<O, N>(data: &AllRecordData<O, N>) -> String
where
    AllRecordData<O, N>: ZonefileFmt + ComposeRecordData,
{
    data.display_zonefile(DisplayKind::Simple).to_string()
}

fn own(name: &impl ToName) -> Option<Name> {
    Name::from_wire(name.to_vec().as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edns::{ClientSubnet, EdnsReply};
    use crate::query::Flags;
    use crate::writer::{Full, Owner, Section, Writer};

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn answer(limit: usize, records: usize) -> Vec<u8> {
        let query = build_query(9, &name("www.example"), Rtype::A, None);
        let question = &query[12..query.len() - 11];
        let subnet = ClientSubnet::of("192.0.2.0/24".parse().unwrap());
        let edns = EdnsReply {
            client_subnet: Some((subnet, 16)),
            nsid: Some("ns1"),
            extended_error: Some(20),
            ..EdnsReply::default()
        };
        let mut buffer = [0; 4096];
        let mut writer =
            Writer::start(&mut buffer, limit, 9, Flags::default(), question, Some(edns));
        writer.authoritative();
        for n in 0..records {
            let rdata = [192, 0, 2, u8::try_from(n).unwrap()];
            let owner = Owner::Question;
            if writer.record(Section::Answer, owner, Rtype::A, 60, &rdata) == Err(Full) {
                writer.truncate(question);
                break;
            }
        }
        if records == 1 {
            let mx = [&[0, 10], name("mail.www.example").as_wire()].concat();
            let www = name("example");
            let owner = Owner::Name(www.as_wire());
            writer.record(Section::Authority, owner, Rtype::MX, 60, &mx).unwrap();
            let target = name("mail.www.example");
            let owner = Owner::Name(target.as_wire());
            writer.record(Section::Additional, owner, Rtype::A, 60, &[1, 2, 3, 4]).unwrap();
        }
        let length = writer.finish();
        buffer[..length].to_vec()
    }

    #[test]
    fn written_and_read() {
        let octets = answer(1232, 1);
        // 12 header, 17 question, 16 A, 2+10+2+7 MX, 2+10+4 A, 11+11+7+6 OPT
        let response = Response::parse(&octets).unwrap();
        assert!(response.authoritative && !response.truncated);
        assert_eq!(response.answers[0].to_string(), "www.example.\t60\tIN\tA\t192.0.2.0");
        assert_eq!(response.authority[0].text, "10 mail.www.example.");
        let mail = name("mail.www.example");
        assert_eq!(response.addresses_of(&mail).count(), 1);
        let edns = response.edns.unwrap();
        assert_eq!(edns.subnet, Some(("192.0.2.0/24".parse().unwrap(), 16)));
        assert_eq!(edns.nsid.as_deref(), Some("ns1"));
        assert_eq!(edns.extended_error, Some((20, String::new())));
        assert_eq!(octets.len(), 12 + 17 + 16 + (2 + 10 + 2 + 7) + (2 + 10 + 4) + 35);
    }

    #[test]
    fn truncation_keeps_question_and_edns() {
        let octets = answer(512, 250);
        let response = Response::parse(&octets).unwrap();
        assert!(response.truncated && response.answers.is_empty());
        assert_eq!(response.question.unwrap().name, name("www.example"));
        assert!(response.edns.is_some());
    }

    #[test]
    fn junk_never_panics() {
        let seed = answer(1232, 1);
        let mut state = 3u64;
        for _ in 0..20_000 {
            let mut packet = seed.clone();
            for _ in 0..5 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (state >> 33) as usize % packet.len();
                packet[at] = state.to_be_bytes()[5];
            }
            let _ = Response::parse(&packet);
            let _ = Response::parse(&packet[..(state >> 40) as usize % packet.len()]);
        }
    }
}
