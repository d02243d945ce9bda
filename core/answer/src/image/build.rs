//! From records in any order to an [`Image`].
//!
//! Records go into one log; an index of it is sorted; entries are written in that order. Nothing
//! is allocated for a name, and of a million names no more than the log, its index and the image
//! are in memory at the same time.

use std::fmt;

use popnet_dns::{Name, Place, Rtype, Stencil, ZoneFile, suffixes};

use super::order::{self, Key};
use super::{CUT, Image, Kind, OCCLUDED, SPECIAL, STAR, Soa, Standing, place_of};

/// Flaws told at once: more would scroll the first away.
const FLAWS: usize = 20;

/// No record has this type (RFC 6895 3.1); in the log it marks a special name.
const MARK: u16 = 0;

/// What keeps records from being a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Where the record stands that shows it.
    pub place: Place,
    /// In words.
    pub what: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.line {
            0 => f.write_str(&self.what),
            line => write!(f, "line {line}: {}", self.what),
        }
    }
}

/// A zone in the making.
pub struct Builder {
    apex: Name,
    /// Records one behind the other, as [`Logged`] reads them.
    log: Vec<u8>,
    count: usize,
    flaws: Vec<Flaw>,
}

impl Image {
    /// Compiles a zone.
    ///
    /// # Errors
    /// What keeps the records from being a zone, at most twenty flaws; never an empty list.
    pub fn build(zone: ZoneFile) -> Result<Self, Vec<Flaw>> {
        let mut builder = Builder::new(zone.apex);
        for record in zone.records {
            let place = Place { file: 0, line: record.line };
            builder.add(record.owner.as_wire(), record.rtype, record.ttl, &record.rdata, place);
        }
        builder.finish()
    }
}

impl Builder {
    /// A zone without records.
    #[must_use]
    pub fn new(apex: Name) -> Self {
        Self { apex, log: Vec::new(), count: 0, flaws: Vec::new() }
    }

    /// A zone whose file has so many octets: room for its records is set aside at once, so that
    /// they need not be moved when there are more. What is not used costs nothing.
    #[must_use]
    pub fn sized(apex: Name, octets: usize) -> Self {
        Self { log: Vec::with_capacity(octets.saturating_add(octets / 4)), ..Self::new(apex) }
    }

    /// The zone's name.
    #[must_use]
    pub fn apex(&self) -> &Name {
        &self.apex
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a record; `owner` is a whole name in lower case, in `rdata` names are uncompressed.
    /// The same record twice is one. What is wrong is told by [`Self::finish`].
    pub fn add(&mut self, owner: &[u8], rtype: Rtype, ttl: u32, rdata: &[u8], place: Place) {
        if rtype.to_int() == MARK || matches!(rtype, Rtype::OPT | Rtype::ANY) {
            return self.flaw(place, format!("{rtype} is a type that no zone can hold"));
        }
        self.log(owner, rtype.to_int(), ttl, rdata, place);
    }

    /// Makes a name special.
    pub(crate) fn mark(&mut self, owner: &[u8], kind: Kind) {
        self.log(owner, MARK, 0, &kind.write(), Place::default());
    }

    fn log(&mut self, owner: &[u8], rtype: u16, ttl: u32, rdata: &[u8], place: Place) {
        let apex = self.apex.as_wire();
        let front = owner.len().checked_sub(apex.len()).and_then(|length| owner.get(..length));
        let within = suffixes(owner).any(|suffix| suffix == apex);
        let Some(name) = front.filter(|_| within) else {
            let what = match Name::from_wire(owner) {
                Some(owner) => format!("{owner} does not belong to zone {}", self.apex),
                None => "the owner is no domain name".to_owned(),
            };
            return self.flaw(place, what);
        };
        let (Ok(name_length), Ok(length)) = (u8::try_from(name.len()), u16::try_from(rdata.len()))
        else {
            return self.flaw(place, "the record has more data than a record can hold".to_owned());
        };
        self.log.push(name_length);
        self.log.extend_from_slice(name);
        self.log.extend_from_slice(&rtype.to_be_bytes());
        self.log.extend_from_slice(&ttl.to_be_bytes());
        self.log.extend_from_slice(&place.file.to_be_bytes());
        self.log.extend_from_slice(&place.line.to_be_bytes());
        self.log.extend_from_slice(&length.to_be_bytes());
        self.log.extend_from_slice(rdata);
        self.count += 1;
    }

    fn flaw(&mut self, place: Place, what: String) {
        if self.flaws.len() < FLAWS {
            self.flaws.push(Flaw { place, what });
        }
    }

    /// Compiles a whole zone: it needs one SOA record and an NS record at its top (RFC 1035 5.2).
    ///
    /// # Errors
    /// Every flaw found, at most twenty; never an empty list.
    pub fn finish(self) -> Result<Image, Vec<Flaw>> {
        let mut press = self.press()?;
        let apex = press.image.apex.clone();
        let top = press.image.top();
        let has_servers = top.is_some_and(|top| top.set(Rtype::NS).is_some());
        let soas = press.image.soa().map_or(0, |soa| soa.count);
        if soas != 1 {
            let what =
                format!("zone {apex} needs exactly one SOA record at its top, it has {soas}");
            press.flaw(Place::default(), what);
        }
        if !has_servers {
            press.flaw(Place::default(), format!("zone {apex} has no NS record at its top"));
        }
        press.done()
    }

    /// Compiles what the network adds to a zone that has a file.
    pub(crate) fn finish_part(self) -> Result<Image, Vec<Flaw>> {
        self.press()?.done()
    }

    fn press(self) -> Result<Press, Vec<Flaw>> {
        let Self { apex, log, count, mut flaws } = self;
        if u32::try_from(log.len()).is_err() {
            let what = format!("zone {apex} has more than 4 GiB of records");
            flaws.push(Flaw { place: Place::default(), what });
            return Err(flaws);
        }
        let index = sorted(&log, count);
        let mut press = Press::new(apex, flaws);
        // An entry with one record has three octets more than its record in the log.
        press.blob.reserve(log.len() + 3 * count);
        let logged = index.iter().filter_map(|(_, at)| Logged::read(log.get(*at as usize..)?));
        press.write(logged);
        drop((index, log));
        press.close();
        Ok(press)
    }
}

/// The log's records by name, then by type, then by data.
fn sorted(log: &[u8], count: usize) -> Vec<(Key, u32)> {
    let mut index: Vec<(Key, u32)> = Vec::with_capacity(count);
    let mut rest = log;
    while let Some(record) = Logged::read(rest) {
        let at = u32::try_from(log.len() - rest.len()).unwrap_or(u32::MAX);
        index.push((order::key(record.name), at));
        rest = record.rest;
    }
    let read = |at: u32| Logged::read(log.get(at as usize..).unwrap_or_default());
    index.sort_unstable_by(|(one, one_at), (other, other_at)| {
        one.cmp(other).then_with(|| match (read(*one_at), read(*other_at)) {
            (Some(one), Some(other)) => one.compare(&other),
            (one, other) => one.is_some().cmp(&other.is_some()),
        })
    });
    index
}

/// A record of the log.
#[derive(Clone, Copy)]
struct Logged<'l> {
    name: &'l [u8],
    rtype: u16,
    ttl: u32,
    place: Place,
    rdata: &'l [u8],
    rest: &'l [u8],
}

impl<'l> Logged<'l> {
    fn read(octets: &'l [u8]) -> Option<Self> {
        let (length, rest) = octets.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        let (head, rest) = rest.split_first_chunk::<14>()?;
        let [t0, t1, s0, s1, s2, s3, f0, f1, n0, n1, n2, n3, l0, l1] = *head;
        let (rdata, rest) = rest.split_at_checked(u16::from_be_bytes([l0, l1]).into())?;
        Some(Self {
            name,
            rtype: u16::from_be_bytes([t0, t1]),
            ttl: u32::from_be_bytes([s0, s1, s2, s3]),
            place: Place {
                file: u16::from_be_bytes([f0, f1]),
                line: u32::from_be_bytes([n0, n1, n2, n3]),
            },
            rdata,
            rest,
        })
    }

    /// The RRset that it belongs to: signatures come behind what they cover.
    fn set(&self) -> (u16, bool) {
        let covered = self.rdata.first_chunk::<2>().map(|octets| u16::from_be_bytes(*octets));
        match covered.filter(|_| self.rtype == Rtype::RRSIG.to_int()) {
            Some(covered) => (covered, true),
            None => (self.rtype, false),
        }
    }

    fn compare(&self, other: &Self) -> std::cmp::Ordering {
        order::compare(self.name, other.name)
            .then_with(|| self.set().cmp(&other.set()))
            .then_with(|| self.rdata.cmp(other.rdata))
            .then_with(|| self.place.line.cmp(&other.place.line))
    }
}

/// A name that the next one may lie below.
struct Above {
    /// Octets of its name.
    length: usize,
    /// Where its flags stand in the blob.
    flags_at: usize,
    is_occluded: bool,
    is_renamed: bool,
}

/// Writes entries.
struct Press {
    image: Image,
    blob: Vec<u8>,
    flaws: Vec<Flaw>,
    /// Names above the last one, the apex first, and the last one itself.
    above: Vec<Above>,
    last: Vec<u8>,
    /// Entries for the table of names.
    found: Vec<u32>,
    chain: Vec<u32>,
    hashes: Vec<u32>,
}

/// What the records of one name are.
#[derive(Default)]
struct Seen {
    kind: Option<[u8; 5]>,
    sets: u32,
    alias: bool,
    others: bool,
    servers: bool,
    dname: bool,
    chain: bool,
    hashed: bool,
    plain: bool,
}

impl Press {
    fn new(apex: Name, flaws: Vec<Flaw>) -> Self {
        let image = Image { standing: Standing::Served, ..Image::lacking(apex) };
        Self {
            image,
            blob: Vec::new(),
            flaws,
            above: Vec::new(),
            last: Vec::new(),
            found: Vec::new(),
            chain: Vec::new(),
            hashes: Vec::new(),
        }
    }

    fn flaw(&mut self, place: Place, what: String) {
        if self.flaws.len() < FLAWS {
            self.flaws.push(Flaw { place, what });
        }
    }

    fn write<'l>(&mut self, records: impl Iterator<Item = Logged<'l>>) {
        let mut records = records.peekable();
        // The apex exists whether it has records or not.
        if records.peek().is_none_or(|first| !first.name.is_empty()) {
            self.empty(b"");
        }
        let mut group: Vec<Logged<'l>> = Vec::new();
        while let Some(first) = records.next() {
            group.clear();
            group.push(first);
            while let Some(next) = records.next_if(|next| next.name == first.name) {
                group.push(next);
            }
            self.ancestors(first.name);
            self.entry(first.name, &group);
        }
    }

    /// RFC 4592 2.2.2: names between an owner and its apex exist, too. In canonical order what is
    /// below a name comes right behind it, so the last name tells which exist already.
    fn ancestors(&mut self, name: &[u8]) {
        let mut missing = Vec::new();
        let mut above = order::parent(name);
        while let Some(ancestor) = above.filter(|a| !order::is_within(&self.last, a)) {
            missing.push(ancestor);
            above = order::parent(ancestor);
        }
        for ancestor in missing.into_iter().rev() {
            self.empty(ancestor);
        }
    }

    fn empty(&mut self, name: &[u8]) {
        self.entry(name, &[]);
    }

    fn entry(&mut self, name: &[u8], records: &[Logged<'_>]) {
        let at = u32::try_from(self.blob.len()).unwrap_or(u32::MAX);
        while let Some(above) = self.above.last() {
            // What is kept here lies at or above the last name.
            let start = self.last.len().saturating_sub(above.length);
            let above = self.last.get(start..).unwrap_or_default();
            if above.len() < name.len() && order::is_within(name, above) {
                break;
            }
            self.above.pop();
        }
        let (is_occluded, is_renamed) =
            self.above.last().map_or((false, false), |a| (a.is_occluded, a.is_renamed));
        if name.starts_with(b"\x01*")
            && let Some(flags) = self.above.last().and_then(|a| self.blob.get_mut(a.flags_at))
        {
            *flags |= STAR;
        }
        let seen = self.survey(name, records);
        let is_cut = seen.servers && !name.is_empty();
        let flags = [(is_cut, CUT), (is_occluded, OCCLUDED), (seen.kind.is_some(), SPECIAL)];
        let flags = flags.iter().filter(|(set, _)| *set).fold(0, |all, (_, bit)| all | bit);
        self.blob.push(u8::try_from(name.len()).unwrap_or(0));
        self.blob.extend_from_slice(name);
        let flags_at = self.blob.len();
        self.blob.push(flags);
        if let Some(kind) = seen.kind {
            self.blob.extend_from_slice(&kind);
        }
        let sets = u16::try_from(seen.sets).unwrap_or_else(|_| {
            let what = format!("{} has more than 65,535 RRsets", self.show(name));
            self.flaw(Place::default(), what);
            0
        });
        self.blob.extend_from_slice(&sets.to_be_bytes());
        self.sets(records);
        self.image.names += 1;
        self.last.clear();
        self.last.extend_from_slice(name);
        let below = Above {
            length: name.len(),
            flags_at,
            is_occluded: is_occluded || is_cut,
            is_renamed: is_renamed || seen.dname,
        };
        self.above.push(below);
        if seen.chain && !is_occluded {
            self.chain.push(at);
        }
        if seen.hashed && !seen.plain {
            self.hashes.push(at);
        }
        // The apex needs no table.
        let is_hidden = is_renamed || (seen.hashed && !seen.plain);
        if !name.is_empty() && !is_hidden {
            self.found.push(at);
        }
    }

    /// What there is, and what may not be: RFC 2181 10.1 (a CNAME stands alone, save for what
    /// DNSSEC adds), RFC 6672 2.4 (one DNAME), RFC 1035 5.2 (SOA at the top only).
    fn survey(&mut self, name: &[u8], records: &[Logged<'_>]) -> Seen {
        let mut seen = Seen::default();
        let mut last: Option<&Logged<'_>> = None;
        for record in records {
            let rtype = Rtype::from_int(record.rtype);
            let fresh = last.is_none_or(|last| last.set() != record.set());
            let twice = !fresh && last.is_some_and(|last| last.rdata != record.rdata);
            last = Some(record);
            if record.rtype == MARK {
                seen.kind = seen.kind.or(record.rdata.first_chunk::<5>().copied());
                continue;
            }
            seen.sets += u32::from(fresh);
            seen.alias |= rtype == Rtype::CNAME;
            seen.dname |= rtype == Rtype::DNAME;
            seen.servers |= rtype == Rtype::NS;
            seen.chain |= rtype == Rtype::NSEC;
            seen.hashed |= rtype == Rtype::NSEC3;
            seen.plain |= !matches!(rtype, Rtype::NSEC3 | Rtype::RRSIG);
            let beside = matches!(rtype, Rtype::CNAME | Rtype::RRSIG | Rtype::NSEC);
            seen.others |= !beside;
            if twice && matches!(rtype, Rtype::CNAME | Rtype::DNAME) {
                let what = format!("{} has two {rtype} records", self.show(name));
                self.flaw(record.place, what);
            }
            if rtype == Rtype::SOA && !name.is_empty() {
                let what = format!("{} has an SOA record, but is not the top", self.show(name));
                self.flaw(record.place, what);
            }
        }
        if seen.alias && seen.others {
            for record in records {
                let rtype = Rtype::from_int(record.rtype);
                let beside = matches!(rtype, Rtype::CNAME | Rtype::RRSIG | Rtype::NSEC);
                if !beside && record.rtype != MARK {
                    let what = format!("{} has a CNAME record and this {rtype}", self.show(name));
                    self.flaw(record.place, what);
                }
            }
        }
        seen
    }

    fn show(&self, name: &[u8]) -> String {
        self.image.whole(name).map_or_else(String::new, |name| name.to_string())
    }

    fn sets(&mut self, records: &[Logged<'_>]) {
        let records = records.iter().filter(|record| record.rtype != MARK);
        let mut last: Option<&Logged<'_>> = None;
        let mut head = 0;
        for record in records {
            if last.is_none_or(|last| last.set() != record.set()) {
                head = self.blob.len();
                self.blob.extend_from_slice(&record.rtype.to_be_bytes());
                self.blob.extend_from_slice(&record.ttl.to_be_bytes());
                self.blob.extend_from_slice(&[0; 6]);
            } else if last.is_some_and(|last| last.rdata == record.rdata) {
                self.amend(head, record.ttl, false, record.place);
                continue;
            }
            let length = u16::try_from(record.rdata.len()).unwrap_or(0);
            self.blob.extend_from_slice(&length.to_be_bytes());
            self.blob.extend_from_slice(record.rdata);
            self.amend(head, record.ttl, true, record.place);
            self.image.records += 1;
            last = Some(record);
        }
    }

    /// Takes one record more into the RRset whose head is at `head`.
    fn amend(&mut self, head: usize, ttl: u32, is_new: bool, place: Place) {
        let octets = self.blob.len().saturating_sub(head + 12);
        let Some(place_of_head) =
            self.blob.get_mut(head..).and_then(|rest| rest.first_chunk_mut::<12>())
        else {
            return;
        };
        let [_, _, s0, s1, s2, s3, c0, c1, length @ ..] = place_of_head;
        // RFC 2181 5.2: one TTL an RRset; the lowest is the careful one.
        let lowest = ttl.min(u32::from_be_bytes([*s0, *s1, *s2, *s3]));
        [*s0, *s1, *s2, *s3] = lowest.to_be_bytes();
        let count = u16::from_be_bytes([*c0, *c1]).checked_add(u16::from(is_new));
        let (Some(count), Ok(octets)) = (count, u32::try_from(octets)) else {
            return self.flaw(place, "more than 65,535 records of one name and type".to_owned());
        };
        [*c0, *c1] = count.to_be_bytes();
        *length = octets.to_be_bytes();
    }

    fn close(&mut self) {
        if u32::try_from(self.blob.len()).is_err() {
            let what = format!("zone {} has more than 4 GiB of records", self.image.apex);
            self.flaw(Place::default(), what);
        }
        self.image.blob = std::mem::take(&mut self.blob).into_boxed_slice();
        let found = std::mem::take(&mut self.found);
        self.image.fill(&found);
        drop(found);
        self.image.chain = std::mem::take(&mut self.chain).into_boxed_slice();
        self.image.hashes = std::mem::take(&mut self.hashes).into_boxed_slice();
        let top = self.image.top();
        let signed = top
            .is_some_and(|top| top.set(Rtype::DNSKEY).is_some() && top.set(Rtype::RRSIG).is_some());
        let soa = self.image.soa().and_then(|soa| Soa::read(soa.ttl, soa.records().next()?));
        self.image.signed = signed;
        self.image.soa = soa.unwrap_or_default();
        let ttl = self.image.soa.negative_ttl;
        // Signatures in a zone without keys are handed out as they stand.
        let plain = self.image.soa().filter(|soa| signed || soa.signatures().is_none());
        let record = plain.and_then(|soa| soa.records().next());
        let refusal =
            record.and_then(|rdata| Stencil::new(&self.image.apex, Rtype::SOA, ttl, rdata));
        self.image.refusal = refusal;
    }

    fn done(self) -> Result<Image, Vec<Flaw>> {
        if self.flaws.is_empty() { Ok(self.image) } else { Err(self.flaws) }
    }
}

impl Soa {
    /// From the five numbers behind the two names (RFC 1035 3.3.13).
    fn read(ttl: u32, rdata: &[u8]) -> Option<Self> {
        let [s0, s1, s2, s3, .., m0, m1, m2, m3] = rdata.last_chunk::<20>()?;
        let minimum = u32::from_be_bytes([*m0, *m1, *m2, *m3]);
        let serial = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
        Some(Self { serial, negative_ttl: ttl.min(minimum) })
    }
}

impl Image {
    /// Fills the table of names with these entries.
    fn fill(&mut self, entries: &[u32]) {
        if entries.is_empty() {
            return;
        }
        let size = entries.len() + entries.len() / 2 + 1;
        let mut tags = vec![0u8; size];
        let mut places = vec![0u32; size];
        for offset in entries {
            let Some(entry) = self.entry(*offset) else { continue };
            let (tag, start) = place_of(entry.name, size);
            let free = (start..size).chain(0..start).find(|at| tags.get(*at) == Some(&0));
            if let Some(at) = free
                && let (Some(own_tag), Some(place)) = (tags.get_mut(at), places.get_mut(at))
            {
                (*own_tag, *place) = (tag, *offset);
            }
        }
        self.tags = tags.into_boxed_slice();
        self.places = places.into_boxed_slice();
    }
}
