//! What became of a request: the one value that header, log and metric are made from.

use http::{HeaderMap, Response};
use popnet_cache::status::forwarded;
use popnet_field::report::Forwarded;
use popnet_http::body::Body;
use popnet_terms::CacheReason;
use popnet_wire::logging::CacheResult;

/// A response with its outcome.
#[derive(Debug)]
pub struct Answer {
    /// What the client gets, without framing.
    pub response: Response<Body>,
    /// What became of the request.
    pub outcome: Outcome,
}

/// What became of a request in this tier.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// In one word.
    pub result: CacheResult,
    /// The one cause.
    pub reason: CacheReason,
    /// Why it went forward, alone or with others; `reason` may be why the answer is not stored.
    pub went: Option<Forwarded>,
    /// This request's fetch is being stored.
    pub stored: bool,
    /// It shared another request's fetch.
    pub collapsed: bool,
    /// The next tier was asked for this request (not shared, not in the background).
    pub forwarded: bool,
    /// Remaining lifetime of what is served, negative when stale.
    pub ttl: Option<i64>,
    /// Age of what is served in seconds.
    pub age: Option<u32>,
    /// Fields of the next tier's answer to this request's own fetch that are for it alone:
    /// `popnet-*`, `Cache-Status`, and those that the answer itself keeps from stores.
    pub inside: HeaderMap,
}

impl Outcome {
    /// An outcome with nothing but a cause.
    #[must_use]
    pub fn new(result: CacheResult, reason: CacheReason) -> Self {
        Self {
            result,
            reason,
            went: None,
            stored: false,
            collapsed: false,
            forwarded: false,
            ttl: None,
            age: None,
            inside: HeaderMap::new(),
        }
    }

    /// An outcome of going forward because of `reason`; `selected` as in
    /// [`forwarded`].
    pub(crate) fn onward(result: CacheResult, reason: CacheReason, selected: bool) -> Self {
        Self { went: Some(forwarded(reason, selected)), ..Self::new(result, reason) }
    }
}
