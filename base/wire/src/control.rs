//! The control conversation: an [`Ask`] frame, then [`Reply`] frames until [`Reply::End`] or
//! [`Reply::Problem`]. Over TCP with TLS between nodes, over a Unix socket inside one.

use std::sync::Arc;

use popnet_terms::{NodeName, Role};
use serde::{Deserialize, Serialize};

use crate::asking::{Answer, Question};
use crate::counting::DnsCounts;
use crate::explaining::{DnsStory, ExplainDns, ExplainUrl, UrlStory};
use crate::inquiring::{Explanation, Inquiry, Moves};
use crate::purging::{Purge, PurgeId, PurgeOrder, PurgeReceipt};
use crate::rollout::{Down, Epoch, Outcome, Up, Version};
use crate::sheet::{Sheet, SheetAsk};
use crate::status::{NetworkStatus, NodeStatus, RoleStatus};
use crate::trips::{TripsAsk, TripsTold};
use crate::zoning::{ZoneAsk, ZoneStanding};

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    /// Any node: how are you? → [`Reply::Node`]
    NodeStatus,
    /// A role over its own socket: how are you? → [`Reply::Role`]
    RoleStatus,
    /// A holder of the configuration: a cache's sheet. → [`Reply::Sheet`]
    Sheet(SheetAsk),
    /// Parent to child, or child to parent. → [`Reply::Rollout`]
    Rollout(Down),
    /// A master to a node, a node to its cache roles: apply. → [`Reply::Receipts`]
    Purge(Purge),
    /// A node to a master: purges after this one. → [`Reply::Purges`]
    PurgesSince(PurgeId),
    /// A name server: why? → [`Reply::Dns`]
    ExplainDns(ExplainDns),
    /// A cache: why? → [`Reply::Url`], one a tier
    ExplainUrl(ExplainUrl),
    /// A log server: what happened? → [`Reply::Answer`]
    Question(Question),
    /// A master: ask that node this. Only people and NetView may. → whatever the node says
    At(NodeName, Box<Self>),
    /// A master: the whole network. → [`Reply::Network`]
    NetworkStatus,
    /// A master: this text is to be the next version. → [`Reply::Progress`]…, [`Reply::Pushed`]
    Push(PushOrder),
    /// A master: versions, newest first. → [`Reply::Versions`]
    History {
        /// Most entries.
        limit: u32,
    },
    /// A master: one version, or the one in force. → [`Reply::Version`]
    Version(Option<Epoch>),
    /// A master: purge everywhere. → [`Reply::PurgeStarted`], [`Reply::Receipts`]…
    PurgeNetwork(PurgeOrder),
    /// The local configuration daemon: forget nothing, read the file again.
    Reload,
    /// A name server: an order about one zone. → [`Reply::Zone`]
    Zone(ZoneAsk),
    /// A cache: round trips to its clients. → [`Reply::Trips`]
    Trips(TripsAsk),
    /// A name server: why, at some time and under some conditions? → [`Reply::Explained`]
    Inquire(Box<Inquiry>),
    /// A name server: who would move if this text were the configuration? → [`Reply::Moves`]
    Moves(String),
    /// A name server: what have you counted? → [`Reply::DnsCounts`]
    DnsCounts,
}

/// A push as a person gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushOrder {
    /// The new TOML text.
    pub text: String,
    /// Who.
    pub author: String,
    /// Why.
    pub message: String,
    /// Refuse when another version than this is in force.
    pub expect: Option<Epoch>,
}

/// What is said back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// Nothing more comes.
    End,
    /// It did not work; nothing more comes.
    Problem(Problem),
    /// To [`Ask::NodeStatus`].
    Node(Box<NodeStatus>),
    /// To [`Ask::RoleStatus`].
    Role(RoleStatus),
    /// To [`Ask::Sheet`]; `None`: nothing newer than what you have.
    Sheet(Option<Box<Sheet>>),
    /// To [`Ask::Rollout`].
    Rollout(Up),
    /// To [`Ask::Purge`] and [`Ask::PurgeNetwork`], as they come in.
    Receipts(Vec<PurgeReceipt>),
    /// First word to [`Ask::PurgeNetwork`].
    PurgeStarted(Purge),
    /// To [`Ask::PurgesSince`].
    Purges(Vec<Purge>),
    /// To [`Ask::ExplainDns`].
    Dns(DnsStory),
    /// To [`Ask::ExplainUrl`].
    Url(UrlStory),
    /// To [`Ask::Question`].
    Answer(Answer),
    /// To [`Ask::NetworkStatus`].
    Network(Box<NetworkStatus>),
    /// While a push runs: what became of which nodes in this phase.
    Progress {
        /// `prepare`, `switch` or `abort`.
        phase: Arc<str>,
        /// Outcomes so far.
        outcomes: Vec<(NodeName, Outcome)>,
    },
    /// A push is over.
    Pushed {
        /// The version in force now.
        epoch: Epoch,
        /// Whether it is the pushed one.
        committed: bool,
        /// Nodes left behind, with what was done about each.
        fenced: Vec<(NodeName, String)>,
    },
    /// To [`Ask::History`]: versions without their texts.
    Versions(Vec<Version>),
    /// To [`Ask::Version`].
    Version(Option<Box<Version>>),
    /// To [`Ask::Zone`].
    Zone(Box<ZoneStanding>),
    /// To [`Ask::Trips`].
    Trips(TripsTold),
    /// To [`Ask::ExplainDns`]: who asks is in this view.
    DnsInView {
        /// The view's name.
        view: Arc<str>,
        /// What is answered in it.
        story: DnsStory,
    },
    /// To [`Ask::Zone`]: views have zones of this name. `None`: everybody's.
    ZoneInViews(Vec<(Option<Arc<str>>, ZoneStanding)>),
    /// To [`Ask::Inquire`].
    Explained(Box<Explanation>),
    /// To [`Ask::Moves`].
    Moves(Box<Moves>),
    /// To [`Ask::DnsCounts`].
    DnsCounts(Box<DnsCounts>),
}

/// Why something did not work, for a person: what, where, why, and what to type next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {what}")]
pub struct Problem {
    /// Stable code such as `N0009`.
    pub code: Arc<str>,
    /// What went wrong, where and why. May have several lines.
    pub what: String,
    /// The next command to type; empty when there is none.
    pub next: String,
    /// Which of the frozen exit codes fits (1 failed, 3 not found, 4 not allowed, 5 conflict …).
    pub exit: u8,
}

impl Problem {
    /// A problem with exit code 1.
    #[must_use]
    pub fn new(code: &str, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { code: code.into(), what: what.into(), next: next.into(), exit: 1 }
    }

    /// A role's answer to an ask that is for others.
    #[must_use]
    pub fn not_mine(role: Role) -> Self {
        Self::new("N0006", format!("a {role} does not answer this"), "popnet --version")
    }

    /// The same with another exit code.
    #[must_use]
    pub fn with_exit(mut self, exit: u8) -> Self {
        self.exit = exit;
        self
    }
}

/// The file name of a role's own socket below the node's run folder.
#[must_use]
pub fn role_socket(role: Role) -> String {
    format!("{role}.sock")
}

/// The file name of the configuration daemon's socket below the node's run folder.
pub const ADMIN_SOCKET: &str = "admin.sock";
