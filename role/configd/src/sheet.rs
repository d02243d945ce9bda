//! Role sheets for caches: held back while nothing changes, so that a change is known at once.

use std::sync::Arc;
use std::time::Duration;

use popnet_config::Held;
use popnet_terms::NodeName;
use popnet_wire::control::{Problem, Reply};
use popnet_wire::sheet::SheetAsk;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::answer::ending;

/// Longest that an answer is held back; conversations end after 60 s of silence.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The sheet of `node`, or nothing when it has the newest after the wait it asked for.
pub(crate) async fn answer(
    node: &NodeName,
    ask: &SheetAsk,
    mut held: watch::Receiver<Option<Arc<Held>>>,
) -> Result<Reply, Problem> {
    let wait = Duration::from_millis(u64::from(ask.wait_ms)).min(WAIT_MAX);
    let newer = held.wait_for(|held| held.as_ref().is_some_and(|h| Some(h.epoch) != ask.have));
    let newer = match timeout(wait, newer).await {
        Err(_) => None,
        Ok(Err(_)) => return Err(ending()),
        Ok(Ok(held)) => held.clone(),
    };
    let Some(held) = newer else { return Ok(Reply::Sheet(None)) };
    match held.network.sheet(held.epoch, held.digest, node) {
        Some(sheet) => Ok(Reply::Sheet(Some(Box::new(sheet)))),
        None => {
            let what = format!("{node} has no caches in {}", held.epoch);
            Err(Problem::new("N0045", what, "popnet config show").with_exit(3))
        }
    }
}
