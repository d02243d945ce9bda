//! Services by name: SRV records with the addresses of their targets, asked of the network's own
//! name servers, one after the other until one answers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use popnet_dns::{Data, Name, Rcode, Response, Rtype};

use crate::lookup::{self, LookupError};

/// Name servers asked for one question; with [`lookup::ATTEMPT`] this bounds the wait of a miss.
const SERVERS_MAX: usize = 4;

/// Records used of one answer.
const RECORDS_MAX: usize = 64;

/// Longest and shortest time an answer is kept: a lost update heals within five minutes, a TTL of
/// zero does not make every request a question.
const TTL_MAX: Duration = Duration::from_secs(300);
const TTL_MIN: Duration = Duration::from_secs(1);

/// One SRV record with what its target resolves to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRecord {
    /// Lower is tried first.
    pub priority: u16,
    /// The target's hostname, without final dot.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Its addresses; empty where nobody knew them or nobody needs them.
    pub addresses: Vec<IpAddr>,
}

/// What a name gives, and for how long it may be kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) records: Vec<ServiceRecord>,
    pub(crate) ttl: Duration,
}

/// Whether the targets' addresses are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    Wanted,
    Unneeded,
}

/// The network's name servers.
#[derive(Debug)]
pub(crate) struct Resolver {
    servers: ArcSwap<Vec<SocketAddr>>,
    /// Where the last answer came from.
    good: AtomicUsize,
}

impl Resolver {
    pub(crate) fn new(servers: Vec<SocketAddr>) -> Self {
        Self { servers: ArcSwap::from_pointee(servers), good: AtomicUsize::new(0) }
    }

    /// Learns name servers; those known already stay in front.
    pub(crate) fn learn(&self, more: &[SocketAddr]) {
        let known = self.servers.load_full();
        let mut all: Vec<SocketAddr> = (*known).clone();
        for server in more {
            if !all.contains(server) && all.len() < 4 * SERVERS_MAX {
                all.push(*server);
            }
        }
        if all.len() != known.len() {
            self.servers.store(Arc::new(all));
        }
    }

    /// The services behind `name`, best first. No such name: none.
    pub(crate) async fn services(
        &self,
        name: &Name,
        addresses: Addresses,
    ) -> Result<Found, LookupError> {
        let response = self.ask(name, Rtype::SRV).await?;
        let mut found = read_services(&response);
        if addresses == Addresses::Wanted {
            for record in &mut found.records {
                if record.addresses.is_empty() {
                    record.addresses = self.addresses(&record.host).await;
                }
            }
        }
        Ok(found)
    }

    async fn addresses(&self, host: &str) -> Vec<IpAddr> {
        let Ok(name) = host.parse::<Name>() else { return Vec::new() };
        let mut found = Vec::new();
        for qtype in [Rtype::A, Rtype::AAAA] {
            if let Ok(response) = self.ask(&name, qtype).await {
                found.extend(response.addresses().take(RECORDS_MAX));
            }
        }
        found
    }

    /// Asks one server after the other, the one that answered last first.
    async fn ask(&self, name: &Name, qtype: Rtype) -> Result<Response, LookupError> {
        let servers = self.servers.load_full();
        let first = self.good.load(Ordering::Relaxed);
        let mut last = None;
        for place in 0..servers.len().min(SERVERS_MAX) {
            let at = first.wrapping_add(place) % servers.len();
            let Some(server) = servers.get(at) else { continue };
            match lookup::query(*server, name, qtype, None, None).await {
                Ok(response) if useful(&response) => {
                    self.good.store(at, Ordering::Relaxed);
                    return Ok(response);
                }
                Ok(_) => last = Some(LookupError::Foreign(*server)),
                Err(error) => last = Some(error),
            }
        }
        // The next question begins with a server that this one did not reach.
        self.good.store(first.wrapping_add(SERVERS_MAX), Ordering::Relaxed);
        Err(last.unwrap_or_else(|| LookupError::Silent(SocketAddr::from(([0, 0, 0, 0], 53)))))
    }
}

/// Whether the server knows: it says yes or no about a zone of its own.
fn useful(response: &Response) -> bool {
    response.rcode == Rcode::NOERROR || response.rcode == Rcode::NXDOMAIN
}

/// The services in a response, lowest priority first, the server's own order kept among equals.
pub(crate) fn read_services(response: &Response) -> Found {
    let mut records: Vec<ServiceRecord> = response
        .of_type(Rtype::SRV)
        .take(RECORDS_MAX)
        .filter_map(|record| match &record.data {
            Data::Srv { priority, port, target, .. } => Some(ServiceRecord {
                priority: *priority,
                host: target.to_host(),
                port: *port,
                addresses: response.addresses_of(target).take(RECORDS_MAX).collect(),
            }),
            Data::A(_)
            | Data::Aaaa(_)
            | Data::Cname(_)
            | Data::Ns(_)
            | Data::Txt(_)
            | Data::Soa { .. }
            | Data::Other => None,
        })
        .collect();
    records.sort_by_key(|record| record.priority);
    let ttl = Duration::from_secs(response.ttl().unwrap_or(0).into()).clamp(TTL_MIN, TTL_MAX);
    Found { records, ttl }
}
