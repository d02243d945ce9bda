//! What bursts say together of one client unit: smoothed, so that one slow packet moves little.

use ipnet::IpNet;
use popnet_terms::{Micros, Timestamp};
use popnet_wire::probing::{Latency, Method};

use crate::action::Burst;
use crate::publish::Level;

/// The estimate for one client unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Estimate {
    pub(crate) at: Timestamp,
    rtt: Option<Micros>,
    /// What is told of `rtt`.
    level: Level,
    spread: Micros,
    loss: u16,
    samples: u16,
    method: Method,
}

impl Estimate {
    /// The estimate after `burst`: the median of a burst counts for a quarter, its loss for a
    /// tenth, beside what was known before.
    pub(crate) fn after(before: Option<&Self>, burst: &Burst, at: Timestamp) -> Self {
        let mut answered: Vec<u32> = burst.rtts.iter().flatten().map(|rtt| rtt.0).collect();
        answered.sort_unstable();
        let median = answered.get(answered.len() / 2).copied();
        let width = answered.last().zip(answered.first()).map_or(0, |(last, first)| last - first);
        let loss = permille(burst.rtts.len() - answered.len(), burst.rtts.len());
        let count = u16::try_from(burst.rtts.len()).unwrap_or(u16::MAX);
        let old = before.filter(|old| old.rtt.is_some() || median.is_none());
        let Some(old) = old else {
            let rtt = median.map(Micros);
            return Self {
                at,
                rtt,
                level: levelled(Level::default(), rtt),
                spread: Micros(width),
                loss,
                samples: count,
                method: burst.method.unwrap_or(Method::DnsQuery),
            };
        };
        let blend = |old: u32, new: u32, parts: u64| {
            let sum = u64::from(old) * (parts - 1) + u64::from(new);
            u32::try_from(sum / parts).unwrap_or(u32::MAX)
        };
        let loss = blend(u32::from(old.loss), u32::from(loss), 10);
        let rtt = match (old.rtt, median) {
            (Some(old), Some(new)) => Some(Micros(blend(old.0, new, 4))),
            (old, new) => new.map(Micros).or(old),
        };
        Self {
            at,
            rtt,
            level: levelled(old.level, median.and(rtt)),
            spread: Micros(blend(old.spread.0, width, 4)),
            loss: u16::try_from(loss).unwrap_or(1_000),
            samples: old.samples.saturating_add(count),
            method: burst.method.unwrap_or(old.method),
        }
    }

    pub(crate) fn finding(&self, client: IpNet) -> Latency {
        Latency {
            client,
            rtt: self.level.published(),
            spread: self.spread,
            loss: self.loss,
            samples: self.samples,
            method: self.method,
        }
    }

    pub(crate) fn answered(&self) -> bool {
        self.rtt.is_some()
    }
}

/// The level after a burst that moved the estimate to `rtt`, or that told nothing.
fn levelled(mut level: Level, rtt: Option<Micros>) -> Level {
    if let Some(rtt) = rtt {
        level.take(rtt);
    }
    level
}

fn permille(part: usize, whole: usize) -> u16 {
    u16::try_from(part * 1_000 / whole.max(1)).unwrap_or(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burst(ms: &[u32]) -> Burst {
        let rtts = ms.iter().map(|ms| (*ms > 0).then_some(Micros(ms * 1_000))).collect();
        Burst { method: Some(Method::DnsQuery), rtts }
    }

    #[test]
    fn smoothing() {
        let first = Estimate::after(None, &burst(&[20, 30, 25]), Timestamp(1));
        assert_eq!((first.rtt, first.loss, first.samples), (Some(Micros(25_000)), 0, 3));
        let second = Estimate::after(Some(&first), &burst(&[65, 65, 0]), Timestamp(2));
        assert_eq!(second.rtt, Some(Micros(35_000)));
        assert_eq!(second.loss, 33);
        let silent = Estimate::after(Some(&second), &burst(&[0, 0, 0]), Timestamp(3));
        assert_eq!(silent.rtt, Some(Micros(35_000)));
        let never = Estimate::after(None, &burst(&[0, 0, 0]), Timestamp(4));
        assert_eq!((never.rtt, never.loss), (None, 1_000));
        let then = Estimate::after(Some(&never), &burst(&[10, 10, 10]), Timestamp(5));
        assert_eq!((then.rtt, then.loss), (Some(Micros(10_000)), 0));
    }

    #[test]
    fn what_is_told_moves_in_steps() {
        let unit = "192.0.2.0/24".parse().unwrap();
        let mut estimate = Estimate::after(None, &burst(&[100]), Timestamp(1));
        let told = |estimate: &Estimate| estimate.finding(unit).rtt.unwrap().0 / 1_000;
        let mut seen = Vec::new();
        // Smoothed: 110, 117, 123, 127.
        for second in 2..6 {
            estimate = Estimate::after(Some(&estimate), &burst(&[140]), Timestamp(second));
            seen.push(told(&estimate));
        }
        assert_eq!(seen, [100, 100, 123, 123]);
        let silent = Estimate::after(Some(&estimate), &burst(&[0]), Timestamp(9));
        assert_eq!(told(&silent), 123);
    }
}
