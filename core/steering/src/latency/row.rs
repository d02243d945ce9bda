//! One POP's measurement of one client unit.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use popnet_terms::{Micros, Timestamp, client_unit};
use popnet_wire::probing::{Latency, Method};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// A client unit as one number. The order is that of the units: IPv4 before IPv6, then the
/// address, then the wider before the narrower.
///
/// Bit 54 is the family, 48 bits are the address (IPv4 in the upper 32), 6 bits the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u64", try_from = "u64")]
pub(crate) struct Key(u64);

impl From<Key> for u64 {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl TryFrom<u64> for Key {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        Some(Self(number)).filter(|key| key.is_sound()).ok_or("no client unit")
    }
}

const FAMILY: u64 = 1 << 54;
const LENGTH: u64 = 0x3f;

impl Key {
    pub(crate) const FIRST: Self = Self(0);
    pub(crate) const LAST: Self = Self(u64::MAX);

    /// The key of `net`, cut to a client unit when it is narrower than one.
    pub(crate) fn of(net: IpNet) -> Self {
        let unit = client_unit(net.network());
        let net = if net.prefix_len() < unit.prefix_len() { net.trunc() } else { unit };
        Self(start_of(net) | u64::from(net.prefix_len()))
    }

    /// The first and the last key of units inside `around`.
    pub(crate) fn span(around: IpNet) -> (Self, Self) {
        let longest = if around.addr().is_ipv4() { 32 } else { 48 };
        let length = around.prefix_len().min(longest);
        let width = if around.addr().is_ipv4() { 48 - 32 + (32 - length) } else { 48 - length };
        let first = start_of(around.trunc());
        let last = first | (((1_u64 << width) - 1) << 6) | LENGTH;
        (Self(first | u64::from(length)), Self(last))
    }

    pub(crate) fn net(self) -> IpNet {
        let length = self.length();
        let bits = (self.0 >> 6) & 0xffff_ffff_ffff;
        if self.0 & FAMILY == 0 {
            let address = Ipv4Addr::from(u32::try_from(bits >> 16).unwrap_or(0));
            return Ipv4Net::new(address, length).unwrap_or_default().into();
        }
        let address = Ipv6Addr::from(u128::from(bits) << 80);
        Ipv6Net::new(address, length).unwrap_or_default().into()
    }

    pub(crate) fn length(self) -> u8 {
        u8::try_from(self.0 & LENGTH).unwrap_or(0)
    }

    /// A number that has nothing to do with who was measured first.
    pub(crate) fn hash(self) -> u64 {
        xxh3_64(&self.0.to_le_bytes())
    }

    /// Whether this is a key that [`Key::of`] makes: nothing above the family, no longer than a
    /// unit, no bit of the address below its length.
    fn is_sound(self) -> bool {
        let longest = if self.0 & FAMILY == 0 { 24 } else { 48 };
        let below = (1_u64 << (54 - u64::from(self.length().min(48)))) - 1;
        self.0 < FAMILY << 1 && self.length() <= longest && self.0 & below & !LENGTH == 0
    }

    /// All units in one /16 or /32 lie side by side in one part of the table.
    pub(crate) fn is_beside(self, other: Self) -> bool {
        let wide = if self.0 & FAMILY == 0 { 16 } else { 32 };
        let is_leaf = self.length() >= wide && other.length() >= wide;
        is_leaf && (self.0 ^ other.0) >> (54 - wide) == 0
    }
}

fn start_of(net: IpNet) -> u64 {
    match net.network() {
        IpAddr::V4(v4) => u64::from(u32::from(v4)) << 22,
        IpAddr::V6(v6) => {
            let top = u64::try_from(u128::from(v6) >> 80).unwrap_or(0);
            FAMILY | (top << 6)
        }
    }
}

/// One POP's measurement of one client unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "[u8; ROW_OCTETS]", try_from = "[u8; ROW_OCTETS]")]
pub(crate) struct Row {
    pub(crate) key: Key,
    /// When, in even seconds since 1970 by this server's clock.
    pub(crate) at: u32,
    /// The number of the word; of one that lies still, what its speaker's words went as far as.
    pub(crate) seq: u32,
    /// In microseconds; [`Row::SILENT`]: nothing answered.
    rtt: u32,
    /// The client's network, 0 where it is not known.
    pub(crate) asn: u32,
    /// The client's country as two letters, 0 where it is not known.
    pub(crate) country: [u8; 2],
    /// Who says so: a place among the table's speakers.
    pub(crate) speaker: u16,
    /// Loss in thousandths, and how it was measured.
    loss: u16,
    /// Spread in tenths of milliseconds, above four bits that say nothing any more.
    spread: u16,
}

/// Octets of a row on disk.
pub(crate) const ROW_OCTETS: usize = 32;

impl From<Row> for [u8; ROW_OCTETS] {
    fn from(row: Row) -> Self {
        let mut octets = Vec::with_capacity(ROW_OCTETS);
        row.write(&mut octets);
        octets.try_into().unwrap_or([0; ROW_OCTETS])
    }
}

impl TryFrom<[u8; ROW_OCTETS]> for Row {
    type Error = &'static str;

    fn try_from(octets: [u8; ROW_OCTETS]) -> Result<Self, Self::Error> {
        Self::from_octets(&octets).ok_or("no row")
    }
}

impl Row {
    const SILENT: u32 = u32::MAX;

    pub(crate) fn new(finding: &Latency, at: Timestamp, seq: u64, speaker: u16) -> Self {
        let tenths = u16::try_from(finding.spread.0 / 100).unwrap_or(u16::MAX).min(0xfff);
        let row = Self {
            key: Key::of(finding.client),
            at: u32::try_from(at.unix_seconds()).unwrap_or(0),
            seq: u32::try_from(seq).unwrap_or(u32::MAX),
            rtt: finding.rtt.map_or(Self::SILENT, |rtt| rtt.0.min(Self::SILENT - 1)),
            asn: 0,
            country: [0; 2],
            speaker,
            loss: (finding.loss.min(1_000) << 4) | method_code(finding.method),
            spread: tenths << 4,
        };
        row.rounded()
    }

    /// A row of no unit and no place, from what its packed form says.
    pub(super) fn unpacked(
        at: u32,
        seq: u32,
        rtt: Option<u32>,
        speaker: u16,
        loss: u32,
        method: u32,
        spread_tenths: u32,
    ) -> Self {
        let short = |value: u32| u16::try_from(value).unwrap_or(0);
        Self {
            key: Key::FIRST,
            at,
            seq,
            rtt: rtt.unwrap_or(Self::SILENT),
            asn: 0,
            country: [0; 2],
            speaker,
            loss: short(loss << 4 | method),
            spread: short(spread_tenths << 4),
        }
    }

    /// The round trip, when anything answered.
    pub(crate) fn rtt(&self) -> Option<Micros> {
        (self.rtt != Self::SILENT).then_some(Micros(self.rtt))
    }

    /// The same words on the unit of `key`, which is in the network and country `place`.
    pub(super) fn on(self, key: Key, (asn, country): (u32, [u8; 2])) -> Self {
        Self { key, asn, country, ..self }
    }

    /// The same words under another number of their speaker.
    pub(crate) fn said_by(self, speaker: u16) -> Self {
        Self { speaker, ..self }
    }

    /// In thousandths.
    pub(crate) fn loss(&self) -> u16 {
        self.loss >> 4
    }

    pub(crate) fn spread(&self) -> Micros {
        Micros(self.spread_tenths() * 100)
    }

    /// In tenths of milliseconds.
    pub(super) fn spread_tenths(&self) -> u32 {
        u32::from(self.spread >> 4)
    }

    /// How it was measured, as it is kept.
    pub(super) fn method_code(&self) -> u32 {
        u32::from(self.loss & 0xf)
    }

    pub(crate) fn method(&self) -> Option<Method> {
        METHODS.iter().find(|method| method_code(**method) == self.loss & 0xf).copied()
    }

    pub(crate) fn at(&self) -> Timestamp {
        Timestamp(i64::from(self.at) * 1_000_000)
    }

    /// Writes its [`ROW_OCTETS`].
    pub(crate) fn write(&self, octets: &mut Vec<u8>) {
        octets.extend_from_slice(&self.key.0.to_le_bytes());
        octets.extend_from_slice(&self.at.to_le_bytes());
        octets.extend_from_slice(&self.seq.to_le_bytes());
        octets.extend_from_slice(&self.rtt.to_le_bytes());
        octets.extend_from_slice(&self.asn.to_le_bytes());
        octets.extend_from_slice(&self.country);
        octets.extend_from_slice(&self.speaker.to_le_bytes());
        octets.extend_from_slice(&self.loss.to_le_bytes());
        octets.extend_from_slice(&self.spread.to_le_bytes());
    }

    /// `None`: no row has these octets.
    pub(crate) fn from_octets(octets: &[u8; ROW_OCTETS]) -> Option<Self> {
        let mut rest = octets.as_slice();
        let row = Self {
            key: Key(u64::from_le_bytes(take(&mut rest)?)),
            at: u32::from_le_bytes(take(&mut rest)?),
            seq: u32::from_le_bytes(take(&mut rest)?),
            rtt: u32::from_le_bytes(take(&mut rest)?),
            asn: u32::from_le_bytes(take(&mut rest)?),
            country: take(&mut rest)?,
            speaker: u16::from_le_bytes(take(&mut rest)?),
            loss: u16::from_le_bytes(take(&mut rest)?),
            spread: u16::from_le_bytes(take(&mut rest)?),
        };
        let is_sound = row.key.is_sound() && row.loss() <= 1_000 && row.method().is_some();
        is_sound.then(|| row.rounded())
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, others) = rest.split_first_chunk()?;
    *rest = others;
    Some(*first)
}

/// Every method, so that a code can be read.
const METHODS: [Method; 6] = [
    Method::DnsQuery,
    Method::Tcp53,
    Method::Icmp,
    Method::Simulated,
    Method::Trace,
    Method::Passive,
];

/// The code on disk: never changed once given.
fn method_code(method: Method) -> u16 {
    match method {
        Method::DnsQuery => 0,
        Method::Tcp53 => 1,
        Method::Icmp => 2,
        Method::Simulated => 3,
        Method::Trace => 4,
        Method::Passive => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_units_in_order() {
        let nets = ["10.0.0.0/8", "10.0.0.0/16", "10.0.0.0/24", "10.0.1.0/24", "2001:db8::/32"];
        let nets: Vec<IpNet> = nets.iter().map(|net| net.parse().unwrap()).collect();
        let keys: Vec<Key> = nets.iter().map(|net| Key::of(*net)).collect();
        assert!(keys.is_sorted(), "{keys:?}");
        let back: Vec<IpNet> = keys.iter().map(|key| key.net()).collect();
        assert_eq!(back, nets);
        assert_eq!(Key::of("192.0.2.77/32".parse().unwrap()).net().to_string(), "192.0.2.0/24");
        for key in &keys {
            assert!(
                key.is_sound() && !Key(key.0 | 1 << 20).is_sound() && !Key(key.0 | 63).is_sound()
            );
        }
        let beside: Vec<bool> = keys.iter().map(|key| key.is_beside(keys[1])).collect();
        assert_eq!(beside, [false, true, true, true, false]);
        let (first, last) = Key::span("10.0.0.0/16".parse().unwrap());
        let inside: Vec<bool> = keys.iter().map(|key| (first..=last).contains(key)).collect();
        assert_eq!(inside, [false, true, true, true, false]);
        let (first, last) = Key::span("2001:db8::/32".parse().unwrap());
        let leaf = Key::of("2001:db8:ffff::/48".parse().unwrap());
        assert!((first..=last).contains(&leaf));
    }

    #[test]
    fn rows_come_back_from_their_octets() {
        let finding = Latency {
            client: "192.0.2.0/24".parse().unwrap(),
            rtt: Some(Micros(12_345)),
            spread: Micros(1_700),
            loss: 333,
            samples: 3,
            method: Method::Icmp,
        };
        let mut row = Row::new(&finding, Timestamp(1_700_000_000_999_999), 77, 5);
        (row.asn, row.country) = (64_500, *b"DE");
        let mut octets = Vec::new();
        row.write(&mut octets);
        let octets: &[u8; ROW_OCTETS] = octets.as_slice().try_into().unwrap();
        assert_eq!(Row::from_octets(octets), Some(row));
        assert_eq!(
            (row.rtt(), row.loss(), row.spread()),
            (Some(Micros(12_344)), 332, Micros(1_600))
        );
        assert_eq!(row.at(), Timestamp(1_700_000_000_000_000));
        assert_eq!(Row::from_octets(&[0xff; ROW_OCTETS]), None);
        let silent = Latency { rtt: None, ..finding };
        assert_eq!(Row::new(&silent, Timestamp(0), 1, 0).rtt(), None);
    }
}
