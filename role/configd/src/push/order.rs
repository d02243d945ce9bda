//! Whether an order to push can be begun at all, before anybody else hears of it.

use popnet_config::network::{Network, Quorum};
use popnet_rollout::{Ledger, Needs};
use popnet_runtime::clock;
use popnet_terms::NodeName;
use popnet_wire::control::{Problem, PushOrder};
use popnet_wire::rollout::{Epoch, Version};

use crate::daemon::Daemon;
use crate::reading::{FILE_NAME, holders, load};

/// What becomes of an order.
pub(super) enum Draft {
    /// This text is in force already.
    Nothing(Epoch),
    /// The version to push.
    Version { version: Box<Version>, needs: Needs },
}

/// Looks at `order` on this master.
pub(super) fn draft(
    daemon: &Daemon,
    ledger: &Ledger,
    busy: bool,
    order: PushOrder,
) -> Result<Draft, Problem> {
    let (Some(held), Some(in_force)) = (daemon.held(), &ledger.committed) else {
        return Err(Problem::new("N0048", "this node has no configuration yet", "popnet status"));
    };
    let network = &held.network;
    if !daemon.is_master(network) {
        let masters = names(&network.masters.allow);
        let what = format!("{} is no master; masters: {masters}", daemon.me());
        return Err(Problem::new("N0049", what, "popnet config push, on a master").with_exit(4));
    }
    if let Some(expect) = order.expect
        && expect != in_force.epoch
    {
        let what = format!(
            "version {} is in force, by {}, and you expect {expect}",
            in_force.epoch, in_force.author
        );
        let next = "popnet config plan FILE, then push with the new number";
        return Err(Problem::new("N0012", what, next).with_exit(5));
    }
    if order.text == in_force.text {
        return Ok(Draft::Nothing(in_force.epoch));
    }
    if busy {
        let what = "another push is under way on this master";
        return Err(Problem::new("N0013", what, "popnet config history").with_exit(5));
    }
    let loaded =
        load(&order.text).map_err(|what| Problem::new("", what, "popnet config validate FILE"))?;
    if let Some(found) = popnet_config::lockout(&order.text, FILE_NAME, daemon.me()) {
        let what = popnet_config::render(std::slice::from_ref(&found), &order.text, FILE_NAME);
        return Err(Problem::new(&found.code, what.trim_end(), found.help).with_exit(4));
    }
    let next = &loaded.network;
    refuse_other_domain(network, next)?;
    let version = Version {
        epoch: ledger.next_epoch(daemon.me(), &network.masters.allow),
        digest: loaded.digest,
        text: order.text,
        author: order.author,
        message: order.message,
        at: clock::now(),
        master: daemon.me().clone(),
    };
    let needs = needs(daemon.me(), network, next);
    Ok(Draft::Version { version: Box::new(version), needs })
}

/// What would leave nobody able to be reached.
fn refuse_other_domain(old: &Network, new: &Network) -> Result<(), Problem> {
    if new.network.domain != old.network.domain {
        let what = format!(
            "the network's domain cannot change from {} to {}: every node's certificate has it",
            old.network.domain, new.network.domain
        );
        return Err(Problem::new("E0503", what, "keep network.domain"));
    }
    Ok(())
}

fn needs(me: &NodeName, old: &Network, new: &Network) -> Needs {
    let count = match new.masters.quorum {
        Quorum::AllLive => 1,
        Quorum::Majority => holders(new).len() / 2 + 1,
    };
    // While masters give out numbers by their place in the list, all of them have to know when
    // the list changes.
    let changes = old.masters.allow != new.masters.allow;
    let holders = holders(new);
    let named = old.masters.allow.iter().filter(|name| changes && *name != me);
    Needs { count, named: named.filter(|name| holders.contains(*name)).cloned().collect() }
}

fn names(list: &[NodeName]) -> String {
    list.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}
