//! LogServer (L1–L9): takes numbered batches from every node, keeps them on disk by customer, adds
//! their counters exactly once, and answers questions about them.
//!
//! The way of a batch: `receive` reads it off its stream and checks who sends it (`gate`) →
//! `store`, one thread, takes what has queued up together: books it in one transaction
//! (`ledger`), appends the octets as they came (`raw`, synced first), commits → only then
//! the acknowledgement leaves. What arrives twice is counted once, whichever of the two, sender or
//! log server, was killed in between.
//!
//! Questions (`answer`) come over the role's own socket and read beside the writing.

use std::sync::Arc;

use popnet_config::Held;
use popnet_config::network::Service;
use popnet_runtime::link::serve_local;
use popnet_runtime::quic::Endpoint;
use popnet_runtime::{Context, Running, StartError, files};
use popnet_terms::Role;
use popnet_wire::control::Problem;
use tokio::sync::watch;

mod answer;
mod gate;
mod ledger;
mod raw;
mod receive;
mod store;
mod tallies;

pub use raw::entries;

use answer::Desk;
use ledger::{Ledger, Reader};
use raw::Raw;
use receive::Reception;
use store::Store;
use tallies::Tallies;

/// Starts the log server. Its ports and its socket are open, and what an earlier run stored can be
/// asked for, when this returns.
///
/// # Errors
/// A port is taken, the database cannot be used, or the configuration has no such node.
pub async fn start(
    context: Context,
    config: watch::Receiver<Arc<Held>>,
) -> Result<Running, StartError> {
    let held = Arc::clone(&config.borrow());
    let node = held.network.node(&context.node).ok_or_else(|| no_such_node(&context))?;
    let folder = context.role_dir(Role::Logserver);
    files::create_private_dir(&folder)
        .map_err(StartError::io(format!("the log server's folder {}", folder.display())))?;

    let tallies = Arc::new(Tallies::default());
    let raw = Raw::open(folder.join("raw"))
        .map_err(StartError::io(format!("the log server's batches in {}", folder.display())))?;
    let path = folder.join("ledger.db");
    let ledger = Ledger::open(&path).map_err(|error| unusable(&path, &error))?;
    let reader = Arc::new(Reader::new(path.clone()));
    let store = Store::start(ledger, raw, config.clone(), Arc::clone(&tallies)).await?;

    let mut endpoints = Vec::new();
    for address in node.listens(Service::Logs) {
        endpoints.push(Arc::new(Endpoint::listen(address, &context.identity)?));
    }
    let desk = Desk::new(
        context.node.clone(),
        config.clone(),
        reader,
        Arc::clone(&tallies),
        endpoints.iter().map(|endpoint| endpoint.counters()).collect(),
    );
    let socket = context.role_socket(Role::Logserver);
    let served = serve_local(&socket, Arc::new(desk), context.shutdown.clone())?;

    let reception = Reception::new(context.node.clone(), config, store.intake(), tallies);
    let shutdown = context.shutdown.clone();
    let task = tokio::spawn(async move {
        reception.run(endpoints, shutdown).await;
        served.wait().await;
        store.finish().await;
    });
    Ok(Running::new(Role::Logserver, task))
}

fn no_such_node(context: &Context) -> StartError {
    StartError::Refused(Problem::new(
        "R02",
        format!("the configuration has no node {}", context.node),
        "popnet config get pops",
    ))
}

fn unusable(path: &std::path::Path, error: &ledger::LedgerError) -> StartError {
    StartError::Refused(Problem::new(
        "L01",
        format!("the log server's database {} cannot be used: {error}", path.display()),
        "move the file away; it is built again from the batches in raw/ at the next start",
    ))
}
