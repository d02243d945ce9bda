//! Authoritative DNS that steers (N1–N27).
//!
//! - `serve`: one packet in, one answer out; the same path for UDP, TCP and "why?".
//! - `udp`: plain threads that take and send packets in batches and wait for nobody.
//! - `ready`, `memo`: answers given and choices made lately, each thread's own.
//! - `transport`: connections: DNS over TCP, TLS, HTTPS and QUIC.
//! - `meet`, `limit`: what stands before the answers: cookies, access lists, rate limits.
//! - `views`: which zones an asker sees.
//! - `table`: what a configuration means here; built aside and published whole. `zones`: the zone
//!   files behind it; a broken one leaves the last good zone in place.
//! - `sign`: keys, signatures on zones before they are published, signatures on chosen answers.
//! - `transfer`: zones that travel: transfers, notifications, updates, secondary zones, catalogs.
//! - `bindings`: which clients stay where, kept on disk and told to the other name servers.
//! - `measure`: probe reports in, views out, wishes for latencies and hit counts back.
//! - `tally`, `counters`: what is counted, by worker and by node.
//! - `tap`: copies of questions and answers: dnstap, and a log of lines.
//! - `archive`: what the board was told, kept for questions about the past. `why`, `moves`: the
//!   answers to those, and to "what if?".
//! - `control`: the role's own socket. `rehearsal`: the ways in without sockets, for tests.
//!
//! Client subnets count unless a policy says `never`, or names a list of resolvers
//! (`only-public-resolvers`, `require-trusted`) that the asker is not on.

mod archive;
mod atlas;
mod bindings;
mod control;
mod counters;
mod limit;
mod measure;
mod meet;
mod memo;
mod moves;
mod needs;
mod notes;
mod ready;
mod rehearsal;
mod resort;
mod serve;
mod shared;
mod sign;
mod state;
mod steer;
mod table;
mod tally;
mod tap;
mod transfer;
mod transport;
mod udp;
mod views;
mod why;
mod zones;

pub use archive::{parse as parse_inputs, segment as segment_of_inputs};
pub use bindings::{Kept as KeptBinding, parse_log as parse_bindings};
pub use limit::{parse_cookie_secrets, parse_shared_cookie_secrets};
pub use rehearsal::Rehearsal;
pub use sign::{KeyFolder, parse_signed, plan_of, policy_of, read_key_state};
pub use state::parse as parse_kept;
pub use transfer::{history_entries, history_of};
pub use transport::{message_in_path, message_in_stream};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use popnet_config::Held;
use popnet_config::network::{Network, Node, Service};
use popnet_runtime::quic::Endpoint;
use popnet_runtime::ship::{Locate, Shipper};
use popnet_runtime::{Context, Running, StartError, bind, clock, link};
use popnet_terms::{CustomerId, Octets, Role};
use popnet_wire::control::Problem;
use popnet_wire::logging::{Event, Record};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::shared::Shared;
use crate::zones::Zones;

/// A little longer than the allocator keeps what is free.
const SETTLE: Duration = Duration::from_millis(1_500);

/// How long the last batches may take to leave when the role ends.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// Records wait on disk for their log server in at most this, unless the configuration says else.
const SPOOL: Octets = Octets(1 << 30);

/// Starts the role. Every port is bound when this returns.
///
/// # Errors
/// A port is taken, or the configuration has no such node.
pub async fn start(
    context: Context,
    config: watch::Receiver<Arc<Held>>,
) -> Result<Running, StartError> {
    let held = Arc::clone(&config.borrow());
    let node = held.network.node(&context.node).cloned().ok_or_else(|| {
        let what = format!("the configuration has no node {}", context.node);
        StartError::Refused(Problem::new("R10", what, "popnet config get pops"))
    })?;
    let sockets = Sockets::bind(&context, &node)?;
    let role_dir = context.role_dir(Role::Nameserver);
    std::fs::create_dir_all(&role_dir).map_err(StartError::io(role_dir.display()))?;
    let spool = held.network.logs.spool.unwrap_or(SPOOL).0;
    let pop = context.node.pop();
    let shipper = Shipper::start(&context, Role::Nameserver, pop, locate(config.clone()), spool)?;

    let loaded = load(Zones::new(&context), Arc::clone(&held)).await;
    let (zones, table) = loaded.ok_or_else(|| {
        let what = "a mistake in the program: the name table cannot be built; see the log above";
        StartError::Refused(Problem::new("R11", what, ""))
    })?;
    let (wishes, wished) = needs::channel();
    let shared = Arc::new(Shared::new(&context, &held, table, shipper.clone(), wishes)?);
    let table = (*shared.table.load_full()).clone();
    transfer::publish(&shared, Arc::clone(&held), Arc::default(), table).await;
    tell_problems(&shared, &shared.table.load());
    let control = Arc::new(control::Control::new(Arc::clone(&shared)));
    let socket = context.role_socket(Role::Nameserver);
    let served = link::serve_local(&socket, control, context.shutdown.clone())?;

    let watched = config.clone();
    let workers = udp::start(sockets.udp, &shared, &context.shutdown)?;
    let mut tasks: Vec<JoinHandle<()>> = Vec::new();
    tasks.extend(transport::start(sockets.connections, &context, &config, &shared)?);
    tasks.push(limit::start(&context, config.clone(), Arc::clone(&shared)));
    tasks.extend(transfer::start(&shared));
    tasks.extend(sign::start(&shared, &context.shutdown));
    let reload = reload(zones, config.clone(), Arc::clone(&shared), context.clone());
    tasks.push(tokio::spawn(reload));
    tasks.push(bindings::start(&context, config.clone(), Arc::clone(&shared))?);
    tasks.push(measure::start(&context, sockets.probe, config, Arc::clone(&shared), wished));
    let shutdown = context.shutdown.clone();
    let task = tokio::spawn(async move {
        shutdown.cancelled().await;
        // Without any log server nothing can leave, and nobody waits for it.
        let at_most = if has_log_servers(&watched.borrow()) { DRAIN_MAX } else { Duration::ZERO };
        for task in tasks {
            let _ = task.await;
        }
        served.wait().await;
        let ended = move || {
            workers.join();
            if let Some(tap) = &shared.shield.load().tap {
                tap.finish();
            }
        };
        let _ = tokio::task::spawn_blocking(ended).await;
        shipper.drain(at_most).await;
    });
    Ok(Running::new(Role::Nameserver, task))
}

/// Every port of the role, bound before anything else happens.
struct Sockets {
    udp: Vec<std::net::UdpSocket>,
    connections: transport::Listeners,
    probe: Vec<Endpoint>,
}

impl Sockets {
    fn bind(context: &Context, node: &Node) -> Result<Self, StartError> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let configured = node.workers.dns.and_then(|count| usize::try_from(count).ok());
        let workers = configured.unwrap_or(cores).max(1);
        let mut udp = Vec::new();
        for address in node.listens(Service::Dns) {
            // One socket a worker: the kernel spreads the askers over them.
            for _ in 0..workers {
                udp.push(bind::udp(address, workers > 1)?);
            }
        }
        let connections = transport::Listeners::bind(node)?;
        let probe = node.listens(Service::Probe);
        let listen = |address: SocketAddr| Endpoint::listen(address, &context.identity);
        let probe = probe.into_iter().map(listen).collect::<Result<_, _>>()?;
        Ok(Self { udp, connections, probe })
    }
}

/// Log servers are in the configuration, which this role holds: it needs to ask nobody (N18).
fn locate(config: watch::Receiver<Arc<Held>>) -> Locate {
    let turn = std::sync::atomic::AtomicUsize::new(0);
    Arc::new(move |customer: CustomerId| {
        let held = Arc::clone(&config.borrow());
        let turn = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Box::pin(std::future::ready(log_server(&held.network, &customer, turn)))
    })
}

/// One of the customer's log servers; another one each turn, so that a dead one is not asked for
/// ever.
fn log_server(
    network: &Network,
    customer: &CustomerId,
    turn: usize,
) -> Option<(SocketAddr, String)> {
    let servers = network.log_servers(customer);
    let name = servers.get(turn.checked_rem(servers.len())?)?;
    Some((network.log_address(name)?, network.hostname(name)))
}

fn has_log_servers(held: &Held) -> bool {
    let network = &held.network;
    let any = |customer| !network.log_servers(customer).is_empty();
    !network.logs.default.is_empty() || network.customers.keys().any(any)
}

/// Reads zones and compiles the table off the threads that answer. `None`: a mistake of ours, told
/// in the log.
async fn load(zones: Zones, held: Arc<Held>) -> Option<(Zones, table::Table)> {
    let compile = move || {
        let mut zones = zones;
        let table = table::Table::build(&held, &mut zones);
        (zones, table)
    };
    let loaded = tokio::task::spawn_blocking(compile).await;
    tokio::spawn(settle());
    loaded.inspect_err(|error| tracing::error!(%error, "the name table cannot be built")).ok()
}

/// What reading took is free now, but the allocator gives it back to the system only when it is
/// next asked for something, and that a second later at the soonest. While a name server answers,
/// it asks for nothing. And most of the program's text is needed for reading only.
async fn settle() {
    tokio::time::sleep(SETTLE).await;
    drop(std::hint::black_box(Vec::<u8>::with_capacity(1 << 20)));
    popnet_runtime::text::let_go();
}

/// Builds the next table on each change of the configuration; answers flow from the old one
/// meanwhile.
async fn reload(
    mut zones: Zones,
    mut config: watch::Receiver<Arc<Held>>,
    shared: Arc<Shared>,
    context: Context,
) {
    loop {
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            changed = config.changed() => if changed.is_err() { return },
            () = shared.transfers.rebuild.notified() => {}
        }
        let members = shared.transfers.members.load_full();
        zones.members = Arc::clone(&members);
        let held = Arc::clone(&config.borrow_and_update());
        let epoch = held.epoch;
        let Some((kept, table)) = load(zones, Arc::clone(&held)).await else {
            zones = Zones::new(&context);
            continue;
        };
        zones = kept;
        tracing::info!(%epoch, names = table.catalog.len(), "name table published");
        let before = shared.table.load_full();
        transfer::publish(&shared, held, members, table).await;
        let after = shared.table.load_full();
        if before.problems != after.problems {
            tell_problems(&shared, &after);
        }
    }
}

/// Zones that are not served as their files stand are the operator's business.
fn tell_problems(shared: &Shared, table: &table::Table) {
    for problem in table.problems.iter().filter(|_| table.is_logged) {
        let event = Event {
            ts: clock::now(),
            kind: "zone".into(),
            subject: problem.zone.as_str().into(),
            from: "".into(),
            to: if problem.kept { "kept as it was" } else { "not served" }.into(),
            reason: problem.mistakes.join("\n").into(),
        };
        shared.shipper.record(&CustomerId::network(), Record::Event(event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_go_where_a_log_server_is_reached() {
        // It listens on every address of its machine: nobody can connect to that.
        let text = "[network]\nname = \"lab\"\nschema = 1\ndomain = \"lab.test\"\n\
                    [pops.ctl.nodes.log1]\nroles = [\"logserver\"]\naddress = [\"192.0.2.7\"]\n\
                    listen = { logs = [\"0.0.0.0:7603\"] }\n[logs]\ndefault = [\"log1.ctl\"]\n";
        let network = popnet_config::load(text, "popnet.toml").unwrap().network;
        let found = log_server(&network, &CustomerId::network(), 5).unwrap();
        assert_eq!(found.0, "192.0.2.7:7603".parse().unwrap());
    }
}
