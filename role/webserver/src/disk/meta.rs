//! How a stored response's head is written down: a version, then the value.

use popnet_cache::stored::Stored;

/// The layout of the value: to be raised whenever a field of [`Stored`] or of what it holds comes,
/// goes or moves (a test notices). An entry of another layout is forgotten, not guessed at.
const VERSION: u8 = 1;

/// The octets of a head; `None` when it cannot be written down.
#[must_use]
pub fn write_meta(stored: &Stored) -> Option<Vec<u8>> {
    postcard::to_extend(stored, vec![VERSION]).ok()
}

/// The head in `octets`. Takes any octets.
#[must_use]
pub fn read_meta(octets: &[u8]) -> Option<Stored> {
    let (version, rest) = octets.split_first()?;
    if *version != VERSION {
        return None;
    }
    match postcard::take_from_bytes(rest) {
        Ok((stored, [])) => Some(stored),
        Ok(_) | Err(_) => None,
    }
}
