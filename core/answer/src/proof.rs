//! What DNSSEC adds to an answer for those who ask for it: signatures (RFC 4035 3.1.1), and
//! records that prove what does not exist (RFC 4035 3.1.3, RFC 5155 7.2).
//!
//! Nearly all of it stands in the zone's image. What is made for one answer (chosen addresses, and
//! denials at names that have chosen addresses) is signed by somebody else, through [`Sign`].

use std::fmt;

use popnet_dns::{
    ALIAS, Full, Nsec3Label, Owner, QName, Rtype, Section, nsec3_hash, nsec3_label, type_bitmap,
};

use crate::catalog::Zone;
use crate::image::{Denial, Entry, RrSet};
use crate::lookup::{Spot, Step, Walk};
use crate::respond::Pen;

/// RFC 9276 3.2: validators refuse far fewer. A zone that asks for more gets no proofs.
const ITERATIONS_MAX: u16 = 500;

/// Records of one owner and type that were made for one answer.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    /// The zone.
    pub apex: &'a [u8],
    /// Whose they are: a wildcard where one stands in for the name that was asked for.
    pub owner: &'a [u8],
    /// Their type.
    pub rtype: Rtype,
    /// Their TTL.
    pub ttl: u32,
    /// Their data.
    pub records: &'a [&'a [u8]],
    /// Whether steering chose them: then their TTL differs from answer to answer.
    pub is_chosen: bool,
    /// Whether the same may be asked for again.
    pub is_kept: bool,
}

/// Signs what is made for one answer.
pub trait Sign: fmt::Debug {
    /// Whether it has keys of this zone.
    fn signs(&self, apex: &[u8]) -> bool;

    /// Hands the data of each signature over `made` to `write`; `None` when there is none.
    fn sign(&self, made: &Made<'_>, write: &mut dyn FnMut(&[u8])) -> Option<()>;
}

/// What was proved already: an NSEC record may prove two things at once.
#[derive(Debug, Default)]
pub(crate) struct Proved<'c> {
    names: [Option<&'c [u8]>; 4],
}

impl<'c> Proved<'c> {
    /// Whether `entry` is new here.
    fn add(&mut self, entry: Entry<'c>) -> bool {
        for place in &mut self.names {
            match place {
                // Each name stands in its image once.
                Some(known) if std::ptr::eq(known.as_ptr(), entry.name.as_ptr()) => return false,
                Some(_) => {}
                None => {
                    *place = Some(entry.name);
                    return true;
                }
            }
        }
        true
    }
}

impl<'c> Pen<'c, '_> {
    /// Whether the asker wants proofs and `zone` has them.
    pub(crate) fn is_secure(&self, zone: &Zone) -> bool {
        self.dnssec_ok && zone.image.is_signed()
    }

    /// Whether records of our making can be signed in `zone`, or need not be.
    pub(crate) fn may_make(&self, zone: &Zone) -> bool {
        !self.is_secure(zone)
            || self.signer.is_some_and(|signer| signer.signs(zone.image.apex().as_wire()))
    }

    /// The signatures over `set`.
    pub(crate) fn signatures(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        set: RrSet<'_>,
        ttl: u32,
    ) -> Result<(), Full> {
        let signatures = set.signatures().filter(|_| self.dnssec_ok);
        for rrsig in signatures.iter().flat_map(RrSet::records) {
            self.writer.record(section, owner, Rtype::RRSIG, ttl, rrsig)?;
        }
        Ok(())
    }

    /// Signs records of our making, which `owner` has in this answer.
    pub(crate) fn sign(
        &mut self,
        zone: &Zone,
        section: Section,
        owner: Owner<'_>,
        made: &Made<'_>,
    ) -> Result<(), Full> {
        let Some(signer) = self.signer.filter(|_| self.is_secure(zone)) else { return Ok(()) };
        let mut written = Ok(());
        let writer = &mut self.writer;
        let _ = signer.sign(made, &mut |rrsig| {
            if written.is_ok() {
                written = writer.record(section, owner, Rtype::RRSIG, made.ttl, rrsig);
            }
        });
        written
    }

    /// Proves that `name` does not exist, nor a wildcard for it (RFC 4035 3.1.3.2, RFC 5155 7.2.2).
    pub(crate) fn prove_missing(&mut self, spot: &Spot<'c>, name: &[u8]) -> Result<(), Full> {
        let zone = spot.zone;
        if self.is_compact(zone) {
            return self.deny_name(zone, name);
        }
        let Some(relative) = self.relative(zone, name) else { return Ok(()) };
        let encloser = encloser(spot, relative);
        match zone.image.denial() {
            Denial::None => Ok(()),
            Denial::Nsec => {
                self.cover(zone, relative)?;
                star(encloser).map_or(Ok(()), |star| self.cover(zone, star.as_slice()))
            }
            Denial::Nsec3 => {
                self.enclose(zone, relative, encloser)?;
                star(encloser).map_or(Ok(()), |star| self.cover(zone, star.as_slice()))
            }
        }
    }

    /// Proves that `name` has no records of the type asked for (RFC 4035 3.1.3.1 and 3.1.3.4,
    /// RFC 5155 7.2.3 to 7.2.5).
    pub(crate) fn prove_no_data(&mut self, spot: &Spot<'c>, name: &[u8]) -> Result<(), Full> {
        let zone = spot.zone;
        if self.is_compact(zone) {
            return self.deny_type(spot, name);
        }
        let Some(relative) = self.relative(zone, name) else { return Ok(()) };
        if spot.by_wildcard {
            self.prove_expanded(spot, name)?;
            let encloser = encloser(spot, relative);
            let Some(star) = star(encloser) else { return Ok(()) };
            return match zone.image.denial() {
                Denial::Nsec3 => {
                    self.closest(zone, encloser)?;
                    self.matching(zone, star.as_slice())
                }
                Denial::Nsec | Denial::None => self.cover(zone, star.as_slice()),
            };
        }
        self.matching(zone, relative)
    }

    /// Proves that a wildcard rightly stood in for `name` (RFC 4035 3.1.3.3, RFC 5155 7.2.6).
    pub(crate) fn prove_expanded(&mut self, spot: &Spot<'c>, name: &[u8]) -> Result<(), Full> {
        let zone = spot.zone;
        let Some(relative) = self.relative(zone, name) else { return Ok(()) };
        match zone.image.denial() {
            Denial::None => Ok(()),
            Denial::Nsec => self.cover(zone, relative),
            Denial::Nsec3 => self.cover(zone, next_closer(relative, encloser(spot, relative))),
        }
    }

    /// The same for each alias on the way of `walk`, so many of them.
    pub(crate) fn prove_aliases(
        &mut self,
        mut walk: Walk<'c, '_>,
        aliases: u8,
    ) -> Result<(), Full> {
        for _ in 0..aliases {
            let (step, spot) = walk.step();
            if let Some(spot) = spot.filter(|spot| spot.by_wildcard) {
                self.prove_expanded(&spot, walk.name())?;
            }
            match step {
                Step::End(_) | Step::Through(..) => return Ok(()),
                Step::Alias(set) => walk.follow(set),
                Step::Renamed { suffix, set } => {
                    if walk.rename(suffix, set).is_none() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Says whether the zone below `cut` is signed (RFC 4035 3.1.4, RFC 5155 7.2.7).
    pub(crate) fn prove_cut(&mut self, zone: &'c Zone, cut: Entry<'c>) -> Result<(), Full> {
        if !self.is_secure(zone) {
            return Ok(());
        }
        match (cut.set(Rtype::DS), zone.image.whole(cut.name)) {
            (Some(set), Some(name)) => {
                self.set(Section::Authority, Owner::Name(name.as_wire()), set)
            }
            (None, Some(name)) if self.is_compact(zone) => self.deny_keys(zone, name.as_wire()),
            (Some(_) | None, _) => self.matching(zone, cut.name),
        }
    }

    /// Proves that nothing was chosen at `owner`, relative to the apex: its own record says what
    /// could be, so that one without `qtype` is made.
    pub(crate) fn prove_unchosen(
        &mut self,
        zone: &'c Zone,
        owner: &[u8],
        qtype: Rtype,
    ) -> Result<(), Full> {
        if !self.is_secure(zone) || !self.may_make(zone) {
            return Ok(());
        }
        let (rtype, entry) = match zone.image.denial() {
            Denial::None => return Ok(()),
            Denial::Nsec => (Rtype::NSEC, zone.image.covering(owner)),
            Denial::Nsec3 => {
                (Rtype::NSEC3, Hashing::of(zone).and_then(|h| h.matching(zone, owner)))
            }
        };
        let Some(entry) = entry else { return Ok(()) };
        let set = entry.set(rtype).filter(|_| rtype == Rtype::NSEC3 || entry.name == owner);
        let made = set.and_then(|set| without(rtype, set.records().next()?, qtype));
        let whole = zone.image.whole(entry.name);
        let (Some(rdata), Some(set), Some(whole)) = (made, set, whole) else {
            return self.prove_by(zone, entry);
        };
        self.made_denial(zone, whole.as_wire(), rtype, set.ttl, &rdata)
    }

    /// Proves that `name`, which is in no chain because it exists only when it is asked for, has
    /// SRV records and no others.
    pub(crate) fn prove_service(&mut self, zone: &'c Zone, name: &[u8]) -> Result<(), Full> {
        if !self.is_secure(zone) || !self.may_make(zone) {
            return Ok(());
        }
        let ttl = zone.image.negative_ttl();
        let services = (self.asked != Rtype::SRV).then_some(Rtype::SRV);
        match zone.image.denial() {
            Denial::Nsec | Denial::None => self.deny_rest(zone, name, services),
            Denial::Nsec3 => {
                let Some(hashing) = Hashing::of(zone) else { return Ok(()) };
                let hash = nsec3_hash(name, hashing.iterations, hashing.salt);
                let owner = [nsec3_label(&hash).as_slice(), zone.image.apex().as_wire()].concat();
                // The next hash there could be.
                let mut next = hash;
                for octet in next.iter_mut().rev() {
                    *octet = octet.wrapping_add(1);
                    if *octet != 0 {
                        break;
                    }
                }
                let [i0, i1] = hashing.iterations.to_be_bytes();
                let salted = [1, 0, i0, i1, u8::try_from(hashing.salt.len()).unwrap_or(0)];
                let types = type_bitmap(services.into_iter().chain([Rtype::RRSIG]));
                let rdata = [&salted, hashing.salt, &[20], &next, &types].concat();
                self.made_denial(zone, &owner, Rtype::NSEC3, ttl, &rdata)
            }
        }
    }

    pub(crate) fn made_denial(
        &mut self,
        zone: &Zone,
        owner: &[u8],
        rtype: Rtype,
        ttl: u32,
        rdata: &[u8],
    ) -> Result<(), Full> {
        // Who asks for the very record that is made gets it as the answer.
        let is_answer = self.asked == rtype && self.is_compact(zone);
        let section = if is_answer { Section::Answer } else { Section::Authority };
        self.writer.record(section, Owner::Name(owner), rtype, ttl, rdata)?;
        let made = Made {
            apex: zone.image.apex().as_wire(),
            owner,
            rtype,
            ttl,
            records: &[rdata],
            is_chosen: false,
            is_kept: true,
        };
        self.sign(zone, section, Owner::Name(owner), &made)
    }

    fn relative<'n>(&self, zone: &Zone, name: &'n [u8]) -> Option<&'n [u8]> {
        zone.image.relative(name).filter(|_| self.is_secure(zone))
    }

    /// The record at `relative`; where there is none, what proves that it may not be needed: the
    /// name before an empty one (NSEC), or an unsigned delegation that was left out (opt-out).
    fn matching(&mut self, zone: &'c Zone, relative: &[u8]) -> Result<(), Full> {
        match zone.image.denial() {
            Denial::None => Ok(()),
            Denial::Nsec => self.cover(zone, relative),
            Denial::Nsec3 => {
                let Some(hashing) = Hashing::of(zone) else { return Ok(()) };
                if let Some(entry) = hashing.matching(zone, relative) {
                    return self.prove_by(zone, entry);
                }
                let mut above = std::iter::successors(parent(relative), |name| parent(name));
                let above = above.find(|name| hashing.matching(zone, name).is_some());
                self.enclose(zone, relative, above.unwrap_or_default())
            }
        }
    }

    /// The closest encloser and what covers the name one label longer (RFC 5155 7.2.1).
    fn enclose(&mut self, zone: &'c Zone, relative: &[u8], encloser: &[u8]) -> Result<(), Full> {
        self.closest(zone, encloser)?;
        self.cover(zone, next_closer(relative, encloser))
    }

    fn closest(&mut self, zone: &'c Zone, encloser: &[u8]) -> Result<(), Full> {
        let entry = Hashing::of(zone).and_then(|hashing| hashing.matching(zone, encloser));
        entry.map_or(Ok(()), |entry| self.prove_by(zone, entry))
    }

    /// The record whose span `relative` lies in.
    fn cover(&mut self, zone: &'c Zone, relative: &[u8]) -> Result<(), Full> {
        let entry = match zone.image.denial() {
            Denial::None => None,
            Denial::Nsec => zone.image.covering(relative),
            Denial::Nsec3 => Hashing::of(zone).and_then(|hashing| hashing.at(zone, relative)),
        };
        entry.map_or(Ok(()), |entry| self.prove_by(zone, entry))
    }

    /// An NSEC record of a name with an ALIAS, which has addresses when it is asked for them: what
    /// the zone holds says that it has none, and resolvers would believe it (RFC 8198).
    fn with_borrowed(&self, zone: &Zone, entry: Entry<'_>, set: RrSet<'_>) -> Option<Vec<u8>> {
        let is_alias = set.rtype == Rtype::NSEC && entry.set(ALIAS).is_some();
        if !is_alias || !self.may_make(zone) {
            return None;
        }
        let types = [Rtype::A, Rtype::AAAA].into_iter();
        with(set.records().next()?, types.filter(|rtype| self.absent != Some(*rtype)))
    }

    fn prove_by(&mut self, zone: &'c Zone, entry: Entry<'c>) -> Result<(), Full> {
        if !self.proved.add(entry) {
            return Ok(());
        }
        let Some(owner) = zone.image.whole(entry.name) else { return Ok(()) };
        let rtype = match zone.image.denial() {
            Denial::None => return Ok(()),
            Denial::Nsec => Rtype::NSEC,
            Denial::Nsec3 => Rtype::NSEC3,
        };
        let Some(set) = entry.set(rtype) else { return Ok(()) };
        if let Some(rdata) = self.with_borrowed(zone, entry, set) {
            return self.made_denial(zone, owner.as_wire(), rtype, set.ttl, &rdata);
        }
        self.set(Section::Authority, Owner::Name(owner.as_wire()), set)
    }
}

/// How a zone hashes its names.
struct Hashing<'c> {
    iterations: u16,
    salt: &'c [u8],
}

impl<'c> Hashing<'c> {
    fn of(zone: &'c Zone) -> Option<Self> {
        let set = zone.image.top()?.set(Rtype::NSEC3PARAM)?;
        let [_, _, i0, i1, length, salt @ ..] = set.records().next()? else { return None };
        let iterations = u16::from_be_bytes([*i0, *i1]);
        let salt = salt.get(..usize::from(*length))?;
        (iterations <= ITERATIONS_MAX).then_some(Self { iterations, salt })
    }

    fn label(&self, zone: &Zone, relative: &[u8]) -> Option<Nsec3Label> {
        let name = zone.image.whole(relative)?;
        Some(nsec3_label(&nsec3_hash(name.as_wire(), self.iterations, self.salt)))
    }

    /// The record that matches or covers `relative`.
    fn at(&self, zone: &'c Zone, relative: &[u8]) -> Option<Entry<'c>> {
        let label = self.label(zone, relative)?;
        zone.image.covering_hash(label.get(1..)?)
    }

    fn matching(&self, zone: &'c Zone, relative: &[u8]) -> Option<Entry<'c>> {
        let label = self.label(zone, relative)?;
        zone.image.covering_hash(label.get(1..)?).filter(|entry| entry.name == label)
    }
}

/// The closest encloser of `relative`, itself relative to the apex.
fn encloser<'n>(spot: &Spot<'_>, relative: &'n [u8]) -> &'n [u8] {
    let length = spot.encloser.map_or(0, usize::from);
    relative.get(relative.len().saturating_sub(length)..).unwrap_or_default()
}

/// `relative` less all but one of the labels before `encloser`.
fn next_closer<'n>(relative: &'n [u8], encloser: &[u8]) -> &'n [u8] {
    let mut names = std::iter::successors(Some(relative), |name| parent(name));
    let next = names.find(|name| parent(name).is_none_or(|above| above.len() <= encloser.len()));
    next.unwrap_or(relative)
}

/// A relative name without its first label; `None` for the apex.
fn parent(relative: &[u8]) -> Option<&[u8]> {
    relative.get(1 + usize::from(*relative.first()?)..)
}

/// A wildcard's relative name.
struct Star {
    octets: [u8; 257],
    length: usize,
}

impl Star {
    fn as_slice(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }
}

fn star(encloser: &[u8]) -> Option<Star> {
    let mut star = Star { octets: [0; 257], length: encloser.len() + 2 };
    let place = star.octets.get_mut(..star.length)?;
    let (front, rest) = place.split_first_chunk_mut::<2>()?;
    *front = *b"\x01*";
    rest.copy_from_slice(encloser);
    Some(star)
}

/// A denial's data without one type in its list of types (RFC 4034 4.1.2).
fn without(rtype: Rtype, rdata: &[u8], gone: Rtype) -> Option<Vec<u8>> {
    let head = match rtype {
        Rtype::NSEC => QName::read(rdata)?.as_wire().len(),
        _ => {
            let salt = usize::from(*rdata.get(4)?);
            6 + salt + usize::from(*rdata.get(5 + salt)?)
        }
    };
    let (before, mut windows) = rdata.split_at_checked(head)?;
    let mut made = before.to_vec();
    let [window, low] = gone.to_int().to_be_bytes();
    while let Some((head, rest)) = windows.split_first_chunk::<2>() {
        let (bits, rest) = rest.split_at_checked(usize::from(head[1]))?;
        let mut bits = bits.to_vec();
        if head[0] == window
            && let Some(octet) = bits.get_mut(usize::from(low / 8))
        {
            *octet &= !(0x80 >> (low % 8));
        }
        while bits.last() == Some(&0) {
            bits.pop();
        }
        if !bits.is_empty() {
            made.push(head[0]);
            made.push(u8::try_from(bits.len()).ok()?);
            made.extend_from_slice(&bits);
        }
        windows = rest;
    }
    Some(made)
}

/// An NSEC record's data with more types of the first window, which each has for its own type.
fn with(rdata: &[u8], more: impl Iterator<Item = Rtype>) -> Option<Vec<u8>> {
    let head = QName::read(rdata)?.as_wire().len();
    let mut made = rdata.to_vec();
    for rtype in more {
        let [0, low] = rtype.to_int().to_be_bytes() else { return None };
        *made.get_mut(head + 2 + usize::from(low / 8))? |= 0x80 >> (low % 8);
    }
    (rdata.get(head) == Some(&0)).then_some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_leaves_the_list() {
        // host.example.com. A MX RRSIG NSEC TYPE1234 (RFC 4034 4.3).
        let next = b"\x04host\x07example\x03com\0".as_slice();
        let mut rdata = [next, &[0, 6, 0x40, 1, 0, 0, 0, 3, 4, 0x1b]].concat();
        rdata.extend_from_slice(&[0; 26]);
        rdata.push(0x20);
        let less = without(Rtype::NSEC, &rdata, Rtype::from_int(1_234)).unwrap();
        assert_eq!(less, [next, &[0, 6, 0x40, 1, 0, 0, 0, 3]].concat());
        let less = without(Rtype::NSEC, &less, Rtype::A).unwrap();
        assert_eq!(less, [next, &[0, 6, 0, 1, 0, 0, 0, 3]].concat());
        assert_eq!(without(Rtype::NSEC, &less, Rtype::AAAA).unwrap(), less);
        let hashed = [1, 0, 0, 0, 1, 9, 2, 7, 7, 0, 1, 0x40];
        let less = without(Rtype::NSEC3, &hashed, Rtype::A).unwrap();
        assert_eq!(less, [1, 0, 0, 0, 1, 9, 2, 7, 7]);
        for length in 0..hashed.len() {
            let _ = without(Rtype::NSEC3, &hashed[..length], Rtype::A);
        }
    }

    #[test]
    fn types_join_the_list() {
        let rdata = b"\x01a\0\x00\x06\0\0\0\0\0\x03";
        let more = with(rdata, [Rtype::A, Rtype::AAAA].into_iter()).unwrap();
        assert_eq!(more, b"\x01a\0\x00\x06\x40\0\0\x08\0\x03");
        assert_eq!(without(Rtype::NSEC, &more, Rtype::A).unwrap()[5], 0);
        for length in 0..rdata.len() {
            let _ = with(&rdata[..length], [Rtype::AAAA].into_iter());
        }
    }

    #[test]
    fn names_between() {
        let relative = b"\x01a\x02bb\x03ccc".as_slice();
        assert_eq!(next_closer(relative, b"\x03ccc"), b"\x02bb\x03ccc");
        assert_eq!(next_closer(relative, b""), b"\x03ccc");
        assert_eq!(next_closer(relative, b"\x02bb\x03ccc"), relative);
        assert_eq!(star(b"\x03ccc").unwrap().as_slice(), b"\x01*\x03ccc");
        assert!(star(&[1; 256]).is_none());
    }
}
