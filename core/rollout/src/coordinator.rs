//! The decision about one push, taken at its master: everybody prepared, or nobody switches.

use popnet_terms::NodeName;
use popnet_wire::rollout::{Digest, Down, Epoch, Outcome, Version};

/// Who has to be prepared, besides that nobody refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// At least so many nodes.
    pub count: usize,
    /// These by name: masters, when the list of masters changes, so that two lists are never in
    /// use at once without each other's knowledge.
    pub named: Vec<NodeName>,
}

/// What the coordinator wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Hand this to the master's own relay.
    Tell(Down),
    /// The push is over.
    Over(Verdict),
}

/// How a push ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the new version is in force.
    pub committed: bool,
    /// The pushed version's number.
    pub epoch: Epoch,
    /// Nodes that refused, with their reasons.
    pub refused: Vec<(NodeName, String)>,
    /// Nodes that could not be reached or did not switch, with why.
    pub fenced: Vec<(NodeName, String)>,
    /// Why it is off although nobody refused; empty otherwise.
    pub why: String,
}

/// ```text
/// Preparing ── all prepared ──► Switching ──► Over(committed)
///     └─────── refused, too few ──► Aborting ──► Over
/// ```
#[derive(Clone, Debug)]
enum State {
    Preparing,
    Switching { fenced: Vec<(NodeName, String)> },
    Aborting(Verdict),
    Over,
}

/// One push at its master.
#[derive(Clone, Debug)]
pub struct Coordinator {
    epoch: Epoch,
    digest: Digest,
    needs: Needs,
    state: State,
}

impl Coordinator {
    /// Starts the push of `version`, whose number comes from [`crate::Ledger::next_epoch`].
    #[must_use]
    pub fn start(version: Version, needs: Needs) -> (Self, Step) {
        let (epoch, digest) = (version.epoch, version.digest);
        let coordinator = Self { epoch, digest, needs, state: State::Preparing };
        (coordinator, Step::Tell(Down::Prepare(version)))
    }

    /// Takes the relay's answer for the whole network; `None` after the end.
    pub fn handle_outcomes(&mut self, outcomes: Vec<(NodeName, Outcome)>) -> Option<Step> {
        let (step, next) = match std::mem::replace(&mut self.state, State::Over) {
            State::Preparing => self.decide(outcomes),
            State::Switching { fenced } => {
                (Step::Over(self.switched(fenced, outcomes)), State::Over)
            }
            State::Aborting(verdict) => (Step::Over(verdict), State::Over),
            State::Over => return None,
        };
        self.state = next;
        Some(step)
    }

    fn decide(&self, outcomes: Vec<(NodeName, Outcome)>) -> (Step, State) {
        let (mut prepared, mut refused, mut fenced) = (Vec::new(), Vec::new(), Vec::new());
        for (node, outcome) in outcomes {
            match outcome {
                Outcome::Prepared => prepared.push(node),
                Outcome::Refused(why) => refused.push((node, why)),
                Outcome::Unreachable(why) => fenced.push((node, why)),
                Outcome::Switched | Outcome::Aborted => {
                    fenced.push((node, "answered another question".to_owned()));
                }
            }
        }
        let why = self.lacking(&prepared, &fenced);
        if refused.is_empty() && why.is_empty() {
            let names = fenced.iter().map(|(node, _)| node.clone()).collect();
            let commit = Down::Commit { epoch: self.epoch, digest: self.digest, fenced: names };
            return (Step::Tell(commit), State::Switching { fenced });
        }
        let verdict = Verdict { committed: false, epoch: self.epoch, refused, fenced, why };
        (Step::Tell(Down::Abort { epoch: self.epoch }), State::Aborting(verdict))
    }

    /// Why those prepared are not enough; empty when they are.
    fn lacking(&self, prepared: &[NodeName], fenced: &[(NodeName, String)]) -> String {
        let missing = self.needs.named.iter().find(|node| !prepared.contains(node));
        if let Some(node) = missing {
            let said = fenced.iter().find(|(name, _)| name == node);
            let why = said.map_or("gave no word", |(_, why)| why.as_str());
            return format!("{node} has to take part in this change and does not: {why}");
        }
        if prepared.len() < self.needs.count {
            let (have, need) = (prepared.len(), self.needs.count);
            return format!("{have} nodes are prepared; at least {need} have to be");
        }
        String::new()
    }

    fn switched(
        &self,
        mut fenced: Vec<(NodeName, String)>,
        outcomes: Vec<(NodeName, Outcome)>,
    ) -> Verdict {
        for (node, outcome) in outcomes {
            let why = match outcome {
                Outcome::Switched => {
                    fenced.retain(|(name, _)| *name != node);
                    continue;
                }
                Outcome::Refused(why) | Outcome::Unreachable(why) => why,
                Outcome::Prepared | Outcome::Aborted => "answered another question".to_owned(),
            };
            if !fenced.iter().any(|(name, _)| *name == node) {
                fenced.push((node, why));
            }
        }
        let (refused, why) = (Vec::new(), String::new());
        Verdict { committed: true, epoch: self.epoch, refused, fenced, why }
    }
}
