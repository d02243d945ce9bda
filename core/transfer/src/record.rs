//! One record of a zone, and what a SOA record says.

use domain::base::name::ParsedName;
use domain::base::rdata::{ComposeRecordData, ParseAnyRecordData};
use domain::dep::octseq::Parser;
use domain::rdata::AllRecordData;
use popnet_dns::{Name, Rtype, ZoneRecord};

use crate::serial::Serial;

/// A record of class IN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rr {
    /// Who owns it.
    pub owner: Name,
    /// Its type.
    pub rtype: Rtype,
    /// Seconds to keep it.
    pub ttl: u32,
    /// Its data, names uncompressed.
    pub rdata: Box<[u8]>,
}

impl Rr {
    /// The same, borrowed.
    #[must_use]
    pub fn line(&self) -> Line<'_> {
        Line { owner: self.owner.as_wire(), rtype: self.rtype, ttl: self.ttl, rdata: &self.rdata }
    }
}

impl From<ZoneRecord> for Rr {
    fn from(record: ZoneRecord) -> Self {
        let ZoneRecord { owner, rtype, ttl, rdata, line: _ } = record;
        Self { owner, rtype, ttl, rdata }
    }
}

impl From<Rr> for ZoneRecord {
    fn from(record: Rr) -> Self {
        let Rr { owner, rtype, ttl, rdata } = record;
        Self { owner, rtype, ttl, rdata, line: 0 }
    }
}

/// A record whose octets lie somewhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Who owns it, in wire form.
    pub owner: &'a [u8],
    /// Its type.
    pub rtype: Rtype,
    /// Seconds to keep it.
    pub ttl: u32,
    /// Its data, names uncompressed.
    pub rdata: &'a [u8],
}

/// What a SOA record says (RFC 1035 3.3.13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Soa {
    /// The zone's number.
    pub serial: Serial,
    /// Seconds between two looks of a secondary.
    pub refresh: u32,
    /// Seconds until it looks again after a failure.
    pub retry: u32,
    /// Seconds after which it gives up answering.
    pub expire: u32,
    /// How long a "no" is kept.
    pub minimum: u32,
}

impl Soa {
    /// The numbers at the end of a SOA record's data.
    #[must_use]
    pub fn of(rdata: &[u8]) -> Option<Self> {
        let (names, numbers) = rdata.split_last_chunk::<20>()?;
        if names.len() < 2 {
            return None;
        }
        let mut numbers = numbers.chunks_exact(4).filter_map(|four| four.first_chunk::<4>());
        let mut next = || numbers.next().map(|four| u32::from_be_bytes(*four));
        Some(Self {
            serial: Serial(next()?),
            refresh: next()?,
            retry: next()?,
            expire: next()?,
            minimum: next()?,
        })
    }

    /// The data of a SOA record with another serial number.
    #[must_use]
    pub fn renumbered(rdata: &[u8], serial: Serial) -> Box<[u8]> {
        let mut rdata: Box<[u8]> = rdata.into();
        let at = rdata.len().saturating_sub(20);
        if let Some(place) = rdata.get_mut(at..at + 4) {
            place.copy_from_slice(&serial.0.to_be_bytes());
        }
        rdata
    }
}

/// Record data with the names in it in lower case, as RFC 4034 6.2 wants: equal data are equal
/// octets. Data that does not parse stays as it is.
pub(crate) fn canonical(rtype: Rtype, rdata: &[u8]) -> Box<[u8]> {
    let mut parser = Parser::from_ref(rdata);
    let mut out = Vec::with_capacity(rdata.len());
    let done = AllRecordData::<&[u8], ParsedName<&[u8]>>::parse_any_rdata(rtype, &mut parser)
        .is_ok_and(|data| data.compose_canonical_rdata(&mut out).is_ok());
    if done { out.into() } else { rdata.into() }
}

/// Whether a zone can hold records of this type: no questions, no parts of a message.
pub(crate) fn is_data(rtype: Rtype) -> bool {
    // RFC 6895 3.1: 128 to 255 are for questions and for what only messages carry; 41 is OPT.
    !matches!(rtype.to_int(), 0 | 41 | 128..=255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soa_numbers() {
        let mut rdata = b"\x02ns\0\0".to_vec();
        for number in [1u32, 2, 3, 4, 5] {
            rdata.extend_from_slice(&number.to_be_bytes());
        }
        let soa = Soa::of(&rdata).unwrap();
        assert_eq!(soa, Soa { serial: Serial(1), refresh: 2, retry: 3, expire: 4, minimum: 5 });
        let next = Soa::renumbered(&rdata, Serial(9));
        assert_eq!(Soa::of(&next).unwrap().serial, Serial(9));
        assert_eq!(next[..5], rdata[..5]);
        assert_eq!(Soa::of(&rdata[..21]), None);
    }

    #[test]
    fn names_in_data_lose_their_capitals() {
        assert_eq!(&*canonical(Rtype::NS, b"\x02NS\x01X\0"), b"\x02ns\x01x\0");
        assert_eq!(&*canonical(Rtype::TXT, b"\x02NS"), b"\x02NS");
        assert_eq!(&*canonical(Rtype::NS, b"\x09"), b"\x09");
        assert!(is_data(Rtype::A) && !is_data(Rtype::AXFR) && !is_data(Rtype::OPT));
    }
}
