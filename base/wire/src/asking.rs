//! Questions to a LogServer (L6, L7). Every question carries whose data it may see.

use std::sync::Arc;

use popnet_terms::{CustomerId, NodeName, Role, SiteName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::logging::{Counter, Record};

/// Whose data a question may see. There is no question without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Everything: operators.
    Network,
    /// One customer's.
    Customer(CustomerId),
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Whose data.
    pub scope: Scope,
    /// What.
    pub what: What,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// Counters summed by site, POP and minute over `from..to`.
    Counters {
        /// First minute since 1970.
        from: i64,
        /// Minute after the last.
        to: i64,
        /// Only this site.
        site: Option<SiteName>,
    },
    /// Newest detail records, newest first.
    Records {
        /// Which.
        kind: RecordKind,
        /// Only this site.
        site: Option<SiteName>,
        /// Only records before this time.
        before: Option<Timestamp>,
        /// Most records; at most 1,000.
        limit: u32,
    },
    /// One decision by its id.
    Decision {
        /// The id.
        id: u64,
    },
    /// What has arrived from whom, and what is missing.
    Completeness,
}

/// A kind of detail record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordKind {
    /// Requests.
    Access,
    /// Steered answers.
    Decision,
    /// State changes and errors.
    Event,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`What::Counters`], with the customer of each row.
    Counters(Vec<(CustomerId, Counter)>),
    /// To [`What::Records`] and [`What::Decision`]: customer, sender, record.
    Records(Vec<(CustomerId, NodeName, Record)>),
    /// To [`What::Completeness`].
    Completeness(Vec<Arrival>),
}

/// What has arrived from one sender for one customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// The sender.
    pub sender: NodeName,
    /// Its role.
    pub role: Role,
    /// Whose.
    pub customer: CustomerId,
    /// Highest number seen.
    pub last_seq: u64,
    /// Numbers below it that have not arrived.
    pub missing: u64,
    /// When the newest arrived.
    pub last_at: Timestamp,
    /// Detail records its senders dropped.
    pub dropped: u64,
    /// Free words when something is wrong; empty otherwise.
    pub note: Arc<str>,
}
