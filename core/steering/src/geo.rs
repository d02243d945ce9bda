//! Round trips guessed from places on the globe. Computed once a configuration; what leaves this
//! file are whole numbers.

use popnet_config::network::Location;
use popnet_terms::Micros;

/// Mean radius of the Earth.
const EARTH_KM: f64 = 6_371.0;

/// Light in fibre does 200 km a millisecond, there and back 100; roads of fibre are half as long
/// again as the great circle.
const MICROS_PER_KM: f64 = 15.0;

/// Access networks at both ends.
const BASE_US: f64 = 2_000.0;

/// A guess for the round trip between two places, in whole milliseconds.
pub(crate) fn estimate(from: &Location, to: &Location) -> Micros {
    let (lat1, lat2) = (from.lat.to_radians(), to.lat.to_radians());
    let half_lat = ((lat2 - lat1) / 2.0).sin();
    let half_lon = ((to.lon - from.lon).to_radians() / 2.0).sin();
    let square = half_lat * half_lat + lat1.cos() * lat2.cos() * half_lon * half_lon;
    let km = 2.0 * EARTH_KM * square.clamp(0.0, 1.0).sqrt().asin();
    // Whole milliseconds, so that two machines' last digits cannot differ.
    let ms = ((BASE_US + km * MICROS_PER_KM) / 1_000.0).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "half the Earth's girth gives 302; NaN becomes 0"
    )]
    Micros((ms as u32).saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let place = |lat, lon| Location { lat, lon, region: None };
        let ashburn = place(39.04, -77.49);
        let frankfurt = place(50.11, 8.68);
        let tokyo = place(35.76, 140.39);
        assert_eq!(estimate(&ashburn, &ashburn), Micros(2_000));
        assert_eq!(estimate(&ashburn, &frankfurt), Micros(100_000));
        assert_eq!(estimate(&frankfurt, &tokyo), estimate(&tokyo, &frankfurt));
        assert_eq!(estimate(&place(f64::NAN, 0.0), &tokyo), Micros(0));
    }
}
