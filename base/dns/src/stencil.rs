//! A record written down once, to be put behind many questions: the SOA record of every "no".

use domain::base::iana::Rtype;

use crate::name::Name;
use crate::query::Flags;
use crate::writer::{HEADER, Owner, Section, Writer, names_in};

/// Octets of an owner's pointer, type, class, TTL and length.
const FIXED: usize = 12;

/// The owner and two names.
const POINTERS: usize = 3;

/// A record of a name, compressed against a question for something at or below that name. Labels
/// ahead of that name in the question are not pointed at.
#[derive(Clone, Debug)]
pub struct Stencil {
    /// Octets of the owner's name.
    span: usize,
    octets: Box<[u8]>,
    /// Where pointers stand, and where to.
    pointers: [Option<(u16, Target)>; POINTERS],
}

/// Where a pointer leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// So many octets into the owner's name at the end of the question's.
    Question(u16),
    /// So many octets into the record.
    Record(u16),
}

impl Stencil {
    /// Writes a record of `owner` down; `None` when it is too long to be worth it, or no record.
    #[must_use]
    pub fn new(owner: &Name, rtype: Rtype, ttl: u32, rdata: &[u8]) -> Option<Self> {
        let name = owner.as_wire();
        // The root has no label that a pointer could lead to.
        if name.len() <= 1 {
            return None;
        }
        let (question, mut buffer) = ([name, &[0, 0, 0, 0]].concat(), [0; 1024]);
        let mut writer = Writer::start(&mut buffer, 1024, 0, Flags::default(), &question, None);
        let start = writer.len();
        writer.record(Section::Authority, Owner::Name(name), rtype, ttl, rdata).ok()?;
        let end = writer.finish();
        let octets: Box<[u8]> = buffer.get(start..end)?.into();

        let (head, names) = names_in(rtype).unwrap_or((0, 0));
        let mut pointers = [None; POINTERS];
        let [first, rest @ ..] = &mut pointers;
        (*first, _) = pointer(&octets, 0, start)?;
        let mut at = FIXED + head;
        for place in rest.iter_mut().take(names) {
            (*place, at) = pointer(&octets, at, start)?;
        }
        Some(Self { span: name.len(), octets, pointers })
    }

    pub(crate) fn span(&self) -> usize {
        self.span
    }

    pub(crate) fn octets(&self) -> &[u8] {
        &self.octets
    }

    pub(crate) fn pointers(&self) -> impl Iterator<Item = (u16, Target)> {
        self.pointers.iter().flatten().copied()
    }
}

/// The pointer at the end of the name at `at`, if it has one, and where the name ends; the record
/// stood at `start` of its message.
fn pointer(octets: &[u8], mut at: usize, start: usize) -> Option<(Option<(u16, Target)>, usize)> {
    loop {
        let length = usize::from(*octets.get(at)?);
        if length == 0 {
            return Some((None, at + 1));
        }
        if length >= 0xc0 {
            let to = (length & 0x3f) << 8 | usize::from(*octets.get(at + 1)?);
            let target = match to.checked_sub(start) {
                Some(inside) => Target::Record(u16::try_from(inside).ok()?),
                None => Target::Question(u16::try_from(to.checked_sub(HEADER)?).ok()?),
            };
            return Some((Some((u16::try_from(at).ok()?, target)), at + 2));
        }
        at += 1 + length;
    }
}
