//! `popnet demo`: a whole network on this machine, as real processes on loopback addresses.
//!
//! Only the distances between cities are simulated: the `[simulate]` table answers the latency
//! probes, and the cities' proxies wait as long.

mod child;
mod city;
mod content;
mod folder;
mod network;
mod order;
mod screen;
mod stage;
pub(crate) mod visit;

use std::path::Path;

use crate::cli::{DemoArguments, DemoCommand};
use crate::output::{Outcome, Style};
pub(crate) use network::Plan;
use order::Order;

/// Where a demo keeps everything when nobody says otherwise.
pub(crate) const DIR: &str = "popnet-demo";

/// Starts the demo, or tells the one that runs what to do.
pub(crate) fn execute(arguments: &DemoArguments, context: Option<&Path>, style: Style) -> Outcome {
    let order = match &arguments.command {
        None | Some(DemoCommand::Up) => return stage::play(&arguments.dir, arguments.net, style),
        Some(DemoCommand::Kill { pop }) => Order::Kill { pop: pop.clone() },
        Some(DemoCommand::Start { pop }) => Order::Start { pop: pop.clone() },
        Some(DemoCommand::Slow { pop, ms }) => Order::Slow { pop: pop.clone(), ms: *ms },
        Some(DemoCommand::Load { pop, load }) => Order::Load { pop: pop.clone(), load: *load },
        Some(DemoCommand::Reset) => Order::Reset,
        Some(DemoCommand::Down) => Order::Down,
    };
    // An order goes to the demo that the other commands talk to, unless a folder is named.
    let usual = arguments.dir == Path::new(DIR);
    let dir = context.filter(|context| usual && context.is_dir()).unwrap_or(&arguments.dir);
    order::send(dir, &order, style)
}
