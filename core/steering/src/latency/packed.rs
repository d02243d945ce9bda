//! A row in 8 octets: what its unit, its part and its speaker do not say already.
//!
//! Round trips, losses and spreads keep their leading binary digits (1/2048, 1/64 and 1/8 of the
//! value at most are lost), times are even seconds. [`Row::rounded`] does the same, so that a row
//! says the same before and after it is packed.

use super::row::Row;

/// From the lowest bit: round trip 15, age 20, loss 9, method 3, spread 6, speaker 11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packed(u64);

/// Binary digits that are kept after the first.
const RTT_DIGITS: u32 = 11;
const LOSS_DIGITS: u32 = 6;
const SPREAD_DIGITS: u32 = 3;

const RTT_BITS: u32 = 15;
const AGE_BITS: u32 = 20;
const LOSS_BITS: u32 = 9;
const METHOD_BITS: u32 = 3;
const SPREAD_BITS: u32 = 6;

/// Nothing answered.
const SILENT: u32 = (1 << RTT_BITS) - 1;

impl Packed {
    pub(super) const SPEAKER_BITS: u32 = 11;

    pub(super) fn to_octets(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    /// `None`: no row with `speakers` before it has these octets.
    pub(super) fn from_octets(octets: [u8; 8], speakers: usize) -> Option<Self> {
        let packed = Self(u64::from_le_bytes(octets));
        let row = packed.row(0, 0, 0);
        let is_sound = packed.speaker() < speakers && row.loss() <= 1_000 && row.method().is_some();
        is_sound.then_some(packed)
    }

    /// The place of its speaker among those of the part.
    pub(super) fn speaker(self) -> usize {
        let above = RTT_BITS + AGE_BITS + LOSS_BITS + METHOD_BITS + SPREAD_BITS;
        usize::try_from(self.0 >> above).unwrap_or(0)
    }

    /// The row, but for its unit and its place: `newest` is what it was packed with, and the
    /// speaker is called `speaker`, whose words went as far as `seq`.
    pub(super) fn row(self, newest: u32, speaker: u16, seq: u32) -> Row {
        let mut rest = self.0;
        let mut take = |bits: u32| {
            let value = rest & ((1 << bits) - 1);
            rest >>= bits;
            u32::try_from(value).unwrap_or(0)
        };
        let rtt = take(RTT_BITS);
        let at = newest.saturating_sub(take(AGE_BITS) * 2);
        let loss = swell(take(LOSS_BITS), LOSS_DIGITS);
        let method = take(METHOD_BITS);
        let spread = swell(take(SPREAD_BITS), SPREAD_DIGITS);
        let rtt = (rtt != SILENT).then(|| swell(rtt, RTT_DIGITS));
        Row::unpacked(at, seq, rtt, speaker, loss, method, spread)
    }
}

impl Row {
    /// In 8 octets, told by the speaker at the place `speaker`. `None`: the place is too far.
    pub(super) fn packed(&self, newest: u32, speaker: usize) -> Option<Packed> {
        let speaker = u64::try_from(speaker).ok().filter(|at| *at < 1 << Packed::SPEAKER_BITS)?;
        let mut all = speaker;
        let mut put = |bits: u32, value: u32| all = all << bits | u64::from(value);
        put(SPREAD_BITS, squeezed_spread(self.spread_tenths()));
        put(METHOD_BITS, self.method_code());
        put(LOSS_BITS, squeeze(self.loss().into(), LOSS_DIGITS));
        put(AGE_BITS, (newest.saturating_sub(self.at) / 2).min((1 << AGE_BITS) - 1));
        put(RTT_BITS, self.rtt().map_or(SILENT, |rtt| squeezed_rtt(rtt.0)));
        Some(Packed(all))
    }

    /// As it says when it is packed.
    pub(super) fn rounded(self) -> Self {
        let rtt = self.rtt().map(|rtt| swell(squeezed_rtt(rtt.0), RTT_DIGITS));
        let loss = swell(squeeze(self.loss().into(), LOSS_DIGITS), LOSS_DIGITS);
        let spread = swell(squeezed_spread(self.spread_tenths()), SPREAD_DIGITS);
        let method = self.method_code();
        let Self { at, seq, speaker, .. } = self;
        Self::unpacked(at & !1, seq, rtt, speaker, loss, method, spread)
            .on(self.key, (self.asn, self.country))
    }
}

fn squeezed_rtt(micros: u32) -> u32 {
    squeeze(micros, RTT_DIGITS).min(SILENT - 1)
}

fn squeezed_spread(tenths: u32) -> u32 {
    squeeze(tenths, SPREAD_DIGITS).min((1 << SPREAD_BITS) - 1)
}

/// `value` by its length and its first `digits + 1` binary digits: a larger value never has a
/// smaller code.
fn squeeze(value: u32, digits: u32) -> u32 {
    let shift = (u32::BITS - value.leading_zeros()).saturating_sub(digits + 1);
    (shift << digits) + (value >> shift)
}

/// The least value with this code.
fn swell(code: u32, digits: u32) -> u32 {
    let (length, first) = (code >> digits, 1 << digits);
    if length <= 1 { code } else { (code & (first - 1) | first) << (length - 1) }
}

#[cfg(test)]
mod tests {
    use popnet_terms::{Micros, Timestamp};
    use popnet_wire::probing::{Latency, Method};

    use super::*;

    #[test]
    fn few_bits_keep_the_order_and_the_first_digits() {
        for digits in [3, 6, 11] {
            let mut last = 0;
            for value in (0..5_000).chain((5_000..4_000_000).step_by(997)) {
                let code = squeeze(value, digits);
                let back = swell(code, digits);
                assert!(code >= last && back <= value, "{value} with {digits}");
                assert!(value - back <= value >> digits, "{value} is {back} with {digits}");
                assert_eq!(squeeze(back, digits), code);
                last = code;
            }
        }
    }

    #[test]
    fn a_packed_row_says_what_it_said() {
        let finding = |rtt: Option<u32>, spread, loss, method| Latency {
            client: "192.0.2.0/24".parse().unwrap(),
            rtt: rtt.map(Micros),
            spread: Micros(spread),
            loss,
            samples: 3,
            method,
        };
        let newest = 1_900_000_000;
        for (rtt, spread, loss) in [(0, 0, 0), (12_345, 1_700, 333), (u32::MAX, u32::MAX, 1_000)] {
            for method in [Method::DnsQuery, Method::Passive] {
                for (rtt, at) in [(Some(rtt), newest), (None, newest - 1_209_600)] {
                    let at = Timestamp(i64::from(at) * 1_000_000);
                    let row = Row::new(&finding(rtt, spread, loss, method), at, 7, 300);
                    let back = row.packed(newest, 2_047).unwrap();
                    assert_eq!(back.speaker(), 2_047);
                    assert_eq!(back.row(newest, 300, 7).on(row.key, (0, [0; 2])), row);
                    assert_eq!(row.rounded(), row);
                }
            }
        }
        let row = Row::new(&finding(None, 0, 0, Method::Icmp), Timestamp(0), 1, 0);
        assert_eq!(row.packed(0, 2_048), None);
    }
}
