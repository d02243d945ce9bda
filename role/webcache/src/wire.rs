//! What this machine's network interfaces carry (P6, P8): octets in and out as `/proc/net/dev`
//! counts them, and how fast the interfaces are where they say so.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// Interfaces looked at: a machine has a handful, one full of containers some thousands.
const INTERFACES_MAX: usize = 1_024;

/// Octets since the machine's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) into: u64,
    pub(crate) out: u64,
    /// Bits a second that fit at once; 0 where no interface says it.
    pub(crate) speed: u64,
}

/// Bits a second between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) into: u64,
    pub(crate) out: u64,
}

impl Carried {
    /// As it is now; `None` where `/proc` is not there.
    pub(crate) fn now() -> Option<Self> {
        let table = fs::read_to_string("/proc/net/dev").ok()?;
        let folder = Path::new("/sys/class/net");
        let hardware = |name: &str| folder.join(name).join("device").exists();
        let speed = |name: &str| {
            let text = fs::read_to_string(folder.join(name).join("speed")).ok()?;
            text.trim().parse::<u64>().ok()
        };
        Some(Self::of(&table, hardware, speed))
    }

    /// The sum over the interfaces that are hardware, so that what a bridge or a tunnel carries
    /// on them counts once; where none is (containers), over all but the loopback.
    fn of(
        table: &str,
        is_hardware: impl Fn(&str) -> bool,
        megabits: impl Fn(&str) -> Option<u64>,
    ) -> Self {
        let rows: Vec<(&str, u64, u64)> =
            table.lines().filter_map(row).take(INTERFACES_MAX).collect();
        let hardware: Vec<_> = rows.iter().filter(|(name, ..)| is_hardware(name)).collect();
        let others = rows.iter().filter(|(name, ..)| *name != "lo");
        let counted = if hardware.is_empty() { others.collect() } else { hardware };
        let mut sum = Self::default();
        for (name, into, out) in counted {
            sum.into = sum.into.saturating_add(*into);
            sum.out = sum.out.saturating_add(*out);
            let speed = megabits(name).unwrap_or(0).saturating_mul(1_000_000);
            sum.speed = sum.speed.saturating_add(speed);
        }
        sum
    }

    /// Bits a second since `before`, `over` so long ago. A counter that went back (an interface
    /// has gone) says nothing.
    pub(crate) fn since(self, before: Self, over: Duration) -> Rate {
        let rate = |now: u64, then: u64| {
            let bits = u128::from(now.saturating_sub(then)) * 8 * 1_000_000;
            u64::try_from(bits / over.as_micros().max(1)).unwrap_or(u64::MAX)
        };
        Rate { into: rate(self.into, before.into), out: rate(self.out, before.out) }
    }

    /// How full the interfaces are in their fuller direction, in thousandths; 0 where their speed
    /// is not known.
    pub(crate) fn fullness(self, rate: Rate) -> u32 {
        let part = u128::from(rate.into.max(rate.out)) * 1_000;
        let part = part.checked_div(u128::from(self.speed)).unwrap_or(0);
        u32::try_from(part.min(1_000)).unwrap_or(1_000)
    }
}

/// `NAME: IN p p p p p p p OUT …`: the first and the ninth number (proc(5)).
fn row(line: &str) -> Option<(&str, u64, u64)> {
    let (name, rest) = line.split_once(':')?;
    let mut numbers = rest.split_ascii_whitespace();
    let into = numbers.next()?.parse().ok()?;
    let out = numbers.nth(7)?.parse().ok()?;
    Some((name.trim(), into, out))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "Inter-|   Receive  |  Transmit\n face |bytes    packets errs\n    \
        lo: 900 9 0 0 0 0 0 0 900 9 0 0 0 0 0 0\n  eth0: 1000 1 0 0 0 0 0 0 5000 3 0 0 0 0 0 0\n\
        docker0: 70 1 0 0 0 0 0 0 80 1 0 0 0 0 0 0\njunk\n  x: 1 2\n";

    #[test]
    fn only_what_leaves_the_machine_counts() {
        let speed = |name: &str| (name == "eth0").then_some(100);
        let machine = Carried::of(TABLE, |name| name == "eth0", speed);
        assert_eq!(machine, Carried { into: 1_000, out: 5_000, speed: 100_000_000 });
        let container = Carried::of(TABLE, |_| false, |_| None);
        assert_eq!(container, Carried { into: 1_070, out: 5_080, speed: 0 });
    }

    #[test]
    fn rates_and_fullness() {
        let speed = 100_000_000;
        let before = Carried { into: 0, out: 1_000, speed };
        let now = Carried { into: 250_000, out: 11_251_000, speed };
        let rate = now.since(before, Duration::from_secs(1));
        assert_eq!(rate, Rate { into: 2_000_000, out: 90_000_000 });
        assert_eq!(now.fullness(rate), 900);
        assert_eq!(Carried { speed: 0, ..now }.fullness(rate), 0);
        assert_eq!(before.since(now, Duration::from_secs(1)), Rate::default());
        assert!(now.since(before, Duration::ZERO).out > rate.out);
    }

    #[test]
    fn the_kernels_table_is_read() {
        assert!(Carried::now().is_some());
    }
}
