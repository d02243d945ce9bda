//! Caching rules without anything special.

use popnet_terms::Seconds;
use popnet_wire::sheet::{CacheRules, SetCookie};

pub(crate) fn rules() -> CacheRules {
    CacheRules {
        default_ttl: Seconds(0),
        max_ttl: Seconds(86_400),
        heuristic: false,
        stale_while_revalidate: Seconds(0),
        stale_if_error: Seconds(0),
        obey: vec!["Cache-Control".into()],
        query_ignore: Vec::new(),
        query_sort: false,
        vary_limit: 8,
        set_cookie: SetCookie::Bypass,
        tags: vec!["Surrogate-Key".into()],
        max_object: 1 << 30,
    }
}
