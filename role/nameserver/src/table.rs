//! What a configuration means to a name server: names, rules, and where origins listen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use popnet_answer::{Catalog, Image, Service, SiteIndex, Zone};
use popnet_config::Held;
use popnet_config::network::{Network, OriginServer};
use popnet_dns::Name;
use popnet_guard::Gate;
use popnet_steering::{Rules, SiteRules};
use popnet_terms::{CustomerId, OriginId, SiteName};
use popnet_wire::inquiring::Assumption;
use popnet_wire::rollout::Epoch;

use crate::resort::Resort;
use crate::sign::SigningRules;
use crate::views::{ZoneKey, ZoneView};
use crate::zones::{Loaded, ZoneProblem, Zones};

static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// One configuration, compiled. Never changed, save for the hit counts; a copy shares all but the
/// list of zones.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// Another one for each table of this process.
    pub(crate) number: u64,
    pub(crate) epoch: Epoch,
    /// What everybody sees who is in no view.
    pub(crate) catalog: Catalog,
    pub(crate) views: Vec<ZoneView>,
    sites: Arc<[SiteEntry]>,
    origins: Arc<BTreeMap<OriginId, Origin>>,
    /// Decisions whose scrambled number is at most this are recorded.
    pub(crate) sample: u64,
    pub(crate) problems: Vec<ZoneProblem>,
    /// Zones that have a file, good or not; `None` where a folder could not be looked through.
    pub(crate) files: Option<Arc<BTreeSet<Name>>>,
    /// How its zones are signed.
    pub(crate) signing: Arc<SigningRules>,
    /// Whether there is a log server for what is about the network itself.
    pub(crate) is_logged: bool,
}

/// One site.
#[derive(Debug)]
pub(crate) struct SiteEntry {
    pub(crate) name: SiteName,
    pub(crate) customer: CustomerId,
    /// What may be answered to clients.
    pub(crate) answered: Arc<SiteRules>,
    /// Where POPs fetch its content.
    pub(crate) fetched: Arc<SiteRules>,
    /// Whether its customer has a log server: without one, nothing is written down.
    pub(crate) is_logged: bool,
    /// Queries since the probes were told last (N17).
    pub(crate) hits: AtomicU32,
    /// The last resort that its answers use, if they do.
    pub(crate) resort: Resort,
}

/// A customer's server by name.
#[derive(Debug)]
struct Origin {
    /// `SERVER.GROUP.origins.DOMAIN` and the port.
    service: Service,
    /// Its host, when it is configured by name.
    host: Option<Name>,
}

impl Table {
    /// Compiles `held`, reading zone files through `zones`.
    pub(crate) fn build(held: &Held, zones: &mut Zones) -> Self {
        let network = &held.network;
        let Loaded { common, views, problems } = zones.load(held);
        // Serial numbers compare modulo 2^32 (RFC 1982); one push more is always newer.
        let serial = u32::try_from(held.epoch.0 & 0xffff_ffff).unwrap_or(0).max(1);
        let catalog = Catalog::build(network, serial, &common);
        let gate = Gate::build(network);
        let seen = network.views.iter().zip(views).zip(1..);
        let seen = seen.map(|((view, own), number)| {
            let images = over(&common, own.clone());
            let catalog = Catalog::build(network, serial, &images);
            ZoneView::new(view, number, &own, catalog, gate.with(&view.zones))
        });
        let views = seen.collect();
        for problem in catalog.problems() {
            tracing::warn!(%problem, "left out of the name table");
        }
        Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            epoch: held.epoch,
            sites: entries(network, &catalog),
            origins: Arc::new(origins(network)),
            catalog,
            views,
            sample: threshold(network.logs.decision_sample.unwrap_or(1.0)),
            problems,
            files: zones.files.clone(),
            signing: Arc::new(SigningRules::of(network, zones.files.as_deref(), &zones.members)),
            is_logged: !network.logs.default.is_empty(),
        }
    }

    /// Has the views follow the catalog, after it changed.
    pub(crate) fn align(&mut self) {
        for view in &mut self.views {
            view.follow(&self.catalog);
        }
    }

    /// The view of a question from `from` that was signed with `key`; `None`: it is in none.
    pub(crate) fn view_of(&self, from: IpAddr, key: Option<&Name>) -> Option<&ZoneView> {
        self.views.iter().find(|view| view.is_for(from, key))
    }

    /// A zone of everybody, or of a view.
    pub(crate) fn zone(&self, key: &ZoneKey) -> Option<&Zone> {
        let Some(name) = &key.view else { return self.catalog.zone(&key.apex) };
        let view = self.views.iter().find(|view| view.name() == name)?;
        view.catalog.zone(&key.apex).filter(|_| view.owns(key.apex.as_wire()))
    }

    /// Every zone.
    pub(crate) fn zones(&self) -> impl Iterator<Item = (ZoneKey, &Zone)> {
        let common = self.catalog.zones().iter();
        let common = common.map(|zone| (ZoneKey::common(zone.image().apex().clone()), zone));
        common.chain(self.views.iter().flat_map(ZoneView::own))
    }

    /// What `network` would mean here, with the zones as they are served: for "what if?" and for
    /// the past, beside this table.
    pub(crate) fn beside(&self, network: &Network, epoch: Epoch) -> Self {
        let zones = self.catalog.zones().iter().filter(|zone| !zone.is_made());
        let zones = zones.map(|zone| Arc::clone(zone.unsigned().unwrap_or_else(|| zone.image())));
        let catalog = Catalog::build(network, 1, &zones.collect::<Vec<_>>());
        Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            epoch,
            sites: entries(network, &catalog),
            origins: Arc::new(origins(network)),
            catalog,
            // Views show zones' own records, and site numbers are of this catalog.
            views: Vec::new(),
            ..self.clone()
        }
    }

    /// This table where the assumptions about prices hold.
    pub(crate) fn assuming(&self, assumptions: &[Assumption]) -> Self {
        let sites = self.sites.iter().map(|site| SiteEntry {
            name: site.name.clone(),
            customer: site.customer.clone(),
            answered: Arc::new(site.answered.assuming(assumptions)),
            fetched: Arc::new(site.fetched.assuming(assumptions)),
            is_logged: site.is_logged,
            hits: AtomicU32::new(0),
            resort: Resort::default(),
        });
        Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            sites: sites.collect(),
            ..self.clone()
        }
    }

    /// The site with this number in the catalog.
    pub(crate) fn site(&self, index: SiteIndex) -> Option<&SiteEntry> {
        self.sites.get(index as usize)
    }

    /// Every site.
    pub(crate) fn sites(&self) -> &[SiteEntry] {
        &self.sites
    }

    /// What an SRV answer says of `origin`.
    pub(crate) fn service(&self, origin: &OriginId) -> Option<&Service> {
        self.origins.get(origin).map(|known| &known.service)
    }

    /// The host of an origin that is configured by name.
    pub(crate) fn host(&self, origin: &OriginId) -> Option<&Name> {
        self.origins.get(origin)?.host.as_ref()
    }
}

/// A view's `own` zones, and those of everybody that they do not hide.
fn over(common: &[Arc<Image>], own: Vec<Arc<Image>>) -> Vec<Arc<Image>> {
    let hidden: BTreeSet<Name> = own.iter().map(|image| image.apex().clone()).collect();
    let mut images = own;
    let stay = common.iter().filter(|image| !hidden.contains(image.apex()));
    images.extend(stay.cloned());
    images
}

/// The sites of `network` in the order of the catalog's numbers.
fn entries(network: &Network, catalog: &Catalog) -> Arc<[SiteEntry]> {
    let rules = Rules::compile(network);
    let sites = catalog.sites().iter().filter_map(|name| {
        let site = network.sites.get(name)?;
        Some(SiteEntry {
            name: name.clone(),
            customer: site.customer.clone(),
            answered: Arc::clone(rules.site(name.as_str())?),
            fetched: Arc::clone(rules.origins(name.as_str())?),
            is_logged: !network.log_servers(&site.customer).is_empty(),
            hits: AtomicU32::new(0),
            resort: Resort::default(),
        })
    });
    sites.collect()
}

fn origins(network: &Network) -> BTreeMap<OriginId, Origin> {
    let mut known = BTreeMap::new();
    for (group, servers) in &network.origin_groups {
        for (key, server) in &servers.servers {
            let name = format!("{key}.{group}.origins.{}", network.network.domain);
            let Ok(target) = name.parse() else { continue };
            let (host, port) = endpoint(server);
            let host = if host.parse::<IpAddr>().is_ok() { None } else { host.parse().ok() };
            let id = OriginId { group: group.clone(), server: key.as_str().into() };
            known.insert(id, Origin { service: Service { target, port }, host });
        }
    }
    known
}

/// Host and port of `HOST`, `HOST:PORT`, `ADDRESS` or `[ADDRESS]:PORT`.
fn endpoint(server: &OriginServer) -> (&str, u16) {
    let usual = if server.tls.unwrap_or(false) { 443 } else { 80 };
    let address = server.address.as_str();
    if address.parse::<IpAddr>().is_ok() {
        return (address, usual);
    }
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().unwrap_or(usual)),
        None => (address, usual),
    };
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

/// `share` of all 64-bit numbers.
pub(crate) fn threshold(share: f64) -> u64 {
    if share >= 1.0 {
        return u64::MAX;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "between 0 and 1 just here; what is no number becomes 0"
    )]
    let limit = (share.max(0.0) * u64::MAX as f64) as u64;
    limit
}
