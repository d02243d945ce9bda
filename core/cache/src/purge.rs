//! What a purge order hits (A2): compiled once, then held against each stored response.

use std::sync::Arc;

use popnet_terms::{CustomerId, SiteName};
use popnet_wire::purging::{PurgeOrder, PurgeWhat};
use popnet_wire::sheet::CacheRules;
use serde::{Deserialize, Serialize};

use crate::key::{Key, keyed_path};
use crate::stored::Stored;

/// A purge order, ready to be held against stored responses. It can be written down; the layout is
/// part of what a disk tier keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aim {
    pub(crate) customer: CustomerId,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum What {
    Url { host: Arc<str>, path: Arc<str> },
    Prefix { site: SiteName, path: Arc<str> },
    Tag(Arc<str>),
    Site(SiteName),
}

impl Aim {
    /// Compiles `order`; `rules` are those of its site, so that a URL is found under its key
    /// whatever the rules do to queries.
    #[must_use]
    pub fn of(order: &PurgeOrder, rules: Option<&CacheRules>) -> Self {
        let what = match &order.what {
            PurgeWhat::Url { host, path, .. } => What::Url {
                host: host.to_ascii_lowercase().into(),
                path: rules.map_or_else(|| path.clone(), |rules| keyed_path(path, rules).into()),
            },
            PurgeWhat::Prefix { site, path } => {
                What::Prefix { site: site.clone(), path: path.clone() }
            }
            PurgeWhat::Tag { tag } => What::Tag(tag.clone()),
            PurgeWhat::Site { site } => What::Site(site.clone()),
        };
        Self { customer: order.customer.clone(), what }
    }

    /// The only keys that can be hit, when they can be told.
    #[must_use]
    pub fn keys(&self) -> Option<Vec<Key>> {
        let What::Url { host, path } = &self.what else { return None };
        let keys = ["http", "https"].map(|scheme| format!("{scheme}://{host}{path}"));
        keys.into_iter().map(|text| text.try_into().ok()).collect()
    }

    /// Whether `stored` is hit. Another customer's never is.
    #[must_use]
    pub fn hits(&self, stored: &Stored) -> bool {
        stored.customer == self.customer
            && match &self.what {
                What::Tag(tag) => stored.tags.binary_search(tag).is_ok(),
                What::Url { .. } | What::Prefix { .. } | What::Site(_) => {
                    self.hits_key(&stored.customer, &stored.site, &stored.key)
                }
            }
    }

    /// Whether a response that is only being fetched could be hit; where its tags decide, which
    /// are not known yet, it is taken for hit.
    #[must_use]
    pub fn hits_key(&self, customer: &CustomerId, site: &SiteName, key: &Key) -> bool {
        *customer == self.customer
            && match &self.what {
                What::Url { host, path } => key.host() == &**host && key.path() == &**path,
                What::Prefix { site: of, path } => of == site && key.path().starts_with(&**path),
                What::Tag(_) => true,
                What::Site(of) => of == site,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{rules, stored};
    use popnet_wire::purging::PurgeKind;

    fn check(customer: &str, what: PurgeWhat, hit: bool) {
        let stored = stored("cache-control: max-age=60\nsurrogate-key: one two").unwrap();
        let order = PurgeOrder {
            customer: customer.into(),
            what,
            kind: PurgeKind::Hard,
            actor: "test".into(),
        };
        let mut rules = rules();
        rules.query_ignore = vec!["utm_*".into()];
        let aim = Aim::of(&order, Some(&rules));
        assert_eq!(aim.hits(&stored), hit, "{order:?}");
        if let Some(keys) = aim.keys() {
            assert_eq!(keys.contains(&stored.key) && customer == "acme", hit);
        }
    }

    #[test]
    fn orders() {
        let url = |path: &str| PurgeWhat::Url {
            site: "a.test".into(),
            host: "A.test".into(),
            path: path.into(),
        };
        let prefix = |path: &str| PurgeWhat::Prefix { site: "a.test".into(), path: path.into() };
        check("acme", url("/x"), true);
        check("acme", url("/x?utm_source=1"), true);
        check("acme", url("/x?v=1"), false);
        check("acme", url("/y"), false);
        check("acme", prefix("/"), true);
        check("acme", prefix("/y"), false);
        check("acme", PurgeWhat::Tag { tag: "two".into() }, true);
        check("acme", PurgeWhat::Tag { tag: "Two".into() }, false);
        check("acme", PurgeWhat::Site { site: "a.test".into() }, true);
        check("acme", PurgeWhat::Site { site: "b.test".into() }, false);
        check("other", PurgeWhat::Site { site: "a.test".into() }, false);
        check("other", PurgeWhat::Tag { tag: "two".into() }, false);
    }
}
