//! May this stored response answer this request (RFC 9111 section 4)?

use http::{HeaderMap, Method, header};
use popnet_field::cache_control::CacheControl;
use popnet_terms::{CacheReason, Seconds, Timestamp};
use popnet_wire::sheet::{PathRule, SetCookie, SiteSheet};

use crate::freshness;
use crate::key::matches;
use crate::storable::values;
use crate::stored::Stored;

/// A site's rules as they stand for one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Never store, never answer from store.
    pub bypass: bool,
    /// What to do with cookies.
    pub set_cookie: SetCookie,
    /// Lifetime when the origin says nothing.
    pub default_ttl: Seconds,
}

impl Rule {
    /// The rule for `path` (a query after it is not looked at): the first that matches counts.
    #[must_use]
    pub fn of(site: &SiteSheet, path: &str) -> Self {
        let found = Self::deciding(site, path).map(|(_, rule)| rule);
        Self {
            bypass: found.is_some_and(|rule| rule.bypass),
            set_cookie: found.and_then(|rule| rule.set_cookie).unwrap_or(site.cache.set_cookie),
            default_ttl: found.and_then(|rule| rule.default_ttl).unwrap_or(site.cache.default_ttl),
        }
    }

    /// The entry of the site's `rules` that counts for `path`, with its place from 0.
    #[must_use]
    pub fn deciding<'a>(site: &'a SiteSheet, path: &str) -> Option<(usize, &'a PathRule)> {
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        site.paths.iter().enumerate().find(|(_, rule)| matches(&rule.path, path))
    }
}

/// What a request says about caching, read once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    control: CacheControl,
}

impl Wish {
    /// Reads a request's fields.
    #[must_use]
    pub fn of(request: &HeaderMap) -> Self {
        let mut control = CacheControl::default();
        if request.contains_key(header::CACHE_CONTROL) {
            control = CacheControl::read(values(request, &header::CACHE_CONTROL));
        } else if request.get(header::PRAGMA).is_some_and(|value| {
            value.as_bytes().to_ascii_lowercase().windows(8).any(|window| window == b"no-cache")
        }) {
            // 5.4: where there is no Cache-Control, Pragma: no-cache means the same.
            control.no_cache = popnet_field::cache_control::Reach::Whole;
        }
        Self { control }
    }

    /// Answer from store or not at all.
    #[must_use]
    pub fn only_if_cached(&self) -> bool {
        self.control.only_if_cached
    }

    /// Do not store the answer.
    #[must_use]
    pub fn no_store(&self) -> bool {
        self.control.no_store
    }
}

/// Whether a request is one that a cache can answer at all.
///
/// # Errors
/// The one cause why it goes forward.
pub fn is_cacheable_request(
    method: &Method,
    has_content: bool,
    rule: Rule,
) -> Result<(), CacheReason> {
    if (method != Method::GET && method != Method::HEAD) || has_content {
        return Err(CacheReason::ReqMethod);
    }
    if rule.bypass { Err(CacheReason::RuleBypass) } else { Ok(()) }
}

/// What to do with a stored response for a request that selects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Serve it.
    Reuse,
    /// Serve it, and validate it meanwhile (RFC 5861 section 3).
    ReuseWhileValidating,
    /// Validate it first, for this reason.
    Validate {
        /// Why.
        reason: CacheReason,
        /// Whether it may be served if validation fails (RFC 5861 section 4).
        on_error: bool,
    },
}

/// A verdict with the figures that it rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// Current age in seconds.
    pub age: u32,
    /// Remaining lifetime in seconds; negative when stale.
    pub ttl: i64,
}

/// Judges `stored` for a request with `wish` at time `now`.
#[must_use]
pub fn reuse(wish: &Wish, stored: &Stored, site: &SiteSheet, rule: Rule, now: Timestamp) -> Judged {
    let policy = &stored.policy;
    let age = freshness::age(stored, now);
    let lifetime = policy.lifetime(&site.cache, rule.default_ttl).unwrap_or(0);
    let ttl = i64::from(lifetime) - i64::from(age);
    let staleness = u32::try_from(-ttl).unwrap_or(0);
    let may_be_stale = !policy.must_revalidate && !policy.no_cache;
    let allowed = |given: Option<u32>, rule: Seconds| {
        let given = given.unwrap_or(rule.0);
        may_be_stale && given > 0 && staleness <= given
    };
    let on_error = allowed(policy.stale_if_error, site.cache.stale_if_error);
    let validate = |reason| Verdict::Validate { reason, on_error };
    let fresh = ttl > 0 && !policy.no_cache;
    let wanted = wish_met(wish, age, ttl);
    let verdict = if stored.purged {
        validate(CacheReason::Purged)
    } else if wish.control.no_cache.is_whole() {
        validate(CacheReason::ReqNoCache)
    } else if fresh && wanted {
        Verdict::Reuse
    } else if fresh {
        validate(CacheReason::ReqNoCache)
    } else if may_be_stale
        && wish.control.max_stale.is_some_and(|most| staleness <= most)
        && wish.control.max_age.is_none_or(|most| age <= most)
    {
        // 5.2.1.2: the client itself accepts it.
        Verdict::Reuse
    } else if wanted_besides_age(wish)
        && allowed(policy.stale_while_revalidate, site.cache.stale_while_revalidate)
    {
        Verdict::ReuseWhileValidating
    } else {
        validate(CacheReason::Expired)
    };
    Judged { verdict, age, ttl }
}

/// `max-age` and `min-fresh` of a request (5.2.1.1, 5.2.1.3).
fn wish_met(wish: &Wish, age: u32, ttl: i64) -> bool {
    let young = wish.control.max_age.is_none_or(|most| age <= most);
    let lasting = wish.control.min_fresh.is_none_or(|least| ttl >= i64::from(least));
    young && lasting
}

/// A client that limits age asks for something better than stale.
fn wanted_besides_age(wish: &Wish) -> bool {
    wish.control.max_age.is_none() && wish.control.min_fresh.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, fields, site, stored};

    const SECONDS: i64 = 30;

    fn check(request: &str, response: &str, expected: &str) {
        let site = site();
        let stored = stored(response).unwrap();
        let rule = Rule::of(&site, "/x");
        let judged = reuse(&Wish::of(&fields(request)), &stored, &site, rule, at(SECONDS));
        let found = match judged.verdict {
            Verdict::Reuse => "reuse".to_owned(),
            Verdict::ReuseWhileValidating => "while".to_owned(),
            Verdict::Validate { reason, on_error } => {
                format!("{reason}{}", if on_error { " or stale" } else { "" })
            }
        };
        assert_eq!(found, expected, "{request} | {response}");
    }

    #[test]
    fn thirty_seconds_later() {
        check("", "cache-control: max-age=60", "reuse");
        check("", "cache-control: max-age=30", "EXPIRED");
        check("", "cache-control: max-age=31", "reuse");
        check("", "cache-control: max-age=60\nage: 40", "EXPIRED");
        check("", "cache-control: no-cache, max-age=60\netag: \"a\"", "EXPIRED");
        check("cache-control: no-cache", "cache-control: max-age=60", "REQ_NO_CACHE");
        check("pragma: no-cache", "cache-control: max-age=60", "REQ_NO_CACHE");
        check("pragma: no-cache\ncache-control: max-age=99", "cache-control: max-age=60", "reuse");
        check("cache-control: max-age=29", "cache-control: max-age=60", "REQ_NO_CACHE");
        check("cache-control: max-age=30", "cache-control: max-age=60", "reuse");
        check("cache-control: min-fresh=31", "cache-control: max-age=60", "REQ_NO_CACHE");
        check("cache-control: min-fresh=30", "cache-control: max-age=60", "reuse");
        check("cache-control: max-stale", "cache-control: max-age=1", "reuse");
        check("cache-control: max-stale=28", "cache-control: max-age=1", "EXPIRED");
        check("cache-control: max-stale", "cache-control: max-age=1, must-revalidate", "EXPIRED");
        check("cache-control: max-stale", "cache-control: s-maxage=1", "EXPIRED");
    }

    #[test]
    fn rfc_5861() {
        check("", "cache-control: max-age=10, stale-while-revalidate=20", "while");
        check("", "cache-control: max-age=10, stale-while-revalidate=19", "EXPIRED");
        check("", "cache-control: max-age=10, stale-if-error=20", "EXPIRED or stale");
        check("", "cache-control: max-age=10, stale-if-error=19", "EXPIRED");
        let forbidden = "cache-control: max-age=1, must-revalidate, stale-while-revalidate=99, stale-if-error=99";
        check("", forbidden, "EXPIRED");
        let swr = "cache-control: max-age=10, stale-while-revalidate=60";
        check("cache-control: max-age=5", swr, "EXPIRED");
    }

    #[test]
    fn softly_purged_is_stale_but_may_bridge_an_error() {
        let site = site();
        let mut stored = stored("cache-control: max-age=60, stale-if-error=60").unwrap();
        stored.purged = true;
        let judged = reuse(&Wish::default(), &stored, &site, Rule::of(&site, "/"), at(1));
        let reason = CacheReason::Purged;
        assert_eq!(judged.verdict, Verdict::Validate { reason, on_error: true });
    }

    #[test]
    fn rules_by_path() {
        let mut site = site();
        let rule = |path: &str, bypass, default_ttl| PathRule {
            path: path.into(),
            bypass,
            set_cookie: None,
            default_ttl,
            delivery: None,
        };
        site.paths = vec![rule("/a", true, None), rule("/b/*", false, Some(Seconds(9)))];
        assert!(Rule::of(&site, "/a?x").bypass);
        assert!(!Rule::of(&site, "/ab").bypass);
        assert_eq!(Rule::of(&site, "/b/c").default_ttl, Seconds(9));
        assert_eq!(Rule::deciding(&site, "/b/c?x").map(|(at, _)| at), Some(1));
        assert_eq!(Rule::deciding(&site, "/c"), None);
        let rule = Rule::of(&site, "/c");
        assert_eq!(is_cacheable_request(&Method::GET, false, rule), Ok(()));
        let refused = Err(CacheReason::ReqMethod);
        assert_eq!(is_cacheable_request(&Method::GET, true, rule), refused);
        assert_eq!(is_cacheable_request(&Method::POST, false, rule), refused);
    }
}
