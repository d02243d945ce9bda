//! The configuration as steering uses it: per site its targets and limits, all in whole numbers
//! of one unit (microseconds-equivalent, thousandths), so that every server computes the same.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use popnet_config::network::{
    Capacity, Ecs, LastResort, Location, Network, OriginServer, Persist, PersistMode, Policy,
    Preset, Site, SiteKind, selects,
};
use popnet_terms::{
    CustomerId, Micros, NodeName, OriginGroupId, OriginId, PopId, Role, Seconds, SiteName, Span,
    TargetId,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::addresses::Addresses;
use crate::geo::Model;
use crate::limits::Limits;

/// Every site's rules.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    sites: BTreeMap<SiteName, Arc<SiteRules>>,
    origins: BTreeMap<SiteName, Arc<SiteRules>>,
}

impl Rules {
    /// The rules of `network`.
    #[must_use]
    pub fn compile(network: &Network) -> Self {
        let mut rules = Self::default();
        let placed = network.pops.iter().filter_map(|(id, pop)| Some((id, pop.location.as_ref()?)));
        let regions =
            placed.filter_map(|(id, at)| Some((id.clone(), at.region.as_deref()?.into())));
        let regions: Arc<BTreeMap<PopId, Arc<str>>> = Arc::new(regions.collect());
        for (name, site) in &network.sites {
            let answered = SiteRules::answered(network, name, site);
            let answered = SiteRules { regions: Arc::clone(&regions), ..answered };
            rules.sites.insert(name.clone(), Arc::new(answered));
            let fetched = SiteRules::fetched(network, name, site);
            let fetched = SiteRules { regions: Arc::clone(&regions), ..fetched };
            rules.origins.insert(name.clone(), Arc::new(fetched));
        }
        rules
    }

    /// What may be answered for `host` (lower case): its own site's rules, else those of `*`.
    #[must_use]
    pub fn site(&self, host: &str) -> Option<&Arc<SiteRules>> {
        self.sites.get(host).or_else(|| self.sites.get("*"))
    }

    /// Where a POP fetches the content of exactly this site from (W3): ask with
    /// [`crate::Client::Pop`]; the choice then lists every usable origin.
    #[must_use]
    pub fn origins(&self, site: &str) -> Option<&Arc<SiteRules>> {
        self.origins.get(site)
    }

    /// Every site.
    pub fn sites(&self) -> impl Iterator<Item = &Arc<SiteRules>> {
        self.sites.values()
    }
}

/// One site's rules.
#[derive(Clone, Debug)]
pub struct SiteRules {
    /// The site.
    pub site: SiteName,
    /// Whose.
    pub customer: CustomerId,
    /// Served by our caches, or only steered.
    pub kind: SiteKind,
    /// The policy's key; empty when the site names none.
    pub policy: Arc<str>,
    /// Every configured target, in order of its name.
    pub targets: Vec<Target>,
    /// The named rule.
    pub preset: Preset,
    /// Weight of the latency term, in thousandths.
    pub latency_weight: u32,
    /// How many of its spreads count with a round trip, in thousandths.
    pub spread_weight: u32,
    /// Weight of the loss term, in thousandths.
    pub loss_weight: u32,
    /// Weight of the load term, in thousandths.
    pub load_weight: u32,
    /// What one unit of cost is worth.
    pub cost_worth: Micros,
    /// This close to the best is equal.
    pub tie_within: Micros,
    /// Or within this share of the best, in thousandths.
    pub tie_share: u32,
    /// Load above which no new client is sent, in thousandths.
    pub load_hard: u16,
    /// Most targets in an answer.
    pub answers_max: usize,
    /// Shortest time to live; at least 1.
    pub ttl_min: Seconds,
    /// Longest time to live; at least `ttl_min`.
    pub ttl_max: Seconds,
    /// Whether client subnets count.
    pub ecs: Ecs,
    /// The resolvers whose client subnets count, where `ecs` is about a list.
    pub(crate) believed: Arc<[IpNet]>,
    /// Whether clients are bound.
    pub persist: Option<Persist>,
    /// Tried in order when no target is healthy.
    pub last_resort: Vec<LastResort>,
    /// The region of each POP that has one.
    pub(crate) regions: Arc<BTreeMap<PopId, Arc<str>>>,
    /// Hash of the site's name: different sites spread the same client differently.
    pub(crate) hash: u64,
}

/// One target of a site.
#[derive(Clone, Debug)]
pub struct Target {
    /// Which.
    pub id: TargetId,
    /// A POP's caches, or the one server of an origin.
    pub nodes: Vec<TargetNode>,
    /// Those of all its machines.
    pub(crate) addresses: Addresses,
    /// Price in thousandths of the unit.
    pub cost: u32,
    /// What it can carry beside the site's other targets; at least 1.
    pub capacity: u64,
    /// Its share where shares are configured; at least 1.
    pub weight: u64,
    /// Its place where order is configured.
    pub order: usize,
    /// Who runs it, where that is said: two answers name two where they can.
    pub provider: Option<Arc<str>>,
    /// Load in thousandths above which it is not ours to fill.
    pub reserve: Option<u16>,
    /// By how many microseconds it counts as nearer; below 0 as farther.
    pub bias: i64,
    /// Named only where nothing else is well.
    pub is_backup: bool,
    pub(crate) limits: Limits,
    /// Where it stands.
    pub(crate) location: Option<Location>,
    /// Round trips guessed from POPs with a known place.
    pub(crate) estimates: BTreeMap<PopId, Micros>,
    pub(crate) hash: u64,
}

/// A machine of a target.
#[derive(Clone, Debug)]
pub struct TargetNode {
    /// Its name; `None` for a customer's server.
    pub node: Option<NodeName>,
    /// Where clients reach it. Empty for an origin that is configured by name.
    pub addresses: Vec<IpAddr>,
}

/// Most answers of an origin choice: the asker tries them one after the other.
const FETCH_ANSWERS: usize = 8;

impl SiteRules {
    /// What may be named to clients.
    fn answered(network: &Network, name: &SiteName, site: &Site) -> Self {
        let mut targets = match site.kind {
            SiteKind::Direct => origins(network, site, &site.origins),
            SiteKind::Cached => {
                let mut all = pops(network, site);
                if site.answer_with_origins {
                    all.extend(origins(network, site, &site.origins));
                }
                all
            }
        };
        level_capacity(&mut targets);
        let mut backup = site.backup.as_ref().map_or_else(Vec::new, |g| origins(network, site, g));
        backup.retain(|spare| targets.iter().all(|target| target.id != spare.id));
        level_capacity(&mut backup);
        targets.extend(backup.into_iter().map(|spare| Target { is_backup: true, ..spare }));
        let policy = site.policy.as_deref().unwrap_or_default();
        let fallback = Policy::default();
        let form = network.policies.get(policy).unwrap_or(&fallback);
        Self::assemble(network, name, site, policy, form, targets)
    }

    /// Where the content comes from. A direct site's policy is about its servers and holds here
    /// too; a cached site's is about POPs, so that its origins are chosen by the plain rule.
    fn fetched(network: &Network, name: &SiteName, site: &Site) -> Self {
        let plain = Policy::default();
        let key = site.policy.as_deref().unwrap_or_default();
        let (policy, form) = match (site.kind, network.policies.get(key)) {
            (SiteKind::Direct, Some(form)) => (key, form),
            (SiteKind::Direct, None) | (SiteKind::Cached, _) => ("", &plain),
        };
        let mut targets = origins(network, site, &site.origins);
        level_capacity(&mut targets);
        let rules = Self::assemble(network, name, site, policy, form, targets);
        Self { answers_max: FETCH_ANSWERS, ..rules }
    }

    /// Whether clients are bound to what they got.
    pub(crate) fn binds(&self) -> bool {
        self.persist.as_ref().is_some_and(|persist| persist.mode == PersistMode::Bound)
    }

    /// Whether a client subnet that `resolver` sends counts (RFC 7871 section 11: what one
    /// says of its clients is as good as the one who says it).
    #[must_use]
    pub fn believes(&self, resolver: IpAddr) -> bool {
        let listed = || self.believed.iter().any(|net| net.contains(&resolver.to_canonical()));
        match self.ecs {
            Ecs::Never => false,
            Ecs::Prefer => true,
            Ecs::OnlyPublicResolvers | Ecs::RequireTrusted => listed(),
        }
    }

    fn assemble(
        network: &Network,
        name: &SiteName,
        site: &Site,
        policy: &str,
        form: &Policy,
        mut targets: Vec<Target>,
    ) -> Self {
        targets.sort_by(|a, b| a.id.cmp(&b.id));
        let ttl_min = form.answer.ttl_min.unwrap_or(Span::seconds(20)).as_seconds().max(1);
        let ttl_max = form.answer.ttl_max.unwrap_or(Span::seconds(300)).as_seconds().max(1);
        let usual = [
            LastResort::Unknown,
            LastResort::Damped,
            LastResort::Backup,
            LastResort::All,
            LastResort::Static,
        ];
        Self {
            site: name.clone(),
            customer: site.customer.clone(),
            kind: site.kind,
            policy: policy.into(),
            targets,
            preset: form.preset,
            latency_weight: thousandths(form.score.latency.unwrap_or(1.0)),
            spread_weight: thousandths(form.score.spread.unwrap_or(0.0)),
            loss_weight: thousandths(form.score.loss.unwrap_or(1.0)),
            load_weight: thousandths(form.score.load.unwrap_or(1.0)),
            cost_worth: Micros(thousandths(form.score.cost_ms.unwrap_or(0.0))),
            tie_within: micros(form.tie.within.unwrap_or(Span(5_000))),
            tie_share: thousandths(form.tie.share.unwrap_or(0.10)),
            load_hard: permille(form.shed.hard.unwrap_or(0.95)),
            answers_max: usize::from(form.answer.max.unwrap_or(2).max(1)),
            ttl_min: Seconds(ttl_min.min(ttl_max)),
            ttl_max: Seconds(ttl_max),
            ecs: form.ecs,
            believed: match form.ecs {
                Ecs::Never | Ecs::Prefer => Arc::default(),
                Ecs::OnlyPublicResolvers => network.dns.public_resolvers.as_slice().into(),
                Ecs::RequireTrusted => network.dns.trusted_resolvers.as_slice().into(),
            },
            persist: form.persist.clone(),
            last_resort: if form.last_resort.is_empty() {
                usual.to_vec()
            } else {
                form.last_resort.clone()
            },
            regions: Arc::default(),
            hash: xxh3_64(name.as_str().as_bytes()),
        }
    }
}

/// The POPs that serve `site`: those it names that have a cache.
fn pops(network: &Network, site: &Site) -> Vec<Target> {
    let everywhere = [String::from("*")];
    let listed = site.pops.as_deref().unwrap_or(&everywhere);
    let place =
        |pop: &PopId| listed.iter().position(|entry| entry == pop.as_str()).unwrap_or(listed.len());
    let chosen = network.pops.iter().filter(|(id, _)| selects(listed, id));
    chosen
        .filter_map(|(id, pop)| {
            let caches = pop.nodes.iter().filter(|(_, node)| node.runs(Role::Webcache));
            let nodes: Vec<TargetNode> = caches
                .map(|(key, node)| TargetNode {
                    node: Some(NodeName::of(key, id)),
                    addresses: node.address.clone(),
                })
                .collect();
            (!nodes.is_empty()).then(|| Target {
                addresses: Addresses::of(&nodes.iter()),
                hash: xxh3_64(id.as_str().as_bytes()),
                id: TargetId::Pop(id.clone()),
                nodes,
                cost: thousandths(pop.cost.unwrap_or(1.0)),
                capacity: carries(pop.capacity.as_ref()),
                weight: carries(pop.capacity.as_ref()).max(1),
                order: place(id),
                provider: pop.serve.provider.as_deref().map(Arc::from),
                reserve: None,
                bias: bias(site, id.as_str()),
                is_backup: false,
                limits: Limits::new(&pop.serve, &site.needs),
                location: pop.location.clone(),
                estimates: estimates(network, pop.location.as_ref()),
            })
        })
        .collect()
}

/// The servers of `group`.
fn origins(network: &Network, site: &Site, group: &OriginGroupId) -> Vec<Target> {
    let Some(found) = network.origin_groups.get(group) else { return Vec::new() };
    let mut servers: Vec<(&String, &OriginServer)> = found.servers.iter().collect();
    // Where order counts, more weight goes first; names settle the rest.
    servers.sort_by_key(|(_, server)| std::cmp::Reverse(thousandths(server.weight.unwrap_or(1.0))));
    let of = |(order, (key, server)): (usize, (&String, &OriginServer))| {
        let id = OriginId { group: group.clone(), server: key.as_str().into() };
        let addresses = literal(&server.address).into_iter().collect();
        let nodes = vec![TargetNode { node: None, addresses }];
        Target {
            hash: xxh3_64(id.to_string().as_bytes()),
            id: TargetId::Origin(id),
            addresses: Addresses::of(&nodes.iter()),
            nodes,
            cost: thousandths(server.cost.unwrap_or(1.0)),
            capacity: carries(server.capacity.as_ref()),
            weight: u64::from(thousandths(server.weight.unwrap_or(1.0))).max(1),
            // After every POP where both compete.
            order: order + usize::from(u16::MAX),
            provider: server.serve.provider.as_deref().map(Arc::from),
            reserve: server.reserve.map(permille),
            bias: bias(site, &format!("{group}/{key}")),
            is_backup: false,
            limits: Limits::new(&server.serve, &site.needs),
            location: server.location.clone(),
            estimates: estimates(network, server.location.as_ref()),
        }
    };
    servers.into_iter().enumerate().map(of).collect()
}

/// The address in `HOST[:PORT]` when HOST is an address: only that can be an A or AAAA record.
fn literal(address: &str) -> Option<IpAddr> {
    let socket: Option<std::net::SocketAddr> = address.parse().ok();
    let plain = || address.trim_start_matches('[').trim_end_matches(']').parse().ok();
    socket.map(|at| at.ip()).or_else(plain)
}

/// Requests a second where known, else a guess from the bandwidth; 0: nothing is known.
fn carries(capacity: Option<&Capacity>) -> u64 {
    let Some(capacity) = capacity else { return 0 };
    // A request is taken as a megabit, which only matters beside targets that count requests.
    let by_bandwidth = || capacity.bandwidth.map(|rate| (rate.0 / 1_000_000).max(1));
    capacity.requests.or_else(by_bandwidth).unwrap_or(0)
}

/// Targets without a configured capacity count as the mean of those that have one, and none is
/// left at zero. The largest becomes a million, so that products stay small.
fn level_capacity(targets: &mut [Target]) {
    let known: Vec<u64> = targets.iter().map(|t| t.capacity).filter(|c| *c > 0).collect();
    let count = u64::try_from(known.len()).unwrap_or(1);
    let mean = known.iter().fold(0_u64, |sum, c| sum.saturating_add(*c)).checked_div(count);
    let mean = mean.unwrap_or(1).max(1);
    let largest = known.iter().copied().max().unwrap_or(1).max(1);
    for target in targets {
        let capacity = if target.capacity == 0 { mean } else { target.capacity };
        let scaled = u128::from(capacity) * 1_000_000 / u128::from(largest);
        target.capacity = u64::try_from(scaled).unwrap_or(u64::MAX).max(1);
    }
}

fn estimates(network: &Network, to: Option<&Location>) -> BTreeMap<PopId, Micros> {
    let Some(to) = to else { return BTreeMap::new() };
    let placed = network.pops.iter().filter_map(|(id, pop)| Some((id, pop.location.as_ref()?)));
    placed.map(|(id, from)| (id.clone(), Model::default().estimate(from, to))).collect()
}

fn micros(span: Span) -> Micros {
    Micros(u32::try_from(span.0).unwrap_or(u32::MAX))
}

/// A configured number in thousandths; what is negative or no number counts as nothing.
fn thousandths(value: f64) -> u32 {
    let scaled = (value * 1_000.0).round().clamp(0.0, 1e9);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped just here; NaN becomes 0"
    )]
    let whole = scaled as u32;
    whole
}

/// The thumb on the scale for one target, in microseconds.
fn bias(site: &Site, target: &str) -> i64 {
    let ms = site.bias_ms.get(target).copied().unwrap_or(0.0);
    let size = i64::from(thousandths(ms.abs()));
    if ms < 0.0 { -size } else { size }
}

fn permille(share: f64) -> u16 {
    u16::try_from(thousandths(share)).unwrap_or(u16::MAX)
}
