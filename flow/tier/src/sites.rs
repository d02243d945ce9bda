//! The sites of the role sheet in force, by host: the same look-up in every tier.

use std::collections::HashMap;
use std::sync::Arc;

use popnet_wire::rollout::Epoch;
use popnet_wire::sheet::{Sheet, SiteSheet};

/// A sheet, ready to be looked up in.
#[derive(Debug, Default)]
pub struct Sites {
    /// The sheet's epoch; 0 before there is one.
    pub epoch: Epoch,
    by_host: HashMap<String, Arc<SiteSheet>>,
    any: Option<Arc<SiteSheet>>,
}

impl Sites {
    /// The sites of `sheet`; none before there is one.
    #[must_use]
    pub fn of(sheet: Option<&Sheet>) -> Self {
        let Some(sheet) = sheet else { return Self::default() };
        let mut sites = Self { epoch: sheet.epoch, ..Self::default() };
        for site in &sheet.sites {
            let site = Arc::new(site.clone());
            if site.site.as_str() == "*" {
                sites.any = Some(site);
            } else {
                sites.by_host.insert(site.site.as_str().to_owned(), site);
            }
        }
        sites
    }

    /// The site that serves `host` (lower case, no port): its own, else `*`.
    #[must_use]
    pub fn of_host(&self, host: &str) -> Option<&Arc<SiteSheet>> {
        self.by_host.get(host).or(self.any.as_ref())
    }

    /// The names of the certificates that its sites use; one that several use comes again.
    pub fn certificates(&self) -> impl Iterator<Item = &Arc<str>> {
        self.by_host.values().chain(&self.any).filter_map(|site| site.certificate.as_ref())
    }

    /// The site with this very name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<SiteSheet>> {
        if name == "*" { self.any.as_ref() } else { self.by_host.get(name) }
    }
}

#[cfg(test)]
mod tests {
    use popnet_terms::{Seconds, SiteName};
    use popnet_wire::rollout::Digest;
    use popnet_wire::sheet::{CacheRules, Masking, SetCookie};

    use super::*;

    fn sheet(names: &[&str]) -> Sheet {
        let cache = CacheRules {
            default_ttl: Seconds(60),
            max_ttl: Seconds(3_600),
            heuristic: false,
            stale_while_revalidate: Seconds(0),
            stale_if_error: Seconds(0),
            obey: Vec::new(),
            query_ignore: Vec::new(),
            query_sort: false,
            vary_limit: 8,
            set_cookie: SetCookie::Bypass,
            tags: Vec::new(),
            max_object: 1 << 20,
        };
        let site = |name: &&str| SiteSheet {
            site: SiteName::new(name),
            customer: "acme".into(),
            cache: cache.clone(),
            paths: Vec::new(),
            origins: Vec::new(),
            client_ip: Masking::Full,
            certificate: None,
            delivery: Arc::default(),
        };
        Sheet {
            epoch: Epoch(1),
            digest: Digest::default(),
            node: "edge1.fra1".into(),
            domain: "cdn.test".into(),
            nameservers: Vec::new(),
            sites: names.iter().map(site).collect(),
        }
    }

    #[test]
    fn its_own_before_any() {
        let own = sheet(&["www.acme.test"]);
        let both = sheet(&["*", "www.acme.test"]);
        let found = |sheet: &Sheet, host: &str| {
            Sites::of(Some(sheet)).of_host(host).map(|site| site.site.as_str().to_owned())
        };
        assert_eq!(found(&own, "www.acme.test").as_deref(), Some("www.acme.test"));
        assert_eq!(found(&own, "elsewhere.test"), None);
        assert_eq!(found(&both, "www.acme.test").as_deref(), Some("www.acme.test"));
        assert_eq!(found(&both, "elsewhere.test").as_deref(), Some("*"));
        assert!(Sites::of(Some(&both)).named("elsewhere.test").is_none());
        assert!(Sites::of(Some(&both)).named("*").is_some());
        assert!(Sites::of(None).of_host("www.acme.test").is_none());
    }
}
