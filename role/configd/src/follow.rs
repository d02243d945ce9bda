//! For processes of a node that run beside its daemon: the same configuration, read from the same
//! disk, and again on SIGHUP, which the daemon sends after a switch (G1).

use std::sync::Arc;
use std::time::Duration;

use popnet_config::Held;
use popnet_runtime::{Context, StartError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::daemon::Source;
use crate::reading::hold;
use crate::{file, state};

/// A signal can be missed (the process was starting): look this often anyway.
const LOOK: Duration = Duration::from_secs(5);
/// How soon a process looks again while there is no configuration at all.
const LOOK_FIRST: Duration = Duration::from_millis(200);

/// The configuration in force on this node, without running the daemon here. Waits until there is
/// one; `None` when the node is told to end before.
///
/// # Errors
/// The file is broken, or the daemon's state cannot be read.
pub async fn follow(
    context: &Context,
    source: &Source,
) -> Result<Option<watch::Receiver<Arc<Held>>>, StartError> {
    let mut hangups =
        signal(SignalKind::hangup()).map_err(StartError::io("cannot listen for SIGHUP"))?;
    let first = loop {
        if let Some(held) = read(context, source)? {
            break held;
        }
        tokio::select! {
            () = context.shutdown.cancelled() => return Ok(None),
            _ = hangups.recv() => {}
            () = tokio::time::sleep(LOOK_FIRST) => {}
        }
    };
    let (sender, receiver) = watch::channel(first);
    let (context, source) = (context.clone(), source.clone());
    tokio::spawn(async move {
        loop {
            // Told to look, roles also read again what the configuration only names: zone files.
            let told = tokio::select! {
                () = context.shutdown.cancelled() => return,
                () = sender.closed() => return,
                _ = hangups.recv() => true,
                () = tokio::time::sleep(LOOK) => false,
            };
            let now = sender.borrow().clone();
            match read(&context, &source) {
                Ok(Some(next)) if told || next.digest != now.digest || next.epoch > now.epoch => {
                    tracing::info!(version = %next.epoch, "configuration in force");
                    sender.send_replace(next);
                }
                Ok(_) => {}
                Err(error) => tracing::error!("the version in force stays:\n{error}"),
            }
        }
    });
    Ok(Some(receiver))
}

fn read(context: &Context, source: &Source) -> Result<Option<Arc<Held>>, StartError> {
    match source {
        Source::File(path) => {
            file::read(path).map(|held| Some(Arc::new(held))).map_err(StartError::Refused)
        }
        Source::Managed(managed) => {
            let ledger = state::read_ledger(&context.state_dir)?;
            let Some(version) = &ledger.committed else { return Ok(None) };
            hold(version, &managed.base_dir)
                .map(Some)
                .map_err(|why| StartError::Refused(popnet_wire::control::Problem::new("", why, "")))
        }
    }
}
