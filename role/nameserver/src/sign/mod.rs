//! Signing on this node: keys on disk, when to sign, and signatures over chosen answers.
//!
//! - `dress`: signatures on the zones of a table, before it is published.
//! - `folder`: a zone's keys, in the files that BIND's tools use, and how far each is.
//! - `schedule`: which zones are signed, with what, and when again.
//! - `kept`: what was signed last, so that a restart changes neither signatures nor serials.
//! - `online`: signatures over what steering chose, one for each distinct answer.
//! - `parent`: what the servers above a zone show.

mod dress;
mod folder;
mod kept;
mod online;
mod parent;
mod schedule;

pub use folder::{KeyFolder, read_state as read_key_state};
pub use kept::parse as parse_signed;
pub use schedule::{plan_of, policy_of};

pub(crate) use dress::{Signing, SigningRules};

use std::sync::Arc;
use std::time::Duration;

use popnet_runtime::clock;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;

/// How often it is looked whether a zone is due: signatures end by the day.
const LOOK: Duration = Duration::from_secs(5);

/// Starts what runs beside the threads that answer.
pub(crate) fn start(shared: &Arc<Shared>, shutdown: &CancellationToken) -> Vec<JoinHandle<()>> {
    vec![
        tokio::spawn(renew(Arc::clone(shared), shutdown.clone())),
        tokio::spawn(parent::watch(Arc::clone(shared), shutdown.clone())),
    ]
}

/// Publishes zones with new signatures when they are due.
async fn renew(shared: Arc<Shared>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(LOOK) => {}
        }
        if shared.signing.next().is_none_or(|next| next > clock::now()) {
            continue;
        }
        let shared = Arc::clone(&shared);
        let renewed = tokio::task::spawn_blocking(move || shared.transfers.press.renew(&shared));
        if let Err(error) = renewed.await {
            tracing::error!(%error, "zones are not signed again");
        }
    }
}
