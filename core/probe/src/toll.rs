//! What a probing node tells of its own POP's traffic where transit is billed by a percentile: the
//! octets that the POP's caches have sent, as their health pages count them, and what a byte more
//! costs. Every probe of a POP keeps the same account; name servers follow the one whose name
//! comes first.

use std::collections::BTreeMap;
use std::time::Duration;

use popnet_config::network::{Network, Transit};
use popnet_terms::{NodeName, PopId, Role, Span, TargetId, Timestamp};
use popnet_wire::probing::{Finding, Sample, Subject, Traffic};
use serde::{Deserialize, Serialize};

use crate::price::{Following, Pricer};
use crate::relief;
use crate::traffic::{Billing, Meter, TOP_MAX, seconds};

/// The account of one POP.
#[derive(Debug, Default)]
pub(crate) struct Toll {
    terms: Option<Terms>,
    /// Its caches, with what each told last.
    machines: BTreeMap<Subject, Option<Read>>,
    kept: Kept,
    /// The caches have told what they send.
    has_spoken: bool,
}

#[derive(Debug)]
struct Terms {
    pop: PopId,
    billing: Billing,
    following: Following,
}

/// A cache's counter, and the rate that it grew at lately in bits a second.
#[derive(Clone, Copy, Debug)]
struct Read {
    at: Timestamp,
    sent: u64,
    rate: u64,
}

/// What has to outlive a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    bill: i64,
    top: Vec<u32>,
    /// The slot that runs and the one before, with the octets sent in each.
    open: Vec<(i64, u64)>,
    pricer: Pricer,
}

/// A reading counts for a quarter in the rate that is steered by.
const SMOOTH: u64 = 4;

impl Toll {
    /// Takes a configuration over; what is known of the bill stays.
    pub(crate) fn configure(&mut self, network: &Network, pop: &PopId) {
        let transit = network.pops.get(pop).and_then(|of| of.transit.as_ref());
        self.terms = transit.map(|transit| Terms {
            pop: pop.clone(),
            billing: billing(transit),
            following: following(network, pop),
        });
        let before = std::mem::take(&mut self.machines);
        let caches = network.nodes().filter(|(_, of, n)| *of == pop && n.runs(Role::Webcache));
        let known = |name: NodeName| {
            let subject = Subject::Node(name);
            let last = before.get(&subject).copied().flatten();
            (subject, last)
        };
        self.machines = caches.map(|(name, _, _)| known(name)).collect();
    }

    /// Takes in what a machine has sent since its start; says whether there is news to tell.
    pub(crate) fn sent(&mut self, subject: &Subject, sent: u64, now: Timestamp) -> bool {
        let Some(Terms { billing, following, .. }) = &self.terms else { return false };
        let Some(read) = self.machines.get_mut(subject) else { return false };
        let before = read.replace(Read { at: now, sent, rate: 0 });
        if let (Some(before), Some(read)) = (before, read) {
            let span = now.since(before.at);
            // After a longer silence nobody knows when it was sent.
            if span.is_zero() || span > billing.slot {
                return false;
            }
            // A counter that went back began anew.
            let more = sent.checked_sub(before.sent).unwrap_or(sent);
            let new = u128::from(more) * 8_000_000 / span.as_micros().max(1);
            let new = u64::try_from(new).unwrap_or(u64::MAX);
            let is_first = before.rate == 0;
            let eased = before.rate - before.rate / SMOOTH + new / SMOOTH;
            read.rate = if is_first { new } else { eased };
            self.kept.count(billing, more, (before.at, now));
            self.has_spoken = true;
        }
        if !self.has_spoken {
            return false;
        }
        let rate = self.rate();
        self.kept.pricer.step(billing, following, rate, now)
    }

    /// What is told; nothing before the caches said what they send.
    pub(crate) fn sample(&self, now: Timestamp) -> Option<Sample> {
        let terms = self.terms.as_ref().filter(|_| self.has_spoken)?;
        let paid = self.kept.meter().billed(&terms.billing).max(terms.billing.commit);
        let traffic = Traffic {
            pop: terms.pop.clone(),
            rate: self.rate(),
            paid,
            aim: self.kept.pricer.aim().unwrap_or(0),
            price: self.kept.pricer.price(),
        };
        Some(Sample { at: now, finding: Finding::Traffic(traffic) })
    }

    /// The bill so far, to be kept over restarts; nothing where nothing is billed.
    pub(crate) fn kept(&self) -> Option<Vec<u8>> {
        self.terms.as_ref()?;
        postcard::to_allocvec(&self.kept).ok()
    }

    /// Takes over what was kept; `None`: it is none of ours.
    pub(crate) fn restore(&mut self, octets: &[u8]) -> Option<()> {
        let kept: Kept = postcard::from_bytes(octets).ok()?;
        let is_ours = kept.top.len() <= TOP_MAX && kept.top.is_sorted_by(|a, b| a >= b);
        (is_ours && kept.open.len() <= 2 && kept.pricer.is_sound()).then_some(())?;
        self.kept = kept;
        Some(())
    }

    /// Bits a second of all machines.
    fn rate(&self) -> u64 {
        let rates = self.machines.values().flatten().map(|read| read.rate);
        rates.fold(0, u64::saturating_add)
    }
}

impl Kept {
    fn meter(&self) -> Meter {
        Meter { bill: self.bill, top: self.top.clone() }
    }

    /// Octets that were sent between two moments no further apart than a slot: each slot gets its
    /// part by time.
    fn count(&mut self, billing: &Billing, octets: u64, (from, to): (Timestamp, Timestamp)) {
        let slot = billing.slot_at(to.unix_seconds());
        let begin = Timestamp(slot.saturating_mul(seconds(billing.slot)).saturating_mul(1_000_000));
        let span = to.since(from).as_micros().max(1);
        let early = begin.since(from).as_micros().min(span);
        let first = u64::try_from(u128::from(octets) * early / span).unwrap_or(octets);
        self.add(billing, slot.saturating_sub(1), first);
        self.add(billing, slot, octets.saturating_sub(first));
    }

    fn add(&mut self, billing: &Billing, slot: i64, octets: u64) {
        let newest = self.open.last().map_or(i64::MIN, |(open, _)| *open);
        if let Some((_, sum)) = self.open.iter_mut().find(|(open, _)| *open == slot) {
            *sum = sum.saturating_add(octets);
        } else if slot > newest && (octets > 0 || newest == i64::MIN || slot > newest + 1) {
            self.open.push((slot, octets));
        }
        // Machines are asked one after another: the slot before this one may still get a part.
        while self.open.len() > 2 {
            let (slot, octets) = self.open.remove(0);
            let begin = slot.saturating_mul(seconds(billing.slot));
            let length = seconds(billing.slot).unsigned_abs().max(1);
            let rate = u32::try_from(octets / 125 / length).unwrap_or(u32::MAX);
            let mut meter = Meter { bill: self.bill, top: std::mem::take(&mut self.top) };
            meter.close(billing, begin, rate);
            (self.bill, self.top) = (meter.bill, meter.top);
            self.pricer.close(billing, begin, rate);
        }
    }
}

fn billing(transit: &Transit) -> Billing {
    Billing {
        commit: transit.commit.0,
        percentile: relief::permille(transit.percentile.unwrap_or(0.95)).min(990),
        slot: transit.slot.unwrap_or(Span::seconds(300)).duration(),
        period: transit.period.map(Span::duration),
    }
}

/// The most that a whole price of this POP is worth to any of its sites.
fn following(network: &Network, pop: &PopId) -> Following {
    let cost = network.pops.get(pop).and_then(|of| of.cost).unwrap_or(1.0);
    let policies = network.sites.values().filter_map(|site| site.policy.as_deref());
    let worth = policies.filter_map(|key| network.policies.get(key)?.score.cost_ms);
    let worth = worth.fold(0.0, f64::max) * cost * 1_000.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped just here; NaN becomes 0"
    )]
    let worth = worth.clamp(0.0, 4e9) as u32;
    let target = TargetId::Pop(pop.clone());
    let period = relief::rules(network, &target).period().max(Duration::from_secs(1));
    Following { period, worth }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = r#"
[network]
name = "x"
schema = 1
domain = "x.example"
[pops.fra1]
cost = 2.0
transit = { commit = "8 Mbps", slot = "10s", period = "5000s" }
[pops.fra1.nodes]
edge1 = { roles = ["webcache"], address = ["192.0.2.1"] }
edge2 = { roles = ["webcache"], address = ["192.0.2.2"] }
[policies.p]
preset = "fastest"
score = { cost_ms = 10.0 }
answer = { ttl_max = "20s" }
[customers.c]
title = "C"
[sites."w.x.example"]
customer = "c"
kind = "cached"
policy = "p"
pops = ["*"]
origins = "o"
[origin_groups.o.servers]
main = { address = "192.0.2.9" }
"#;

    fn toll() -> Toll {
        let mut toll = Toll::default();
        toll.configure(&toml_edit::de::from_str(TEXT).unwrap(), &PopId::new("fra1"));
        toll
    }

    fn traffic(toll: &Toll) -> Traffic {
        let finding = toll.sample(Timestamp(0)).unwrap().finding;
        let Finding::Traffic(traffic) = finding else { panic!("{finding:?}") };
        traffic
    }

    /// Days of 5,000 s: 4 Mbit/s at midnight, 16 at noon.
    /// Of a POP's clients `ease` in 100 go for each millisecond. Gives what is sent, second by
    /// second.
    fn live(toll: &mut Toll, ease: u64, days: std::ops::Range<i64>) -> Vec<u64> {
        let mut sent = [0_u64; 2];
        let mut rates = Vec::new();
        let mut price = 0;
        for second in days.start * 5_000..days.end * 5_000 {
            let from_noon = (second % 5_000 - 2_500).unsigned_abs();
            let demand = 16_000_000 - from_noon * 4_800;
            let left = 100_u64.saturating_sub(u64::from(price) * 20 * ease / 1_000);
            let rate = demand * left / 100;
            rates.push(rate);
            for (n, sent) in sent.iter_mut().enumerate() {
                *sent += rate / 16;
                if second % 5 == 0 {
                    let name = ["edge1.fra1", "edge2.fra1"][n];
                    let now = Timestamp(second * 1_000_000);
                    toll.sent(&Subject::Node(name.into()), *sent, now);
                }
            }
            // Answers end within a while.
            if second % 20 == 0 && toll.has_spoken {
                price = traffic(toll).price;
            }
        }
        rates
    }

    #[test]
    fn nothing_is_told_where_nothing_is_billed() {
        let mut toll = toll();
        assert!(toll.sample(Timestamp(0)).is_none(), "nobody has said what is sent");
        let free = TEXT.replace("transit", "#");
        toll.configure(&toml_edit::de::from_str(&free).unwrap(), &PopId::new("fra1"));
        live(&mut toll, 1, 0..1);
        assert!(toll.sample(Timestamp(0)).is_none() && toll.kept().is_none());
    }

    #[test]
    fn a_rush_is_cut_and_all_else_is_free() {
        for (ease, most) in [(1, 14_500_000), (2, 13_000_000)] {
            let mut toll = toll();
            live(&mut toll, ease, 1..2);
            assert_eq!((traffic(&toll).price, traffic(&toll).aim), (1_000, 0), "as it is");
            let last = live(&mut toll, ease, 2..12).split_off(45_000);
            let means = last.chunks(10).map(|slot| slot.iter().sum::<u64>() / 10);
            let mut slots: Vec<u64> = means.collect();
            slots.sort_unstable();
            // The 95th percentile without all this would be 15.4 Mbit/s.
            assert!((8_000_000..most).contains(&slots[474]), "{ease}: {}", slots[474]);
            assert!(last[0] > 3_600_000, "nearly free below the aim: {}", last[0]);
            let told = traffic(&toll);
            assert!(told.aim >= 8_000_000 && told.price <= 20_000, "{told:?}");
        }
    }

    #[test]
    fn the_price_starts_where_it_was() {
        let mut toll = toll();
        live(&mut toll, 1, 1..2);
        let mut prices = Vec::new();
        for second in 10_000..11_000 {
            for name in ["edge1.fra1", "edge2.fra1"] {
                let sent = 10_000_000_000 + (second - 10_000) * 250_000;
                let now = Timestamp(i64::try_from(second).unwrap() * 1_000_000);
                toll.sent(&Subject::Node(name.into()), sent, now);
            }
            prices.push(traffic(&toll).price);
        }
        assert!(traffic(&toll).aim > 0);
        let jump = prices.windows(2).map(|two| two[0].abs_diff(two[1])).max();
        assert!(jump < Some(500), "{jump:?}");
        assert_eq!((prices[0], prices.last().copied()), (1_000, Some(0)));
    }

    #[test]
    fn what_is_kept_outlives_a_restart() {
        let mut before = toll();
        live(&mut before, 1, 1..4);
        let kept = before.kept().unwrap();
        let mut after = toll();
        assert_eq!(after.restore(&kept), Some(()));
        assert_eq!(after.kept, before.kept);
        assert!(after.kept.top.len() == 26 && after.kept.pricer.aim().is_some());
        for cut in 0..kept.len() {
            assert_eq!(toll().restore(&kept[..cut]), None);
        }
    }

    proptest! {
        #[test]
        fn any_reading_and_any_kept_octets_are_borne(
            kept: Vec<u8>,
            reads in prop::collection::vec((any::<u64>(), any::<i64>(), any::<bool>()), 0..40),
        ) {
            let mut toll = toll();
            let _ = toll.restore(&kept);
            for (sent, at, is_first) in reads {
                let name = if is_first { "edge1.fra1" } else { "edge2.fra1" };
                toll.sent(&Subject::Node(name.into()), sent, Timestamp(at));
                if toll.has_spoken {
                    prop_assert!(traffic(&toll).paid >= 8_000_000);
                }
                prop_assert!(toll.kept.open.len() <= 2);
            }
        }
    }
}
