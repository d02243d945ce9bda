//! The reader's side: what is known at one instant, immutable.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use popnet_terms::{Micros, NodeName, PopId, Removed, Seconds, TargetId, Timestamp};
use popnet_wire::rollout::Epoch;
use popnet_wire::status::{TargetState, TargetStatus};
use serde::{Deserialize, Serialize};

use crate::assume::Way;
use crate::atlas::{Atlas, Place};
use crate::confidence::Ageing;
use crate::geo::{Model, Models};
use crate::latency::{AllKnown, PopNo, Table};
pub use crate::prices::{Toll, TollBecause};

/// What is known at one instant. Cheap to clone.
#[derive(Clone, Debug)]
pub struct View {
    /// The instant, in whole seconds: ages count from here.
    pub at: Timestamp,
    /// Grows by one a view of one board: an answer kept with it is right while it is the newest.
    pub generation: u64,
    /// Whose fall is not believed yet.
    pub guard: Option<Arc<GuardHold>>,
    pub(crate) verdicts: Arc<BTreeMap<TargetId, Arc<Verdict>>>,
    pub(crate) latency: Table,
    pub(crate) latency_ageing: Ageing,
    pub(crate) atlas: Atlas,
    pub(crate) models: Arc<Models>,
    pub(crate) connect: Arc<BTreeMap<PopId, BTreeMap<TargetId, Connect>>>,
    pub(crate) to_probes: Arc<BTreeMap<PopId, Micros>>,
    /// Ways that are supposed to be otherwise; none, save for "what if?".
    pub(crate) ways: Arc<BTreeMap<TargetId, Way>>,
}

/// Time to connect from a POP to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connect {
    pub(crate) rtt: Micros,
    pub(crate) at: Timestamp,
}

/// What is known of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The verdict.
    pub standing: Standing,
    /// Since when.
    pub since: Timestamp,
    /// The reason where there is one to give.
    pub reason: Option<Removed>,
    /// In words; empty when it is up.
    pub why: Arc<str>,
    /// Age of the newest word on it.
    pub age: Option<Seconds>,
    /// Who says that it is down.
    pub seen_by: Vec<PopId>,
    /// Its own load in thousandths, the mean over its machines that are in service.
    pub load: Option<u16>,
    /// The oldest configuration that a machine of it says it serves by.
    pub epoch: Option<Epoch>,
    /// Total time of a probe's request, the median over the POPs.
    pub response: Option<Micros>,
    /// Share of the POPs that call it down although it is up, in thousandths.
    pub dissent: u16,
    /// Its machines that must not be named.
    pub out: Vec<NodeName>,
    /// Share of new clients that its own site asks to send elsewhere, in thousandths.
    pub shed: u16,
    /// Whether its own site says so, be it that it sheds nothing: then that is what moves clients,
    /// and name servers move none for its load of themselves (steering model, section 6).
    pub is_kept: bool,
    /// What a byte more costs there, where transit is billed by a percentile and its site says so.
    #[serde(skip)]
    pub toll: Option<Toll>,
    /// Share of its weight that it has after it came back, in thousandths: 1000 is all of it.
    pub ramp: u16,
    /// Where a region's own probes see it otherwise than the world does, by region.
    pub regions: Arc<[(Arc<str>, Standing)]>,
    /// What it may carry, in bits a second, where that is configured.
    pub bandwidth: Option<u64>,
    /// What it carries of that, in thousandths, where it tells.
    pub used: Option<u16>,
}

/// How a target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Standing {
    /// Healthy.
    Up,
    /// No probe watches it: taken as it is configured.
    Unwatched,
    /// Healthy, but it serves by an older configuration.
    Behind,
    /// An operator empties it.
    Draining,
    /// Not known.
    Unknown,
    /// Held back for flapping; its last probe was good.
    Damped,
    /// Down.
    Down,
}

/// Targets that are served as they were, although the probes of one site call them down: they are
/// too many to believe one site (steering model, section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardHold {
    /// Who is held up.
    pub targets: Vec<TargetId>,
    /// On whose word alone they would be down.
    pub witness: PopId,
    /// Since when.
    pub since: Timestamp,
    /// Until when at most.
    pub until: Timestamp,
    /// In words.
    pub why: Arc<str>,
}

impl View {
    /// What is known of `target`.
    #[must_use]
    pub fn verdict(&self, target: &TargetId) -> Option<&Verdict> {
        self.verdicts.get(target).map(AsRef::as_ref)
    }

    /// Every target and what is known of it, in order of its name.
    pub fn verdicts(&self) -> impl Iterator<Item = (&TargetId, &Verdict)> {
        self.verdicts.iter().map(|(target, verdict)| (target, verdict.as_ref()))
    }

    /// The same for status pages.
    #[must_use]
    pub fn status(&self) -> Vec<TargetStatus> {
        self.verdicts().map(|(target, verdict)| verdict.status(target)).collect()
    }

    /// Client units with a measured latency.
    #[must_use]
    pub fn units(&self) -> usize {
        self.latency.units()
    }

    /// About `most` of these units, the same wherever the same are known.
    #[must_use]
    pub fn units_among(&self, most: usize) -> Vec<IpNet> {
        self.latency.among(most)
    }

    /// The round trip from `pop` to `client` and its age, when `pop` has measured exactly it.
    #[must_use]
    pub fn rtt(&self, pop: &PopId, client: IpNet) -> Option<(Micros, Seconds)> {
        let pop = self.latency.number(pop)?;
        let found = self.exact(client).into_iter().find(|known| known.pop == pop)?;
        Some((found.rtt, seconds(self.at, found.at)))
    }

    /// The time to connect from `pop` to `target` and its age.
    #[must_use]
    pub fn connect(&self, pop: &PopId, target: &TargetId) -> Option<(Micros, Seconds)> {
        let found = self.connect.get(pop)?.get(target)?;
        Some((found.rtt, seconds(self.at, found.at)))
    }

    /// The POPs that have measured clients, in order of their numbers.
    pub(crate) fn pops(&self) -> &[PopId] {
        self.latency.pops()
    }

    /// What a POP that has measured is called.
    pub(crate) fn pop(&self, number: PopNo) -> Option<&PopId> {
        self.latency.pop(number)
    }

    /// The number by which `pop` is known in this view, if it has measured anything.
    pub(crate) fn number(&self, pop: &PopId) -> Option<PopNo> {
        self.latency.number(pop)
    }

    pub(crate) fn exact(&self, client: IpNet) -> AllKnown {
        self.latency.exact(client, self.latency_ageing, self.at)
    }

    /// What each POP knows of the prefix around a client.
    pub(crate) fn siblings(&self, client: IpNet, announced: Option<IpNet>) -> AllKnown {
        self.latency.siblings(client, announced, Ageing::path(), self.at)
    }

    /// What each POP knows of a network, in one country or everywhere.
    pub(crate) fn network(&self, asn: u32, country: Option<[u8; 2]>) -> AllKnown {
        self.latency.network(asn, country, Ageing::path(), self.at)
    }

    /// How distance on the globe becomes time for targets in `region`.
    pub(crate) fn model(&self, region: Option<&str>) -> Model {
        self.models.of(region)
    }

    /// Where a client is, as the operator's databases say.
    #[must_use]
    pub fn place(&self, client: IpNet) -> Option<Place> {
        self.atlas.place(client)
    }

    /// The databases of places.
    #[must_use]
    pub fn atlas(&self) -> &Atlas {
        &self.atlas
    }

    pub(crate) fn age(&self, at: Timestamp) -> Seconds {
        seconds(self.at, at)
    }
}

impl Verdict {
    /// How it stands for clients in `region`.
    #[must_use]
    pub fn standing_in(&self, region: Option<&str>) -> Standing {
        let own = self.regions.iter().find(|(name, _)| region == Some(&**name));
        own.map_or(self.standing, |(_, standing)| *standing)
    }

    fn status(&self, target: &TargetId) -> TargetStatus {
        let impaired = self.dissent > 0 || !self.out.is_empty();
        TargetStatus {
            target: target.clone(),
            state: match self.standing {
                Standing::Up if impaired => TargetState::Degraded,
                Standing::Up => TargetState::Up,
                Standing::Behind => TargetState::Behind,
                Standing::Draining => TargetState::Draining,
                Standing::Unwatched | Standing::Unknown => TargetState::Unknown,
                Standing::Damped | Standing::Down => TargetState::Down,
            },
            since: self.since,
            load: self.load,
            why: self.why.clone(),
            seen_by: self.seen_by.clone(),
            response: self.response,
        }
    }
}

pub(crate) fn seconds(now: Timestamp, then: Timestamp) -> Seconds {
    Seconds(u32::try_from(now.since(then).as_secs()).unwrap_or(u32::MAX))
}
