//! What operators can know of where clients are: databases that are good for most, somewhat off
//! for all, and wrong for some.

use std::collections::BTreeMap;

use popnet_steering::Atlas;

use crate::chance::{noise, unit};
use crate::mmdb::{Value, database};
use crate::num::count;
use crate::places;
use crate::world::World;

/// Share of the prefixes that the database puts into a wrong place altogether.
const WRONG: f64 = 0.03;

/// How far off the others are at most, in degrees.
const OFF: f64 = 2.5;

/// Networks in a region.
const NETWORKS: u64 = 6;

/// The first /16 of the clients' addresses: see [`crate::fabric::resolver`].
const FIRST: u32 = 20 << 8;

// What draws are for.
const MISTAKE: u64 = 31;
const NETWORK: u64 = 32;

/// The databases of `world`.
///
/// # Errors
/// When what was written cannot be read: a mistake of ours.
pub(crate) fn databases(world: &World, atlas: &places::Atlas, seed: u64) -> Result<Atlas, String> {
    let mut networks = BTreeMap::new();
    let mut cities = BTreeMap::new();
    for (prefix, home) in world.homes.iter().enumerate() {
        let id = count(prefix);
        let Ok(key) = u16::try_from(id + u64::from(FIRST)) else { continue };
        let draw = |what: u64| unit(noise(seed, MISTAKE, (id << 8) + what));
        let regions = atlas.places.len();
        let wrong = usize::try_from(noise(seed, MISTAKE << 8, id)).unwrap_or(0) % regions.max(1);
        let said = if draw(1) < WRONG { wrong } else { *home };
        let Some(place) = atlas.places.get(said) else { continue };
        let network = count(*home) * 64 + noise(seed, NETWORK, id) % NETWORKS;
        let number = u32::try_from(1_000 + network).unwrap_or(0);
        networks.insert(key, Value::Map(vec![("autonomous_system_number", Value::Number(number))]));
        let at = vec![
            ("latitude", Value::Degrees(place.lat + (draw(2) - 0.5) * OFF)),
            ("longitude", Value::Degrees(place.lon + (draw(3) - 0.5) * OFF)),
        ];
        let country = Value::Map(vec![("iso_code", Value::Word(code(said)))]);
        let entry = vec![("country", country), ("location", Value::Map(at))];
        cities.insert(key, Value::Map(entry));
    }
    let networks = database("Twin-ASN", &networks);
    let cities = database("Twin-City", &cities);
    Atlas::read(Some(networks), Some(cities)).map_err(|error| error.to_string())
}

/// Two letters for a region: each is a country here.
fn code(region: usize) -> String {
    let letter = |n: usize| char::from(b'A' + u8::try_from(n % 26).unwrap_or(0));
    [letter(region / 26), letter(region)].iter().collect()
}
