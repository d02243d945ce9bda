//! The sites of the role sheet in force, by host.

use std::collections::HashMap;
use std::sync::Arc;

use popnet_wire::rollout::Epoch;
use popnet_wire::sheet::{Sheet, SiteSheet};

/// A sheet, ready to be looked up in.
#[derive(Debug, Default)]
pub(crate) struct Sites {
    /// The sheet's epoch; 0 before there is one.
    pub(crate) epoch: Epoch,
    by_host: HashMap<String, Arc<SiteSheet>>,
    any: Option<Arc<SiteSheet>>,
}

impl Sites {
    pub(crate) fn of(sheet: Option<&Sheet>) -> Self {
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
    pub(crate) fn of_host(&self, host: &str) -> Option<&Arc<SiteSheet>> {
        self.by_host.get(host).or(self.any.as_ref())
    }

    /// The site with this very name.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<SiteSheet>> {
        if name == "*" { self.any.as_ref() } else { self.by_host.get(name) }
    }
}
