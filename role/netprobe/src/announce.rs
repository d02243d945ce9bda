//! Changes of state, written down with the log server of whoever they concern (P20).

use std::net::SocketAddr;
use std::sync::Arc;

use popnet_config::Held;
use popnet_config::network::{Network, Service};
use popnet_probe::Change;
use popnet_runtime::ship::{BoxFuture, Locate, Shipper};
use popnet_runtime::{Context, StartError, clock};
use popnet_terms::{CustomerId, NodeName, Role};
use popnet_wire::logging::{Event, Record};
use popnet_wire::probing::{Health, Subject};
use tokio::sync::watch;

/// Unset: octets kept until a log server has them. State changes are few.
const SPOOL: u64 = 64 << 20;

/// Writes changes down.
#[derive(Debug)]
pub(crate) struct Announcer {
    shipper: Shipper,
}

impl Announcer {
    pub(crate) fn start(
        context: &Context,
        config: &watch::Receiver<Arc<Held>>,
    ) -> Result<Self, StartError> {
        let spool = config.borrow().network.logs.spool.map_or(SPOOL, |size| size.0);
        let held = config.clone();
        let locate: Locate = Arc::new(move |customer| {
            let found = log_server(&held.borrow().network, &customer);
            let answer: BoxFuture<'static, Option<(SocketAddr, String)>> =
                Box::pin(async move { found });
            answer
        });
        let pop = context.node.pop();
        let shipper = Shipper::start(context, Role::Netprobe, pop, locate, spool)?;
        Ok(Self { shipper })
    }

    /// Writes `change` down, if the customer has a log server.
    pub(crate) fn announce(&self, network: &Network, change: &Change) {
        let event = event_of(change);
        tracing::info!(
            subject = &*event.subject,
            from = &*event.from,
            to = &*event.to,
            reason = &*event.reason,
            "state changed"
        );
        if log_server(network, &change.customer).is_some() {
            self.shipper.record(&change.customer, Record::Event(event));
        }
    }

    pub(crate) async fn finish(&self) {
        self.shipper.drain(std::time::Duration::from_secs(1)).await;
    }
}

fn event_of(change: &Change) -> Event {
    let subject = match &change.subject {
        Subject::Node(node) => node.to_string(),
        Subject::Origin(origin) => origin.to_string(),
    };
    Event {
        ts: clock::now(),
        kind: "probe".into(),
        subject: subject.into(),
        from: word(change.from).into(),
        to: word(change.to).into(),
        reason: change.detail.clone(),
    }
}

fn word(health: Health) -> &'static str {
    match health {
        Health::Up => "up",
        Health::Down => "down",
        Health::Unknown => "unknown",
    }
}

/// The first log server of `customer` in the configuration (L4, L5).
fn log_server(network: &Network, customer: &CustomerId) -> Option<(SocketAddr, String)> {
    let own = network.customers.get(customer).and_then(|found| found.logs.as_ref());
    let own = own.map(|logs| logs.servers.as_slice()).filter(|servers| !servers.is_empty());
    let name: &NodeName = own.unwrap_or(&network.logs.default).first()?;
    let address = network.node(name)?.listens(Service::Logs).into_iter().next()?;
    Some((address, network.hostname(name)))
}
