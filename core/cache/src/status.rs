//! `Cache-Status` (RFC 9211) of a finished decision.

use popnet_field::report::{CacheStatus, Forwarded};
use popnet_terms::CacheReason;

/// Everything that the member says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts<'a> {
    /// The cache's name.
    pub cache: &'a str,
    /// The one cause.
    pub reason: CacheReason,
    /// Why the request went forward, if it did.
    pub forwarded: Option<Forwarded>,
    /// The status that came back from there.
    pub forward_status: Option<u16>,
    /// The status that is sent.
    pub status: u16,
    /// The answer was stored.
    pub stored: bool,
    /// The request waited for another's.
    pub collapsed: bool,
    /// Remaining lifetime of what is served.
    pub ttl: Option<i64>,
}

/// The member as text.
#[must_use]
pub fn member(facts: &Facts<'_>) -> String {
    // What the standard parameters say in full needs no code beside them.
    let kept = facts.stored || facts.collapsed;
    let plain = match facts.forwarded {
        None => matches!(facts.reason, CacheReason::HitMemory | CacheReason::HitDisk),
        Some(Forwarded::Method) => true,
        Some(Forwarded::Stale) => kept && facts.reason == CacheReason::Expired,
        Some(Forwarded::UriMiss | Forwarded::VaryMiss) => {
            kept && matches!(facts.reason, CacheReason::NeverSeen | CacheReason::NewVariant)
        }
        Some(Forwarded::Bypass | Forwarded::Request | Forwarded::Partial) => false,
    };
    CacheStatus {
        cache: facts.cache,
        hit: facts.forwarded.is_none(),
        forwarded: facts.forwarded,
        forward_status: facts.forward_status.filter(|status| *status != facts.status),
        stored: facts.stored,
        collapsed: facts.collapsed,
        ttl: facts.ttl,
        detail: (!plain).then(|| facts.reason.code()),
    }
    .print()
}

/// The standard's word for going forward because of `reason` (RFC 9211 2.2); `selected` says
/// whether a stored response was there for the request. A soft purge leaves one, a hard purge none.
#[must_use]
pub fn forwarded(reason: CacheReason, selected: bool) -> Forwarded {
    match reason {
        CacheReason::Purged if !selected => Forwarded::UriMiss,
        CacheReason::ReqMethod => Forwarded::Method,
        CacheReason::RuleBypass => Forwarded::Bypass,
        CacheReason::ReqNoCache | CacheReason::ReqNoStore | CacheReason::ReqAuthorization => {
            Forwarded::Request
        }
        CacheReason::ReqRange => Forwarded::Partial,
        CacheReason::NewVariant => Forwarded::VaryMiss,
        CacheReason::Expired
        | CacheReason::Purged
        | CacheReason::StaleOnError
        | CacheReason::StaleRevalidating => Forwarded::Stale,
        CacheReason::NeverSeen
        | CacheReason::Evicted
        | CacheReason::NotAdmitted
        | CacheReason::HitMemory
        | CacheReason::HitDisk
        | CacheReason::RespNoStore
        | CacheReason::RespPrivate
        | CacheReason::RespSetCookie
        | CacheReason::RespVaryStar
        | CacheReason::RespVaryLimit
        | CacheReason::RespStatus
        | CacheReason::RespNoFreshness
        | CacheReason::RespTooLarge
        | CacheReason::RespIncomplete
        | CacheReason::RespOriginError
        // These never go forward.
        | CacheReason::HttpsOnly
        | CacheReason::AccessDenied
        | CacheReason::RateLimited
        | CacheReason::CorsPreflight => Forwarded::UriMiss,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_going_forward() {
        let cases = [
            (CacheReason::Purged, true, Forwarded::Stale),
            (CacheReason::Purged, false, Forwarded::UriMiss),
            (CacheReason::Expired, true, Forwarded::Stale),
            (CacheReason::NeverSeen, false, Forwarded::UriMiss),
            (CacheReason::NewVariant, false, Forwarded::VaryMiss),
            (CacheReason::ReqNoCache, true, Forwarded::Request),
        ];
        for (reason, selected, expected) in cases {
            assert_eq!(forwarded(reason, selected), expected, "{reason}, {selected}");
        }
    }

    #[test]
    fn members() {
        let hit = Facts {
            cache: "mem.nrt1",
            reason: CacheReason::HitMemory,
            forwarded: None,
            forward_status: None,
            status: 200,
            stored: false,
            collapsed: false,
            ttl: Some(54),
        };
        assert_eq!(member(&hit), "mem.nrt1; hit; ttl=54");
        let miss = Facts {
            reason: CacheReason::NeverSeen,
            forwarded: Some(Forwarded::UriMiss),
            forward_status: Some(200),
            stored: true,
            ttl: Some(60),
            ..hit
        };
        assert_eq!(member(&miss), "mem.nrt1; fwd=uri-miss; stored; ttl=60");
        let refused = Facts { reason: CacheReason::RespPrivate, stored: false, ttl: None, ..miss };
        assert_eq!(member(&refused), "mem.nrt1; fwd=uri-miss; detail=RESP_PRIVATE");
        let stale = Facts {
            reason: CacheReason::StaleOnError,
            forwarded: Some(Forwarded::Stale),
            forward_status: Some(503),
            ttl: Some(-9),
            ..hit
        };
        let text = "mem.nrt1; fwd=stale; fwd-status=503; ttl=-9; detail=STALE_ON_ERROR";
        assert_eq!(member(&stale), text);
    }
}
