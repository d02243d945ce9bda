//! Round trips guessed from places on the globe: a straight line in the distance, learnt from what
//! is measured, else the speed of light in fibre. What leaves this file are whole numbers.

use std::collections::BTreeMap;

use popnet_config::network::Location;
use popnet_terms::Micros;
use serde::{Deserialize, Serialize};

/// Mean radius of the Earth.
const EARTH_KM: f64 = 6_371.0;

/// Pairs below which a model is not fitted.
const PAIRS_MIN: usize = 32;

/// Time = base + slope × distance, for targets in one region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Model {
    /// Access networks at both ends.
    base: Micros,
    /// Nanoseconds for a kilometre of the great circle, there and back.
    nanos_per_km: u32,
}

impl Default for Model {
    /// Light in fibre does 200 km a millisecond, there and back 100; roads of fibre are half as
    /// long again as the great circle.
    fn default() -> Self {
        Self { base: Micros(2_000), nanos_per_km: 15_000 }
    }
}

/// A distance and the round trip that was measured over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) km: u32,
    pub(crate) rtt: Micros,
}

impl Model {
    /// A guess for the round trip between two places, in whole milliseconds so that two machines'
    /// last digits cannot differ.
    pub(crate) fn estimate(self, from: &Location, to: &Location) -> Micros {
        let nanos = u64::from(kilometres(from, to)) * u64::from(self.nanos_per_km);
        let micros = u64::from(self.base.0) + nanos / 1_000;
        Micros(u32::try_from((micros + 500) / 1_000 * 1_000).unwrap_or(u32::MAX))
    }

    /// The line through the middle of `pairs` (Theil and Sen: the median of slopes, then the
    /// median of what is left): a few wrong places or detours do not move it. `None`: too few.
    fn fit(pairs: &mut [Pair]) -> Option<Self> {
        if pairs.len() < PAIRS_MIN {
            return None;
        }
        pairs.sort_by_key(|pair| (pair.km, pair.rtt));
        // Each with the one half the list away: far enough apart to say something of the slope.
        let (near, far) = pairs.split_at(pairs.len() / 2);
        let slopes = near.iter().zip(far).filter_map(|(near, far)| {
            let km = i64::from(far.km - near.km);
            let more = i64::from(far.rtt.0) - i64::from(near.rtt.0);
            (km > 0).then(|| more * 1_000 / km)
        });
        let slope = median(slopes.collect())?.clamp(10_000, 60_000);
        let rests = pairs.iter().map(|p| i64::from(p.rtt.0) - i64::from(p.km) * slope / 1_000);
        let base = median(rests.collect())?.clamp(0, 50_000);
        Some(Self {
            base: Micros(u32::try_from(base / 1_000 * 1_000).ok()?),
            nanos_per_km: u32::try_from(slope / 1_000 * 1_000).ok()?,
        })
    }
}

/// A model a region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Models {
    by_region: BTreeMap<Option<String>, Model>,
}

impl Models {
    /// Learns from pairs by the target's region.
    pub(crate) fn fit(pairs: BTreeMap<Option<String>, Vec<Pair>>) -> Self {
        let fitted = pairs
            .into_iter()
            .filter_map(|(region, mut pairs)| Some((region, Model::fit(&mut pairs)?)));
        Self { by_region: fitted.collect() }
    }

    /// The model for targets in `region`.
    pub(crate) fn of(&self, region: Option<&str>) -> Model {
        self.by_region.get(&region.map(str::to_owned)).copied().unwrap_or_default()
    }
}

/// The great circle between two places.
pub(crate) fn kilometres(from: &Location, to: &Location) -> u32 {
    let (lat1, lat2) = (from.lat.to_radians(), to.lat.to_radians());
    let half_lat = ((lat2 - lat1) / 2.0).sin();
    let half_lon = ((to.lon - from.lon).to_radians() / 2.0).sin();
    let square = half_lat * half_lat + lat1.cos() * lat2.cos() * half_lon * half_lon;
    let km = (2.0 * EARTH_KM * square.clamp(0.0, 1.0).sqrt().asin()).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "half the Earth's girth is 20,015; NaN becomes 0"
    )]
    let whole = km as u32;
    whole
}

fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(lat: f64, lon: f64) -> Location {
        Location { lat, lon, region: None }
    }

    #[test]
    fn distances() {
        let ashburn = place(39.04, -77.49);
        let frankfurt = place(50.11, 8.68);
        let tokyo = place(35.76, 140.39);
        let estimate = |from, to| Model::default().estimate(from, to);
        assert_eq!(estimate(&ashburn, &ashburn), Micros(2_000));
        assert_eq!(estimate(&ashburn, &frankfurt), Micros(100_000));
        assert_eq!(estimate(&frankfurt, &tokyo), estimate(&tokyo, &frankfurt));
        assert_eq!(estimate(&place(f64::NAN, 0.0), &tokyo), Micros(2_000));
    }

    #[test]
    fn a_model_is_learnt_from_the_middle() {
        // 8 ms and 20 µs a kilometre; each ninth pair takes a detour of 100 ms.
        let detour = |km: u32| if km.is_multiple_of(9) { 100_000 } else { 0 };
        let pair = |km: u32| Pair { km, rtt: Micros(8_000 + km * 20 + detour(km)) };
        let mut pairs: Vec<Pair> = (0..200).map(|i| pair(i * 50 + 1)).collect();
        let model = Model::fit(&mut pairs).unwrap();
        assert_eq!(model, Model { base: Micros(8_000), nanos_per_km: 20_000 });
        let few = BTreeMap::from([(None, pairs[..9].to_vec())]);
        assert_eq!(Models::fit(few).of(None), Model::default());
    }
}
