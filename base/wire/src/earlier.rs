//! Role sheets as kept files had them in earlier forms, and how they are read as today's.

use std::sync::Arc;

use ipnet::IpNet;
use popnet_terms::{CustomerId, NodeName, PerTime, Seconds, SiteName};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

use crate::delivery::{Cors, Delivery, FieldChange};
use crate::rollout::{Digest, Epoch};
use crate::sheet::{CacheRules, Masking, OriginAddress, PathRule, SetCookie, Sheet, SiteSheet};

/// A sheet as it was before sites had a delivery.
pub type WithoutDelivery = Kept<Site<Rule>>;

/// A sheet as it was before stored responses were given codings.
pub type WithoutCodings = Kept<Delivered>;

/// An earlier sheet of sites in the form `S`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept<S> {
    epoch: Epoch,
    digest: Digest,
    node: NodeName,
    domain: Arc<str>,
    nameservers: Vec<SocketAddr>,
    sites: Vec<S>,
}

/// A site without what is done on the way to clients, and exceptions by path in the form `R`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site<R> {
    site: SiteName,
    customer: CustomerId,
    cache: CacheRules,
    paths: Vec<R>,
    origins: Vec<OriginAddress>,
    client_ip: Masking,
    certificate: Option<Arc<str>>,
}

/// An exception without a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    path: Arc<str>,
    bypass: bool,
    set_cookie: Option<SetCookie>,
    default_ttl: Option<Seconds>,
}

/// A site with a delivery of the first form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    site: Site<(Rule, Option<FirstDelivery>)>,
    delivery: FirstDelivery,
}

/// A delivery without codings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstDelivery {
    https: bool,
    hsts: Option<Seconds>,
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    referrers: Vec<Arc<str>>,
    rate: Option<PerTime>,
    cors: Option<Cors>,
    request: Vec<FieldChange>,
    response: Vec<FieldChange>,
}

impl<S: Into<SiteSheet>> From<Kept<S>> for Sheet {
    fn from(earlier: Kept<S>) -> Self {
        let Kept { epoch, digest, node, domain, nameservers, sites } = earlier;
        let sites = sites.into_iter().map(Into::into).collect();
        Self { epoch, digest, node, domain, nameservers, sites }
    }
}

impl<R: Into<PathRule>> From<Site<R>> for SiteSheet {
    fn from(earlier: Site<R>) -> Self {
        let Site { site, customer, cache, paths, origins, client_ip, certificate } = earlier;
        let (paths, delivery) = (paths.into_iter().map(Into::into).collect(), Arc::default());
        Self { site, customer, cache, paths, origins, client_ip, certificate, delivery }
    }
}

impl From<Rule> for PathRule {
    fn from(Rule { path, bypass, set_cookie, default_ttl }: Rule) -> Self {
        Self { path, bypass, set_cookie, default_ttl, delivery: None }
    }
}

impl From<(Rule, Option<FirstDelivery>)> for PathRule {
    fn from((rule, delivery): (Rule, Option<FirstDelivery>)) -> Self {
        let delivery = delivery.map(|delivery| Arc::new(delivery.into()));
        Self { delivery, ..rule.into() }
    }
}

impl From<Delivered> for SiteSheet {
    fn from(Delivered { site, delivery }: Delivered) -> Self {
        Self { delivery: Arc::new(delivery.into()), ..site.into() }
    }
}

impl From<FirstDelivery> for Delivery {
    fn from(earlier: FirstDelivery) -> Self {
        let FirstDelivery { https, hsts, allow, deny, referrers, rate, cors, request, response } =
            earlier;
        let compress = None;
        Self { https, hsts, allow, deny, referrers, rate, cors, request, response, compress }
    }
}
