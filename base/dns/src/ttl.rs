//! Times in zone files: seconds, or numbers with units as BIND writes them (`1h30m`, `2W`).

/// The seconds that `text` stands for; RFC 2181 8 allows at most 2^31 − 1.
pub(crate) fn parse_ttl(text: &[u8]) -> Option<u32> {
    let mut total = 0u32;
    let mut number: Option<u32> = None;
    let mut units = false;
    for octet in text {
        let factor = match octet.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => {
                let more = number.unwrap_or(0).checked_mul(10)?;
                number = Some(more.checked_add(u32::from(digit - b'0'))?);
                continue;
            }
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        units = true;
        total = total.checked_add(number.take()?.checked_mul(factor)?)?;
    }
    let seconds = match (number, units) {
        (Some(rest), _) => total.checked_add(rest)?,
        (None, true) => total,
        (None, false) => return None,
    };
    (seconds <= 0x7fff_ffff).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::parse_ttl;

    #[test]
    fn with_and_without_units() {
        for (text, seconds) in
            [("0", 0), ("300", 300), ("1h", 3_600), ("1H30m", 5_400), ("2w", 1_209_600)]
        {
            assert_eq!(parse_ttl(text.as_bytes()), Some(seconds), "{text}");
        }
        for text in ["", "h", "1x", "IN", "4294967295", "99999999w", "1hh"] {
            assert_eq!(parse_ttl(text.as_bytes()), None, "{text}");
        }
    }
}
