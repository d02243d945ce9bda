//! Fills the messages of a transfer: as many records in each as fit (RFC 5936 3.1).

use popnet_dns::{EdnsReply, Flags, Owner, Rtype, Section, Writer};

use crate::record::Line;
use crate::tsig;

/// A message is closed after so many octets: names further back cannot be pointed at
/// (RFC 1035 4.1.4).
const FULL: usize = 16_000;

/// No message is longer, and a signature must still go behind.
const LIMIT: usize = u16::MAX as usize - tsig::ROOM;

/// What is the same in all messages of one transfer.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The number of the question.
    pub id: u16,
    /// The bits of the question that come back.
    pub flags: Flags,
    /// The octets of the question.
    pub question: &'a [u8],
    /// The type that was asked for.
    pub qtype: Rtype,
    /// Whether the question came with EDNS: then the first message has it, too.
    pub edns: bool,
}

/// A record that fits no message: 64 KiB of data, and a long name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record is longer than a message")]
pub struct Packed;

/// One message in the making.
pub struct Parcel<'b> {
    writer: Writer<'b>,
    records: usize,
}

impl<'b> Parcel<'b> {
    /// Begins a message in `buffer`; `is_first` has question and EDNS, others may do without the
    /// question (RFC 5936 2.2.1) and carry it all the same, for old peers.
    pub fn new(head: &Head<'_>, is_first: bool, buffer: &'b mut [u8]) -> Self {
        let edns = (head.edns && is_first).then(EdnsReply::default);
        let mut writer = Writer::start(buffer, LIMIT, head.id, head.flags, head.question, edns);
        writer.authoritative();
        Self { writer, records: 0 }
    }

    /// Adds a record; `false`: send this message, the record goes into the next.
    ///
    /// # Errors
    /// The record fits no message.
    pub fn add(&mut self, line: Line<'_>) -> Result<bool, Packed> {
        if self.records > 0 && self.writer.len() >= FULL {
            return Ok(false);
        }
        let Line { owner, rtype, ttl, rdata } = line;
        let owner = Owner::Name(owner);
        match self.writer.record(Section::Answer, owner, rtype, ttl, rdata) {
            Ok(()) => self.records += 1,
            Err(_) if self.records > 0 => return Ok(false),
            Err(_) => return Err(Packed),
        }
        // A count has 16 bits; FULL is reached long before.
        Ok(true)
    }

    /// Closes the message and gives its length.
    #[must_use]
    pub fn finish(self) -> usize {
        self.writer.finish()
    }
}

/// All messages with `records`, in order. For what is short: a long transfer is sent parcel by
/// parcel.
///
/// # Errors
/// A record fits no message.
pub fn pack<'r>(
    head: &Head<'_>,
    records: impl IntoIterator<Item = Line<'r>>,
) -> Result<Vec<Vec<u8>>, Packed> {
    let mut records = records.into_iter().peekable();
    let mut messages = Vec::new();
    let mut buffer = vec![0; usize::from(u16::MAX)];
    while records.peek().is_some() || messages.is_empty() {
        let mut parcel = Parcel::new(head, messages.is_empty(), &mut buffer);
        while let Some(record) = records.peek() {
            if !parcel.add(*record)? {
                break;
            }
            records.next();
        }
        let length = parcel.finish();
        messages.push(buffer.get(..length).unwrap_or_default().to_vec());
    }
    Ok(messages)
}
