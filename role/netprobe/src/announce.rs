//! Changes of state, written down with the log server of whoever they concern (P20).

use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use popnet_config::Held;
use popnet_config::network::{Network, Service};
use popnet_probe::Change;
use popnet_runtime::ship::{Locate, Shipper};
use popnet_runtime::{Context, StartError, clock};
use popnet_terms::{CustomerId, Role};
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
        let turn = AtomicUsize::new(0);
        let locate: Locate = Arc::new(move |customer| {
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            Box::pin(ready(log_server(&held.borrow().network, &customer, turn)))
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
        if !network.log_servers(&change.customer).is_empty() {
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

/// One of the customer's log servers (L4, L5); another one each turn, so that a dead one is not
/// asked for ever.
fn log_server(
    network: &Network,
    customer: &CustomerId,
    turn: usize,
) -> Option<(SocketAddr, String)> {
    let servers = network.log_servers(customer);
    let name = servers.get(turn.checked_rem(servers.len())?)?;
    Some((network.address(name, Service::Logs)?, network.hostname(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_log_server_is_not_asked_for_ever() {
        let text = include_str!("../../../examples/network.toml");
        let mut network = popnet_config::load(text, "network.toml").unwrap().network;
        network.logs.default = vec!["log1.fra1".into(), "probe1.nrt1".into()];
        let found = (0..3).map(|turn| log_server(&network, &CustomerId::network(), turn).unwrap());
        let told: Vec<String> = found.map(|(address, _)| address.to_string()).collect();
        let (one, other) = ("198.51.100.13:7603", "203.0.113.12:7603");
        assert_eq!(told, [one, other, one]);
        network.logs.default.clear();
        assert_eq!(log_server(&network, &CustomerId::network(), 0), None);
    }
}
