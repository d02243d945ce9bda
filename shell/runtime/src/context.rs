//! What every role is given at birth, what it gives back, and why it could not start.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use popnet_terms::{NodeName, Role};
use popnet_wire::control::{ADMIN_SOCKET, Problem, role_socket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bind::BindError;
use crate::files::FileError;
use crate::identity::{Identity, IdentityError};

/// Where and as whom a role runs.
#[derive(Clone, Debug)]
pub struct Context {
    /// The node.
    pub node: NodeName,
    /// `NODE.POP.DOMAIN`: the name in its certificate.
    pub hostname: String,
    /// The network's own zone.
    pub domain: Arc<str>,
    /// What must survive a restart; a role keeps its files in [`Context::role_dir`].
    pub state_dir: PathBuf,
    /// Unix sockets and process-id files.
    pub run_dir: PathBuf,
    /// Key and certificate.
    pub identity: Arc<Identity>,
    /// Cancelled when the role is to end.
    pub shutdown: CancellationToken,
}

impl Context {
    /// Where `role` keeps its files. The role creates the folder.
    #[must_use]
    pub fn role_dir(&self, role: Role) -> PathBuf {
        self.state_dir.join(role.name())
    }

    /// The Unix socket that `role` serves.
    #[must_use]
    pub fn role_socket(&self, role: Role) -> PathBuf {
        self.run_dir.join(role_socket(role))
    }

    /// The Unix socket of the configuration daemon.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.run_dir.join(ADMIN_SOCKET)
    }
}

/// A started role: its sockets are bound. It ends after the context's `shutdown` is cancelled.
#[derive(Debug)]
pub struct Running {
    name: &'static str,
    task: JoinHandle<()>,
}

/// How a role ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, as it should after `shutdown`.
    Stopped,
    /// By a mistake of ours, in these words.
    Panicked(String),
}

impl Running {
    /// `role`, which runs as `task`.
    #[must_use]
    pub fn new(role: Role, task: JoinHandle<()>) -> Self {
        Self::named(role.name(), task)
    }

    /// Something that is not a role of the configuration, such as `configd`.
    #[must_use]
    pub fn named(name: &'static str, task: JoinHandle<()>) -> Self {
        Self { name, task }
    }

    /// The role's word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Waits for the role's end.
    pub async fn wait(self) -> Ended {
        match self.task.await {
            Ok(()) => Ended::Stopped,
            Err(error) => {
                tracing::error!(role = self.name, %error, "a role ended by a mistake in the program");
                Ended::Panicked(error.to_string())
            }
        }
    }
}

/// A role cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port or socket cannot be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The node's key or certificate cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A state file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The machine says no.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The configuration does not fit this node.
    #[error("{}", .0.what)]
    Refused(Problem),
}

impl StartError {
    /// For `map_err`: an I/O error with what was tried.
    pub fn io(what: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        let what = what.to_string();
        move |source| Self::Io { what, source }
    }

    /// The error with its code and the remedy.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Bind(error) => error.problem(),
            Self::Identity(error) => error.problem(),
            Self::File(error) => Problem::new(
                "R09",
                error.to_string(),
                "move the file away; what it held is fetched or built again",
            ),
            Self::Io { .. } => Problem::new("R01", self.to_string(), ""),
            Self::Refused(problem) => problem.clone(),
        }
    }
}
