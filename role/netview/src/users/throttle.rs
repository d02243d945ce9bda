//! Wrong tries: after ten for one name or from one network, each further one makes the next wait
//! twice as long. Kept in memory: a restart forgives.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use popnet_terms::client_unit;

/// Wrong tries before waiting begins.
const FREE: u32 = 10;

/// The longest wait; also how long wrong tries are remembered after it.
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);

/// Most names and networks remembered; past it the longest-quiet half goes.
const KEPT_MAX: usize = 8192;

/// What to do with a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Look at the password.
    Try,
    /// Not before this much time has gone.
    Wait(Duration),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Name(String),
    Network(IpNet),
}

#[derive(Clone, Copy, Debug)]
struct Wrong {
    times: u32,
    last: Instant,
}

/// Counts wrong tries.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    wrong: HashMap<Key, Wrong>,
}

impl Throttle {
    /// Whether `name` may be tried from `from` now.
    pub(crate) fn check(&self, name: &str, from: IpAddr, now: Instant) -> Verdict {
        let left = keys(name, from).iter().filter_map(|key| self.left(key, now)).max();
        left.map_or(Verdict::Try, Verdict::Wait)
    }

    /// A try was wrong.
    pub(crate) fn wrong(&mut self, name: &str, from: IpAddr, now: Instant) {
        self.make_room(now);
        for key in keys(name, from) {
            let entry = self.wrong.entry(key).or_insert(Wrong { times: 0, last: now });
            entry.times = entry.times.saturating_add(1);
            entry.last = now;
        }
    }

    /// A try was right: the name is forgiven, the network is not (it may try many names).
    pub(crate) fn right(&mut self, name: &str) {
        self.wrong.remove(&Key::Name(name.to_owned()));
    }

    fn left(&self, key: &Key, now: Instant) -> Option<Duration> {
        let wrong = self.wrong.get(key)?;
        let over = wrong.times.checked_sub(FREE)?;
        let wait = Duration::from_secs(1 << over.min(16)).min(WAIT_MAX);
        wait.checked_sub(now.saturating_duration_since(wrong.last)).filter(|left| !left.is_zero())
    }

    fn make_room(&mut self, now: Instant) {
        if self.wrong.len() < KEPT_MAX {
            return;
        }
        self.wrong.retain(|_, wrong| now.saturating_duration_since(wrong.last) < WAIT_MAX);
        if self.wrong.len() >= KEPT_MAX {
            let mut lasts: Vec<Instant> = self.wrong.values().map(|wrong| wrong.last).collect();
            let middle = lasts.len() / 2;
            let (_, cut, _) = lasts.select_nth_unstable(middle);
            let cut = *cut;
            self.wrong.retain(|_, wrong| wrong.last > cut);
        }
    }
}

fn keys(name: &str, from: IpAddr) -> [Key; 2] {
    // Longer names exist nowhere: they must not fill memory.
    let name: String = name.chars().take(64).collect();
    [Key::Name(name), Key::Network(client_unit(from))]
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{KEPT_MAX, Throttle, Verdict};

    #[test]
    fn waiting_grows_and_ends() {
        let start = Instant::now();
        let from = "192.0.2.1".parse().unwrap();
        let mut throttle = Throttle::default();
        for _ in 0..9 {
            throttle.wrong("ada", from, start);
        }
        assert_eq!(throttle.check("ada", from, start), Verdict::Try);
        throttle.wrong("ada", from, start);
        assert_eq!(throttle.check("ada", from, start), Verdict::Wait(Duration::from_secs(1)));
        throttle.wrong("ada", from, start);
        assert_eq!(throttle.check("ada", from, start), Verdict::Wait(Duration::from_secs(2)));
        let later = start + Duration::from_secs(2);
        assert_eq!(throttle.check("ada", from, later), Verdict::Try);

        // The same network with another name waits too; another network with another name not.
        assert_ne!(throttle.check("eve", "192.0.2.77".parse().unwrap(), start), Verdict::Try);
        assert_eq!(throttle.check("eve", "198.51.100.1".parse().unwrap(), start), Verdict::Try);
        throttle.right("ada");
        assert_eq!(throttle.check("ada", "198.51.100.1".parse().unwrap(), start), Verdict::Try);
    }

    #[test]
    fn memory_is_bounded() {
        let mut throttle = Throttle::default();
        let start = Instant::now();
        for n in 0..40_000_u32 {
            let from = std::net::IpAddr::from((n << 8).to_be_bytes());
            throttle.wrong(&n.to_string(), from, start + Duration::from_millis(u64::from(n)));
        }
        assert!(throttle.wrong.len() <= KEPT_MAX + 2, "{}", throttle.wrong.len());
    }
}
