//! Puts signatures on the zones of a table.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use popnet_answer::{Image, SiteIndex, Standing, Zone};
use popnet_config::network::{Dnssec, Network};
use popnet_dns::{Name, Rtype, ZoneFile, ZoneRecord};
use popnet_runtime::{Context, Published};
use popnet_sign::ParentView;
use popnet_terms::{Role, Timestamp};

use super::online::{Online, ZoneKeys};
use super::schedule::{Signers, SigningZone};
use crate::table::Table;
use crate::transfer::Members;
use crate::zones::ZoneProblem;

/// How the zones of a configuration are signed.
#[derive(Clone, Debug, Default)]
pub(crate) struct SigningRules {
    /// Zones that the configuration names.
    zones: BTreeMap<Name, Dnssec>,
    /// Zones that follow from the configuration.
    made: Option<Dnssec>,
    /// Whether there is one name server: only it may make keys by itself.
    is_alone: bool,
}

impl SigningRules {
    /// `files` are the zones that have files, `members` those that catalogs list.
    pub(crate) fn of(network: &Network, files: Option<&BTreeSet<Name>>, members: &Members) -> Self {
        let signed = |rules: &Option<Dnssec>| rules.clone().filter(|rules| rules.sign);
        let parsed = network.zones.iter();
        let parsed = parsed.filter_map(|(name, zone)| Some((name.parse::<Name>().ok()?, zone)));
        let named: BTreeMap<Name, _> = parsed.collect();
        // What is said of a zone itself goes before what is said of many.
        let mut zones: BTreeMap<Name, Option<&Option<Dnssec>>> = named
            .iter()
            .map(|(name, zone)| (name.clone(), Some(&zone.dnssec).filter(|_| !zone.catalog)))
            .collect();
        for name in files.into_iter().flatten() {
            let folder = network.zones_from.as_ref().map(|from| &from.dnssec);
            zones.entry(name.clone()).or_insert(folder);
        }
        for (member, catalog) in members {
            let catalog = named.get(catalog).map(|catalog| &catalog.dnssec);
            zones.entry(member.clone()).or_insert(catalog);
        }
        let zones = zones.into_iter().filter_map(|(name, rules)| Some((name, signed(rules?)?)));
        let servers = network.nodes().filter(|(_, _, node)| node.runs(Role::Nameserver)).count();
        Self {
            zones: zones.collect(),
            made: signed(&network.network.dnssec),
            is_alone: servers <= 1,
        }
    }

    fn of_zone(&self, zone: &Zone) -> Option<&Dnssec> {
        let made = self.made.as_ref().filter(|_| zone.is_made());
        self.zones.get(zone.image().apex()).or(made)
    }
}

/// What the role's threads share about signing.
#[derive(Debug)]
pub(crate) struct Signing {
    state: Mutex<State>,
    online: Published<Online>,
}

#[derive(Debug)]
struct State {
    signers: Signers,
    worn: BTreeMap<Name, Worn>,
    parents: BTreeMap<Name, ParentView>,
}

/// A zone as it was dressed last, and what that rests on.
#[derive(Debug)]
struct Worn {
    source: Arc<Image>,
    own: Option<Arc<Image>>,
    rules: Dnssec,
    dressed: Arc<Image>,
    keys: ZoneKeys,
}

impl Signing {
    pub(crate) fn new(context: &Context) -> Self {
        let signers = Signers::new(context);
        let state = State { signers, worn: BTreeMap::new(), parents: BTreeMap::new() };
        let online = Published::new(Arc::new(Online::new(HashMap::new())));
        Self { state: Mutex::new(state), online }
    }

    /// What signs answers now.
    pub(crate) fn online(&self) -> Arc<Online> {
        self.online.load_full()
    }

    /// When the first zone is due; `None`: no zone is signed here.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).signers.next()
    }

    /// Zones whose parents are to be asked, and what was seen there last.
    pub(crate) fn watched(&self) -> Vec<(Name, Vec<std::net::SocketAddr>, Vec<Vec<u8>>)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let zones = state.worn.iter().filter(|(_, worn)| !worn.rules.parents.is_empty());
        let zones = zones.map(|(name, worn)| {
            let parents = worn.rules.parents.iter().map(|peer| peer.socket()).collect();
            (name.clone(), parents, worn.keys.ds.clone())
        });
        zones.collect()
    }

    /// Notes what all servers of a parent show; the zone is looked at soon where that is new.
    pub(crate) fn see(&self, zone: &Name, view: ParentView) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.parents.get(zone) != Some(&view) {
            tracing::info!(%zone, keys = view.ds.len(), "DS records seen at the parent");
            state.parents.insert(zone.clone(), view);
            state.signers.hasten(zone);
        }
    }

    /// Signs the zones of `table` that are to be signed, as far as that is not done. A zone that
    /// cannot be signed stays as it is signed, or unsigned, and is told in the table's problems.
    pub(crate) fn dress(&self, table: &mut Table, now: Timestamp) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let rules = Arc::clone(&table.signing);
        let zones: Vec<Zone> = table.catalog.zones().to_vec();
        let mut kept = BTreeSet::new();
        let sites = table.clone();
        let addresses = |site| candidates(&sites, site);
        for zone in &zones {
            let Some(of_zone) = rules.of_zone(zone) else { continue };
            if zone.image().standing() != Standing::Served {
                continue;
            }
            let apex = zone.image().apex();
            kept.insert(apex.clone());
            let dressed = match state.dress(zone, of_zone, (now, rules.is_alone), &addresses) {
                Ok(dressed) => Some(dressed),
                Err(why) => {
                    tracing::error!(zone = %apex, %why, "the zone is not signed");
                    let last = state.worn.get(apex).map(|worn| Arc::clone(&worn.dressed));
                    let zone = apex.to_host();
                    let kept = last.is_some();
                    let problem = ZoneProblem { zone, mistakes: vec![why], kept };
                    if !table.problems.contains(&problem) {
                        table.problems.push(problem);
                    }
                    last
                }
            };
            if let Some(joined) = dressed.and_then(|image| table.catalog.with_joined(image)) {
                table.catalog = joined;
            }
        }
        state.worn.retain(|apex, _| kept.contains(apex));
        state.signers.retain(|apex| kept.contains(apex));
        let keys = state.worn.iter().map(|(apex, worn)| (apex.clone(), worn.keys.clone()));
        let keys: HashMap<Name, ZoneKeys> = keys.collect();
        if !self.online.load().is_for(&keys) {
            self.online.store(Arc::new(Online::new(keys)));
        }
    }
}

impl State {
    fn dress(
        &mut self,
        zone: &Zone,
        rules: &Dnssec,
        (now, may_make): (Timestamp, bool),
        addresses: &dyn Fn(SiteIndex) -> Option<(u32, Vec<IpAddr>)>,
    ) -> Result<Arc<Image>, String> {
        let (image, apex) = (zone.unsigned().unwrap_or(zone.image()), zone.image().apex());
        let same = |one: Option<&Arc<Image>>, other: Option<&Arc<Image>>| match (one, other) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (Some(_), None) | (None, Some(_)) => false,
        };
        let is_due = self.signers.is_due(apex, now);
        if let Some(worn) = self.worn.get(apex).filter(|worn| !is_due && worn.rules == *rules) {
            let is_source = Arc::ptr_eq(&worn.source, image) && same(worn.own.as_ref(), zone.own());
            if is_source {
                return Ok(Arc::clone(&worn.dressed));
            }
        }
        let signing = signing_zone(zone, rules, addresses);
        let parent = self.parents.get(apex);
        let signed = self.signers.sign(&signing, now, parent, may_make)?;
        let dressed = Image::build(signed.zone);
        let dressed = dressed.map_err(|flaws| {
            flaws.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        })?;
        let dressed = Arc::new(dressed);
        let worn = Worn {
            source: Arc::clone(image),
            own: zone.own().cloned(),
            rules: rules.clone(),
            dressed: Arc::clone(&dressed),
            keys: signed.keys,
        };
        self.worn.insert(apex.clone(), worn);
        Ok(dressed)
    }
}

/// Stands, as one text of a TXT record, where name servers of the network say more: elsewhere the
/// name exists at least.
const MADE: &[u8] = b"\x2aanswered by the network's own name servers";
const MADE_TTL: u32 = 300;

/// Addresses written down for a site: more than any answer has.
const ADDRESSES_MAX: usize = 16;

/// The addresses that may be chosen for a site, and the longest TTL of an answer.
fn candidates(table: &Table, site: SiteIndex) -> Option<(u32, Vec<IpAddr>)> {
    let rules = &table.site(site)?.answered;
    let nodes = rules.targets.iter().flat_map(|target| &target.nodes);
    let mut addresses: Vec<IpAddr> = nodes.flat_map(|node| node.addresses.clone()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let of = |is_v4| addresses.iter().filter(move |a| a.is_ipv4() == is_v4).take(ADDRESSES_MAX);
    Some((rules.ttl_max.0, of(true).chain(of(false)).copied().collect()))
}

/// The records of a zone and of what the network adds to it; where both have records of a name
/// and type, the network's count. A name whose addresses are chosen gets all that may be, for
/// secondaries, which do not choose, and so that the proofs of what does not exist say what does.
fn signing_zone<'a>(
    zone: &Zone,
    rules: &'a Dnssec,
    addresses: &dyn Fn(SiteIndex) -> Option<(u32, Vec<IpAddr>)>,
) -> SigningZone<'a> {
    let image = zone.unsigned().unwrap_or(zone.image());
    let own = zone.own();
    let is_own =
        |relative: &[u8], rtype: Rtype| own.is_some_and(|own| own.set(relative, rtype).is_some());
    let mut records = Vec::with_capacity(image.record_count());
    let mut add = |image: &Image, keep: &dyn Fn(&[u8], Rtype) -> bool| {
        for record in image.records().filter(|record| keep(record.name, record.rtype)) {
            let owner = image.whole(record.name).map(|name| name.to_name());
            let Some(owner) = owner else { continue };
            let (rtype, ttl, rdata) = (record.rtype, record.ttl, record.rdata.into());
            records.push(ZoneRecord { owner, rtype, ttl, rdata, line: 0 });
        }
    };
    add(image, &|relative, rtype| !is_own(relative, rtype));
    if let Some(own) = own {
        add(own, &is_own);
    }
    let mut made = Vec::new();
    for entry in own.unwrap_or(image).entries() {
        let (Some(types), Some(name)) = (entry.made_types(), image.whole(entry.name)) else {
            continue;
        };
        let name = name.to_name();
        let stands = |rtype| is_own(entry.name, rtype) || image.set(entry.name, rtype).is_some();
        let (ttl, all) = entry.site().and_then(addresses).unwrap_or_default();
        if entry.site().is_none() {
            let (owner, rdata) = (name.clone(), MADE.into());
            records.push(ZoneRecord { owner, rtype: Rtype::TXT, ttl: MADE_TTL, rdata, line: 0 });
        } else if all.is_empty() {
            // What is known by name only has an alias when it is asked for.
            made.push((name.clone(), types.to_vec()));
        }
        for address in all {
            let (rtype, rdata): (_, Box<[u8]>) = match address {
                IpAddr::V4(v4) => (Rtype::A, v4.octets().into()),
                IpAddr::V6(v6) => (Rtype::AAAA, v6.octets().into()),
            };
            if !stands(rtype) {
                records.push(ZoneRecord { owner: name.clone(), rtype, ttl, rdata, line: 0 });
            }
        }
    }
    SigningZone { zone: ZoneFile { apex: image.apex().clone(), records }, made, rules }
}
