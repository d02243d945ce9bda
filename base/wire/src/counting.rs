//! What a name server has counted since it started.

use std::sync::Arc;

use popnet_terms::Timestamp;
use serde::{Deserialize, Serialize};

/// Everything that a name server counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsCounts {
    /// When it began to.
    pub since: Timestamp,
    /// Each thread that answers datagrams, and all connections together.
    pub workers: Vec<(Arc<str>, Vec<Group>)>,
    /// What is not counted by worker.
    pub node: Vec<Group>,
    /// How copies of questions and answers go.
    pub taps: Vec<TapCounts>,
}

/// Counts of one kind, in an order that stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Such as `type`.
    pub name: Arc<str>,
    /// Such as `AAAA`, and how often.
    pub counts: Vec<(Arc<str>, u64)>,
}

/// How copies to one place go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapCounts {
    /// `dnstap` or `query_log`.
    pub name: Arc<str>,
    /// The file or socket.
    pub place: String,
    /// Exchanges written.
    pub written: u64,
    /// Exchanges that found no room, or could not be written.
    pub dropped: u64,
    /// Why nothing can be written now.
    pub trouble: Option<String>,
}

impl DnsCounts {
    /// All workers together.
    #[must_use]
    pub fn total(&self) -> Vec<Group> {
        let mut total: Vec<Group> = Vec::new();
        for group in self.workers.iter().flat_map(|(_, groups)| groups) {
            let at = total.iter().position(|known| known.name == group.name);
            let at = at.unwrap_or_else(|| {
                total.push(Group { name: Arc::clone(&group.name), counts: Vec::new() });
                total.len() - 1
            });
            let Some(sum) = total.get_mut(at) else { continue };
            for (name, count) in &group.counts {
                match sum.counts.iter_mut().find(|(known, _)| known == name) {
                    Some((_, all)) => *all = all.saturating_add(*count),
                    None => sum.counts.push((Arc::clone(name), *count)),
                }
            }
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, counts: &[(&str, u64)]) -> Group {
        let counts = counts.iter().map(|(name, count)| ((*name).into(), *count)).collect();
        Group { name: name.into(), counts }
    }

    #[test]
    fn workers_add_up() {
        let a = vec![group("type", &[("A", 3)]), group("rcode", &[("NOERROR", 3)])];
        let b = vec![group("type", &[("AAAA", 1), ("A", u64::MAX)])];
        let counts = DnsCounts {
            since: Timestamp(0),
            workers: vec![("udp 0".into(), a), ("udp 1".into(), b)],
            node: Vec::new(),
            taps: Vec::new(),
        };
        let total =
            [group("type", &[("A", u64::MAX), ("AAAA", 1)]), group("rcode", &[("NOERROR", 3)])];
        assert_eq!(counts.total(), total);
    }
}
