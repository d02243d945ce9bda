//! The directory that roles ask.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use popnet_runtime::ship::{Locate, Shipper};
use popnet_runtime::{Context, StartError};
use popnet_terms::{CustomerId, Role};
use popnet_wire::sheet::{OriginAddress, Sheet, SiteSheet};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::by_name::ByName;
use crate::fixed::Fixed;

/// Who asks for a log server again within this time had no luck with the last one.
const NO_LUCK: Duration = Duration::from_secs(30);

/// Customers whose last log server is remembered.
const CUSTOMERS_MAX: usize = 4096;

/// Octets of records kept while no log server takes them: a node without the configuration is not
/// told another number.
const SPOOL_MAX: u64 = 1 << 30;

/// Where something listens, and the name that its certificate must have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    /// Where.
    pub addr: SocketAddr,
    /// Who.
    pub hostname: String,
}

/// Where a node's services are, and its role sheet.
#[derive(Debug)]
pub struct Directory {
    source: Source,
    /// The log server given last, by customer: its place in the list, and when.
    given: Mutex<BTreeMap<CustomerId, (usize, Instant)>>,
}

#[derive(Debug)]
enum Source {
    ByName(Arc<ByName>),
    Fixed(Fixed),
}

impl Directory {
    /// A directory that asks `nameservers`, and those that the sheet names. It fetches the node's
    /// sheet until `shutdown`; the sheet kept from an earlier run is in force at once.
    ///
    /// # Errors
    /// The folder for the sheet cannot be made.
    pub fn dns(
        context: &Context,
        nameservers: Vec<SocketAddr>,
        shutdown: CancellationToken,
    ) -> Result<Arc<Self>, StartError> {
        let source = ByName::start(context, nameservers, shutdown)?;
        Ok(Arc::new(Self { source: Source::ByName(source), given: Mutex::default() }))
    }

    /// A directory that knows only this. Customers without log servers of their own have those of
    /// `_network`.
    #[must_use]
    pub fn fixed(
        sheet: Sheet,
        stores: Vec<Service>,
        logs: BTreeMap<CustomerId, Vec<Service>>,
    ) -> Arc<Self> {
        let source = Source::Fixed(Fixed::new(sheet, stores, logs));
        Arc::new(Self { source, given: Mutex::default() })
    }

    /// Gives a fixed directory other contents; one that asks name servers learns by itself.
    pub fn replace(
        &self,
        sheet: Sheet,
        stores: Vec<Service>,
        logs: BTreeMap<CustomerId, Vec<Service>>,
    ) {
        match &self.source {
            Source::ByName(_) => {}
            Source::Fixed(fixed) => fixed.replace(sheet, stores, logs),
        }
    }

    /// The node's sheet, now and whenever it changes; `None` until the first has come.
    #[must_use]
    pub fn sheet(&self) -> watch::Receiver<Option<Arc<Sheet>>> {
        match &self.source {
            Source::ByName(by_name) => by_name.sheet(),
            Source::Fixed(fixed) => fixed.sheet(),
        }
    }

    /// The disk tier of the node's POP, best first; none when nobody knows.
    pub async fn stores(&self) -> Vec<Service> {
        match &self.source {
            Source::ByName(by_name) => by_name.stores().await,
            Source::Fixed(fixed) => fixed.stores(),
        }
    }

    /// A way for `role`'s records to the customers' log servers. Where a file names none there is
    /// nothing to keep records for.
    ///
    /// # Errors
    /// The spool's folder cannot be used.
    pub fn ship(self: &Arc<Self>, context: &Context, role: Role) -> Result<Shipper, StartError> {
        if matches!(&self.source, Source::Fixed(fixed) if !fixed.has_logs()) {
            return Ok(Shipper::nowhere());
        }
        let directory = Arc::clone(self);
        let locate: Locate = Arc::new(move |customer: CustomerId| {
            let directory = Arc::clone(&directory);
            Box::pin(async move {
                let service = directory.log_server(&customer).await?;
                Some((service.addr, service.hostname))
            })
        });
        Shipper::start(context, role, context.node.pop(), locate, SPOOL_MAX)
    }

    /// A log server of `customer`. Who asks again soon gets the next one of the list.
    pub async fn log_server(&self, customer: &CustomerId) -> Option<Service> {
        let servers = match &self.source {
            Source::ByName(by_name) => by_name.logs(customer).await,
            Source::Fixed(fixed) => fixed.logs(customer),
        };
        let place = self.next_place(customer, servers.len());
        servers.into_iter().nth(place)
    }

    /// The site's origins, best first as seen from this POP (W3), remembered for the answer's time
    /// to live. Origins that the name server does not name come last; without an answer the order
    /// is the sheet's.
    pub async fn origins(&self, site: &SiteSheet) -> Vec<OriginAddress> {
        match &self.source {
            Source::ByName(by_name) => by_name.origins(site).await,
            Source::Fixed(_) => Fixed::origins(site),
        }
    }

    fn next_place(&self, customer: &CustomerId, servers: usize) -> usize {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let place = match given.get(customer) {
            Some((last, at)) if now.duration_since(*at) < NO_LUCK => last.wrapping_add(1),
            Some(_) | None => 0,
        };
        let place = place.checked_rem(servers).unwrap_or(0);
        if given.len() >= CUSTOMERS_MAX && !given.contains_key(customer) {
            given.clear();
        }
        given.insert(customer.clone(), (place, now));
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{sheet, site};

    fn service(port: u16) -> Service {
        Service { addr: SocketAddr::from(([127, 0, 0, 1], port)), hostname: format!("n{port}") }
    }

    #[tokio::test]
    async fn fixed_facts() {
        let logs = BTreeMap::from([(CustomerId::network(), vec![service(1), service(2)])]);
        let directory = Directory::fixed(sheet(1), vec![service(9)], logs);
        assert_eq!(directory.stores().await, [service(9)]);
        let acme = CustomerId::new("acme");
        let mut ports = Vec::new();
        for _ in 0..3 {
            ports.push(directory.log_server(&acme).await.unwrap().addr.port());
        }
        assert_eq!(ports, [1, 2, 1], "asking again soon means that the last one failed");
        assert_eq!(directory.origins(&site()).await, site().origins);

        let mut seen = directory.sheet();
        assert_eq!(seen.borrow_and_update().as_ref().unwrap().epoch.0, 1);
        directory.replace(sheet(2), Vec::new(), BTreeMap::new());
        assert!(seen.has_changed().unwrap());
        assert_eq!(directory.log_server(&acme).await, None);
    }
}
