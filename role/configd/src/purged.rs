//! What a disk tier waits for before it serves: the node may have been away when something was
//! purged, and what was purged must not be seen again.

use std::path::PathBuf;
use std::time::Duration;

use popnet_runtime::Context;
use popnet_runtime::link::{Link, LinkError};
use popnet_wire::control::{Ask, Reply};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::daemon::Source;

/// Between two looks at the daemon of another process.
const LOOK: Duration = Duration::from_millis(50);
/// Time for that daemon's answer: it asks the node's roles for theirs.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Tells when the node has caught up with purges.
#[derive(Clone, Debug)]
pub struct Purged {
    told: Told,
}

#[derive(Clone, Debug)]
enum Told {
    /// There are no purges here.
    Always,
    /// By the daemon in this process.
    Here(watch::Receiver<bool>),
    /// By the daemon beside this process.
    Beside(PathBuf),
}

impl Purged {
    pub(crate) fn from_daemon(flag: watch::Receiver<bool>) -> Self {
        Self { told: Told::Here(flag) }
    }

    /// The same for a process of the node that runs beside its daemon.
    #[must_use]
    pub fn beside(context: &Context, source: &Source) -> Self {
        let told = match source {
            Source::File(_) => Told::Always,
            Source::Managed(_) => Told::Beside(context.admin_socket()),
        };
        Self { told }
    }

    /// Waits until everything that was purged has been applied to the roles of this node that run,
    /// at most so long; whether it was. The WebServer's own socket has to be open, for the purges
    /// come through it; its clients are to be let in afterwards.
    pub async fn caught_up(&mut self, at_most: Duration) -> bool {
        timeout(at_most, self.wait()).await.is_ok()
    }

    async fn wait(&mut self) {
        match &mut self.told {
            Told::Always => {}
            Told::Here(flag) => {
                // The daemon ends only with the node.
                if flag.wait_for(|purged| *purged).await.is_err() {
                    std::future::pending().await
                }
            }
            Told::Beside(socket) => loop {
                let asking = async {
                    Link::local(socket)
                        .await?
                        .patient_for(ANSWER_MAX)
                        .ask_one(&Ask::NodeStatus)
                        .await
                };
                match asking.await {
                    Ok(Reply::Node(status)) if status.purged => return,
                    Ok(_) | Err(LinkError::Nobody(_)) => {}
                    Err(error) => tracing::debug!(%error, "the daemon does not say how it is"),
                }
                sleep(LOOK).await;
            },
        }
    }
}
