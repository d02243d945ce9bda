//! What tiers of one POP tell each other in fields that no client sees or sends.
//!
//! - `popnet-scheme: https`, in requests: the scheme that the client used.
//! - `popnet-cache: hit_disk; reason=HIT_DISK`, in responses: the disk tier's outcome.
//! - `popnet-origin: GROUP/SERVER; status=200; bytes=1234`, in responses when an origin was asked.
//!   `bytes` is left out while the length of its content is not known; then the content received
//!   is counted.

use http::{HeaderMap, HeaderName, HeaderValue};
use popnet_terms::{CacheReason, OriginId};
use popnet_wire::logging::CacheResult;

use crate::outcome::Outcome;

/// The client's scheme.
pub const SCHEME: HeaderName = HeaderName::from_static("popnet-scheme");
/// The inner tier's outcome.
pub const CACHE: HeaderName = HeaderName::from_static("popnet-cache");
/// The origin that was asked.
pub const ORIGIN: HeaderName = HeaderName::from_static("popnet-origin");

const RESULTS: [(CacheResult, &str); 7] = [
    (CacheResult::HitMemory, "hit_memory"),
    (CacheResult::HitDisk, "hit_disk"),
    (CacheResult::Stale, "stale"),
    (CacheResult::Revalidated, "revalidated"),
    (CacheResult::Miss, "miss"),
    (CacheResult::Bypass, "bypass"),
    (CacheResult::Error, "error"),
];

/// What an inner tier said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its result.
    pub result: CacheResult,
    /// Its reason.
    pub reason: CacheReason,
}

/// An origin that was asked for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which.
    pub origin: OriginId,
    /// The status it gave, 0 when none.
    pub status: u16,
    /// Octets of content it gave, when known beforehand.
    pub bytes: Option<u64>,
}

/// Puts `outcome` into the fields of a response to the outer tier.
pub fn tell(fields: &mut HeaderMap, outcome: &Outcome) {
    let word = RESULTS.iter().find(|(result, _)| *result == outcome.result);
    let word = word.map_or("miss", |(_, word)| word);
    if let Ok(value) = HeaderValue::try_from(format!("{word}; reason={}", outcome.reason)) {
        fields.insert(CACHE, value);
    }
}

/// Puts the origin that was asked into the fields of a response to the outer tier.
pub fn tell_origin(fields: &mut HeaderMap, asked: &Asked) {
    let bytes = asked.bytes.map_or_else(String::new, |bytes| format!("; bytes={bytes}"));
    let text = format!("{}; status={}{bytes}", asked.origin, asked.status);
    if let Ok(value) = HeaderValue::try_from(text) {
        fields.insert(ORIGIN, value);
    }
}

/// What the inner tier said of itself, if it did.
#[must_use]
pub fn told(fields: &HeaderMap) -> Option<Told> {
    let text = fields.get(CACHE)?.to_str().ok()?;
    let (word, rest) = text.split_once(';')?;
    let code = rest.trim().strip_prefix("reason=")?;
    let result = RESULTS.iter().find(|(_, text)| *text == word.trim())?.0;
    let reason = CacheReason::ALL.iter().find(|reason| reason.code() == code)?;
    Some(Told { result, reason: *reason })
}

/// The origin that the inner tier asked, if it asked one.
#[must_use]
pub fn asked(fields: &HeaderMap) -> Option<Asked> {
    let text = fields.get(ORIGIN)?.to_str().ok()?;
    let mut parts = text.split(';').map(str::trim);
    let (group, server) = parts.next()?.split_once('/')?;
    let mut asked = Asked {
        origin: OriginId { group: group.into(), server: server.into() },
        status: 0,
        bytes: None,
    };
    for part in parts {
        match part.split_once('=') {
            Some(("status", number)) => asked.status = number.parse().ok()?,
            Some(("bytes", number)) => asked.bytes = Some(number.parse().ok()?),
            Some(_) | None => {}
        }
    }
    Some(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_and_read() {
        let mut fields = HeaderMap::new();
        let outcome = Outcome::new(CacheResult::Stale, CacheReason::StaleOnError);
        tell(&mut fields, &outcome);
        let expected = Told { result: CacheResult::Stale, reason: CacheReason::StaleOnError };
        assert_eq!(told(&fields), Some(expected));
        let one = Asked {
            origin: OriginId { group: "www".into(), server: "east".into() },
            status: 200,
            bytes: Some(7),
        };
        tell_origin(&mut fields, &one);
        assert_eq!(fields[ORIGIN], "www/east; status=200; bytes=7");
        assert_eq!(asked(&fields), Some(one));
        for junk in ["", "x", "a/b; status=x", ";;", "miss; reason=NO_SUCH"] {
            fields.insert(ORIGIN, junk.parse().unwrap());
            fields.insert(CACHE, junk.parse().unwrap());
            assert!(asked(&fields).is_none() && told(&fields).is_none(), "{junk}");
        }
    }
}
