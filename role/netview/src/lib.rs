//! NetView: the network in a browser. Pages are written here, on the server, and work without a
//! script; one small script keeps them live over one stream of events.
//!
//! - [`pulse`]: looks at the network once a second, through the local configuration daemon only.
//! - [`view`]: what is shown, as values; [`panels`] and [`pages`] make HTML of it, [`api`] JSON.
//! - [`access`]: whose data a user may see; [`guard`]: what each request must pass; [`users`]: who
//!   may log in.
//! - [`jobs`]: purges under way.
//!
//! NetView holds no data of its own but its users. Served in plain HTTP: on other than loopback
//! addresses its session cookie is `Secure`, so a TLS proxy has to stand in front.

mod access;
mod api;
mod app;
mod guard;
mod jobs;
mod net;
mod order;
mod pages;
mod panels;
mod pulse;
mod refusal;
mod routes;
mod stream;
mod topic;
pub mod users;
mod view;

use std::net::SocketAddr;
use std::sync::Arc;

use popnet_config::Held;
use popnet_config::network::Service;
use popnet_runtime::bind;
use popnet_runtime::context::{Context, Running, StartError};
use popnet_runtime::link::{Present, serve_local};
use popnet_terms::Role;
use popnet_wire::control::Problem;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::app::{App, Shared};
use crate::jobs::Jobs;
use crate::net::Bounded;
use crate::pulse::Pulse;
use crate::users::Users;

/// Serves the network's pages on the node's NetView addresses until `context.shutdown`.
///
/// The addresses are taken from the configuration in force at the start; other changes of the
/// configuration show at once.
///
/// # Errors
/// An address is taken or not here, or the users' file cannot be opened.
#[expect(clippy::unused_async, reason = "every role starts alike")]
pub async fn start(
    context: Context,
    config: watch::Receiver<Arc<Held>>,
) -> Result<Running, StartError> {
    let users = Users::open(&context.role_dir(Role::Netview)).map_err(|error| {
        StartError::Refused(Problem::new("W0501", error.to_string(), "popnet user --help"))
    })?;
    let addresses = addresses(&context, &config.borrow());
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = bind::tcp(address, false)?;
        let listener = listener
            .set_nonblocking(true)
            .and_then(|()| TcpListener::from_std(listener))
            .map_err(StartError::io(format_args!("listening on {address}")))?;
        listeners.push(listener);
    }
    let tasks = TaskTracker::new();
    let socket = context.role_socket(Role::Netview);
    let present = Arc::new(Present(Role::Netview));
    tasks.spawn(serve_local(&socket, present, context.shutdown.clone())?.wait());
    let pulse = Pulse::start(&context, config, &tasks);
    let jobs = Jobs::new(tasks.clone());
    let shared = Arc::new(Shared::new(pulse, users, jobs, &context));
    for listener in listeners {
        serve(&context, &shared, listener, &tasks);
    }
    let end = context.shutdown;
    let task = tokio::spawn(async move {
        end.cancelled().await;
        tasks.close();
        tasks.wait().await;
    });
    Ok(Running::new(Role::Netview, task))
}

fn addresses(context: &Context, held: &Held) -> Vec<SocketAddr> {
    let node = held.network.node(&context.node);
    node.map(|node| node.listens(Service::Netview)).unwrap_or_default()
}

fn serve(context: &Context, shared: &Arc<Shared>, listener: TcpListener, tasks: &TaskTracker) {
    let loopback = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let app = App { shared: Arc::clone(shared), loopback };
    let service = routes::routes(app).into_make_service_with_connect_info::<net::From>();
    let end = context.shutdown.clone();
    tasks.spawn(async move {
        let serving = axum::serve(Bounded::new(listener), service)
            .with_graceful_shutdown(end.cancelled_owned());
        if let Err(error) = serving.await {
            tracing::error!(%error, "NetView stopped serving");
        }
    });
}
