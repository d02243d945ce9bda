//! Where client units are: their network, country and place, from databases that the operator
//! names (the MMDB format of MaxMind and others). The databases are values like any other input:
//! read by the role, immutable here.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;
use maxminddb::Reader;
use popnet_config::network::Location;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// What is known of where a client is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// Autonomous system number; 0: not known.
    pub asn: u32,
    /// Country, two capital letters (ISO 3166-1); zeroes: not known.
    pub country: [u8; 2],
    /// The prefix that the database has one entry for: near to what is announced.
    pub prefix: Option<IpNet>,
    /// On the globe.
    pub location: Option<Location>,
}

/// The databases.
#[derive(Clone, Debug, Default)]
pub struct Atlas {
    networks: Option<Arc<Reader<Vec<u8>>>>,
    places: Option<Arc<Reader<Vec<u8>>>>,
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("not a database in MMDB format: {0}")]
pub struct AtlasError(String);

impl Atlas {
    /// An atlas of a database of networks (autonomous system numbers) and one of places (cities
    /// or countries), each as its file's octets.
    ///
    /// # Errors
    /// When the octets are no such database.
    pub fn read(networks: Option<Vec<u8>>, places: Option<Vec<u8>>) -> Result<Self, AtlasError> {
        let open = |octets: Option<Vec<u8>>| match octets {
            Some(octets) => Reader::from_source(octets).map(|reader| Some(Arc::new(reader))),
            None => Ok(None),
        };
        let wrong = |error: maxminddb::MaxMindDbError| AtlasError(error.to_string());
        Ok(Self { networks: open(networks).map_err(wrong)?, places: open(places).map_err(wrong)? })
    }

    /// Whether it has no database.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_none() && self.places.is_none()
    }

    /// What is known of `client`; `None` when nothing is.
    #[must_use]
    pub fn place(&self, client: IpNet) -> Option<Place> {
        let mut place = Place::default();
        if let Some((entry, prefix)) = find::<NetworkEntry>(self.networks.as_deref(), client) {
            place.asn = entry.autonomous_system_number.map_or(0, |number| number.0);
            place.prefix = Some(prefix);
        }
        if let Some((entry, _)) = find::<PlaceEntry<'_>>(self.places.as_deref(), client) {
            let code = entry.country.or(entry.registered_country).and_then(|c| c.iso_code);
            place.country = code.and_then(|code| code.as_bytes().try_into().ok()).unwrap_or([0; 2]);
            place.location = entry.location.and_then(|at| {
                Some(Location { lat: at.latitude?, lon: at.longitude?, region: None })
            });
        }
        (place != Place::default()).then_some(place)
    }
}

fn find<'d, T: Deserialize<'d>>(
    database: Option<&'d Reader<Vec<u8>>>,
    client: IpNet,
) -> Option<(T, IpNet)> {
    let found = database?.lookup(client.network()).ok()?;
    let entry = found.decode::<T>().ok()??;
    let network = found.network().ok()?;
    Some((entry, IpNet::new(network.ip(), network.prefix()).ok()?.trunc()))
}

/// What is read of an entry of GeoLite2-ASN and its like.
#[derive(Debug, Deserialize)]
struct NetworkEntry {
    autonomous_system_number: Option<Number>,
}

/// A number of whatever width its writer took: the reader is strict about the one asked for.
#[derive(Clone, Copy, Debug)]
struct Number(u32);

impl<'d> Deserialize<'d> for Number {
    fn deserialize<D: Deserializer<'d>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an autonomous system number")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
        u32::try_from(number).map(Number).map_err(E::custom)
    }
}

/// What is read of an entry of GeoLite2-City, GeoLite2-Country and their like.
#[derive(Debug, Deserialize)]
struct PlaceEntry<'d> {
    #[serde(borrow)]
    country: Option<CountryEntry<'d>>,
    #[serde(borrow)]
    registered_country: Option<CountryEntry<'d>>,
    location: Option<LocationEntry>,
}

#[derive(Debug, Deserialize)]
struct CountryEntry<'d> {
    iso_code: Option<&'d str>,
}

#[derive(Debug, Deserialize)]
struct LocationEntry {
    latitude: Option<f64>,
    longitude: Option<f64>,
}
