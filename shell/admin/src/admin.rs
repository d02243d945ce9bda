//! The conversations, one function each.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "every reply but the one asked for is foreign, also one that is added later"
)]

use std::sync::Arc;
use std::time::Duration;

use popnet_runtime::link::{Link, LinkError};
use popnet_terms::NodeName;
use popnet_wire::asking::{Answer, Question};
use popnet_wire::control::{Ask, Problem, PushOrder, Reply};
use popnet_wire::counting::DnsCounts;
use popnet_wire::explaining::{DnsStory, ExplainDns, ExplainUrl, UrlStory};
use popnet_wire::inquiring::{Explanation, Inquiry, Moves};
use popnet_wire::purging::{Purge, PurgeOrder, PurgeReceipt};
use popnet_wire::rollout::{Epoch, Outcome, Version};
use popnet_wire::status::NetworkStatus;
use popnet_wire::zoning::{ZoneAsk, ZoneStanding};

use crate::Endpoint;

/// A question that reads is answered sooner than this, or not at all: the daemon asks the other
/// nodes with shorter patience.
const READ_WAIT: Duration = Duration::from_secs(10);

/// The longest silence inside a push or a purge: a node's own patience for its children, twice.
const WRITE_WAIT: Duration = Duration::from_secs(60);

/// Most tiers of a node that explain a URL.
const STORIES_MAX: usize = 64;

/// A configuration daemon to ask. Each question opens its own conversation, so that one `Admin`
/// serves many tasks at once and a broken conversation breaks one question only.
#[derive(Clone, Debug)]
pub struct Admin {
    endpoint: Endpoint,
    master: Option<NodeName>,
}

/// A purge that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purged {
    /// The order with its number.
    pub purge: Purge,
    /// Each node's last word.
    pub receipts: Vec<PurgeReceipt>,
}

/// A push that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The version in force now.
    pub epoch: Epoch,
    /// Whether it is the pushed one.
    pub committed: bool,
    /// Nodes left behind, with what was done about each.
    pub fenced: Vec<(NodeName, String)>,
}

impl Admin {
    /// Asks through `endpoint`. Opens nothing yet.
    #[must_use]
    pub fn to(endpoint: Endpoint) -> Self {
        Self { endpoint, master: None }
    }

    /// Hands questions that only a master answers on to `master`: for a daemon that is none.
    #[must_use]
    pub fn through(mut self, master: Option<NodeName>) -> Self {
        self.master = master;
        self
    }

    /// The whole network as the master sees it.
    ///
    /// # Errors
    /// What the daemon says, or that it does not answer.
    pub async fn network_status(&self) -> Result<NetworkStatus, Problem> {
        match self.one(self.for_master(Ask::NetworkStatus)).await? {
            Reply::Network(status) => Ok(*status),
            other => Err(self.foreign(&other)),
        }
    }

    /// Pushes a configuration; `on_progress` hears the phase and what became of which nodes.
    ///
    /// # Errors
    /// What the daemon says, or that it does not answer. A push that a node refuses is no error
    /// of this conversation when the master says so with [`Pushed::committed`] false.
    pub async fn push(
        &self,
        order: PushOrder,
        mut on_progress: impl FnMut(&str, &[(NodeName, Outcome)]),
    ) -> Result<Pushed, Problem> {
        let ask = self.for_master(Ask::Push(order));
        let mut link = self.open(WRITE_WAIT).await?;
        let mut replies = link.ask(&ask).await.map_err(|error| self.failed(&error))?;
        while let Some(reply) = replies.next().await.map_err(|error| self.failed(&error))? {
            match reply {
                Reply::Progress { phase, outcomes } => on_progress(&phase, &outcomes),
                Reply::Pushed { epoch, committed, fenced } => {
                    return Ok(Pushed { epoch, committed, fenced });
                }
                other => return Err(self.foreign(&other)),
            }
        }
        Err(self.nothing())
    }

    /// Versions, newest first, without their texts.
    ///
    /// # Errors
    /// What the daemon says, or that it does not answer.
    pub async fn history(&self, limit: u32) -> Result<Vec<Version>, Problem> {
        match self.one(self.for_master(Ask::History { limit })).await? {
            Reply::Versions(versions) => Ok(versions),
            other => Err(self.foreign(&other)),
        }
    }

    /// Version `epoch`, or the one in force.
    ///
    /// # Errors
    /// What the daemon says, or that it does not answer.
    pub async fn version(&self, epoch: Option<Epoch>) -> Result<Option<Version>, Problem> {
        match self.one(self.for_master(Ask::Version(epoch))).await? {
            Reply::Version(version) => Ok(version.map(|boxed| *boxed)),
            other => Err(self.foreign(&other)),
        }
    }

    /// Purges everywhere; `on_receipts` hears the number first (with no receipts), then each
    /// node's word as it comes in.
    ///
    /// # Errors
    /// What the daemon says, or that it does not answer.
    pub async fn purge(
        &self,
        order: PurgeOrder,
        mut on_receipts: impl FnMut(&Purge, &[PurgeReceipt]),
    ) -> Result<Purged, Problem> {
        let ask = self.for_master(Ask::PurgeNetwork(order));
        let mut link = self.open(WRITE_WAIT).await?;
        let mut replies = link.ask(&ask).await.map_err(|error| self.failed(&error))?;
        let mut started: Option<Purge> = None;
        let mut receipts: Vec<PurgeReceipt> = Vec::new();
        while let Some(reply) = replies.next().await.map_err(|error| self.failed(&error))? {
            match (reply, &started) {
                (Reply::PurgeStarted(purge), None) => {
                    on_receipts(&purge, &[]);
                    started = Some(purge);
                }
                (Reply::Receipts(some), Some(purge)) => {
                    on_receipts(purge, &some);
                    merge(&mut receipts, some);
                }
                (other, _) => return Err(self.foreign(&other)),
            }
        }
        started.map(|purge| Purged { purge, receipts }).ok_or_else(|| self.nothing())
    }

    /// Why does this resolver get that answer from `node`, a name server? With the view of our
    /// zones that it has, if it has one.
    ///
    /// # Errors
    /// What the daemon or the name server says, or that it does not answer.
    pub async fn explain_dns(
        &self,
        node: &NodeName,
        question: ExplainDns,
    ) -> Result<(DnsStory, Option<Arc<str>>), Problem> {
        match self.one(at(node, Ask::ExplainDns(question))).await? {
            Reply::Dns(story) => Ok((story, None)),
            Reply::DnsInView { view, story } => Ok((story, Some(view))),
            other => Err(self.foreign(&other)),
        }
    }

    /// Why does a resolver get that answer from `node`, a name server, at some time and under some
    /// conditions?
    ///
    /// # Errors
    /// What the daemon or the name server says, or that it does not answer.
    pub async fn inquire(&self, node: &NodeName, inquiry: Inquiry) -> Result<Explanation, Problem> {
        match self.one_slow(at(node, Ask::Inquire(Box::new(inquiry)))).await? {
            Reply::Explained(told) => Ok(*told),
            other => Err(self.foreign(&other)),
        }
    }

    /// Who would move if `text` were the configuration, as `node`, a name server, sees it?
    ///
    /// # Errors
    /// What the daemon or the name server says, or that it does not answer.
    pub async fn moves(&self, node: &NodeName, text: String) -> Result<Moves, Problem> {
        match self.one_slow(at(node, Ask::Moves(text))).await? {
            Reply::Moves(moves) => Ok(*moves),
            other => Err(self.foreign(&other)),
        }
    }

    /// Gives `node`, a name server, an order about a zone; says how the zone stands then, for
    /// everybody and in each view that has one of its own.
    ///
    /// # Errors
    /// What the daemon or the name server says, or that it does not answer.
    pub async fn zone(
        &self,
        node: &NodeName,
        ask: ZoneAsk,
    ) -> Result<Vec<(Option<Arc<str>>, ZoneStanding)>, Problem> {
        match self.one(at(node, Ask::Zone(ask))).await? {
            Reply::Zone(standing) => Ok(vec![(None, *standing)]),
            Reply::ZoneInViews(standings) => Ok(standings),
            other => Err(self.foreign(&other)),
        }
    }

    /// What has `node`, a name server, counted since it started?
    ///
    /// # Errors
    /// What the daemon or the name server says, or that it does not answer.
    pub async fn dns_counts(&self, node: &NodeName) -> Result<DnsCounts, Problem> {
        match self.one(at(node, Ask::DnsCounts)).await? {
            Reply::DnsCounts(counts) => Ok(*counts),
            other => Err(self.foreign(&other)),
        }
    }

    /// What would this URL get at `node`, tier by tier?
    ///
    /// # Errors
    /// What the daemon or the cache says, or that it does not answer.
    pub async fn explain_url(
        &self,
        node: &NodeName,
        question: ExplainUrl,
    ) -> Result<Vec<UrlStory>, Problem> {
        let ask = at(node, Ask::ExplainUrl(question));
        let mut link = self.open(READ_WAIT).await?;
        let mut replies = link.ask(&ask).await.map_err(|error| self.failed(&error))?;
        let mut stories = Vec::new();
        while let Some(reply) = replies.next().await.map_err(|error| self.failed(&error))? {
            match reply {
                Reply::Url(story) if stories.len() < STORIES_MAX => stories.push(story),
                other => return Err(self.foreign(&other)),
            }
        }
        Ok(stories)
    }

    /// Asks the log server on `node`.
    ///
    /// # Errors
    /// What the daemon or the log server says, or that it does not answer.
    pub async fn question(&self, node: &NodeName, question: Question) -> Result<Answer, Problem> {
        match self.one(at(node, Ask::Question(question))).await? {
            Reply::Answer(answer) => Ok(answer),
            other => Err(self.foreign(&other)),
        }
    }

    fn for_master(&self, ask: Ask) -> Ask {
        match &self.master {
            Some(master) => at(master, ask),
            None => ask,
        }
    }

    async fn one(&self, ask: Ask) -> Result<Reply, Problem> {
        let mut link = self.open(READ_WAIT).await?;
        link.ask_one(&ask).await.map_err(|error| self.failed(&error))
    }

    /// Asks what takes its time to be found out.
    async fn one_slow(&self, ask: Ask) -> Result<Reply, Problem> {
        let mut link = self.open(WRITE_WAIT).await?;
        link.ask_one(&ask).await.map_err(|error| self.failed(&error))
    }

    async fn open(&self, patience: Duration) -> Result<Link, Problem> {
        let link = self.endpoint.open().await.map_err(|error| self.failed(&error))?;
        Ok(link.patient_for(patience))
    }

    /// A failure with the place where it happened; the daemon's own words stay as they are.
    fn failed(&self, error: &LinkError) -> Problem {
        let mut problem = error.problem();
        if !matches!(error, LinkError::Problem(_)) {
            problem.what = format!("configuration daemon at {}: {}", self.endpoint, problem.what);
            if problem.next.is_empty() {
                let next = "start that node: popnet run   (a demo's: popnet demo start ctl)";
                next.clone_into(&mut problem.next);
            }
        }
        problem
    }

    fn foreign(&self, reply: &Reply) -> Problem {
        // The kind of the reply is enough for a report; its content may be long or private.
        let text = format!("{reply:?}");
        let kind = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let what = format!("{} answered something else than was asked ({kind})", self.endpoint);
        Problem::new("N0007", what, "popnet --version")
    }

    fn nothing(&self) -> Problem {
        Problem::new("N0008", format!("{} gave no answer", self.endpoint), "popnet status")
    }
}

fn at(node: &NodeName, ask: Ask) -> Ask {
    Ask::At(node.clone(), Box::new(ask))
}

/// A node's later word replaces its earlier one.
fn merge(receipts: &mut Vec<PurgeReceipt>, new: Vec<PurgeReceipt>) {
    for receipt in new {
        match receipts.iter_mut().find(|old| old.node == receipt.node) {
            Some(old) => *old = receipt,
            None => receipts.push(receipt),
        }
    }
}
