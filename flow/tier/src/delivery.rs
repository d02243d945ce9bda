//! Which delivery a path has.

use std::sync::Arc;

use popnet_cache::reuse::Rule;
use popnet_wire::delivery::Delivery;
use popnet_wire::sheet::SiteSheet;

/// What is asked for on the way of `path` (a query after it is not looked at): by the rule that
/// counts for it, else by the site.
#[must_use]
pub fn delivery_of<'a>(site: &'a SiteSheet, path: &str) -> &'a Arc<Delivery> {
    let rule = Rule::deciding(site, path).and_then(|(_, rule)| rule.delivery.as_ref());
    rule.unwrap_or(&site.delivery)
}
