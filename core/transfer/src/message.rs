//! A whole message read into values: what transfers, notifications and updates come in.

use domain::base::iana::{Class, Rtype};
use domain::base::message::{Message, RecordSection};
use domain::base::name::{ParsedName, ToName};
use domain::base::rdata::ComposeRecordData;
use domain::base::record::ParsedRecord;
use domain::rdata::AllRecordData;
use popnet_dns::Name;

/// Octets that are no message of the kind expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed DNS message")]
pub struct Malformed;

/// What a message is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name.
    pub name: Name,
    /// The type.
    pub qtype: Rtype,
    /// The class.
    pub class: Class,
}

/// A record with its class, which updates give a meaning of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) owner: Name,
    pub(crate) rtype: Rtype,
    pub(crate) class: Class,
    pub(crate) ttl: u32,
    pub(crate) rdata: Box<[u8]>,
}

/// A message, read in full. Its additional section, which none of our conversations needs, is
/// left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Its number.
    pub id: u16,
    /// QR: it answers.
    pub is_response: bool,
    /// TC: it is cut off.
    pub is_truncated: bool,
    /// The four bits of the operation.
    pub opcode: u8,
    /// The four bits of the response code.
    pub rcode: u8,
    /// What it is about; messages of a transfer after the first may leave it out.
    pub question: Option<Question>,
    pub(crate) answers: Vec<Entry>,
    pub(crate) authority: Vec<Entry>,
}

impl Incoming {
    /// Reads `octets`.
    ///
    /// # Errors
    /// They are no message, have more than one question, or a record is malformed.
    pub fn parse(octets: &[u8]) -> Result<Self, Malformed> {
        let message = Message::from_slice(octets).map_err(|_| Malformed)?;
        let header = message.header();
        let mut questions = message.question();
        let question = match questions.next() {
            None => None,
            Some(asked) => {
                let asked = asked.map_err(|_| Malformed)?;
                let name = own(asked.qname())?;
                Some(Question { name, qtype: asked.qtype(), class: asked.qclass() })
            }
        };
        if questions.next().is_some() {
            return Err(Malformed);
        }
        let (_, answers, authority, _) = message.sections().map_err(|_| Malformed)?;
        Ok(Self {
            id: header.id(),
            is_response: header.qr(),
            is_truncated: header.tc(),
            opcode: header.opcode().to_int(),
            rcode: header.rcode().to_int(),
            question,
            answers: section(answers)?,
            authority: section(authority)?,
        })
    }

    /// The serial numbers of the SOA records in the answer section: what a notification may say
    /// (RFC 1996 3.7) and what a question for a SOA record gets.
    pub fn soas(&self) -> impl Iterator<Item = (&Name, crate::Soa)> {
        let soas = self.answers.iter().filter(|entry| entry.rtype == Rtype::SOA);
        soas.filter_map(|entry| Some((&entry.owner, crate::Soa::of(&entry.rdata)?)))
    }

    /// The serial number that a question for differences starts from (RFC 1995 3).
    #[must_use]
    pub fn base(&self, apex: &Name) -> Option<crate::Serial> {
        let soa = self.authority.iter().find(|e| e.rtype == Rtype::SOA && e.owner == *apex)?;
        Some(crate::Soa::of(&soa.rdata)?.serial)
    }
}

fn section(records: RecordSection<'_, [u8]>) -> Result<Vec<Entry>, Malformed> {
    records.map(|record| entry(&record.map_err(|_| Malformed)?)).collect()
}

type Parsed<'a> = AllRecordData<&'a [u8], ParsedName<&'a [u8]>>;

fn entry(record: &ParsedRecord<'_, [u8]>) -> Result<Entry, Malformed> {
    let mut rdata = Vec::new();
    // Updates name whole sets by records without data (RFC 2136 2.4, 2.5).
    let is_named_only = record.rdlen() == 0 && matches!(record.class(), Class::ANY | Class::NONE);
    if !is_named_only {
        let full = record.to_any_record::<Parsed<'_>>().map_err(|_| Malformed)?;
        full.data().compose_rdata(&mut rdata).map_err(|_| Malformed)?;
    }
    Ok(Entry {
        owner: own(&record.owner())?,
        rtype: record.rtype(),
        class: record.class(),
        ttl: record.ttl().as_secs(),
        rdata: rdata.into(),
    })
}

fn own(name: &impl ToName) -> Result<Name, Malformed> {
    Name::from_wire(name.to_vec().as_slice()).ok_or(Malformed)
}
