//! A directory drawn from a configuration file: for nodes that run without a name server to ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use popnet_config::Held;
use popnet_config::network::{Network, Service as Port};
use popnet_directory::{Directory, Service};
use popnet_runtime::{Context, StartError};
use popnet_terms::{CustomerId, NodeName};
use popnet_wire::control::Problem;
use popnet_wire::sheet::Sheet;
use tokio::sync::watch;

/// A directory that follows the file.
pub(super) fn directory(
    context: &Context,
    mut held: watch::Receiver<Arc<Held>>,
) -> Result<Arc<Directory>, StartError> {
    let first = Arc::clone(&held.borrow_and_update());
    let Some((sheet, stores, logs)) = facts(&first, &context.node) else {
        let what = format!("the configuration has no node {}", context.node);
        return Err(StartError::Refused(Problem::new(
            "R0008",
            what,
            "popnet config validate FILE",
        )));
    };
    let directory = Directory::fixed(sheet, stores, logs);
    let (followed, node, shutdown) =
        (Arc::clone(&directory), context.node.clone(), context.shutdown.clone());
    tokio::spawn(async move {
        loop {
            tokio::select! {
                changed = held.changed() => if changed.is_err() { return },
                () = shutdown.cancelled() => return,
            }
            let now = Arc::clone(&held.borrow_and_update());
            if let Some((sheet, stores, logs)) = facts(&now, &node) {
                followed.replace(sheet, stores, logs);
            }
        }
    });
    Ok(directory)
}

type Facts = (Sheet, Vec<Service>, BTreeMap<CustomerId, Vec<Service>>);

/// What a name server would say of `node`'s surroundings.
fn facts(held: &Held, node: &NodeName) -> Option<Facts> {
    let network = &held.network;
    let sheet = network.sheet(held.epoch, held.digest, node)?;
    let stores = network
        .stores(&node.pop())
        .filter_map(|(name, _)| service(network, &name, Port::Store))
        .collect();
    let customers = network.customers.keys().cloned().chain([CustomerId::network()]);
    let logs = customers
        .map(|customer| {
            let servers = network.log_servers(&customer);
            let found = servers.iter().filter_map(|name| service(network, name, Port::Logs));
            (customer, found.collect())
        })
        .collect();
    Some((sheet, stores, logs))
}

fn service(network: &Network, node: &NodeName, port: Port) -> Option<Service> {
    Some(Service { addr: network.address(node, port)?, hostname: network.hostname(node) })
}
