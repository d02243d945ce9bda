//! One zone, compiled: immutable, in one piece of memory, found by a hash of the name.
//!
//! The blob holds one entry a name, in canonical order (RFC 4034 6.1), names relative to the apex:
//!
//! ```text
//! entry   length of the name, name, flags, [what is special], number of RRsets, RRsets
//! RRset   type, TTL, number of records, octets of the records, records
//! record  length, data
//! ```
//!
//! Empty names between owners have entries, too. An RRset's signatures stand right behind it, as
//! an RRset of their own for each type that is covered. A table of tags and offsets leads from a
//! name to its entry: a name that does not exist seldom touches the blob. Not in the table are
//! names below a DNAME, which are renamed instead (RFC 6672 2.4), and those of NSEC3 records,
//! which nobody may ask for (RFC 5155 7.2.8).

mod build;
mod order;

use popnet_dns::{Name, QName, Rtype, Stencil};
use xxhash_rust::xxh3::xxh3_64;

pub use build::{Builder, Flaw};

/// A zone cut: NS records of others.
const CUT: u8 = 1;
/// Below a zone cut: at most glue.
const OCCLUDED: u8 = 2;
/// `*` exists below it.
const STAR: u8 = 4;
/// Something is special about it: five octets more.
const SPECIAL: u8 = 8;

/// A zone.
pub struct Image {
    apex: Name,
    blob: Box<[u8]>,
    /// One octet of each name's hash; 0 is a free place. Two places in three are taken at most.
    tags: Box<[u8]>,
    /// For each tag where the entry begins.
    places: Box<[u32]>,
    names: usize,
    records: usize,
    /// Entries with an NSEC record, in canonical order.
    chain: Box<[u32]>,
    /// Entries with an NSEC3 record, in the order of their hashes.
    hashes: Box<[u32]>,
    soa: Soa,
    /// Its SOA record as it stands in a "no" (RFC 2308 3).
    refusal: Option<Stencil>,
    signed: bool,
    standing: Standing,
}

/// What the SOA record says, as far as it matters to answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Soa {
    pub(crate) serial: u32,
    /// How long a "no" holds (RFC 2308 5).
    pub(crate) negative_ttl: u32,
}

/// Whether a zone can be answered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Yes.
    Served,
    /// It is ours, but we have no content that may be used: expired, or never transferred.
    Lacking,
}

/// How a zone proves what does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// Not at all: it is not signed, or its signer answers each question by itself.
    None,
    /// NSEC records (RFC 4034 4).
    Nsec,
    /// NSEC3 records (RFC 5155).
    Nsec3,
}

/// What is special about a name of the network's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Plain,
    /// Addresses are chosen for the site with this number.
    Steered(u32),
    /// Below it the origins of sites are chosen for the POP with this number.
    Origins(u32),
    /// Tells the asker who it is.
    Whoami,
}

impl Image {
    /// A zone that we are responsible for without having its content.
    #[must_use]
    pub fn lacking(apex: Name) -> Self {
        Self {
            apex,
            blob: Box::default(),
            tags: Box::default(),
            places: Box::default(),
            names: 0,
            records: 0,
            chain: Box::default(),
            hashes: Box::default(),
            soa: Soa::default(),
            refusal: None,
            signed: false,
            standing: Standing::Lacking,
        }
    }

    /// The zone's name.
    #[must_use]
    pub fn apex(&self) -> &Name {
        &self.apex
    }

    /// The serial number of its SOA record.
    #[must_use]
    pub fn serial(&self) -> u32 {
        self.soa.serial
    }

    /// How long its "no" holds (RFC 2308 5).
    #[must_use]
    pub fn negative_ttl(&self) -> u32 {
        self.soa.negative_ttl
    }

    /// Its SOA record as it stands in a "no", for questions at or below the apex.
    pub(crate) fn refusal(&self) -> Option<&Stencil> {
        self.refusal.as_ref()
    }

    /// Its SOA record.
    #[must_use]
    pub fn soa(&self) -> Option<RrSet<'_>> {
        self.top()?.set(Rtype::SOA)
    }

    /// Whether it can be answered from.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Names, those without records included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names
    }

    /// Whether it has no names at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names == 0
    }

    /// Records, signatures included.
    #[must_use]
    pub fn record_count(&self) -> usize {
        self.records
    }

    /// Octets of memory that its content takes.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.blob.len()
            + self.tags.len()
            + 4 * (self.places.len() + self.chain.len() + self.hashes.len())
    }

    /// Whether its apex has a key and signatures.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.signed
    }

    /// How it proves what does not exist.
    #[must_use]
    pub fn denial(&self) -> Denial {
        match (self.signed, self.chain.is_empty(), self.hashes.is_empty()) {
            (true, false, _) => Denial::Nsec,
            (true, true, false) => Denial::Nsec3,
            (true, true, true) | (false, _, _) => Denial::None,
        }
    }

    /// The part of `name` before the apex; `None` when it is not in this zone.
    #[must_use]
    pub fn relative<'n>(&self, name: &'n [u8]) -> Option<&'n [u8]> {
        let front = name.len().checked_sub(self.apex.as_wire().len())?;
        popnet_dns::suffixes(name)
            .any(|suffix| suffix == self.apex.as_wire())
            .then(|| name.get(..front))?
    }

    /// The apex.
    #[must_use]
    pub fn top(&self) -> Option<Entry<'_>> {
        self.entry(0)
    }

    /// The entry of a name that can be asked for; `relative` is in lower case, without the apex.
    #[must_use]
    pub fn find(&self, relative: &[u8]) -> Option<Entry<'_>> {
        if relative.is_empty() {
            return self.top();
        }
        let (tag, mut at) = place_of(relative, self.tags.len());
        loop {
            let seen = *self.tags.get(at)?;
            if seen == 0 {
                return None;
            }
            if seen == tag
                && let Some(entry) = self.places.get(at).and_then(|offset| self.entry(*offset))
                && entry.name == relative
            {
                return Some(entry);
            }
            at = if at + 1 == self.tags.len() { 0 } else { at + 1 };
        }
    }

    /// The records of `name`, relative to the apex, with this type.
    #[must_use]
    pub fn set(&self, relative: &[u8], rtype: Rtype) -> Option<RrSet<'_>> {
        self.find(relative)?.set(rtype)
    }

    /// Every name in canonical order, the apex first; those of NSEC3 records, too.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut rest = &*self.blob;
        std::iter::from_fn(move || {
            let entry = Entry::read(rest)?;
            let mut sets = entry.sets();
            for _ in sets.by_ref() {}
            rest = sets.rest;
            Some(entry)
        })
    }

    /// Every record in canonical order: by name, then by type.
    pub fn records(&self) -> impl Iterator<Item = ImageRecord<'_>> {
        self.entries().flat_map(|entry| {
            entry.sets().flat_map(move |set| {
                let (name, rtype, ttl) = (entry.name, set.rtype, set.ttl);
                set.records().map(move |rdata| ImageRecord { name, rtype, ttl, rdata })
            })
        })
    }

    /// The whole name of an entry.
    #[must_use]
    pub fn whole(&self, relative: &[u8]) -> Option<QName> {
        QName::join(relative, self.apex.as_wire())
    }

    /// The last entry with an NSEC record that is not behind `relative` in canonical order: its
    /// record covers or matches the name (RFC 4034 4.1).
    #[must_use]
    pub fn covering(&self, relative: &[u8]) -> Option<Entry<'_>> {
        let is_before = |offset: &u32| {
            self.entry(*offset).is_some_and(|e| order::compare(e.name, relative).is_le())
        };
        let behind = self.chain.partition_point(is_before);
        self.entry(*self.chain.get(behind.checked_sub(1)?)?)
    }

    /// The last entry with an NSEC3 record whose hash is not above `hash`, given as the name's
    /// label in base 32 in lower case; the first goes on behind the last (RFC 5155 7.1).
    #[must_use]
    pub fn covering_hash(&self, hash: &[u8]) -> Option<Entry<'_>> {
        let is_before = |offset: &u32| {
            self.entry(*offset).is_some_and(|e| e.name.get(1..).is_some_and(|own| own <= hash))
        };
        let behind = self.hashes.partition_point(is_before);
        let at = behind.checked_sub(1).or_else(|| self.hashes.len().checked_sub(1))?;
        self.entry(*self.hashes.get(at)?)
    }

    fn entry(&self, offset: u32) -> Option<Entry<'_>> {
        Entry::read(self.blob.get(offset as usize..)?)
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { apex, names, records, soa, .. } = self;
        write!(f, "Image({apex} {} names={names} records={records})", soa.serial)
    }
}

/// A name's tag and the first place to look for it among `size`.
fn place_of(name: &[u8], size: usize) -> (u8, usize) {
    let hash = xxh3_64(name);
    let [tag, ..] = hash.to_le_bytes();
    let place = (u128::from(hash) * (size as u128)) >> 64;
    (tag.max(1), usize::try_from(place).unwrap_or(0))
}

/// A name that exists, with records or without.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'i> {
    /// Relative to the apex, without a final zero.
    pub name: &'i [u8],
    flags: u8,
    pub(crate) kind: Kind,
    count: u16,
    sets: &'i [u8],
}

impl<'i> Entry<'i> {
    fn read(octets: &'i [u8]) -> Option<Self> {
        let (length, rest) = octets.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        let (flags, rest) = rest.split_first()?;
        let (kind, rest) = if flags & SPECIAL == 0 {
            (Kind::Plain, rest)
        } else {
            let (octets, rest) = rest.split_first_chunk::<5>()?;
            (Kind::read(*octets), rest)
        };
        let (count, sets) = rest.split_first_chunk::<2>()?;
        let count = u16::from_be_bytes(*count);
        Some(Self { name, flags: *flags, kind, count, sets })
    }

    /// Whether it has no records: names below it have.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether others answer for it and what is below: it has NS records and is not the apex.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.flags & CUT != 0
    }

    /// Whether it lies below a zone cut.
    #[must_use]
    pub fn is_occluded(&self) -> bool {
        self.flags & OCCLUDED != 0
    }

    /// Whether `*` exists right below it.
    #[must_use]
    pub fn has_star(&self) -> bool {
        self.flags & STAR != 0
    }

    /// Types of the records that are made for each answer here or right below, or that say so;
    /// `None` where nothing is made.
    #[must_use]
    pub fn made_types(&self) -> Option<&'static [Rtype]> {
        match self.kind {
            Kind::Steered(_) => Some(&[Rtype::A, Rtype::AAAA]),
            Kind::Whoami | Kind::Origins(_) => Some(&[Rtype::TXT]),
            Kind::Plain => None,
        }
    }

    /// The site whose addresses are chosen here.
    #[must_use]
    pub fn site(&self) -> Option<u32> {
        match self.kind {
            Kind::Steered(site) => Some(site),
            Kind::Plain | Kind::Origins(_) | Kind::Whoami => None,
        }
    }

    /// Its RRsets by type, each with its signatures behind it.
    #[must_use]
    pub fn sets(&self) -> Sets<'i> {
        Sets { rest: self.sets, left: self.count }
    }

    /// Its RRset of this type. Of signatures it is the first: [`RrSet::signatures`] leads to
    /// those of a type.
    #[must_use]
    pub fn set(&self, rtype: Rtype) -> Option<RrSet<'i>> {
        self.sets().find(|set| set.rtype == rtype)
    }

    /// Signatures over its records of this type.
    #[must_use]
    pub fn signatures(&self, covered: Rtype) -> Option<RrSet<'i>> {
        self.sets().find(|set| set.covers() == Some(covered))
    }
}

impl Kind {
    fn read([what, number @ ..]: [u8; 5]) -> Self {
        let number = u32::from_be_bytes(number);
        match what {
            1 => Self::Steered(number),
            2 => Self::Origins(number),
            3 => Self::Whoami,
            _ => Self::Plain,
        }
    }

    fn write(self) -> [u8; 5] {
        let (what, number) = match self {
            Self::Plain => (0, 0),
            Self::Steered(site) => (1, site),
            Self::Origins(pop) => (2, pop),
            Self::Whoami => (3, 0),
        };
        let [a, b, c, d] = u32::to_be_bytes(number);
        [what, a, b, c, d]
    }
}

/// RRsets of a name, one by one.
#[derive(Clone, Copy, Debug)]
pub struct Sets<'i> {
    rest: &'i [u8],
    left: u16,
}

impl<'i> Iterator for Sets<'i> {
    type Item = RrSet<'i>;

    fn next(&mut self) -> Option<RrSet<'i>> {
        self.left = self.left.checked_sub(1)?;
        let (head, rest) = self.rest.split_first_chunk::<12>()?;
        let [t0, t1, s0, s1, s2, s3, c0, c1, l0, l1, l2, l3] = *head;
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let (data, rest) = rest.split_at_checked(length as usize)?;
        self.rest = rest;
        Some(RrSet {
            rtype: Rtype::from_int(u16::from_be_bytes([t0, t1])),
            ttl: u32::from_be_bytes([s0, s1, s2, s3]),
            count: u16::from_be_bytes([c0, c1]),
            data,
            behind: *self,
        })
    }
}

/// Records of one owner and type.
#[derive(Clone, Copy, Debug)]
pub struct RrSet<'i> {
    /// The type.
    pub rtype: Rtype,
    /// Seconds to keep it.
    pub ttl: u32,
    /// Records.
    pub count: u16,
    data: &'i [u8],
    behind: Sets<'i>,
}

impl<'i> RrSet<'i> {
    /// The data of each record, in canonical order (RFC 4034 6.3).
    #[must_use]
    pub fn records(&self) -> Records<'i> {
        Records { rest: self.data, left: self.count }
    }

    /// The signatures over this RRset.
    #[must_use]
    pub fn signatures(&self) -> Option<Self> {
        let mut behind = self.behind;
        behind.next().filter(|next| next.covers() == Some(self.rtype))
    }

    /// The type that it covers, when it is of signatures.
    #[must_use]
    pub fn covers(&self) -> Option<Rtype> {
        let first = self.records().next().filter(|_| self.rtype == Rtype::RRSIG)?;
        first.first_chunk::<2>().map(|octets| Rtype::from_int(u16::from_be_bytes(*octets)))
    }

    /// The next signatures of the same name, for another type.
    pub(crate) fn more_signatures(&self) -> Option<Self> {
        let mut behind = self.behind;
        behind.find(|next| next.rtype == Rtype::RRSIG)
    }
}

/// The data of an RRset's records, one by one.
#[derive(Clone, Copy, Debug)]
pub struct Records<'i> {
    rest: &'i [u8],
    left: u16,
}

impl<'i> Iterator for Records<'i> {
    type Item = &'i [u8];

    fn next(&mut self) -> Option<&'i [u8]> {
        self.left = self.left.checked_sub(1)?;
        let (length, rest) = self.rest.split_first_chunk::<2>()?;
        let (rdata, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        self.rest = rest;
        Some(rdata)
    }
}

/// One record of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageRecord<'i> {
    /// Its owner, relative to the apex, without a final zero: [`Image::whole`] makes it whole.
    pub name: &'i [u8],
    /// Its type.
    pub rtype: Rtype,
    /// Seconds to keep it.
    pub ttl: u32,
    /// Its data, names uncompressed.
    pub rdata: &'i [u8],
}
