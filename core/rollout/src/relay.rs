//! One node's part in every push: check, store, hand on, confirm; switch or forget on command.
//!
//! ```text
//! Idle ─ Prepare ─► Checking ─► Storing ─► Gathering ─► answer Prepared (for all below) ─► Idle
//! Idle ─ Commit ──────────────► Storing ─► switch, Gathering ─► answer Switched ─► Idle
//! Idle ─ Abort ───────────────► Storing ─► Gathering ─► answer Aborted ─► Idle
//! ```
//! A commit or abort for the version that is being prepared cuts the preparing short: the parent
//! has stopped waiting for us. The ledger, not the state, remembers what was promised.

use std::collections::VecDeque;
use std::time::Duration;

use popnet_terms::{NodeName, Timestamp};
use popnet_wire::rollout::{Digest, Down, Epoch, Outcome, Up, Version};

use crate::gather::{Gather, Heard};
use crate::ledger::{Ledger, Staged};
use crate::tree::Tree;

/// While another master's push is younger than this, a second one is refused; an older one has
/// lost its master, and its place may be taken.
const PUSH_MAX: Duration = Duration::from_secs(120);

/// What is to be done, in the order in which it comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read the version and see whether this node can run it; then [`Relay::handle_checked`].
    Check(Version),
    /// Make this durable; then [`Relay::handle_persisted`]. Nothing else comes out before.
    Persist(Box<Ledger>),
    /// It is in force: tell the roles.
    Switch(Version),
    /// Ask a node below; its answer comes back with the round to [`Relay::handle_up`].
    Send {
        /// Which phase of which push this belongs to.
        round: u64,
        /// Whom.
        to: NodeName,
        /// What.
        down: Down,
    },
    /// News from below, for whoever watches.
    Progress(Vec<(NodeName, Outcome)>),
    /// The answer to the ask that came as `asker`.
    Answer {
        /// Which ask.
        asker: u64,
        /// What to say.
        up: Up,
    },
    /// A commit came for a version that is not stored here: fetch it from above.
    CatchUp,
}

#[derive(Clone, Debug)]
enum State {
    Idle,
    Checking { version: Version, askers: Vec<u64> },
    Storing { next: Box<Ledger>, then: Then, askers: Vec<u64> },
    Gathering { gather: Gather, own: Outcome, askers: Vec<u64> },
}

/// What follows when the ledger is durable.
#[derive(Clone, Debug)]
enum Then {
    HandOn { down: Down, tree: Tree, own: Outcome, skip: Vec<NodeName>, switch: bool },
    Switch(Version),
    Rest,
}

/// A node's part in pushes.
#[derive(Clone, Debug)]
pub struct Relay {
    me: NodeName,
    ledger: Ledger,
    state: State,
    round: u64,
    actions: VecDeque<Action>,
}

impl Relay {
    /// The relay of node `me`, with what it remembers.
    #[must_use]
    pub fn new(me: NodeName, ledger: Ledger) -> Self {
        Self { me, ledger, state: State::Idle, round: 0, actions: VecDeque::new() }
    }

    /// What is durable.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Whether a phase of a push is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        match &self.state {
            State::Gathering { gather, .. } => gather.deadline(),
            State::Idle | State::Checking { .. } | State::Storing { .. } => None,
        }
    }

    /// After a start: gives up an own push that was not decided, walks on with a commit that was.
    pub fn handle_start(&mut self, now: Timestamp) {
        let own = self.ledger.staged.as_ref().filter(|staged| staged.version.master == self.me);
        if let Some(staged) = own {
            self.abort(staged.version.epoch, Vec::new(), now);
        } else if let (Some(open), Some(v)) = (&self.ledger.unfinished, &self.ledger.committed) {
            let (tree, fenced) = (open.tree.clone(), open.fenced.clone());
            let down = Down::Commit { epoch: v.epoch, digest: v.digest, fenced: fenced.clone() };
            self.hand_on(down, tree, Outcome::Switched, &fenced, Vec::new(), now);
        }
    }

    /// A parent, a returning child, or this master's own coordinator asks.
    pub fn handle_down(&mut self, asker: u64, down: Down, now: Timestamp) {
        match down {
            Down::Current => {
                let up = Up::Current(self.ledger.committed.clone());
                self.actions.push_back(Action::Answer { asker, up });
            }
            Down::Newer(than) => {
                let newer = self.ledger.committed.clone().filter(|v| v.epoch > than);
                self.actions.push_back(Action::Answer { asker, up: Up::Current(newer) });
            }
            Down::Prepare(_) | Down::Commit { .. } | Down::Abort { .. } if self.is_storing() => {
                // The asker comes again; what is being written is soon durable.
                let outcome = Outcome::Unreachable("busy writing".to_owned());
                self.answer(&[asker], &[(self.me.clone(), outcome)]);
            }
            Down::Prepare(version) => self.prepare(asker, version, now),
            Down::Commit { epoch, digest, fenced } => {
                if self.join(asker, Phase::Commit, epoch) {
                } else if self.make_way(epoch) {
                    self.commit(asker, epoch, digest, fenced, now);
                } else {
                    self.commit_of_another(asker, epoch, digest);
                }
            }
            Down::Abort { epoch } => {
                if self.join(asker, Phase::Abort, epoch) {
                } else if self.make_way(epoch) {
                    self.abort(epoch, vec![asker], now);
                } else {
                    // What is stored here is another push's.
                    self.answer(&[asker], &[(self.me.clone(), Outcome::Aborted)]);
                }
            }
        }
    }

    /// The version of [`Action::Check`] fits this node and travels along `tree`, or it does not.
    pub fn handle_checked(&mut self, epoch: Epoch, found: Result<Tree, String>, now: Timestamp) {
        let (version, askers) = match std::mem::replace(&mut self.state, State::Idle) {
            State::Checking { version, askers } if version.epoch == epoch => (version, askers),
            // The push was cut short while it was checked.
            other @ (State::Idle
            | State::Checking { .. }
            | State::Storing { .. }
            | State::Gathering { .. }) => {
                self.state = other;
                return;
            }
        };
        match found {
            Err(why) => self.answer(&askers, &[(self.me.clone(), Outcome::Refused(why))]),
            Ok(tree) => {
                let next = self.ledger.staging(version.clone(), tree.clone(), now);
                let (down, own) = (Down::Prepare(version), Outcome::Prepared);
                let then = Then::HandOn { down, tree, own, skip: Vec::new(), switch: false };
                self.persist(next, then, askers);
            }
        }
    }

    /// The ledger of [`Action::Persist`] is durable, or could not be written.
    pub fn handle_persisted(&mut self, written: Result<(), String>, now: Timestamp) {
        let (next, then, askers) = match std::mem::replace(&mut self.state, State::Idle) {
            State::Storing { next, then, askers } => (next, then, askers),
            other @ (State::Idle | State::Checking { .. } | State::Gathering { .. }) => {
                self.state = other;
                return;
            }
        };
        if let Err(why) = written {
            let outcome = match &then {
                Then::HandOn { down: Down::Prepare(_), .. } => Outcome::Refused(why),
                Then::HandOn { .. } | Then::Switch(_) | Then::Rest => Outcome::Unreachable(why),
            };
            self.answer(&askers, &[(self.me.clone(), outcome)]);
            return;
        }
        self.ledger = *next;
        match then {
            Then::Rest => {}
            Then::Switch(version) => self.actions.push_back(Action::Switch(version)),
            Then::HandOn { down, tree, own, skip, switch } => {
                if let (true, Some(version)) = (switch, &self.ledger.committed) {
                    self.actions.push_back(Action::Switch(version.clone()));
                }
                self.hand_on(down, tree, own, &skip, askers, now);
            }
        }
    }

    /// A node below answered the [`Action::Send`] of `round`, or could not be asked.
    pub fn handle_up(
        &mut self,
        round: u64,
        child: &NodeName,
        said: Result<Up, String>,
        now: Timestamp,
    ) {
        let said = match said {
            Ok(Up::Outcomes(list)) => Ok(list),
            Ok(Up::Current(_)) => Err("answered another question".to_owned()),
            Err(why) => Err(why),
        };
        if round != self.round {
            return;
        }
        if let State::Gathering { gather, .. } = &mut self.state {
            let heard = gather.hear(child, said, now);
            self.after(heard);
        }
    }

    /// Time has passed: children that are late are passed over.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if let State::Gathering { gather, .. } = &mut self.state {
            let heard = gather.expire(now);
            self.after(heard);
        }
    }

    /// A version in force above, which this node has found fit to run. Ignored while a push is
    /// under way here, and when it is not newer.
    pub fn handle_newer(&mut self, version: Version) {
        if self.is_idle() && version.epoch > self.ledger.epoch() {
            let next = self.ledger.adopting(version.clone());
            self.persist(next, Then::Switch(version), Vec::new());
        }
    }

    fn is_storing(&self) -> bool {
        matches!(self.state, State::Storing { .. })
    }

    fn prepare(&mut self, asker: u64, version: Version, now: Timestamp) {
        if self.join(asker, Phase::Prepare, version.epoch) {
            return;
        }
        if let Some(why) = self.objection(&version, now) {
            let up = Up::Outcomes(vec![(self.me.clone(), Outcome::Refused(why))]);
            self.actions.push_back(Action::Answer { asker, up });
            return;
        }
        // A commit or abort that is still walking down below does not hold up the next push.
        self.let_go();
        match &self.ledger.staged {
            Some(staged) if same(staged, version.epoch, version.digest) => {
                let tree = staged.tree.clone();
                let down = Down::Prepare(version);
                self.hand_on(down, tree, Outcome::Prepared, &[], vec![asker], now);
            }
            Some(_) | None => {
                self.actions.push_back(Action::Check(version.clone()));
                self.state = State::Checking { version, askers: vec![asker] };
            }
        }
    }

    /// Why this node cannot even consider `version`.
    fn objection(&self, version: &Version, now: Timestamp) -> Option<String> {
        let (epoch, master) = (version.epoch, &version.master);
        if self.ledger.runs(epoch, version.digest) || epoch <= self.ledger.epoch() {
            return Some(format!("runs {}, which is not older than {epoch}", self.ledger.epoch()));
        }
        let busy = match &self.state {
            State::Checking { version, .. } => Some(version.master.clone()),
            State::Gathering { gather, .. } => preparing(gather).map(|v| v.master.clone()),
            State::Idle | State::Storing { .. } => None,
        };
        if let Some(other) = busy {
            return Some(format!("a push by {other} is under way"));
        }
        if let Some(staged) = &self.ledger.staged {
            if same(staged, epoch, version.digest) {
                return None;
            }
            let fresh = now.since(staged.since) < PUSH_MAX;
            if fresh && staged.version.master != *master {
                let other = &staged.version;
                return Some(format!("a push of {} by {} is under way", other.epoch, other.master));
            }
        }
        let promised = self.ledger.promised.get(master).copied().unwrap_or_default();
        (epoch <= promised).then(|| format!("{epoch} was taken from {master} and given up before"))
    }

    fn commit(
        &mut self,
        asker: u64,
        epoch: Epoch,
        digest: Digest,
        fenced: Vec<NodeName>,
        now: Timestamp,
    ) {
        let down = Down::Commit { epoch, digest, fenced: fenced.clone() };
        let own = Outcome::Switched;
        let staged = self.ledger.staged.as_ref().filter(|staged| same(staged, epoch, digest));
        if let Some(staged) = staged {
            let next = self.ledger.committing(staged, fenced.clone());
            let tree = staged.tree.clone();
            let then = Then::HandOn { down, tree, own, skip: fenced, switch: true };
            self.persist(next, then, vec![asker]);
            return;
        }
        if self.ledger.runs(epoch, digest) {
            let tree = self.ledger.unfinished.as_ref().map(|open| open.tree.clone());
            self.hand_on(down, tree.unwrap_or_default(), own, &fenced, vec![asker], now);
            return;
        }
        self.commit_of_another(asker, epoch, digest);
    }

    /// A commit for something that is not stored here.
    fn commit_of_another(&mut self, asker: u64, epoch: Epoch, digest: Digest) {
        let outcome = if self.ledger.runs(epoch, digest) {
            Outcome::Switched
        } else if self.ledger.epoch() >= epoch {
            Outcome::Refused(format!("runs {}, which is not older", self.ledger.epoch()))
        } else {
            self.actions.push_back(Action::CatchUp);
            Outcome::Unreachable(format!("{epoch} is not stored here; it is being fetched"))
        };
        self.answer(&[asker], &[(self.me.clone(), outcome)]);
    }

    fn abort(&mut self, epoch: Epoch, askers: Vec<u64>, now: Timestamp) {
        let down = Down::Abort { epoch };
        match self.ledger.staged.as_ref().filter(|staged| staged.version.epoch == epoch) {
            Some(staged) => {
                let tree = staged.tree.clone();
                let next = self.ledger.aborting(epoch);
                let own = Outcome::Aborted;
                let then = Then::HandOn { down, tree, own, skip: Vec::new(), switch: false };
                self.persist(next, then, askers);
            }
            None => self.hand_on(down, Tree::default(), Outcome::Aborted, &[], askers, now),
        }
    }

    fn persist(&mut self, next: Ledger, then: Then, askers: Vec<u64>) {
        self.let_go();
        let next = Box::new(next);
        self.actions.push_back(Action::Persist(next.clone()));
        self.state = State::Storing { next, then, askers };
    }

    fn hand_on(
        &mut self,
        down: Down,
        tree: Tree,
        own: Outcome,
        skip: &[NodeName],
        askers: Vec<u64>,
        now: Timestamp,
    ) {
        self.let_go();
        self.round += 1;
        let (gather, next) = Gather::begin(down, tree, &self.me, skip, now);
        self.state = State::Gathering { gather, own, askers };
        self.after(Heard { news: Vec::new(), next });
    }

    /// Asks whom the gathering wants asked next, and ends it when all have spoken.
    fn after(&mut self, heard: Heard) {
        let State::Gathering { gather, .. } = &self.state else { return };
        let down = gather.down().clone();
        let done = gather.is_done();
        if !heard.news.is_empty() {
            self.actions.push_back(Action::Progress(heard.news));
        }
        for to in heard.next {
            self.actions.push_back(Action::Send { round: self.round, to, down: down.clone() });
        }
        if done {
            self.let_go();
            if matches!(down, Down::Commit { .. }) && self.ledger.unfinished.is_some() {
                self.persist(self.ledger.finished(), Then::Rest, Vec::new());
            }
        }
    }

    /// Ends a gathering with what is known, and answers whoever waits for it.
    fn let_go(&mut self) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Gathering { gather, own, askers } => {
                let mut outcomes = vec![(self.me.clone(), own)];
                outcomes.extend(gather.outcomes());
                self.answer(&askers, &outcomes);
            }
            other @ (State::Idle | State::Checking { .. } | State::Storing { .. }) => {
                self.state = other;
            }
        }
    }

    /// A decision about `epoch` comes while something else is under way. The prepare of the same
    /// number ends here, as does walking down with an older decision. What is being prepared with
    /// another number goes on; `false` then.
    fn make_way(&mut self, epoch: Epoch) -> bool {
        match &self.state {
            State::Idle | State::Storing { .. } => true,
            State::Checking { askers, .. } => {
                let askers = askers.clone();
                self.state = State::Idle;
                let outcome = Outcome::Unreachable("a decision came before its check".to_owned());
                self.answer(&askers, &[(self.me.clone(), outcome)]);
                true
            }
            State::Gathering { gather, .. } => {
                let stays = preparing(gather).is_some_and(|version| version.epoch != epoch);
                if !stays {
                    self.let_go();
                }
                !stays
            }
        }
    }

    /// Whether the same ask is being worked on already; then its answer goes to `asker` too.
    fn join(&mut self, asker: u64, phase: Phase, epoch: Epoch) -> bool {
        let (busy, askers) = match &mut self.state {
            State::Idle => return false,
            State::Checking { version, askers } => ((Phase::Prepare, version.epoch), askers),
            State::Gathering { gather, askers, .. } => (phase_of(gather.down()), askers),
            State::Storing { .. } => return false,
        };
        let joined = busy == (phase, epoch);
        if joined {
            askers.push(asker);
        }
        joined
    }

    fn answer(&mut self, askers: &[u64], outcomes: &[(NodeName, Outcome)]) {
        for asker in askers {
            let up = Up::Outcomes(outcomes.to_vec());
            self.actions.push_back(Action::Answer { asker: *asker, up });
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Prepare,
    Commit,
    Abort,
    Question,
}

fn phase_of(down: &Down) -> (Phase, Epoch) {
    match down {
        Down::Prepare(version) => (Phase::Prepare, version.epoch),
        Down::Commit { epoch, .. } => (Phase::Commit, *epoch),
        Down::Abort { epoch } => (Phase::Abort, *epoch),
        Down::Current | Down::Newer(_) => (Phase::Question, Epoch(0)),
    }
}

fn preparing(gather: &Gather) -> Option<&Version> {
    match gather.down() {
        Down::Prepare(version) => Some(version),
        Down::Commit { .. } | Down::Abort { .. } | Down::Current | Down::Newer(_) => None,
    }
}

fn same(staged: &Staged, epoch: Epoch, digest: Digest) -> bool {
    staged.version.epoch == epoch && staged.version.digest == digest
}
