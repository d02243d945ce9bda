//! Whose turn it is to bother a resolver (steering model, section 5: two packets a second in
//! total). Time is cut into slots of one burst's length, and the probes of the network take them in
//! turn, for each resolver from another beginning. Nobody has to talk to anybody: the list of
//! probes is in everybody's configuration.
//!
//! What holds: with clocks that agree, the bursts of two probes to one resolver never overlap, so
//! that two packets in any second is the most it gets from the whole network, whatever is wished
//! for. Two probes whose clocks are off by less than half a gap make it three at most. While a
//! change of the list travels, two probes may believe that it is their turn.

use std::net::IpAddr;
use std::time::Duration;

use popnet_config::network::{Network, ProbeKind};
use popnet_terms::{NodeName, PopId, Role, Timestamp};

use crate::plan::samples;

/// Between two packets of a burst.
pub const GAP: Duration = Duration::from_millis(500);

/// One probe's place among those that measure latencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turns {
    place: u64,
    count: u64,
    slot: Duration,
}

impl Default for Turns {
    /// Alone: always its turn.
    fn default() -> Self {
        Self { place: 0, count: 1, slot: GAP }
    }
}

impl Turns {
    /// The turns of `node`; one that does not measure is alone.
    #[must_use]
    pub fn of(network: &Network, node: &NodeName) -> Self {
        let latency = |pop: &PopId| {
            let mut probes = network.probes.values();
            probes.find(|probe| probe.kind == ProbeKind::Latency && probe.is_from(pop))
        };
        let nodes = network.running(Role::Netprobe);
        let measuring = nodes.filter_map(|(name, pop, _)| Some((name, latency(pop)?)));
        let (mut turns, mut packets) = (Self { place: 0, count: 0, slot: GAP }, 1);
        for (name, probe) in measuring {
            if name == *node {
                turns.place = turns.count;
            }
            turns.count += 1;
            // The longest burst of any of them: all have to cut time alike.
            packets = packets.max(samples(probe));
        }
        Self { count: turns.count.max(1), slot: GAP * u32::from(packets), ..turns }
    }

    /// How long a turn lasts, after which no packet may leave; `None`: there is nobody else.
    #[must_use]
    pub fn slot(&self) -> Option<Duration> {
        (self.count > 1).then_some(self.slot)
    }

    /// From one turn's beginning to the next one's.
    #[must_use]
    pub fn cycle(&self) -> Duration {
        self.slot.saturating_mul(u32::try_from(self.count).unwrap_or(u32::MAX))
    }

    /// How long to wait at `now` until the next turn for `resolver` begins.
    #[must_use]
    pub fn wait(&self, resolver: IpAddr, now: Timestamp) -> Duration {
        let slot = u64::try_from(self.slot.as_micros()).unwrap_or(u64::MAX).max(1);
        let cycle = slot.saturating_mul(self.count);
        if self.count <= 1 {
            return Duration::ZERO;
        }
        let first = (beginning(resolver) + self.place) % self.count;
        let into = u64::try_from(now.0.max(0)).unwrap_or(0) % cycle;
        Duration::from_micros((first * slot + cycle - into) % cycle)
    }
}

/// A number of the resolver's own, the same at every probe.
fn beginning(resolver: IpAddr) -> u64 {
    let sum = |octets: &[u8]| {
        octets.iter().fold(0_u64, |sum, octet| sum.wrapping_mul(31).wrapping_add((*octet).into()))
    };
    let sum = match resolver.to_canonical() {
        IpAddr::V4(v4) => sum(&v4.octets()),
        IpAddr::V6(v6) => sum(&v6.octets()),
    };
    // Room for a place to be added.
    sum >> 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(probes: u64, samples: u16) -> Network {
        let nodes: String = (0..probes)
            .map(|n| format!("[pops.p{n}.nodes]\nprobe = {{ roles = [\"netprobe\"], address = [\"192.0.2.{}\"] }}\n", n + 1))
            .collect();
        let head = "[network]\nname = \"lab\"\nschema = 1\ndomain = \"lab.test\"\n";
        let probe = format!("[probes.rtt]\nkind = \"latency\"\nsamples = {samples}\n");
        toml_edit::de::from_str(&format!("{head}{nodes}{probe}")).unwrap()
    }

    #[test]
    fn who_is_alone_never_waits() {
        let network = network(1, 3);
        for node in ["probe.p0", "edge.p9"] {
            let turns = Turns::of(&network, &NodeName::new(node));
            assert_eq!(turns.wait([192, 0, 2, 9].into(), Timestamp(123)), Duration::ZERO);
            assert_eq!(turns.slot(), None);
        }
        assert_eq!(Turns::of(&network, &NodeName::new("probe.p0")).cycle(), GAP * 3);
    }

    proptest! {
        /// Every probe of the network wants to measure one resolver as often as it may, from any
        /// moment on: no second has more than two packets, and everybody has had a turn after one
        /// cycle.
        #[test]
        fn a_resolver_gets_two_packets_a_second(
            probes in 1_u64..30,
            samples in 1_u16..6,
            resolver in any::<u32>(),
            starts in prop::collection::vec(0_i64..4_000_000_000_000_000, 30),
        ) {
            let network = network(probes, samples);
            let resolver = IpAddr::from(resolver.to_be_bytes());
            let base = starts[0];
            let mut packets = Vec::new();
            for n in 0..probes {
                let turns = Turns::of(&network, &NodeName::new(&format!("probe.p{n}")));
                let mut now = Timestamp(base + starts[usize::try_from(n).unwrap()] % 100_000_000);
                for _ in 0..3 {
                    let wait = turns.wait(resolver, now);
                    prop_assert!(wait < turns.cycle());
                    let begin = now.after(wait);
                    packets.extend((0..samples).map(|n| begin.after(GAP * u32::from(n)).0));
                    // A burst ends with its slot; then the probe is ready for the next one.
                    now = begin.after(turns.slot);
                }
            }
            packets.sort_unstable();
            for three in packets.windows(3) {
                prop_assert!(three[2] - three[0] >= 1_000_000, "{three:?}");
            }
        }
    }
}
