//! What every route shares.

use std::sync::{Arc, Mutex};

use popnet_runtime::context::Context;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::jobs::Jobs;
use crate::pulse::Pulse;
use crate::stream::Streams;
use crate::users::{Throttle, Users, UsersError};

/// Passwords hashed at a time: each takes 19 MiB.
const HASHING_MAX: usize = 4;

/// What every route of one listener shares.
#[derive(Clone, Debug)]
pub(crate) struct App {
    /// What every listener shares.
    pub(crate) shared: Arc<Shared>,
    /// The listener is reached without TLS by this machine only: the cookie needs no `Secure`.
    pub(crate) loopback: bool,
}

/// What every listener shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) pulse: Pulse,
    pub(crate) users: Arc<Users>,
    pub(crate) throttle: Mutex<Throttle>,
    pub(crate) hashing: Semaphore,
    pub(crate) jobs: Jobs,
    pub(crate) streams: Streams,
    /// The network's own zone: names below it are ours.
    pub(crate) domain: Arc<str>,
    /// Streams end with it.
    pub(crate) shutdown: CancellationToken,
}

impl Shared {
    pub(crate) fn new(pulse: Pulse, users: Users, jobs: Jobs, context: &Context) -> Self {
        Self {
            pulse,
            users: Arc::new(users),
            throttle: Mutex::default(),
            hashing: Semaphore::new(HASHING_MAX),
            jobs,
            streams: Streams::default(),
            domain: Arc::clone(&context.domain),
            shutdown: context.shutdown.clone(),
        }
    }

    /// Runs `work` on the users' file where it may wait for the disk.
    pub(crate) async fn with_users<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Users) -> Result<T, UsersError> + Send + 'static,
    ) -> Result<T, UsersError> {
        let users = Arc::clone(&self.users);
        match tokio::task::spawn_blocking(move || work(&users)).await {
            Ok(done) => done,
            Err(error) => Err(UsersError::Io(std::io::Error::other(error))),
        }
    }
}
