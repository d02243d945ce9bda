//! What bursts say together of one client unit: smoothed, so that one slow packet moves little.

use std::time::Duration;

use ipnet::IpNet;
use popnet_terms::{Micros, Timestamp};
use popnet_wire::probing::{Latency, Method};
use popnet_wire::trips::UnitTrips;

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

/// What was learnt at one time.
#[derive(Clone, Copy, Debug)]
struct News {
    rtt: Option<u32>,
    spread: u32,
    loss: u16,
    samples: u16,
    method: Option<Method>,
}

/// What caches see is said again this often though it is the same: half of the time for which a
/// latency is fresh (steering model, section 3).
const SAY_AGAIN: Duration = Duration::from_mins(5);

impl Estimate {
    /// The estimate after `burst`: the median of a burst counts for a quarter, its loss for a
    /// tenth, beside what was known before.
    pub(crate) fn after(before: Option<&Self>, burst: &Burst, at: Timestamp) -> Self {
        let mut answered: Vec<u32> = burst.rtts.iter().flatten().map(|rtt| rtt.0).collect();
        answered.sort_unstable();
        let news = News {
            rtt: answered.get(answered.len() / 2).copied(),
            spread: answered.last().zip(answered.first()).map_or(0, |(last, first)| last - first),
            loss: permille(burst.rtts.len() - answered.len(), burst.rtts.len()),
            samples: u16::try_from(burst.rtts.len()).unwrap_or(u16::MAX),
            method: burst.method,
        };
        Self::with(before, news, at)
    }

    /// The estimate after what caches saw of connections with the unit. What is told of it stays
    /// as old as it was, unless the level moves or it is time to say it again: a busy unit is
    /// seen every second and is not worth a word each time.
    pub(crate) fn seen(before: Option<&Self>, trips: &UnitTrips, at: Timestamp) -> Self {
        let news = News {
            rtt: Some(trips.rtt.0),
            spread: trips.spread.0,
            loss: trips.loss.min(1_000),
            samples: u16::try_from(trips.connections).unwrap_or(u16::MAX),
            method: Some(Method::Passive),
        };
        let after = Self::with(before, news, at);
        let same = before.filter(|before| {
            before.level.published() == after.level.published() && at.since(before.at) < SAY_AGAIN
        });
        Self { at: same.map_or(at, |before| before.at), samples: news.samples, ..after }
    }

    /// Whether caches saw the way, so that no packet need be sent for it.
    pub(crate) fn is_passive(&self) -> bool {
        self.method == Method::Passive
    }

    fn with(before: Option<&Self>, news: News, at: Timestamp) -> Self {
        let old = before.filter(|old| old.rtt.is_some() || news.rtt.is_none());
        let Some(old) = old else {
            let rtt = news.rtt.map(Micros);
            return Self {
                at,
                rtt,
                level: levelled(Level::default(), rtt),
                spread: Micros(news.spread),
                loss: news.loss,
                samples: news.samples,
                method: news.method.unwrap_or(Method::DnsQuery),
            };
        };
        let blend = |old: u32, new: u32, parts: u64| {
            let sum = u64::from(old) * (parts - 1) + u64::from(new);
            u32::try_from(sum / parts).unwrap_or(u32::MAX)
        };
        let loss = blend(u32::from(old.loss), u32::from(news.loss), 10);
        let rtt = match (old.rtt, news.rtt) {
            (Some(old), Some(new)) => Some(Micros(blend(old.0, new, 4))),
            (old, new) => new.map(Micros).or(old),
        };
        Self {
            at,
            rtt,
            level: levelled(old.level, news.rtt.and(rtt)),
            spread: Micros(blend(old.spread.0, news.spread, 4)),
            loss: u16::try_from(loss).unwrap_or(1_000),
            samples: old.samples.saturating_add(news.samples),
            method: news.method.unwrap_or(old.method),
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
