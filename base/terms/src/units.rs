//! Values with units as people write them: `"20s"`, `"4 GiB"`, `"400 Mbps"`, `"50/s"`.
//!
//! Printing gives the largest unit that divides the value, so print∘parse is the identity.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A value without its unit, or with one that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} needs a unit: write {example}")]
pub struct UnitError {
    /// What kind of value was expected: "a time", "a size" …
    pub what: &'static str,
    /// Two examples of the right form.
    pub example: &'static str,
}

/// The number and the unit of a text such as `1.5 GiB`; underscores may group digits.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_'))?;
    let (number, unit) = text.split_at(end);
    let number: f64 = number.replace('_', "").parse().ok()?;
    (number.is_finite()).then_some((number, unit.trim()))
}

/// `number × factor` as a whole; refuses what does not fit.
fn scaled(number: f64, factor: u64) -> Option<u64> {
    #[expect(clippy::cast_precision_loss, reason = "factors are small powers")]
    let value = (number * factor as f64).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be within 0 and 2^63 just here"
    )]
    (0.0..9.2e18).contains(&value).then_some(value as u64)
}

fn parse_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = split(text)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    scaled(number, *factor)
}

/// The largest unit that divides `value` without rest.
fn print_unit(value: u64, units: &[(&str, u64)], gap: &str) -> String {
    let (name, factor) = units
        .iter()
        .filter(|(_, factor)| value.is_multiple_of(*factor) && (value > 0 || *factor == 1))
        .max_by_key(|(_, factor)| *factor)
        .unwrap_or(&("", 1));
    format!("{}{gap}{name}", value / factor)
}

macro_rules! unit_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $example:literal, $format:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            const ERROR: UnitError = UnitError { what: $what, example: $example };
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
                } else {
                    u64::deserialize(deserializer).map(Self)
                }
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format, "examples": [$example] })
            }
        }
    };
}

unit_type! {
    /// A length of time in microseconds, written `250ms`, `20s`, `5m`, `6h`, `7d`.
    Span, "a time", r#""20s" (twenty seconds) or "20m" (twenty minutes)"#, "popnet-time"
}
unit_type! {
    /// A number of octets, written `256 MiB` (binary) or `10 GB` (decimal).
    Octets, "a size", r#""256 MiB" or "4 TiB""#, "popnet-size"
}
unit_type! {
    /// Bits a second, written `400 Mbps`; decimal, as the field bills.
    BitRate, "a bandwidth", r#""400 Mbps" or "20 Gbps""#, "popnet-bandwidth"
}
unit_type! {
    /// A rate in events an hour, written `50/s`, `600/m`, `3/h`.
    PerTime, "a rate", r#""50/s" or "3/h""#, "popnet-rate"
}

const TIMES: &[(&str, u64)] = &[
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];
const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];
const BANDWIDTHS: &[(&str, u64)] = &[
    ("bps", 1),
    ("kbps", 1_000),
    ("Mbps", 1_000_000),
    ("Gbps", 1_000_000_000),
    ("Tbps", 1_000_000_000_000),
];
const RATES: &[(&str, u64)] = &[("/h", 1), ("/m", 60), ("/s", 3_600)];

impl Span {
    /// The time as the standard library has it.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }

    /// `seconds` as a length of time.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Whole seconds, rounded down, at most `u32::MAX`.
    #[must_use]
    pub fn as_seconds(self) -> u32 {
        u32::try_from(self.0 / 1_000_000).unwrap_or(u32::MAX)
    }
}

impl FromStr for Span {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse_unit(text, TIMES).map(Self).ok_or(Self::ERROR)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.pad("0s") } else { f.pad(&print_unit(self.0, TIMES, "")) }
    }
}

impl FromStr for Octets {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        // Zero is the same in every unit; "0" and 0 switch a tier off.
        if text.trim() == "0" {
            return Ok(Self(0));
        }
        parse_unit(text, SIZES).map(Self).ok_or(Self::ERROR)
    }
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&print_unit(self.0, SIZES, " "))
    }
}

impl FromStr for BitRate {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse_unit(text, BANDWIDTHS).map(Self).ok_or(Self::ERROR)
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&print_unit(self.0, BANDWIDTHS, " "))
    }
}

impl FromStr for PerTime {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse_unit(text, RATES).map(Self).ok_or(Self::ERROR)
    }
}

impl fmt::Display for PerTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&print_unit(self.0, RATES, ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read() {
        for text in ["20s", "250ms", "5m", "7d", "800d"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        assert_eq!("1.5 GiB".parse::<Octets>().unwrap(), Octets(3 << 29));
        assert_eq!("4 TiB".parse::<Octets>().unwrap().to_string(), "4 TiB");
        assert_eq!("400 Mbps".parse::<BitRate>().unwrap().to_string(), "400 Mbps");
        assert_eq!("3/h".parse::<PerTime>().unwrap(), PerTime(3));
        assert_eq!("50/s".parse::<PerTime>().unwrap().to_string(), "50/s");
    }

    #[test]
    fn refused() {
        for text in ["20", "", "s", "1e9s", "-3s", "20 parsecs", "99999999999999999d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
