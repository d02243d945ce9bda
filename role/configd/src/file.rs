//! A configuration straight from a file: read at the start, and again when told to. A broken file
//! changes nothing.

use std::path::Path;
use std::sync::Arc;

use popnet_config::Held;
use popnet_config::network::Node;
use popnet_terms::NodeName;
use popnet_wire::control::Problem;
use popnet_wire::rollout::{Epoch, Version};
use tokio::signal::unix::{SignalKind, signal};

use crate::daemon::Daemon;

/// Reads `path`, with every mistake in it.
pub(crate) fn read(path: &Path) -> Result<Held, Problem> {
    let shown = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| {
        Problem::new("R0003", format!("{shown}: {error}"), "popnet config validate FILE")
    })?;
    let loaded = popnet_config::load_bytes(&bytes, &shown).map_err(|found| {
        let text = String::from_utf8_lossy(&bytes);
        let what = popnet_config::render(&found, &text, &shown);
        Problem::new("", what.trim_end(), "")
    })?;
    for warning in &loaded.warnings {
        tracing::warn!(line = warning.line, code = warning.code, "{}", warning.message);
    }
    Ok(Held {
        epoch: Epoch(0),
        digest: loaded.digest,
        network: loaded.network,
        base_dir: path.parent().map(Path::to_owned).unwrap_or_default(),
    })
}

/// What is in force, as a version: with the file's own text while that says the same.
pub(crate) fn version(daemon: &Daemon, held: &Held, path: &Path) -> Version {
    let shown = path.display().to_string();
    let same = |text: &String| {
        popnet_config::load(text, &shown).is_ok_and(|loaded| loaded.digest == held.digest)
    };
    let text = std::fs::read_to_string(path).ok().filter(same);
    Version {
        epoch: held.epoch,
        digest: held.digest,
        text: text.unwrap_or_else(|| popnet_config::canonical(&held.network)),
        author: shown,
        message: "straight from the file".to_owned(),
        at: daemon.started,
        master: daemon.me().clone(),
    }
}

/// This node's own entry.
pub(crate) fn own_node(held: &Held, me: &NodeName) -> Result<Node, Problem> {
    held.network.node(me).cloned().ok_or_else(|| {
        let what = format!("the configuration has no node {me}");
        Problem::new("R0009", what, "popnet config validate FILE").with_exit(3)
    })
}

/// Reads the file again. Each reading that changes something counts as a new version of this
/// process, so that caches that hold the sheet of the last one notice.
pub(crate) fn reload(daemon: &Daemon, path: &Path) -> Result<(), Problem> {
    let mut next = read(path)?;
    own_node(&next, daemon.me())?;
    if let Some(held) = daemon.held() {
        // The same text may name zone files or certificates that have changed: roles look again.
        let changed = held.digest != next.digest;
        next.epoch = Epoch(held.epoch.0 + u64::from(changed));
    }
    daemon.publish(Arc::new(next));
    Ok(())
}

/// Reads the file again on each SIGHUP; a managed node looks above for what it missed.
pub(crate) async fn reload_on_hangup(daemon: Arc<Daemon>) {
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => {
            tracing::error!(%error, "cannot listen for SIGHUP; use `popnet config` instead");
            return;
        }
    };
    loop {
        tokio::select! {
            () = daemon.context.shutdown.cancelled() => return,
            _ = hangups.recv() => {}
        }
        let Some(path) = &daemon.file else {
            daemon.hurry.notify_one();
            continue;
        };
        if let Err(problem) = reload(&daemon, path) {
            tracing::error!("the version in force stays:\n{}", problem.what);
        }
    }
}
