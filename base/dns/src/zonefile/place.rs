//! Where something is (RFC 1876): degrees, heights and sizes as text and as sixteen octets.

use super::Wrong;
use super::entry::Token;

/// The equator, the prime meridian (RFC 1876 2).
const MIDDLE: i64 = 1 << 31;
/// A height of zero, in centimetres.
const GROUND: i64 = 10_000_000;
/// One metre, ten kilometres, ten metres (RFC 1876 3), as octets.
const SIZES: [u8; 3] = [0x12, 0x16, 0x13];
const HEIGHT_MAX: i64 = u32::MAX as i64 - GROUND;

/// Reads a place from all words that are left.
pub(super) fn read_location(
    words: &mut std::slice::Iter<'_, Token<'_>>,
    after: &Token<'_>,
) -> Result<[u8; 16], Wrong> {
    let latitude = angle(words, after, 90, (b"N", b"S"))?;
    let longitude = angle(words, after, 180, (b"E", b"W"))?;
    let word = words.next().ok_or_else(|| after.wrong("has no height"))?;
    let height = metres(word.text).filter(|height| (-GROUND..=HEIGHT_MAX).contains(height));
    let height = height.ok_or_else(|| word.wrong("is no height in metres"))?;
    let mut sizes = SIZES;
    for size in &mut sizes {
        let Some(word) = words.next() else { break };
        let octet = metres(word.text).and_then(rounded);
        *size = octet.ok_or_else(|| word.wrong("is no size in metres"))?;
    }
    let mut place = [0; 16];
    let octets = [latitude, longitude, height + GROUND]
        .map(|number| u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
    let sizes = [0].into_iter().chain(sizes);
    for (to, from) in place.iter_mut().zip(sizes.chain(octets.concat())) {
        *to = from;
    }
    Ok(place)
}

/// Degrees, maybe minutes, maybe seconds, and the side.
fn angle(
    words: &mut std::slice::Iter<'_, Token<'_>>,
    after: &Token<'_>,
    degrees_max: i64,
    sides: (&[u8], &[u8]),
) -> Result<i64, Wrong> {
    let (mut sum, mut parts) = (0, 0);
    let units = [(3_600_000, degrees_max), (60_000, 59), (1_000, 59)];
    loop {
        let word = words.next().ok_or_else(|| after.wrong("has too few words of data"))?;
        if parts > 0 && word.text.eq_ignore_ascii_case(sides.0) {
            return Ok(MIDDLE + sum);
        }
        if parts > 0 && word.text.eq_ignore_ascii_case(sides.1) {
            return Ok(MIDDLE - sum);
        }
        let Some((unit, most)) = units.get(parts) else {
            return Err(word.wrong("is no side of the world"));
        };
        let value = match parts {
            2 => fixed(word.text, 3).filter(|thousandths| *thousandths < 60_000),
            _ => fixed(word.text, 0).filter(|value| value <= most).map(|value| value * unit),
        };
        sum += value.ok_or_else(|| word.wrong("is no part of an angle"))?;
        if sum > degrees_max * 3_600_000 {
            return Err(word.wrong("goes too far round the world"));
        }
        parts += 1;
    }
}

/// Metres, with or without their letter, in centimetres.
fn metres(text: &[u8]) -> Option<i64> {
    let text = text.strip_suffix(b"m").or_else(|| text.strip_suffix(b"M")).unwrap_or(text);
    match text.strip_prefix(b"-") {
        Some(text) => Some(-fixed(text, 2)?),
        None => fixed(text, 2),
    }
}

/// A number with up to so many places behind its point, in units of the last.
fn fixed(text: &[u8], places: usize) -> Option<i64> {
    let mut parts = text.split(|octet| *octet == b'.');
    let (whole, fraction) = (parts.next()?, parts.next().unwrap_or_default());
    let digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    let is_odd = parts.next().is_some() || fraction.len() > places || whole.len() > 10;
    if is_odd || whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let zeros = vec![b'0'; places - fraction.len()];
    String::from_utf8([whole, fraction, &zeros].concat()).ok()?.parse().ok()
}

/// A size as one digit and a power of ten.
fn rounded(centimetres: i64) -> Option<u8> {
    let (mut digit, mut power) = (centimetres, 0u8);
    while digit > 9 {
        digit /= 10;
        power += 1;
    }
    let digit = u8::try_from(digit).ok()?;
    (power <= 9).then_some((digit << 4) | power)
}

/// Sixteen octets as text. `None`: no place of the one version there is.
pub(super) fn show_location(octets: &[u8]) -> Option<String> {
    let [0, sizes @ .., _, _, _, _, _, _, _, _, _, _, _, _] = *octets.first_chunk::<16>()? else {
        return None;
    };
    let number = |at: usize| {
        let octets = octets.get(at..)?.first_chunk::<4>()?;
        Some(i64::from(u32::from_be_bytes(*octets)))
    };
    let latitude = shown(number(4)? - MIDDLE, 90, ('N', 'S'))?;
    let longitude = shown(number(8)? - MIDDLE, 180, ('E', 'W'))?;
    let height = number(12)? - GROUND;
    let sign = if height < 0 { "-" } else { "" };
    let mut text = format!("{latitude} {longitude} {sign}{}", centimetres(height.abs()));
    for size in sizes {
        let (digit, power) = (size >> 4, size & 0xf);
        if digit > 9 || power > 9 {
            return None;
        }
        text.push(' ');
        text.push_str(&centimetres(i64::from(digit) * 10i64.pow(power.into())));
    }
    Some(text)
}

fn shown(angle: i64, degrees_max: i64, sides: (char, char)) -> Option<String> {
    let side = if angle < 0 { sides.1 } else { sides.0 };
    let angle = angle.abs();
    if angle > degrees_max * 3_600_000 {
        return None;
    }
    let (degrees, minutes) = (angle / 3_600_000, angle / 60_000 % 60);
    let (seconds, thousandths) = (angle / 1_000 % 60, angle % 1_000);
    Some(format!("{degrees} {minutes} {seconds}.{thousandths:03} {side}"))
}

fn centimetres(number: i64) -> String {
    format!("{}.{:02}m", number / 100, number % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_digits_and_powers() {
        for (text, octet) in [("1m", 0x12), ("10000m", 0x16), ("0.05", 0x50), ("0", 0), ("9e", 1)] {
            let found = metres(text.as_bytes()).and_then(rounded);
            assert_eq!(found, (text != "9e").then_some(octet), "{text}");
        }
        assert_eq!(metres(b"90000000.00m").and_then(rounded), Some(0x99));
        assert_eq!(metres(b"100000000.00m").and_then(rounded), None);
        for bad in ["", ".", "1.234", "1.2.3", "-", "--1", "99999999999"] {
            assert_eq!(metres(bad.as_bytes()), None, "{bad}");
        }
    }
}
