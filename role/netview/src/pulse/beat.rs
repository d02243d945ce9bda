//! Rates: the difference between two looks at the nodes' own counts, each second of the last two
//! minutes, for every POP.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use popnet_terms::{NodeName, PopId, Role, Timestamp};
use popnet_wire::status::{NetworkStatus, NodeStatus, RoleStatus};

use super::totals::{float, share};

/// Seconds remembered: as many as a sparkline has room for.
const KEPT: usize = 120;

/// What nodes have done since they started, or in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Requests from clients.
    pub(crate) requests: u64,
    /// Of those, answered from memory or disk.
    pub(crate) hits: u64,
    /// Octets sent to clients.
    pub(crate) bytes: u64,
    /// DNS queries answered.
    pub(crate) queries: u64,
}

impl Work {
    fn of(status: &NodeStatus) -> Self {
        status.roles.iter().fold(Self::default(), |sum, role| sum.plus(Self::of_role(role)))
    }

    fn of_role(status: &RoleStatus) -> Self {
        match status {
            RoleStatus::Nameserver { queries, .. } => Self { queries: *queries, ..Self::default() },
            // The disk tier's requests come from memory tiers: they are nobody's a second time.
            RoleStatus::Cache { role: Role::Webserver, hits, .. } => {
                Self { hits: *hits, ..Self::default() }
            }
            RoleStatus::Cache { requests, hits, bytes_out, .. } => {
                Self { requests: *requests, hits: *hits, bytes: *bytes_out, queries: 0 }
            }
            RoleStatus::Plain { .. } | RoleStatus::Logserver { .. } => Self::default(),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            hits: self.hits.saturating_add(other.hits),
            bytes: self.bytes.saturating_add(other.bytes),
            queries: self.queries.saturating_add(other.queries),
        }
    }

    fn minus(self, earlier: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            hits: self.hits.saturating_sub(earlier.hits),
            bytes: self.bytes.saturating_sub(earlier.bytes),
            queries: self.queries.saturating_sub(earlier.queries),
        }
    }

    /// Share of requests answered from a tier of ours.
    pub(crate) fn hit_ratio(self) -> Option<f64> {
        share(self.hits, self.requests)
    }
}

/// What happened between two looks.
#[derive(Clone, Debug)]
pub(crate) struct Beat {
    /// Time between the two.
    pub(crate) span: Duration,
    /// Everything.
    pub(crate) all: Work,
    /// The same by POP.
    pub(crate) pops: BTreeMap<PopId, Work>,
}

/// The last two minutes. Cloning shares the beats.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beats {
    beats: VecDeque<Arc<Beat>>,
    before: Option<Timestamp>,
    counts: HashMap<NodeName, (Timestamp, Work)>,
}

impl Beats {
    /// Takes a look in.
    pub(crate) fn add(&mut self, status: &NetworkStatus) {
        let mut all = Work::default();
        let mut pops: BTreeMap<PopId, Work> = BTreeMap::new();
        let mut counts = HashMap::with_capacity(status.nodes.len());
        for (name, _, answer) in &status.nodes {
            let Ok(node) = answer else { continue };
            let now = Work::of(node);
            // A node that started anew counts from zero; one seen first has no "before".
            let done = match self.counts.get(name) {
                Some((started, before)) if *started == node.started => now.minus(*before),
                Some(_) => now,
                None => Work::default(),
            };
            all = all.plus(done);
            let pop = pops.entry(name.pop()).or_default();
            *pop = pop.plus(done);
            counts.insert(name.clone(), (node.started, now));
        }
        // A node that is away now keeps its counts for when it comes back.
        for (name, kept) in self.counts.drain() {
            let configured = status.nodes.iter().any(|(known, _, _)| *known == name);
            if configured {
                counts.entry(name).or_insert(kept);
            }
        }
        self.counts = counts;
        if let Some(before) = self.before.replace(status.at) {
            let span = status.at.since(before);
            if !span.is_zero() {
                self.beats.push_back(Arc::new(Beat { span, all, pops }));
            }
        }
        while self.beats.len() > KEPT {
            self.beats.pop_front();
        }
    }

    /// Everything of the last `count` beats, and the time they cover.
    pub(crate) fn last(&self, count: usize) -> (Work, Duration) {
        let mut sum = (Work::default(), Duration::ZERO);
        for beat in self.beats.iter().rev().take(count) {
            sum = (sum.0.plus(beat.all), sum.1 + beat.span);
        }
        sum
    }

    /// The same of one POP.
    pub(crate) fn last_of(&self, pop: &PopId, count: usize) -> (Work, Duration) {
        let mut sum = (Work::default(), Duration::ZERO);
        for beat in self.beats.iter().rev().take(count) {
            let work = beat.pops.get(pop).copied().unwrap_or_default();
            sum = (sum.0.plus(work), sum.1 + beat.span);
        }
        sum
    }

    /// One value a beat, oldest first.
    pub(crate) fn series<T>(&self, value: impl Fn(&Beat) -> T) -> Vec<T> {
        self.beats.iter().map(|beat| value(beat)).collect()
    }
}

/// `count` a second.
pub(crate) fn per_second(count: u64, span: Duration) -> f64 {
    if span.is_zero() { 0.0 } else { float(count) / span.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use popnet_terms::{NodeName, Role, Timestamp};
    use popnet_wire::rollout::{Digest, Epoch};
    use popnet_wire::status::{NetworkStatus, NodeStatus, RoleStatus};

    use super::{Beats, per_second};

    #[test]
    fn rates_are_differences() {
        let mut beats = Beats::default();
        beats.add(&look(10, 0, 1000, 700));
        assert_eq!(beats.last(5).0.requests, 0, "the first look has no before");
        beats.add(&look(11, 0, 1100, 790));
        let (work, span) = beats.last(5);
        assert!((per_second(work.requests, span) - 100.0).abs() < 1e-9);
        assert!((work.hit_ratio().unwrap() - 0.9).abs() < 1e-9);
        assert_eq!(beats.last_of(&"fra1".into(), 5).0.requests, 100);
        // Started anew: what it has done since counts.
        beats.add(&look(12, 1, 30, 0));
        assert_eq!(beats.last(1).0.requests, 30);
        for second in 13..400 {
            beats.add(&look(second, 1, 30, 0));
        }
        assert_eq!(beats.series(|_| 1.0).len(), super::KEPT);
    }

    fn look(second: i64, started: i64, requests: u64, hits: u64) -> NetworkStatus {
        let cache = RoleStatus::Cache {
            role: Role::Webcache,
            requests,
            hits,
            bytes_out: 0,
            objects: 0,
            used: 0,
            capacity: 0,
            sheet: Epoch(1),
        };
        let node = NodeStatus {
            node: NodeName::new("edge1.fra1"),
            version: "0".into(),
            pid: 1,
            started: Timestamp(started),
            epoch: Epoch(1),
            digest: Digest::default(),
            purge: popnet_wire::purging::PurgeId(0),
            purged: true,
            roles: vec![cache],
        };
        NetworkStatus {
            network: "lab".into(),
            epoch: Epoch(1),
            at: Timestamp(second * 1_000_000),
            nodes: vec![(node.node.clone(), vec![Role::Webcache], Ok(node))],
        }
    }
}
