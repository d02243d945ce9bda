//! An answer as it is compared: sections are sets, names have no case.

use std::collections::BTreeSet;
use std::fmt;

use domain::base::iana::Rtype;
use domain::base::message::RecordSection;
use domain::base::rdata::{ComposeRecordData, RecordData};
use domain::base::{Message, ParsedName, ToName};
use domain::rdata::AllRecordData;

/// Types whose data are names and numbers: compared without case (RFC 4343 3).
const NAMED: [Rtype; 10] = [
    Rtype::NS,
    Rtype::CNAME,
    Rtype::DNAME,
    Rtype::SOA,
    Rtype::MX,
    Rtype::SRV,
    Rtype::PTR,
    Rtype::RP,
    Rtype::AFSDB,
    Rtype::SVCB,
];

/// A record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    /// In lower case.
    pub(crate) owner: String,
    pub(crate) rtype: Rtype,
    pub(crate) ttl: u32,
    /// In canonical form (RFC 4034 6.2).
    pub(crate) data: Vec<u8>,
    text: String,
}

impl Record {
    /// Where an alias leads, in lower case; empty for other records.
    pub(crate) fn target(&self) -> String {
        match self.rtype {
            Rtype::CNAME => self.text.trim_end_matches('.').to_ascii_lowercase(),
            _ => String::new(),
        }
    }
}

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) rcode: u16,
    pub(crate) aa: bool,
    pub(crate) tc: bool,
    /// RD, RA, AD, CD.
    pub(crate) bits: [bool; 4],
    /// The question came back octet by octet (draft-vixie-dnsext-dns0x20).
    pub(crate) echoed: bool,
    pub(crate) edns: bool,
    pub(crate) answer: BTreeSet<Record>,
    pub(crate) authority: BTreeSet<Record>,
    pub(crate) additional: BTreeSet<Record>,
    /// Records came twice in a section.
    pub(crate) doubled: bool,
    /// Octets on the wire.
    pub(crate) length: usize,
}

impl Answer {
    /// Reads the answer to a query whose question section is `question`.
    pub(crate) fn read(octets: &[u8], question: &[u8]) -> Result<Self, String> {
        let wrong = |error: domain::base::wire::ParseError| error.to_string();
        let message = Message::from_octets(octets).map_err(|error| error.to_string())?;
        let header = message.header();
        let (_, answer, authority, additional) = message.sections().map_err(wrong)?;
        let opt = message.opt();
        // The upper bits of the code are in EDNS.
        let plain = u16::from(header.rcode().to_int());
        let rcode = opt.as_ref().map_or(plain, |opt| opt.rcode(header).to_int());
        let mut doubled = false;
        let mut read = |section| set(section, &mut doubled);
        Ok(Self {
            rcode,
            aa: header.aa(),
            tc: header.tc(),
            bits: [header.rd(), header.ra(), header.ad(), header.cd()],
            echoed: octets.get(12..12 + question.len()) == Some(question),
            edns: opt.is_some(),
            answer: read(answer)?,
            authority: read(authority)?,
            additional: read(additional)?,
            doubled,
            length: octets.len(),
        })
    }

    /// What is not the same.
    pub(crate) fn difference(&self, other: &Self) -> String {
        let parts = [
            ("rcode", self.rcode != other.rcode),
            ("aa", self.aa != other.aa),
            ("tc", self.tc != other.tc),
            ("bits", self.bits != other.bits),
            ("echo", self.echoed != other.echoed),
            ("edns", self.edns != other.edns),
            ("answer", self.answer != other.answer),
            ("authority", self.authority != other.authority),
            ("additional", self.additional != other.additional),
            ("doubled", self.doubled != other.doubled),
        ];
        let parts: Vec<&str> =
            parts.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect();
        format!("rcode {} beside {}: {}", self.rcode, other.rcode, parts.join(" "))
    }

    /// Same but for the length.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let mut other = other.clone();
        other.length = self.length;
        *self == other
    }
}

fn set(section: RecordSection<'_, &[u8]>, doubled: &mut bool) -> Result<BTreeSet<Record>, String> {
    let mut all = BTreeSet::new();
    for record in section {
        let record = record.map_err(|error| error.to_string())?;
        if record.rtype() == Rtype::OPT {
            continue;
        }
        let full = record
            .to_any_record::<AllRecordData<&[u8], ParsedName<&[u8]>>>()
            .map_err(|error| error.to_string())?;
        let mut data = Vec::new();
        full.data().compose_canonical_rdata(&mut data).map_err(|error| error.to_string())?;
        let mut text = full.data().to_string();
        if NAMED.contains(&full.data().rtype()) {
            // Lengths of labels are below every letter.
            data.make_ascii_lowercase();
            text.make_ascii_lowercase();
        }
        let one = Record {
            owner: full.owner().to_vec().to_string().to_ascii_lowercase(),
            rtype: full.data().rtype(),
            ttl: full.ttl().as_secs(),
            data,
            text,
        };
        *doubled |= !all.insert(one);
    }
    Ok(all)
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "   rcode {} aa {} tc {} bits {:?}", self.rcode, self.aa, self.tc, self.bits)?;
        write!(f, " edns {} {} octets", self.edns, self.length)?;
        for (what, yes) in [(" not echoed", !self.echoed), (" doubled records", self.doubled)] {
            f.write_str(if yes { what } else { "" })?;
        }
        let sections = [("an", &self.answer), ("ns", &self.authority), ("ar", &self.additional)];
        for (name, section) in sections {
            for record in section.iter().take(6) {
                let Record { owner, rtype, ttl, text, .. } = record;
                let text: String = text.chars().take(100).collect();
                write!(f, "\n   {name} {owner} {ttl} {rtype} {text}")?;
            }
            if section.len() > 6 {
                write!(f, "\n   {name} … {} records", section.len())?;
            }
        }
        Ok(())
    }
}
