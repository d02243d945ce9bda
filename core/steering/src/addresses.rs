//! A target's addresses, by the families that are asked for.

use std::net::IpAddr;
use std::sync::Arc;

use crate::choice::Family;
use crate::rules::TargetNode;

/// Addresses of one target in an answer: two targets with so many stay well below 512 octets.
const ADDRESSES_MAX: usize = 8;

/// A target's addresses by family. Of several machines all are named: a resolver takes them in
/// turn.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    v4: Arc<[IpAddr]>,
    v6: Arc<[IpAddr]>,
    any: Arc<[IpAddr]>,
}

impl Addresses {
    /// Those of `machines`.
    pub(crate) fn of<'a>(machines: &(impl Iterator<Item = &'a TargetNode> + Clone)) -> Self {
        let all = |family: Family| {
            let all = machines.clone().flat_map(|machine| machine.addresses.iter().copied());
            all.filter(|address| family.admits(*address)).take(ADDRESSES_MAX).collect()
        };
        Self { v4: all(Family::V4), v6: all(Family::V6), any: all(Family::Any) }
    }

    pub(crate) fn of_family(&self, family: Family) -> &Arc<[IpAddr]> {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
            Family::Any => &self.any,
        }
    }
}
