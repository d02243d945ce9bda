//! What a transfer sends: everything, the differences, or that nothing changed.

use std::sync::Arc;

use popnet_dns::Rtype;

use crate::difference::Difference;
use crate::history::History;
use crate::serial::Serial;

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// The SOA record alone: the asker has the newest state (RFC 1995 2), or asks over UDP.
    Soa,
    /// The whole zone (RFC 5936 2.2).
    Whole,
    /// These steps (RFC 1995 4).
    Steps(Vec<Arc<Difference>>),
}

/// Decides about a question of type `qtype` by somebody who has `base`, of a zone at `serial` with
/// `octets`.
#[must_use]
pub fn plan(
    qtype: Rtype,
    base: Option<Serial>,
    serial: Serial,
    octets: usize,
    history: &History,
) -> Plan {
    let Some(base) = base.filter(|_| qtype == Rtype::IXFR) else { return Plan::Whole };
    // RFC 1995 2: also who is ahead of us gets the SOA record.
    if base == serial || base.is_after(serial) {
        return Plan::Soa;
    }
    match history.since(base) {
        // RFC 1995 2: the whole zone where that is shorter.
        Some(steps) if steps.iter().map(|step| step.octets()).sum::<usize>() <= octets => {
            Plan::Steps(steps)
        }
        Some(_) | None => Plan::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::difference::between;
    use crate::testing::zone;

    #[test]
    fn each_case() {
        let mut history = History::new(1 << 20);
        let (old, new) = (zone(1, &["a A 192.0.2.1"]), zone(2, &["a A 192.0.2.2"]));
        history.push(Arc::new(between(&old, &new).unwrap()));
        let decide = |qtype, base: Option<u32>, octets| match plan(
            qtype,
            base.map(Serial),
            Serial(2),
            octets,
            &history,
        ) {
            Plan::Soa => "soa",
            Plan::Whole => "whole",
            Plan::Steps(_) => "steps",
        };
        assert_eq!(decide(Rtype::IXFR, Some(1), 10_000), "steps");
        assert_eq!(decide(Rtype::IXFR, Some(1), 10), "whole");
        assert_eq!(decide(Rtype::IXFR, Some(2), 10_000), "soa");
        assert_eq!(decide(Rtype::IXFR, Some(3), 10_000), "soa");
        assert_eq!(decide(Rtype::IXFR, Some(0), 10_000), "whole");
        assert_eq!(decide(Rtype::IXFR, None, 10_000), "whole");
        assert_eq!(decide(Rtype::AXFR, Some(1), 10_000), "whole");
    }
}
