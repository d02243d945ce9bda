//! A response, written straight into the buffer it leaves from.
//!
//! Records go in one by one; one that does not fit leaves no trace and says [`Full`], so that the
//! caller decides between leaving it out and truncation (RFC 2181 9). Room for EDNS is set aside
//! at the start.

use domain::base::iana::{OptRcode as Rcode, Rtype};

use crate::edns::EdnsReply;
use crate::name::suffixes;
use crate::query::Flags;
use crate::stencil::{Stencil, Target};

pub(crate) const HEADER: usize = 12;

/// Label starts remembered as targets for compression. A response of 1,232 octets has few more.
const TARGETS: usize = 48;

/// Pointers have 14 bits (RFC 1035 4.1.4).
const POINTER_MAX: usize = 0x3fff;

/// The record does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A section of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// What was asked for.
    Answer,
    /// Who answers for it.
    Authority,
    /// What helps.
    Additional,
}

/// Who owns a record.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'a> {
    /// The name of the question, capitals and all.
    Question,
    /// Another, in wire form.
    Name(&'a [u8]),
}

/// A response in the making.
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    length: usize,
    /// Octets that records may use: the limit without the room for EDNS.
    limit: usize,
    edns: Option<EdnsReply<'b>>,
    rcode: Rcode,
    counts: [u16; 3],
    targets: Targets,
    /// Octets of the question's name.
    question: usize,
    /// Whether its labels are among the targets: few answers have a name that could point there.
    is_question_known: bool,
}

/// Where names begin, and how long each is in wire form.
struct Targets {
    places: [(u16, u8); TARGETS],
    known: usize,
}

impl<'b> Writer<'b> {
    /// Begins a response: header, question and, when `edns` is given, its room.
    ///
    /// `limit` is the largest whole response; at least 512 octets and at most the buffer are used.
    pub fn start(
        buffer: &'b mut [u8],
        limit: usize,
        id: u16,
        flags: Flags,
        question: &[u8],
        edns: Option<EdnsReply<'b>>,
    ) -> Self {
        let room = edns.map_or(0, |edns| edns.size());
        let limit = limit.max(512).min(buffer.len()).saturating_sub(room);
        let mut writer = Self {
            buffer,
            length: 0,
            limit,
            edns,
            rcode: Rcode::NOERROR,
            counts: [0; 3],
            targets: Targets { places: [(0, 0); TARGETS], known: 0 },
            question: question.len().saturating_sub(4),
            is_question_known: false,
        };
        let [i0, i1] = id.to_be_bytes();
        let bits = 0x80 | (flags.opcode << 3) | u8::from(flags.recursion_desired);
        let more = u8::from(flags.checking_disabled) << 4;
        let asked = u8::from(!question.is_empty());
        // A header and a question are at most 271 octets, below every limit.
        let _ = writer.put(&[i0, i1, bits, more, 0, asked, 0, 0, 0, 0, 0, 0]);
        let _ = writer.put(question);
        writer
    }

    /// Sets AA.
    pub fn authoritative(&mut self) {
        self.set_bits(2, 0x04);
    }

    /// Sets TC and takes every record out again.
    pub fn truncate(&mut self, question: &[u8]) {
        self.length = HEADER + question.len();
        self.counts = [0; 3];
        self.targets.known = 0;
        self.is_question_known = false;
        self.set_bits(2, 0x02);
    }

    /// Sets the response code: its lower four bits; the upper ones will stand in EDNS.
    pub fn rcode(&mut self, rcode: Rcode) {
        self.rcode = rcode;
        self.set_bits(3, u8::try_from(rcode.to_int() & 0xf).unwrap_or(2));
    }

    /// Adds a record with `rdata` in uncompressed form; names in it are compressed where RFC 3597
    /// section 4 allows.
    ///
    /// # Errors
    /// [`Full`] when it does not fit; then nothing has changed.
    pub fn record(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        rtype: Rtype,
        ttl: u32,
        rdata: &[u8],
    ) -> Result<(), Full> {
        let before = (self.length, self.targets.known, self.is_question_known);
        let written = self.try_record(owner, rtype, ttl, rdata);
        if written.is_err() {
            (self.length, self.targets.known, self.is_question_known) = before;
        } else if let Some(count) = self.counts.get_mut(section as usize) {
            *count += 1;
        }
        written
    }

    /// Adds, as the first record, one that is written down already; the question's name ends in
    /// the stencil's. What follows does not point into it.
    ///
    /// # Errors
    /// [`Full`] when it does not fit; then nothing has changed.
    pub fn stencil(&mut self, section: Section, stencil: &Stencil) -> Result<(), Full> {
        let start = self.length;
        let below = HEADER + self.question.saturating_sub(stencil.span());
        self.put(stencil.octets())?;
        for (at, target) in stencil.pointers() {
            let target = match target {
                Target::Question(octets) => below + usize::from(octets),
                Target::Record(octets) => start + usize::from(octets),
            };
            let target = u16::try_from(target).unwrap_or_default();
            self.overwrite(start + usize::from(at), 0xc000 | target);
        }
        if let Some(count) = self.counts.get_mut(section as usize) {
            *count += 1;
        }
        Ok(())
    }

    /// Octets so far, EDNS not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing has been written; never, after [`Self::start`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds EDNS, closes the header and gives back the length.
    #[must_use]
    pub fn finish(mut self) -> usize {
        let [answers, authority, additional] = self.counts;
        let edns = self.edns.take();
        if let Some(edns) = &edns {
            self.limit += edns.size();
            let padding = edns.padding(self.length + edns.size(), self.limit);
            let high = u8::try_from(self.rcode.to_int() >> 4).unwrap_or(0);
            edns.write(high, padding, &mut |octets| {
                // Its room was set aside at the start.
                let _ = self.put(octets);
            });
        }
        let additional = additional + u16::from(edns.is_some());
        let ([a0, a1], [n0, n1]) = (answers.to_be_bytes(), authority.to_be_bytes());
        let [r0, r1] = additional.to_be_bytes();
        if let Some(counts) = self.buffer.get_mut(6..HEADER) {
            counts.copy_from_slice(&[a0, a1, n0, n1, r0, r1]);
        }
        self.length
    }

    fn try_record(
        &mut self,
        owner: Owner<'_>,
        rtype: Rtype,
        ttl: u32,
        rdata: &[u8],
    ) -> Result<(), Full> {
        let [t0, t1] = rtype.to_int().to_be_bytes();
        let [s0, s1, s2, s3] = ttl.to_be_bytes();
        match owner {
            Owner::Question => self.put(&[0xc0, 12, t0, t1, 0, 1, s0, s1, s2, s3, 0, 0])?,
            Owner::Name(name) => {
                self.name(name)?;
                self.put(&[t0, t1, 0, 1, s0, s1, s2, s3, 0, 0])?;
            }
        }
        let length_at = self.length - 2;
        self.rdata(rtype, rdata)?;
        let length = u16::try_from(self.length - length_at - 2).map_err(|_| Full)?;
        self.overwrite(length_at, length);
        Ok(())
    }

    fn rdata(&mut self, rtype: Rtype, rdata: &[u8]) -> Result<(), Full> {
        let (head, names) = names_in(rtype).unwrap_or((rdata.len(), 0));
        let (before, mut rest) = rdata.split_at_checked(head).ok_or(Full)?;
        self.put(before)?;
        for _ in 0..names {
            let length = wire_length(rest).ok_or(Full)?;
            let (name, after) = rest.split_at_checked(length).ok_or(Full)?;
            self.name(name)?;
            rest = after;
        }
        self.put(rest)
    }

    /// Writes a name, as far as possible as a pointer to one that stands there already.
    fn name(&mut self, wire: &[u8]) -> Result<(), Full> {
        if !self.is_question_known {
            let name = self.buffer.get(HEADER..HEADER + self.question).unwrap_or_default();
            self.targets.remember(name, HEADER, name.len());
            self.is_question_known = true;
        }
        let start = self.length;
        let total = wire.len();
        for suffix in suffixes(wire) {
            if suffix.len() <= 1 {
                break;
            }
            if let Some(target) = self.find(suffix) {
                let fresh = wire.get(..total - suffix.len()).unwrap_or_default();
                self.put(fresh)?;
                self.put(&(0xc000 | target).to_be_bytes())?;
                self.targets.remember(wire, start, total - suffix.len());
                return Ok(());
            }
        }
        self.put(wire)?;
        self.targets.remember(wire, start, total);
        Ok(())
    }

    fn find(&self, suffix: &[u8]) -> Option<u16> {
        // Few names are as long as each other: most need no look at all.
        let mut known = self.targets.places.iter().take(self.targets.known);
        let found = known.find(|(at, length)| {
            usize::from(*length) == suffix.len() && self.stands_at(suffix, *at)
        });
        found.map(|(at, _)| *at)
    }

    /// Whether the name at `at` in the message is `wire`.
    fn stands_at(&self, wire: &[u8], at: u16) -> bool {
        let mut at = usize::from(at);
        let mut rest = wire;
        loop {
            let Some(&length) = self.buffer.get(at) else { return false };
            if length >= 0xc0 {
                let Some(&low) = self.buffer.get(at + 1) else { return false };
                // We wrote it, and only ever backwards: this ends.
                at = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                continue;
            }
            let end = 1 + usize::from(length);
            let (Some(ours), Some(theirs)) = (rest.get(..end), self.buffer.get(at..at + end))
            else {
                return false;
            };
            // Capitals stand in questions only.
            if ours != theirs && !ours.eq_ignore_ascii_case(theirs) {
                return false;
            }
            if length == 0 {
                return true;
            }
            at += end;
            rest = rest.get(end..).unwrap_or_default();
        }
    }

    fn put(&mut self, octets: &[u8]) -> Result<(), Full> {
        let end = self.length + octets.len();
        if end > self.limit {
            return Err(Full);
        }
        self.buffer.get_mut(self.length..end).ok_or(Full)?.copy_from_slice(octets);
        self.length = end;
        Ok(())
    }

    fn overwrite(&mut self, at: usize, value: u16) {
        if let Some(place) = self.buffer.get_mut(at..at + 2) {
            place.copy_from_slice(&value.to_be_bytes());
        }
    }

    fn set_bits(&mut self, at: usize, bits: u8) {
        if let Some(octet) = self.buffer.get_mut(at) {
            *octet |= bits;
        }
    }
}

impl Targets {
    /// Remembers the labels that begin in the first `part` octets of a name written at `start`.
    fn remember(&mut self, wire: &[u8], start: usize, part: usize) {
        for suffix in suffixes(wire) {
            let offset = wire.len() - suffix.len();
            let at = start + offset;
            if suffix.len() <= 1 || offset >= part || at > POINTER_MAX {
                break;
            }
            let Some(place) = self.places.get_mut(self.known) else { break };
            let (Ok(at), Ok(length)) = (u16::try_from(at), u8::try_from(suffix.len())) else {
                break;
            };
            *place = (at, length);
            self.known += 1;
        }
    }
}

/// Octets before the names of a record that may be compressed, and how many names there are.
pub(crate) fn names_in(rtype: Rtype) -> Option<(usize, usize)> {
    match rtype {
        Rtype::NS | Rtype::CNAME | Rtype::PTR => Some((0, 1)),
        Rtype::MX => Some((2, 1)),
        Rtype::SOA => Some((0, 2)),
        _ => None,
    }
}

fn wire_length(octets: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let length = usize::from(*octets.get(at)?);
        at += 1 + length;
        if length == 0 {
            return Some(at);
        }
    }
}
