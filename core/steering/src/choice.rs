//! What is asked of steering, and what it says.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use ipnet::IpNet;
use popnet_terms::{Because, Micros, PopId, ScopeBecause, Seconds, TargetId, TtlBecause};
use popnet_wire::logging::Candidate;
use smallvec::SmallVec;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Client {
    /// A client unit: the /24 or /48 of a resolver or client subnet, or a shorter client subnet.
    Unit(IpNet),
    /// A POP of ours that looks for an origin (W3).
    Pop(PopId),
}

/// Which addresses are of use to the asker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4: a question for A.
    V4,
    /// IPv6: a question for AAAA.
    V6,
    /// Either, or a name instead of an address: a question for SRV or HTTPS.
    Any,
}

impl Family {
    /// Whether `address` is of this family.
    #[must_use]
    pub fn admits(self, address: IpAddr) -> bool {
        match self {
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
            Self::Any => true,
        }
    }
}

/// A question to [`crate::choose()`]. The instant is the view's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// Who asks.
    pub client: Client,
    /// Which addresses are of use.
    pub family: Family,
    /// The target to which this client is bound, if it is (N7): it wins while it is fit.
    pub bound: Option<TargetId>,
}

/// What an answer says, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Pick {
    /// Best first; empty when the site has nothing to name (then `because` is
    /// [`Because::StaticRecord`], or [`Because::NoAddressOfFamily`]).
    pub targets: SmallVec<[Chosen; 2]>,
    /// Time to live; never 0.
    pub ttl: Seconds,
    /// Why so long.
    pub ttl_because: TtlBecause,
    /// Prefix length of the clients for whom this answer is right: 0 when it ignores the client,
    /// else that of the question's unit (RFC 7871 section 7.2.1).
    pub scope: u8,
    /// Why for these.
    pub scope_because: ScopeBecause,
    /// Why the first.
    pub because: Because,
    /// From the first to the next best, in microseconds-equivalent.
    pub margin: Option<Micros>,
    /// A latency that matters here is not known well: ask the probes ([`crate::Board::needs`]).
    pub needs_measurement: bool,
}

/// A pick, and all that was weighed for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// What was picked.
    pub pick: Pick,
    /// Every candidate with its reason and score, in order of its name.
    pub candidates: Arc<[Candidate]>,
}

/// Whoever has a choice reads what it says as that of its pick.
impl Deref for Choice {
    type Target = Pick;

    fn deref(&self) -> &Pick {
        &self.pick
    }
}

impl Pick {
    /// Every address of the answer, best first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.targets.iter().flat_map(|chosen| chosen.addresses.iter().copied())
    }
}

/// One target of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Which.
    pub target: TargetId,
    /// Its addresses of the family asked for. Empty only for [`Family::Any`] and an origin that
    /// is configured by name.
    pub addresses: Arc<[IpAddr]>,
}
