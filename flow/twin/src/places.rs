//! Where things are, and how far apart: regions whose round trips were measured, and the globe for
//! what lies between them. Source of the data: `data/README.md`.

use std::collections::BTreeMap;

use serde::Deserialize;

const COORDINATES: &str = include_str!("../data/region-coordinates.json");
const ROUND_TRIPS: &str = include_str!("../data/region-rtt-ms.csv");

/// Mean radius of the Earth.
const EARTH_KM: f64 = 6_371.0;

/// There and back in fibre, whose roads are half as long again as the great circle.
const US_PER_KM: f64 = 15.0;

/// Two machines in one town.
const TOWN_US: f64 = 700.0;

/// A region.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Such as `japaneast`.
    pub(crate) name: String,
    pub(crate) lat: f64,
    pub(crate) lon: f64,
    /// Part of the world: `na sa eu me af ap`.
    pub(crate) region: &'static str,
}

/// The regions and what was measured between them.
#[derive(Clone, Debug)]
pub(crate) struct Atlas {
    pub(crate) places: Vec<Place>,
    /// Round trips in microseconds, row by row.
    trips: Vec<f64>,
}

#[derive(Deserialize)]
struct Coordinates {
    lat: f64,
    lon: f64,
}

impl Atlas {
    /// What the data says; pairs without a measurement get the globe's guess.
    pub(crate) fn new() -> Self {
        let coordinates: BTreeMap<String, Coordinates> =
            serde_json::from_str(COORDINATES).unwrap_or_default();
        let mut lines = ROUND_TRIPS.lines().map(|line| line.split(',').collect::<Vec<&str>>());
        let heads: Vec<String> = lines.next().into_iter().flatten().map(key).collect();
        let mut measured: BTreeMap<(String, String), f64> = BTreeMap::new();
        let mut names: Vec<String> = Vec::new();
        for line in lines {
            let Some((first, cells)) = line.split_first() else { continue };
            let from = key(first);
            for (to, cell) in heads.iter().skip(1).zip(cells) {
                if let Ok(ms) = cell.trim().parse::<f64>() {
                    measured.insert((from.clone(), to.clone()), ms * 1_000.0);
                }
            }
            names.push(from);
        }
        let places: Vec<Place> = names
            .into_iter()
            .filter_map(|name| {
                let at = coordinates.get(&name)?;
                let (lat, lon) = (at.lat, at.lon);
                Some(Place { region: part_of_world(lat, lon), name, lat, lon })
            })
            .collect();
        let mut trips = Vec::with_capacity(places.len() * places.len());
        for from in &places {
            for to in &places {
                // Both directions of one path; where both were measured the better measurement.
                let way = |a: &Place, b: &Place| measured.get(&(a.name.clone(), b.name.clone()));
                let known = [way(from, to), way(to, from)].into_iter().flatten().copied();
                let trip = known.fold(f64::INFINITY, f64::min);
                let guess = TOWN_US + fibre_us((from.lat, from.lon), (to.lat, to.lon));
                let trip = if from.name == to.name { TOWN_US } else { trip };
                trips.push(if trip.is_finite() { trip } else { guess });
            }
        }
        Self { places, trips }
    }

    /// The round trip between two regions in microseconds.
    pub(crate) fn trip(&self, from: usize, to: usize) -> f64 {
        self.trips.get(from * self.places.len() + to).copied().unwrap_or(TOWN_US)
    }

    /// The region nearest to a place.
    pub(crate) fn nearest(&self, lat: f64, lon: f64) -> usize {
        let far = |place: &Place| fibre_us((place.lat, place.lon), (lat, lon));
        let all = self.places.iter().enumerate();
        all.min_by(|(_, a), (_, b)| far(a).total_cmp(&far(b))).map_or(0, |(at, _)| at)
    }
}

fn key(name: &str) -> String {
    name.trim().to_lowercase().replace(' ', "")
}

/// Kilometres between two places given as latitude and longitude.
pub(crate) fn km(from: (f64, f64), to: (f64, f64)) -> f64 {
    let (lat1, lat2) = (from.0.to_radians(), to.0.to_radians());
    let half_lat = ((lat2 - lat1) / 2.0).sin();
    let half_lon = ((to.1 - from.1).to_radians() / 2.0).sin();
    let square = half_lat * half_lat + lat1.cos() * lat2.cos() * half_lon * half_lon;
    2.0 * EARTH_KM * square.clamp(0.0, 1.0).sqrt().asin()
}

/// The round trip over that distance in microseconds.
pub(crate) fn fibre_us(from: (f64, f64), to: (f64, f64)) -> f64 {
    km(from, to) * US_PER_KM
}

fn part_of_world(lat: f64, lon: f64) -> &'static str {
    match (lat, lon) {
        (_, lon) if lon < -30.0 => {
            if lat > 13.0 {
                "na"
            } else {
                "sa"
            }
        }
        (lat, lon) if lon < 33.0 => {
            if lat > 34.0 {
                "eu"
            } else {
                "af"
            }
        }
        (_, lon) if lon < 60.0 => "me",
        _ => "ap",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_all_there() {
        let atlas = Atlas::new();
        assert_eq!(atlas.places.len(), 50);
        let at = |name: &str| atlas.places.iter().position(|place| place.name == name).unwrap();
        let (tokyo, dublin) = (at("japaneast"), at("northeurope"));
        let trip = atlas.trip(tokyo, dublin);
        assert!((180_000.0..280_000.0).contains(&trip), "{trip}");
        assert_eq!(trip, atlas.trip(dublin, tokyo));
        assert_eq!(atlas.nearest(35.0, 139.0), tokyo);
        let parts: Vec<&str> = ["brazilsouth", "uksouth", "eastus", "uaenorth", "southafricanorth"]
            .into_iter()
            .map(|name| atlas.places[at(name)].region)
            .collect();
        assert_eq!(parts, ["sa", "eu", "na", "me", "af"]);
    }
}
