//! A machine's load, from what its exporter or its SNMP agent tells (P6).
//!
//! The formula: the load average of one minute divided by the number of processors, or how far
//! memory in use is on its way from four fifths to full, whichever is more; from 0 to 1. Used
//! memory costs nothing until little is left.

use std::collections::BTreeSet;

use crate::check::thousandths;

/// What a machine tells of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gauges {
    /// Load average of one minute.
    pub average: Option<f64>,
    /// Processors; none is taken for one.
    pub processors: u16,
    /// All memory, in any unit.
    pub memory: Option<f64>,
    /// What programs can still get, in the same unit.
    pub available: Option<f64>,
}

/// Memory in use up to here is no load.
const MEMORY_FREE: f64 = 0.8;

/// Lines of an exporter's text that are read: a large machine has some thousands.
const LINES_MAX: usize = 50_000;

/// Processors that are counted.
const PROCESSORS_MAX: usize = 4_096;

impl Gauges {
    /// The load in thousandths; `None` when neither figure was told.
    #[must_use]
    pub fn load(&self) -> Option<u16> {
        let processors = f64::from(self.processors.max(1));
        let busy = self.average.map(|average| average / processors);
        let full = self.memory.zip(self.available).and_then(|(all, available)| {
            let used = 1.0 - available / all;
            (all > 0.0).then_some(((used - MEMORY_FREE) / (1.0 - MEMORY_FREE)).max(0.0))
        });
        let known = busy.into_iter().chain(full).filter_map(thousandths);
        known.max()
    }

    /// Reads the text of a Prometheus node exporter (text format 0.0.4). Takes any octets; lines
    /// that are none of ours, or are broken, say nothing.
    #[must_use]
    pub fn of_text(text: &[u8]) -> Self {
        let mut gauges = Self::default();
        let mut processors = BTreeSet::new();
        let mut idle_labels = |labels: &[u8]| {
            let name = labels.split(|octet| *octet == b',').find(|part| part.starts_with(b"cpu="));
            if let Some(name) = name
                && processors.len() < PROCESSORS_MAX
            {
                processors.insert(name.to_vec());
            }
        };
        for line in text.split(|octet| *octet == b'\n').take(LINES_MAX) {
            let Some((name, labels, value)) = sample(line) else { continue };
            match name {
                b"node_load1" => gauges.average = Some(value),
                b"node_memory_MemTotal_bytes" => gauges.memory = Some(value),
                b"node_memory_MemAvailable_bytes" => gauges.available = Some(value),
                b"node_cpu_seconds_total" => idle_labels(labels),
                _ => {}
            }
        }
        gauges.processors = u16::try_from(processors.len()).unwrap_or(u16::MAX);
        gauges
    }
}

/// `name{labels} value`.
fn sample(line: &[u8]) -> Option<(&[u8], &[u8], f64)> {
    let end = line.iter().position(|octet| matches!(octet, b'{' | b' '))?;
    let (name, rest) = line.split_at_checked(end)?;
    let (labels, rest) = match rest.strip_prefix(b"{") {
        Some(inside) => {
            let end = inside.iter().rposition(|octet| *octet == b'}')?;
            let (labels, rest) = inside.split_at_checked(end)?;
            (labels, rest.get(1..)?)
        }
        None => (Default::default(), rest),
    };
    let value = std::str::from_utf8(rest).ok()?.split_ascii_whitespace().next()?.parse().ok()?;
    Some((name, labels, value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn formula() {
        let with = |average, processors, available| Gauges {
            average,
            processors,
            memory: Some(100.0),
            available,
        };
        assert_eq!(with(Some(1.0), 4, None).load(), Some(250));
        assert_eq!(with(Some(9.0), 4, Some(50.0)).load(), Some(1_000));
        assert_eq!(with(Some(0.5), 0, Some(90.0)).load(), Some(500));
        assert_eq!(with(Some(0.0), 1, Some(10.0)).load(), Some(500));
        assert_eq!(with(None, 1, Some(0.0)).load(), Some(1_000));
        assert_eq!(with(None, 1, Some(30.0)).load(), Some(0));
        assert_eq!(Gauges { average: Some(f64::NAN), ..Gauges::default() }.load(), None);
        assert_eq!(Gauges::default().load(), None);
    }

    #[test]
    fn text() {
        let text = b"# HELP node_load1 1m load average.\n# TYPE node_load1 gauge\nnode_load1 0.5\n\
            node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 9.1e+06\n\
            node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 1\n\
            node_cpu_seconds_total{cpu=\"1\",mode=\"idle\"} 3 1700000000000\n\
            node_memory_MemTotal_bytes 4.0e+09\nnode_memory_MemAvailable_bytes 3.6e+09\nnode_load1 x\n";
        let gauges = Gauges::of_text(text);
        assert_eq!((gauges.processors, gauges.average), (2, Some(0.5)));
        assert_eq!(gauges.load(), Some(250));
        assert_eq!(Gauges::of_text(b"\xff{}}{ 1\n{ \nnode_load1").load(), None);
    }

    proptest! {
        #[test]
        fn junk_is_no_load(text in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Gauges::of_text(&text).load().is_none_or(|load| load <= 1_000));
        }
    }
}
