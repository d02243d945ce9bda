//! The names that follow from the configuration: nodes, POPs, services for our own components
//! (N24, N25), and sites.

use std::net::{IpAddr, SocketAddr};

use popnet_config::network::{Network, Node, ProbeKind, Service};
use popnet_dns::{Name, Rtype};
use popnet_terms::{NodeName, Role, SiteName};

use crate::build::Draft;
use crate::catalog::SiteIndex;
use crate::image::Kind;

/// Addresses and name servers change with pushes only, and pushes may wait five minutes.
const STEADY_TTL: u32 = 300;
/// Where a service is may change when a machine fails: askers look again soon.
const SERVICE_TTL: u32 = 30;
/// What does not exist now may exist after the next push.
const NEGATIVE_TTL: u32 = 30;

/// Adds everything that follows from `network`.
pub(crate) fn add(draft: &mut Draft, network: &Network, serial: u32) {
    let Ok(domain) = network.network.domain.parse::<Name>() else {
        draft.problems.push(format!("network.domain {:?} is no name", network.network.domain));
        return;
    };
    let making = Making { network, domain, serial };
    let own = making.domain.clone();
    if draft.open(&own) {
        making.add_apex(draft, &own);
    }
    making.add_nodes(draft);
    making.add_stores(draft);
    making.add_logs(draft);
    making.add_config(draft);
    making.add_origins(draft);
    if let Some(whoami) = making.named(draft, &["whoami"]) {
        draft.mark(&whoami, Kind::Whoami);
    }
    making.add_explanation(draft);
    making.add_sites(draft);
}

struct Making<'a> {
    network: &'a Network,
    domain: Name,
    serial: u32,
}

impl Making<'_> {
    /// `labels` (first the leftmost; each may hold dots) below our own zone.
    fn named(&self, draft: &mut Draft, labels: &[&str]) -> Option<Name> {
        let text = format!("{}.{}", labels.join("."), self.domain);
        let name = text.parse().ok();
        if name.is_none() {
            draft.problems.push(format!("{text} is no domain name"));
        }
        name
    }

    fn servers(&self) -> impl Iterator<Item = (NodeName, &Node)> {
        let nodes = self.network.nodes().filter(|(_, _, node)| node.runs(Role::Nameserver));
        nodes.map(|(name, _, node)| (name, node))
    }

    /// SOA and NS at the top of a zone that has no file.
    fn add_apex(&self, draft: &mut Draft, apex: &Name) {
        let names: Vec<NodeName> = self.servers().map(|(name, _)| name).collect();
        let mut primary = None;
        for name in &names {
            let Some(host) = self.named(draft, &[name.as_str()]) else { continue };
            draft.add(apex, Rtype::NS, STEADY_TTL, host.as_wire());
            primary.get_or_insert(host);
        }
        let primary = primary.unwrap_or_else(|| self.domain.clone());
        let mut soa = primary.as_wire().to_vec();
        soa.extend_from_slice(self.contact().as_wire());
        // Serial, refresh, retry, expire, minimum.
        for value in [self.serial, 3_600, 600, 604_800, NEGATIVE_TTL] {
            soa.extend_from_slice(&value.to_be_bytes());
        }
        draft.add(apex, Rtype::SOA, STEADY_TTL, &soa);
    }

    /// The contact's address as a name (RFC 1035 3.3.13), else `hostmaster` of our zone.
    fn contact(&self) -> Name {
        let given = self.network.network.contact.as_deref().and_then(|address| {
            let (user, host) = address.split_once('@')?;
            host.parse::<Name>().ok()?.below(user)
        });
        let usual = || self.domain.below("hostmaster");
        given.or_else(usual).unwrap_or_else(|| self.domain.clone())
    }

    /// Every node, and each POP as the addresses of its caches.
    fn add_nodes(&self, draft: &mut Draft) {
        for (name, pop, node) in self.network.nodes() {
            if let Some(host) = self.named(draft, &[name.as_str()]) {
                add_addresses(draft, &host, &node.address);
            }
            if node.runs(Role::Webcache)
                && let Some(host) = self.named(draft, &[pop.as_str()])
            {
                add_addresses(draft, &host, &node.address);
            }
        }
    }

    /// `store.POP`: the disk tier for the caches of the POP.
    fn add_stores(&self, draft: &mut Draft) {
        for (name, pop, node) in self.network.nodes() {
            if node.runs(Role::Webserver) {
                let owner = self.named(draft, &["store", pop.as_str()]);
                self.add_service(draft, owner, &name, node, Service::Store);
            }
        }
    }

    /// `log.CUSTOMER`: where its records go (N18, L4); `_network` is our own.
    fn add_logs(&self, draft: &mut Draft) {
        let default = &self.network.logs.default;
        let customers = self.network.customers.iter().map(|(id, customer)| {
            let own = customer.logs.as_ref().map(|logs| &logs.servers);
            (id.as_str(), own.filter(|servers| !servers.is_empty()).unwrap_or(default))
        });
        for (customer, servers) in customers.chain([("_network", default)]) {
            for name in servers {
                if let Some(node) = self.network.node(name) {
                    let owner = self.named(draft, &["log", customer]);
                    self.add_service(draft, owner, name, node, Service::Logs);
                }
            }
        }
    }

    /// `config`: where caches get their sheets.
    fn add_config(&self, draft: &mut Draft) {
        for (name, node) in self.servers() {
            let owner = self.named(draft, &["config"]);
            self.add_service(draft, owner, &name, node, Service::Control);
        }
    }

    /// The name that latency probes ask for: as TXT who they are and how to be left alone, and the
    /// addresses of the probes that serve a page about it.
    fn add_explanation(&self, draft: &mut Draft) {
        let network = self.network;
        if network.probes.values().all(|probe| probe.kind != ProbeKind::Latency) {
            return;
        }
        let Ok(owner) = network.latency_probe_name().parse::<Name>() else { return };
        let usual = || format!("hostmaster@{}", self.domain);
        let contact = network.network.contact.clone().unwrap_or_else(usual);
        let mut told = format!(
            "{} measures round trips to resolvers of its users. For no such packets write to {contact}",
            network.network.name,
        );
        let pages = network.running(Role::Netprobe).map(|(_, _, node)| node.reached(Service::Page));
        let pages: Vec<IpAddr> =
            pages.flatten().filter(|at| at.port() == 80).map(|at| at.ip()).collect();
        if !pages.is_empty() {
            told.push_str(&format!(" or see http://{}/", network.latency_probe_name()));
        }
        draft.add(&owner, Rtype::TXT, STEADY_TTL, &text_rdata(&told));
        add_addresses(draft, &owner, &pages);
    }

    fn add_service(
        &self,
        draft: &mut Draft,
        owner: Option<Name>,
        name: &NodeName,
        node: &Node,
        service: Service,
    ) {
        let listens = node.listens(service);
        let port = listens.first().map(SocketAddr::port).or(service.port());
        let host = self.named(draft, &[name.as_str()]);
        if let (Some(owner), Some(host), Some(port)) = (owner, host, port) {
            draft.add(&owner, Rtype::SRV, SERVICE_TTL, &srv_rdata(0, 1, port, &host));
        }
    }

    /// `SITE.origin.POP`: chosen when asked for; `SERVER.GROUP.origins`: what it names.
    fn add_origins(&self, draft: &mut Draft) {
        for pop in self.network.pops.keys() {
            let number = u32::try_from(draft.pops.len()).unwrap_or(u32::MAX);
            draft.pops.push(pop.clone());
            if let Some(name) = self.named(draft, &["origin", pop.as_str()]) {
                draft.mark(&name, Kind::Origins(number));
            }
        }
        for (group, servers) in &self.network.origin_groups {
            for (key, server) in &servers.servers {
                let Some(name) = self.named(draft, &[key, group.as_str(), "origins"]) else {
                    continue;
                };
                match host_of(&server.address).parse::<IpAddr>() {
                    Ok(address) => add_addresses(draft, &name, &[address]),
                    Err(_) => match host_of(&server.address).parse::<Name>() {
                        Ok(host) => {
                            draft.add(&name, Rtype::CNAME, STEADY_TTL, host.as_wire());
                        }
                        Err(error) => draft.problems.push(format!("{group}/{key}: {error}")),
                    },
                }
            }
        }
    }

    /// Sites: steered inside a zone of ours, else each the top of its own zone (N1).
    fn add_sites(&self, draft: &mut Draft) {
        for site in self.network.sites.keys() {
            let index = SiteIndex::try_from(draft.sites.len()).unwrap_or(SiteIndex::MAX);
            draft.sites.push(site.clone());
            if site.as_str() == "*" {
                // No name of its own: whoever's name it is points here by other means.
                draft.origins.push((b"\x04_any".to_vec(), index));
                continue;
            }
            let Ok(name) = site.as_str().parse::<Name>() else {
                draft.problems.push(format!("site {site} is no domain name"));
                continue;
            };
            let labels = name.as_wire().split_last().map(|(_, labels)| labels.to_vec());
            draft.origins.push((labels.unwrap_or_default(), index));
            self.add_site(draft, site, &name, index);
        }
    }

    fn add_site(&self, draft: &mut Draft, site: &SiteName, name: &Name, index: SiteIndex) {
        let wild = site.as_str().starts_with("*.");
        let top = if wild { name.parent() } else { Some(name.clone()) };
        let Some(top) = top else { return };
        if !draft.has_zone_of(&top) {
            draft.open(&top);
            self.add_apex(draft, &top);
        }
        draft.mark(name, Kind::Steered(index));
    }
}

fn add_addresses(draft: &mut Draft, name: &Name, addresses: &[IpAddr]) {
    for address in addresses {
        match address {
            IpAddr::V4(v4) => draft.add(name, Rtype::A, STEADY_TTL, &v4.octets()),
            IpAddr::V6(v6) => draft.add(name, Rtype::AAAA, STEADY_TTL, &v6.octets()),
        }
    }
}

/// Text as strings of at most 255 octets (RFC 1035 3.3.14).
fn text_rdata(text: &str) -> Vec<u8> {
    let strings = text.as_bytes().chunks(255);
    let counted = strings.map(|part| (u8::try_from(part.len()).unwrap_or(u8::MAX), part));
    counted.flat_map(|(length, part)| std::iter::once(length).chain(part.iter().copied())).collect()
}

/// The data of an SRV record (RFC 2782).
pub(crate) fn srv_rdata(priority: u16, weight: u16, port: u16, target: &Name) -> Vec<u8> {
    let mut rdata = Vec::with_capacity(6 + target.as_wire().len());
    for value in [priority, weight, port] {
        rdata.extend_from_slice(&value.to_be_bytes());
    }
    rdata.extend_from_slice(target.as_wire());
    rdata
}

/// The host of `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`.
fn host_of(address: &str) -> &str {
    if address.parse::<IpAddr>().is_ok() {
        return address;
    }
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}
