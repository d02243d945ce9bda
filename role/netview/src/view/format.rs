//! Numbers and times as people read them: SI units, decimal; UTC.

use std::time::Duration;

use popnet_terms::{Micros, Timestamp};
use serde::Serialize;

use crate::pulse::float;

/// Between a number and its unit, and between groups of digits: never broken at a line's end.
const NARROW: char = '\u{202f}';

/// Three digits and an SI prefix: `12.3 k`.
pub(crate) fn si(value: f64) -> String {
    const STEPS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    for (size, prefix) in STEPS {
        // 999.6 would print as 1000: it belongs to the next prefix.
        if value >= size * 0.9995 {
            return format!("{}{NARROW}{prefix}", three(value / size));
        }
    }
    three(value)
}

/// The same with a unit: `12.3 kbps`.
pub(crate) fn with_unit(value: f64, unit: &str) -> String {
    let text = si(value);
    if text.ends_with(|c: char| c.is_ascii_alphabetic()) {
        format!("{text}{unit}")
    } else {
        format!("{text}{NARROW}{unit}")
    }
}

fn three(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else if value < 9.995 {
        trim(format!("{value:.2}"))
    } else if value < 99.95 {
        trim(format!("{value:.1}"))
    } else {
        format!("{value:.0}")
    }
}

fn trim(text: String) -> String {
    match text.strip_suffix(".00").or_else(|| text.strip_suffix(".0")) {
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

/// Every digit, in groups of three.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + 8);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(NARROW);
        }
        text.push(digit);
    }
    text
}

/// Octets, decimal: `1.2 GB`.
pub(crate) fn bytes(value: u64) -> String {
    with_unit(float(value), "B")
}

/// A share: `97.3 %`, or a dash when there is nothing to share.
pub(crate) fn percent(share: Option<f64>) -> String {
    match share {
        None => "–".to_owned(),
        Some(share) if share <= 0.0 => format!("0{NARROW}%"),
        Some(share) if share < 0.0005 => format!("<0.1{NARROW}%"),
        Some(share) if share >= 1.0 => format!("100{NARROW}%"),
        // Rounding must not turn "nearly" into "all", nor "hardly any" into "none".
        Some(share) => format!("{:.1}{NARROW}%", (share * 100.0).min(99.9)),
    }
}

/// Microseconds as milliseconds: `12.3 ms`.
pub(crate) fn millis(value: Micros) -> String {
    format!("{}{NARROW}ms", three(value.as_millis_f64()))
}

/// A span in its two largest units.
pub(crate) fn age(span: Duration) -> String {
    let s = span.as_secs();
    match s {
        0..60 => format!("{s}{NARROW}s"),
        60..3600 => format!("{}{NARROW}min", s / 60),
        3600..86_400 => format!("{}{NARROW}h {}{NARROW}min", s / 3600, s % 3600 / 60),
        _ => format!("{}{NARROW}d {}{NARROW}h", s / 86_400, s % 86_400 / 3600),
    }
}

/// An instant for a page: short text, full text, and the machine's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) Timestamp);

impl Moment {
    fn print(self, form: &str) -> String {
        match jiff::Timestamp::from_microsecond(self.0.0) {
            Ok(at) => at.strftime(form).to_string(),
            Err(_) => "?".to_owned(),
        }
    }

    /// `20:05:13`.
    pub(crate) fn clock(self) -> String {
        self.print("%H:%M:%S")
    }

    /// `20:05`.
    pub(crate) fn minute(self) -> String {
        self.print("%H:%M")
    }

    /// `2026-11-14 20:05:13 UTC`.
    pub(crate) fn full(self) -> String {
        self.print("%Y-%m-%d %H:%M:%S UTC")
    }

    /// RFC 3339.
    pub(crate) fn iso(self) -> String {
        self.print("%Y-%m-%dT%H:%M:%SZ")
    }
}

impl Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.iso())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use popnet_terms::{Micros, Timestamp};

    use super::*;

    #[test]
    fn numbers() {
        let check = |got: String, want: &str| assert_eq!(got.replace(NARROW, " "), want);
        check(si(0.0), "0");
        check(si(0.254), "0.25");
        check(si(12.34), "12.3");
        check(si(999.6), "1 k");
        check(si(12_345.0), "12.3 k");
        check(with_unit(540e6, "bps"), "540 Mbps");
        check(with_unit(7.0, "bps"), "7 bps");
        check(count(1_234_567), "1 234 567");
        check(count(12), "12");
        check(bytes(1_200_000_000), "1.20 GB");
        check(percent(Some(0.99999)), "99.9 %");
        check(percent(Some(1.0)), "100 %");
        check(percent(Some(0.0)), "0 %");
        check(percent(Some(0.00001)), "<0.1 %");
        check(percent(None), "–");
        check(millis(Micros(12_345)), "12.3 ms");
        check(age(Duration::from_secs(59)), "59 s");
        check(age(Duration::from_secs(7_500)), "2 h 5 min");
        check(age(Duration::from_secs(90_000)), "1 d 1 h");
    }

    #[test]
    fn moments() {
        let moment = Moment(Timestamp(1_794_686_713_000_000));
        assert_eq!(moment.iso(), "2026-11-14T20:05:13Z");
        assert_eq!(moment.clock(), "20:05:13");
        assert_eq!(Moment(Timestamp(i64::MAX)).full(), "?");
    }
}
