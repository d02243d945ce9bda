//! One file a command. Each turns arguments into calls of the administration's functions, and
//! what comes back into text or JSON.

mod authority;
pub(crate) mod config;
mod dig;
mod dns;
mod explain;
mod fetch;
mod import;
mod key;
pub(crate) mod map;
mod probe;
mod publish;
mod purge;
mod simulate;
mod status;
mod suppose;
mod user;
mod zone;
mod zone_order;
mod zone_sign;

use std::path::Path;
use std::sync::Arc;

use popnet_admin::{Admin, Endpoint};
use popnet_config::network::Network;
use popnet_runtime::identity::Identity;
use popnet_terms::CustomerId;
use popnet_wire::control::Problem;
use popnet_wire::rollout::{Epoch, Version};

use crate::cli::{Arguments, Command};
use crate::output::Outcome;
use crate::place::Place;
use crate::{demo, run};

/// Carries out one command line.
pub(crate) fn execute(arguments: Arguments) -> Outcome {
    let style = arguments.style();
    let context = arguments.context.as_deref();
    match arguments.command {
        Command::Run(run) => run::execute(&run, style),
        Command::Demo(demo) => demo::execute(&demo, context, style),
        Command::Authority(command) => authority::execute(&command, style),
        Command::User(command) => wait_for(user::execute(&command, context, style)),
        Command::Import(command) => import::execute(&command, style),
        Command::Key(command) => key::execute(&command, style),
        Command::Simulate(simulate) => simulate::execute(&simulate, style),
        Command::Zone(command) => wait_for(zone::execute(&command, context, style)),
        Command::Dns(command) => wait_for(dns::execute(&command, context, style)),
        Command::Probe(command) => wait_for(probe::execute(&command, style)),
        Command::Status => wait_for(status::execute(context, style)),
        Command::Config(command) => wait_for(config::execute(command, context, style)),
        Command::Publish(publish) => wait_for(publish::execute(publish, context, style)),
        Command::Purge(purge) => wait_for(purge::execute(purge, context, style)),
        Command::Explain(explain) => wait_for(explain::execute(explain, context, style)),
        Command::Dig(dig) => wait_for(dig::execute(&dig, context, style)),
        Command::Fetch(fetch) => wait_for(fetch::execute(&fetch, context, style)),
    }
}

/// Runs a client's task: one thread is plenty.
fn wait_for(task: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(task),
        Err(error) => Err(no_runtime(&error)),
    }
}

/// The system gives no threads or no events.
pub(crate) fn no_runtime(error: &std::io::Error) -> Problem {
    Problem::new("R12", format!("no asynchronous runtime: {error}"), "ulimit -a")
}

/// The administration of the network that `context` names.
pub(crate) fn admin(context: Option<&Path>) -> Result<Admin, Problem> {
    let place = Place::find(context)?;
    if let Some(socket) = place.socket() {
        return Ok(Admin::to(Endpoint::Local(socket)));
    }
    let Some((address, hostname, folder)) = place.remote() else {
        let what = "the context names neither `socket` nor `address`, `hostname` and `identity`";
        return Err(Problem::new("U0037", what, "see docs/operate/contexts.md"));
    };
    let identity = Arc::new(Identity::load(&folder).map_err(|error| error.problem())?);
    Ok(Admin::to(Endpoint::Tls { address, hostname: hostname.to_owned(), identity }))
}

/// The configuration in force.
pub(crate) async fn network(admin: &Admin) -> Result<(Epoch, String, Network), Problem> {
    let Some(version) = admin.version(None).await? else {
        let what = "this network has no configuration yet";
        return Err(Problem::new("N0010", what, "popnet config push popnet.toml").with_exit(3));
    };
    let network = parsed(&version)?;
    Ok((version.epoch, version.text, network))
}

/// The meaning of a version that is or was in force.
pub(crate) fn parsed(version: &Version) -> Result<Network, Problem> {
    let loaded = popnet_config::load(&version.text, "popnet.toml").map_err(|diagnostics| {
        let text = popnet_config::render(&diagnostics, &version.text, "popnet.toml");
        let what = format!("this program cannot read {}\n{text}", version.epoch);
        Problem::new("N0011", what, "popnet --version   (is it older than the network's?)")
    })?;
    Ok(loaded.network)
}

/// `customer`, if the network has it.
pub(crate) fn known_customer<'a>(
    customer: &'a CustomerId,
    network: &Network,
) -> Result<&'a CustomerId, Problem> {
    if network.customers.contains_key(customer) {
        return Ok(customer);
    }
    let known: Vec<&str> = network.customers.keys().map(CustomerId::as_str).collect();
    let text = format!("no customer is called {customer}; customers: {}", known.join(", "));
    Err(Problem::new("U0027", text, "popnet config get customers").with_exit(3))
}

/// A mistake in a path or a file as a problem.
pub(crate) fn edit_problem(error: &popnet_config::EditError) -> Problem {
    use popnet_config::EditError::{Misfit, Path, Toml, Unknown, Unset};
    let exit = match error {
        Unset { .. } | Unknown(_) => 3,
        Toml(_) => 1,
        Path(_) | Misfit { .. } => 2,
    };
    let next = "popnet config schema   lists every key";
    Problem::new("U0022", error.to_string(), next).with_exit(exit)
}
