//! How long a response is fresh and how old it is (RFC 9111 4.2).

use http::{HeaderMap, HeaderName, StatusCode, header};
use popnet_field::cache_control::{CacheControl, Reach, SECONDS_MAX};
use popnet_field::date;
use popnet_terms::{Seconds, Timestamp};
use popnet_wire::sheet::CacheRules;
use serde::{Deserialize, Serialize};

use crate::stored::Stored;

/// What a response's own fields say about keeping it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Lifetime that its fields give in so many words.
    pub explicit: Option<u32>,
    /// A tenth of its age when it was made (4.2.2), where guessing is allowed for its status.
    pub heuristic: Option<u32>,
    /// Whether the site's default lifetime may be applied: its status allows guessing.
    pub may_default: bool,
    /// Never reused without validation.
    pub no_cache: bool,
    /// Never served stale.
    pub must_revalidate: bool,
    /// Kept out of every store.
    pub no_store: bool,
    /// For one user only.
    pub private: bool,
    /// Open to everybody, so that credentials in the request do not matter.
    pub public: bool,
    /// Carries `s-maxage` or `must-revalidate`, which lift the limit on credentials too (3.5).
    pub shared: bool,
    /// Served stale this long while it is validated.
    pub stale_while_revalidate: Option<u32>,
    /// Served stale this long when the origin fails.
    pub stale_if_error: Option<u32>,
    /// Fields that are not to be stored: the arguments of `no-cache` and `private`.
    pub withheld: Vec<String>,
}

impl Policy {
    /// Reads the fields of a response that was received at `received`.
    #[must_use]
    pub fn of(
        status: StatusCode,
        fields: &HeaderMap,
        obey: &[impl AsRef<str>],
        received: Timestamp,
    ) -> Self {
        let received = received.unix_seconds();
        let (control, expires) = obeyed(fields, obey);
        let made = date::of(fields, &header::DATE).unwrap_or(received);
        // 5.2.2.3: with must-understand all depends on the status, and no-store beside it is for
        // caches that do not know the directive.
        let no_store =
            if control.must_understand { !is_understood(status) } else { control.no_store };
        let lasting = control.s_maxage.or(control.max_age);
        // 5.3: an Expires that is no date lies in the past.
        let explicit = lasting.or_else(|| {
            let lines = expires && fields.contains_key(header::EXPIRES);
            lines.then(|| date::of(fields, &header::EXPIRES).map_or(0, |end| clamp(end - made)))
        });
        let may_guess = is_heuristic(status) || control.public;
        let heuristic = date::of(fields, &header::LAST_MODIFIED)
            .filter(|modified| may_guess && *modified < made)
            .map(|modified| clamp((made - modified) / 10));
        let mut withheld = Vec::new();
        for reach in [&control.no_cache, &control.private] {
            if let Reach::Fields(names) = reach {
                withheld.extend_from_slice(names);
            }
        }
        Self {
            explicit,
            heuristic,
            may_default: may_guess,
            no_cache: control.no_cache.is_whole(),
            // 5.2.2.10: s-maxage implies proxy-revalidate.
            must_revalidate: control.must_revalidate
                || control.proxy_revalidate
                || control.s_maxage.is_some(),
            no_store,
            private: control.private.is_whole(),
            public: control.public,
            // Not proxy-revalidate, which 3.5 does not name.
            shared: control.s_maxage.is_some() || control.must_revalidate,
            stale_while_revalidate: control.stale_while_revalidate,
            stale_if_error: control.stale_if_error,
            withheld,
        }
    }

    /// The freshness lifetime under a site's rules; `None` when nobody gives one. Where the origin
    /// says nothing, the longer of the guess and the site's default counts.
    #[must_use]
    pub fn lifetime(&self, rules: &CacheRules, default_ttl: Seconds) -> Option<u32> {
        let guessed = self.heuristic.filter(|_| rules.heuristic);
        let default = (self.may_default && default_ttl.0 > 0).then_some(default_ttl.0);
        let lifetime = self.explicit.or(guessed.max(default))?;
        Some(lifetime.min(rules.max_ttl.0))
    }
}

/// The directives that count, most important field first (RFC 9213 2.2), and whether `Expires`
/// counts beside them.
fn obeyed(fields: &HeaderMap, obey: &[impl AsRef<str>]) -> (CacheControl, bool) {
    let mut expires = false;
    for name in obey {
        let name = name.as_ref();
        if name.eq_ignore_ascii_case("expires") {
            expires = true;
            continue;
        }
        let Ok(name) = HeaderName::try_from(name) else { continue };
        let lines = fields.get_all(&name).iter().map(|value| value.as_bytes());
        if name == header::CACHE_CONTROL {
            // Expires is the older form of the same word, so it counts wherever this does.
            return (CacheControl::read(lines), true);
        }
        if let Some(targeted) = CacheControl::read_targeted(lines) {
            return (targeted, false);
        }
    }
    (CacheControl::default(), expires)
}

/// RFC 9110 15.1: statuses a cache may guess a lifetime for.
#[must_use]
pub fn is_heuristic(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Statuses whose caching this cache understands (RFC 9111 3): all final ones that RFC 9110 defines
/// and that do not depend on parts. It counts where `must-understand` stands.
#[must_use]
pub fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=205 | 300..=303 | 305 | 307..=308
            | 400..=417 | 421..=422 | 425..=426 | 428..=429 | 431 | 451
            | 500..=505
    )
}

/// The current age in seconds (4.2.3).
#[must_use]
pub fn age(stored: &Stored, now: Timestamp) -> u32 {
    let fields = &stored.fields.0;
    let received = stored.received.unix_seconds();
    let apparent = date::of(fields, &header::DATE).map_or(0, |made| received - made).max(0);
    let announced = stored.announced_age();
    let delay = stored.received.since(stored.requested).as_secs();
    let corrected = announced.saturating_add(delay);
    let initial = u64::try_from(apparent).unwrap_or(0).max(corrected);
    let resident = now.since(stored.received).as_secs();
    u32::try_from(initial.saturating_add(resident)).unwrap_or(SECONDS_MAX).min(SECONDS_MAX)
}

fn clamp(seconds: i64) -> u32 {
    u32::try_from(seconds.max(0)).unwrap_or(SECONDS_MAX).min(SECONDS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOON_DATE, at, fields, rules, site, stored};

    fn lifetime(status: u16, lines: &str) -> Option<u32> {
        let rules = rules();
        let lines = format!("date: {NOON_DATE}\n{lines}");
        let status = StatusCode::from_u16(status).unwrap();
        Policy::of(status, &fields(&lines), &rules.obey, at(0)).lifetime(&rules, rules.default_ttl)
    }

    #[test]
    fn lifetimes() {
        for (status, lines, expected) in [
            (200, "cache-control: max-age=60", Some(60)),
            (200, "cache-control: max-age=60, s-maxage=5", Some(5)),
            (200, "cdn-cache-control: max-age=9\ncache-control: max-age=60, s-maxage=5", Some(9)),
            (200, "cdn-cache-control: public\nexpires: Wed, 15 Nov 2023 12:01:00 GMT", None),
            (200, "cdn-cache-control: max-age==9\ncache-control: max-age=60", Some(60)),
            (200, "expires: Wed, 15 Nov 2023 12:01:00 GMT", Some(60)),
            (200, "expires: Wed, 15 Nov 2023 12:01:00 GMT\ncache-control: max-age=5", Some(5)),
            (200, "expires: 0", Some(0)),
            (200, "expires: Wed, 15 Nov 2023 11:00:00 GMT", Some(0)),
            (200, "last-modified: Wed, 15 Nov 2023 11:50:00 GMT", Some(60)),
            (404, "last-modified: Wed, 15 Nov 2023 11:50:00 GMT", Some(60)),
            (302, "last-modified: Wed, 15 Nov 2023 11:50:00 GMT", None),
            (302, "cache-control: public\nlast-modified: Wed, 15 Nov 2023 11:50:00 GMT", Some(60)),
            (200, "", None),
            (200, "cache-control: max-age=99999999999", Some(30 * 86_400)),
        ] {
            assert_eq!(lifetime(status, lines), expected, "{status} {lines}");
        }
        let rules = rules();
        let policy = Policy::of(StatusCode::OK, &fields(""), &rules.obey, at(0));
        assert_eq!(policy.lifetime(&rules, Seconds(7)), Some(7));
        let lines = "last-modified: Wed, 15 Nov 2023 11:50:00 GMT";
        let policy = Policy::of(StatusCode::OK, &fields(lines), &rules.obey, at(0));
        assert_eq!(policy.lifetime(&rules, Seconds(7)), Some(60));
        assert_eq!(policy.lifetime(&rules, Seconds(70)), Some(70));
    }

    #[test]
    fn ages() {
        for (lines, second, expected) in [
            ("cache-control: max-age=60", 0, 0),
            ("cache-control: max-age=60", 10, 10),
            ("cache-control: max-age=60\nage: 5", 10, 15),
            ("cache-control: max-age=60\nage: junk", 10, 10),
            ("cache-control: max-age=60\nage: 99999999999", 10, SECONDS_MAX),
            ("cache-control: max-age=60", -10, 0),
        ] {
            let stored = stored(lines).unwrap();
            assert_eq!(age(&stored, at(second)), expected, "{lines} {second}");
        }
        let mut late = stored("cache-control: max-age=60").unwrap();
        late.received = at(30);
        assert_eq!(age(&late, at(31)), 31);
        assert_eq!(site().cache, rules());
    }
}
