//! How a stored response's head and a purge are written down: a version, then the value.

use bytes::Bytes;
use popnet_cache::purge::Aim;
use popnet_cache::stored::Stored;
use popnet_wire::purging::PurgeKind;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The layout of a head: to be raised whenever a field of [`Stored`] or of what it holds comes,
/// goes or moves (a test notices). An entry of another layout is forgotten, not guessed at.
const HEAD_VERSION: u8 = 1;

/// The layout of a purge. One of another layout is taken for a purge of everything.
const PURGE_VERSION: u8 = 1;

/// The octets of a head; `None` when it cannot be written down.
#[must_use]
pub fn write_meta(stored: &Stored) -> Option<Vec<u8>> {
    write(HEAD_VERSION, stored)
}

/// The head in `octets`. Takes any octets.
#[must_use]
pub fn read_meta(octets: &[u8]) -> Option<Stored> {
    read(HEAD_VERSION, octets)
}

/// The octets of a purge; `None` when it cannot be written down.
#[must_use]
pub fn write_purge(aim: &Aim, kind: PurgeKind) -> Option<Bytes> {
    write(PURGE_VERSION, &(aim, kind)).map(Bytes::from)
}

/// The purge in `octets`. Takes any octets.
#[must_use]
pub fn read_purge(octets: &[u8]) -> Option<(Aim, PurgeKind)> {
    read(PURGE_VERSION, octets)
}

fn write(version: u8, value: &impl Serialize) -> Option<Vec<u8>> {
    postcard::to_extend(value, vec![version]).ok()
}

fn read<T: DeserializeOwned>(version: u8, octets: &[u8]) -> Option<T> {
    let (found, rest) = octets.split_first()?;
    if *found != version {
        return None;
    }
    match postcard::take_from_bytes(rest) {
        Ok((value, [])) => Some(value),
        Ok(_) | Err(_) => None,
    }
}
