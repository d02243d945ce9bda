//! The lab's stand-ins: what `[simulate]` says of distances and loads.
//!
//! The table has round trips from clients' cities to POPs and origins. The way from a POP to a
//! target is the longest detour that the table implies, `max over cities of (city→target −
//! city→POP)`: then no sum of two legs is shorter than the table's own number for the whole way,
//! and the lab's numbers agree wherever they are shown.

use std::net::IpAddr;

use ipnet::IpNet;
use popnet_config::network::Simulate;
use popnet_terms::{Micros, PopId, Span, Timestamp};
use popnet_wire::probing::{Finding, Latency, Method, Sample, Service, Subject};

/// Most simulated units reported again and again.
pub(crate) const UNITS_MAX: usize = 1_024;

/// The simulated round trip from `pop` to the clients behind `resolver`, if the table has one.
pub(crate) fn latency(
    table: &Simulate,
    pop: &PopId,
    resolver: IpAddr,
    client: IpNet,
    at: Timestamp,
) -> Option<Sample> {
    // The resolver may stand for clients elsewhere: what the unit says goes first.
    let in_unit = table.rtt(client.addr(), pop.as_str());
    let rtt = in_unit.or_else(|| table.rtt(resolver, pop.as_str()))?;
    let latency = Latency {
        client,
        rtt: Some(micros(rtt)),
        spread: Micros(0),
        loss: 0,
        samples: 1,
        method: Method::Simulated,
    };
    Some(Sample { at, finding: Finding::Latency(latency) })
}

/// What the table changes about a subject probed from `pop`: load, delay and distance.
pub(crate) fn apply(table: &Simulate, pop: &PopId, service: &mut Service) {
    let (key, target) = match &service.subject {
        Subject::Node(node) => (node.pop().to_string(), Some(node.pop())),
        Subject::Origin(origin) => (origin.to_string(), None),
    };
    if let Some(load) = target.as_ref().and_then(|target| table.load.get(target)) {
        service.load = Some(permille(*load));
    }
    let slow = target.as_ref().and_then(|target| table.slow.get(target)).copied();
    let extra = detour(table, pop, &key).saturating_add(slow.unwrap_or_default().0);
    let extra = micros(Span(extra)).0;
    service.connect = Micros(service.connect.0.saturating_add(extra));
    service.total = Micros(service.total.0.saturating_add(extra));
}

/// The way from `pop` to the target called `key`, in microseconds; 0 for its own POP.
fn detour(table: &Simulate, pop: &PopId, key: &str) -> u64 {
    if pop.as_str() == key {
        return 0;
    }
    let cities = table.cities.values();
    let detours = cities.filter_map(|city| {
        let (whole, leg) = (city.rtt.get(key)?, city.rtt.get(pop.as_str())?);
        Some(whole.0.saturating_sub(leg.0))
    });
    detours.max().unwrap_or(0)
}

fn micros(span: Span) -> Micros {
    Micros(u32::try_from(span.0).unwrap_or(u32::MAX))
}

fn permille(load: f64) -> u16 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped just here; NaN becomes 0"
    )]
    let whole = (load * 1_000.0).round().clamp(0.0, 1_000.0) as u16;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detours_never_shorten_a_way() {
        let table: Simulate = toml_edit::de::from_str(
            r#"
            [cities.tokyo]
            clients = ["127.1.1.0/24"]
            rtt = { nrt1 = "4ms", iad1 = "158ms", "www/main" = "165ms" }
            [cities.ashburn]
            clients = ["127.1.3.0/24"]
            rtt = { nrt1 = "160ms", iad1 = "4ms", "www/main" = "6ms" }
            "#,
        )
        .unwrap();
        let way = |pop: &str, key: &str| detour(&table, &PopId::new(pop), key) / 1_000;
        assert_eq!(way("nrt1", "nrt1"), 0);
        assert_eq!(way("nrt1", "www/main"), 161);
        assert_eq!(way("iad1", "www/main"), 7);
        assert_eq!(way("nrt1", "iad1"), 154);
        for city in table.cities.values() {
            for (pop, leg) in city.rtt.iter().filter(|(key, _)| !key.contains('/')) {
                for (key, whole) in &city.rtt {
                    assert!(leg.0 + detour(&table, &PopId::new(pop), key) >= whole.0);
                }
            }
        }
    }
}
