//! What does not exist in a lab: distances and loads.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use popnet_terms::{PopId, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::networks;

/// What does not exist in a lab: distances and loads. Only networks named `lab` may have it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Simulate {
    /// City by city: who asks from there, and how far everything is.
    pub cities: BTreeMap<String, City>,
    /// Load forced on a POP, 0 to 1.
    pub load: BTreeMap<PopId, f64>,
    /// Milliseconds added to everything a POP says.
    pub slow: BTreeMap<PopId, Span>,
}

/// A simulated city.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct City {
    /// Name for people.
    #[serde(default)]
    pub title: String,
    /// Client networks that are there.
    #[schemars(schema_with = "networks")]
    pub clients: Vec<IpNet>,
    /// Round trip to each POP (`iad1`) and origin (`acme-www/main`).
    pub rtt: BTreeMap<String, Span>,
}

impl Simulate {
    /// The city that `client` is in.
    #[must_use]
    pub fn city_of(&self, client: IpAddr) -> Option<(&str, &City)> {
        self.cities
            .iter()
            .find(|(_, city)| city.clients.iter().any(|net| net.contains(&client)))
            .map(|(name, city)| (name.as_str(), city))
    }

    /// The round trip between `client` and `target` (a POP's key or `GROUP/SERVER`), with what
    /// `slow` adds.
    #[must_use]
    pub fn rtt(&self, client: IpAddr, target: &str) -> Option<Span> {
        let (_, city) = self.city_of(client)?;
        let base = city.rtt.get(target)?;
        let slow = self.slow.get(target).copied().unwrap_or_default();
        Some(Span(base.0.saturating_add(slow.0)))
    }
}
