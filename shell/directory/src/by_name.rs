//! The directory of a node in a managed network: everything by name.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use popnet_dns::Name;
use popnet_runtime::{Context, StartError};
use popnet_terms::CustomerId;
use popnet_wire::sheet::{OriginAddress, Sheet, SiteSheet};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::directory::Service;
use crate::memory::{Memory, Services};
use crate::poll;
use crate::resolver::{Addresses, Resolver, ServiceRecord};
use crate::shelf;

/// Names, what they gave, and the sheet.
#[derive(Debug)]
pub(crate) struct ByName {
    pub(crate) context: Context,
    pub(crate) resolver: Resolver,
    pub(crate) kept_at: PathBuf,
    pub(crate) sheet: watch::Sender<Option<Arc<Sheet>>>,
    memory: Memory,
}

impl ByName {
    pub(crate) fn start(
        context: &Context,
        nameservers: Vec<SocketAddr>,
        shutdown: CancellationToken,
    ) -> Result<Arc<Self>, StartError> {
        let kept_at = shelf::path(context);
        shelf::prepare(&kept_at)?;
        let kept = shelf::load(&kept_at, context).map(Arc::new);
        let resolver = Resolver::new(nameservers);
        if let Some(sheet) = &kept {
            resolver.learn(&sheet.nameservers);
        }
        let by_name = Arc::new(Self {
            context: context.clone(),
            resolver,
            kept_at,
            sheet: watch::Sender::new(kept),
            memory: Memory::default(),
        });
        let polled = Arc::clone(&by_name);
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = poll::forever(&polled) => {}
            }
        });
        Ok(by_name)
    }

    pub(crate) fn sheet(&self) -> watch::Receiver<Option<Arc<Sheet>>> {
        self.sheet.subscribe()
    }

    pub(crate) async fn stores(&self) -> Vec<Service> {
        let pop = self.context.node.pop();
        self.services(&format!("store.{pop}.{}", self.context.domain)).await
    }

    pub(crate) async fn logs(&self, customer: &CustomerId) -> Vec<Service> {
        self.services(&format!("log.{customer}.{}", self.context.domain)).await
    }

    /// Nodes that hold the configuration and answer on their control port.
    pub(crate) async fn holders(&self) -> Vec<Service> {
        self.services(&format!("config.{}", self.context.domain)).await
    }

    pub(crate) async fn origins(&self, site: &SiteSheet) -> Vec<OriginAddress> {
        let label = if site.site.as_str() == "*" { "_any" } else { site.site.as_str() };
        let pop = self.context.node.pop();
        let text = format!("{label}.origin.{pop}.{}", self.context.domain);
        // A hostname too long to stand in front of ours cannot be asked for.
        let Ok(name) = text.parse::<Name>() else { return site.origins.clone() };
        let records = self.records(&name, Addresses::Unneeded).await;
        order(&site.origins, &records, &self.context.domain)
    }

    async fn services(&self, text: &str) -> Vec<Service> {
        let Ok(name) = text.parse::<Name>() else { return Vec::new() };
        let records = self.records(&name, Addresses::Wanted).await;
        records.iter().flat_map(services_of).collect()
    }

    async fn records(&self, name: &Name, addresses: Addresses) -> Services {
        self.memory.get(name, self.resolver.services(name, addresses)).await
    }
}

fn services_of(record: &ServiceRecord) -> impl Iterator<Item = Service> {
    record.addresses.iter().map(|address| Service {
        addr: SocketAddr::new(*address, record.port),
        hostname: record.host.clone(),
    })
}

/// The site's origins in the order of the records; those without a record come last, as a last
/// resort in configured order.
fn order(origins: &[OriginAddress], records: &[ServiceRecord], domain: &str) -> Vec<OriginAddress> {
    let place = |origin: &OriginAddress| {
        let host = format!("{}.{}.origins.{domain}", origin.id.server, origin.id.group);
        records
            .iter()
            .position(|record| record.host.eq_ignore_ascii_case(&host))
            .unwrap_or(usize::MAX)
    };
    let mut ordered = origins.to_vec();
    ordered.sort_by_key(place);
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::site;

    fn check(hosts: &[&str], expected: [&str; 3]) {
        let record = |host: &&str| ServiceRecord {
            priority: 0,
            host: (*host).to_owned(),
            port: 0,
            addresses: Vec::new(),
        };
        let records: Vec<_> = hosts.iter().map(record).collect();
        let ordered = order(&site().origins, &records, "cdn.test");
        let ids: Vec<String> = ordered.iter().map(|origin| origin.id.to_string()).collect();
        assert_eq!(ids, expected);
    }

    #[test]
    fn the_name_server_orders_and_nobody_is_lost() {
        check(&[], ["www/a", "www/b", "www/c"]);
        check(&["c.www.origins.cdn.test"], ["www/c", "www/a", "www/b"]);
        check(
            &["b.www.origins.cdn.test", "x.www.origins.cdn.test", "A.www.origins.cdn.test"],
            ["www/b", "www/a", "www/c"],
        );
    }
}
