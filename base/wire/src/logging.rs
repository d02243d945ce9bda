//! Log batches: numbered, compressed, acknowledged (C3, L1, L3). One QUIC stream a batch; the
//! content is a frame of [`Batch`], compressed with zstd as a whole.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use popnet_terms::{
    Because, CacheReason, CustomerId, Micros, NodeName, OriginId, PopId, Removed, Role, RttSource,
    Seconds, SiteName, TargetId, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::rollout::Epoch;

/// Most records in a batch: keeps one below a megabyte.
pub const RECORDS_MAX: usize = 4_096;

/// Names a batch for good.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BatchId {
    /// The node that sends.
    pub sender: NodeName,
    /// Its role.
    pub role: Role,
    /// Whose records these are: a batch holds one customer's only (L4).
    pub customer: CustomerId,
    /// 1, 2, 3 … for each (sender, role, customer), kept across restarts: a gap is a loss.
    pub seq: u64,
}

/// One batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Its name.
    pub id: BatchId,
    /// When it was closed.
    pub closed: Timestamp,
    /// Exact counters, complete even where detail records were dropped. Billing reads these.
    pub counters: Vec<Counter>,
    /// Detail records.
    pub records: Vec<Record>,
    /// Detail records that a full ring dropped since the last batch.
    pub dropped: u64,
}

/// What happened to one site at one sender in one minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// Minutes since 1970.
    pub minute: i64,
    /// The site.
    pub site: SiteName,
    /// Where.
    pub pop: PopId,
    /// HTTP requests answered to clients.
    pub requests: u64,
    /// Octets sent to clients, heads included.
    pub bytes_out: u64,
    /// Octets received from clients.
    pub bytes_in: u64,
    /// Octets fetched from origins.
    pub bytes_origin: u64,
    /// Requests answered from a tier of ours.
    pub hits: u64,
    /// Octets of those.
    pub hit_bytes: u64,
    /// Responses by class: 1xx … 5xx.
    pub status: [u64; 5],
    /// DNS queries answered.
    pub queries: u64,
}

impl Counter {
    /// Nothing yet for `site` at `pop` in `minute`.
    #[must_use]
    pub fn new(minute: i64, site: SiteName, pop: PopId) -> Self {
        Self {
            minute,
            site,
            pop,
            requests: 0,
            bytes_out: 0,
            bytes_in: 0,
            bytes_origin: 0,
            hits: 0,
            hit_bytes: 0,
            status: [0; 5],
            queries: 0,
        }
    }

    /// Adds `other`'s numbers to these, up to the end of the range; site, POP and minute stay.
    pub fn absorb(&mut self, other: &Self) {
        let pairs = [
            (&mut self.requests, other.requests),
            (&mut self.bytes_out, other.bytes_out),
            (&mut self.bytes_in, other.bytes_in),
            (&mut self.bytes_origin, other.bytes_origin),
            (&mut self.hits, other.hits),
            (&mut self.hit_bytes, other.hit_bytes),
            (&mut self.queries, other.queries),
        ];
        for (sum, more) in pairs {
            *sum = sum.saturating_add(more);
        }
        for (sum, more) in self.status.iter_mut().zip(other.status) {
            *sum = sum.saturating_add(more);
        }
    }
}

/// A detail record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// One request to a WebCache.
    Access(Access),
    /// One steered DNS answer.
    Decision(Decision),
    /// A change of state, or an error.
    Event(Event),
}

/// One request (field names of the access log are these).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Access {
    /// When it ended.
    pub ts: Timestamp,
    /// Request id, also in `X-Request-Id`.
    pub id: Arc<str>,
    /// The site whose rules applied.
    pub site: SiteName,
    /// Client address as the customer lets it be written.
    pub client_ip: Option<IpAddr>,
    /// Method.
    pub method: Arc<str>,
    /// `http` or `https`.
    pub scheme: Arc<str>,
    /// Host asked for.
    pub host: Arc<str>,
    /// Path, at most 1,024 octets.
    pub path: Arc<str>,
    /// Query, at most 1,024 octets.
    pub query: Arc<str>,
    /// `HTTP/1.1`, `h2` …
    pub protocol: Arc<str>,
    /// Status sent.
    pub status: u16,
    /// Octets received, head included.
    pub req_bytes: u64,
    /// Octets sent, head included.
    pub resp_bytes: u64,
    /// Octets of content sent.
    pub body_bytes: u64,
    /// Time to the last octet.
    pub duration: Micros,
    /// Time to the first octet.
    pub ttfb: Micros,
    /// `hit`, `stale`, `revalidated`, `miss`, `bypass` or `error`.
    pub cache: CacheResult,
    /// The one cause.
    pub reason: CacheReason,
    /// Stored by this request.
    pub stored: bool,
    /// Age sent.
    pub age: Option<Seconds>,
    /// Remaining lifetime.
    pub ttl: Option<i64>,
    /// The origin that was asked, if one was.
    pub origin: Option<OriginId>,
    /// Octets fetched from it for this request.
    pub origin_bytes: u64,
    /// The client left before the end.
    pub aborted: bool,
    /// Configuration epoch of the rules.
    pub config: Epoch,
}

/// The outcome of a request in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheResult {
    /// From the memory tier.
    HitMemory,
    /// From the disk tier.
    HitDisk,
    /// Stale on purpose.
    Stale,
    /// Validated with the origin, then from store.
    Revalidated,
    /// From the origin.
    Miss,
    /// From the origin, by rule.
    Bypass,
    /// Made here because something failed.
    Error,
    /// Made here by the site's rules of delivery: a redirection, a refusal, leave for a script.
    Made,
}

impl CacheResult {
    /// Whether the content came from what is stored.
    #[must_use]
    pub fn is_hit(self) -> bool {
        match self {
            Self::HitMemory | Self::HitDisk | Self::Stale | Self::Revalidated => true,
            Self::Miss | Self::Bypass | Self::Error | Self::Made => false,
        }
    }
}

/// One steered answer, with everything it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Unique in the network: name server's number and count, printed `d-7f3a91c2`.
    pub id: u64,
    /// When.
    pub ts: Timestamp,
    /// Who answered.
    pub ns: NodeName,
    /// Configuration.
    pub config: Epoch,
    /// Who asked.
    pub resolver: IpAddr,
    /// Client subnet in the query.
    pub ecs: Option<IpNet>,
    /// The unit that was looked up.
    pub client: IpNet,
    /// Name asked for.
    pub qname: Arc<str>,
    /// Type asked for: 1 for A, 28 for AAAA, 65 for HTTPS …
    pub qtype: u16,
    /// The site.
    pub site: SiteName,
    /// The policy's key, empty when the site has none of its own.
    pub policy: Arc<str>,
    /// Addresses answered.
    pub answers: Arc<[IpAddr]>,
    /// Time to live.
    pub ttl: Seconds,
    /// Targets answered, best first.
    pub chosen: Arc<[TargetId]>,
    /// Why the first.
    pub because: Because,
    /// Microseconds-equivalent to the next best.
    pub margin: Option<Micros>,
    /// Every candidate, in order of its name. Shared, as the two lists above: many askers get one
    /// and the same choice.
    pub candidates: Arc<[Candidate]>,
}

/// One candidate of a decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Who.
    pub target: TargetId,
    /// Why it was removed, if it was.
    pub removed: Option<Box<Removal>>,
    /// Its score, also where it was removed but could have been scored: what it would have had.
    pub score: Option<Score>,
}

/// Why a candidate was removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Removal {
    /// The cause.
    pub reason: Removed,
    /// The measured value and the limit in words: "load 0.94, limit 0.90".
    pub detail: Arc<str>,
    /// Age of what it rests on.
    pub age: Option<Seconds>,
    /// Who says so.
    pub seen_by: Vec<PopId>,
}

/// A score and its terms, all in microseconds-equivalent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// The sum: lowest wins.
    pub points: Micros,
    /// Round trip.
    pub rtt: Micros,
    /// How the round trip is known.
    pub rtt_source: RttSource,
    /// Age of the round trip.
    pub rtt_age: Option<Seconds>,
    /// The POP whose measurement speaks, where the target has not measured itself: the round trip
    /// is the sum of the way from there to the client and to the target.
    pub rtt_via: Option<PopId>,
    /// Weighted latency term.
    pub latency: Micros,
    /// Loss in thousandths, and its weighted term.
    pub loss_permille: u16,
    /// Weighted loss term.
    pub loss: Micros,
    /// Load in thousandths.
    pub load_permille: u16,
    /// Weighted load term.
    pub load: Micros,
    /// Weighted cost term.
    pub cost: Micros,
    /// Penalty for unknown or slow health.
    pub penalty: Micros,
}

impl Score {
    /// By how many microseconds the operator's thumb made it win: what the terms add up to beyond
    /// the sum. Below 0 it made it lose.
    #[must_use]
    pub fn bias(&self) -> i64 {
        let terms = [self.latency, self.loss, self.load, self.cost, self.penalty];
        let sum: i64 = terms.iter().map(|term| i64::from(term.0)).sum();
        sum - i64::from(self.points.0)
    }
}

/// A change of state or an error, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub ts: Timestamp,
    /// `probe`, `config`, `purge`, `origin`, `disk` …
    pub kind: Arc<str>,
    /// What it is about.
    pub subject: Arc<str>,
    /// State before; empty when there is none.
    pub from: Arc<str>,
    /// State after.
    pub to: Arc<str>,
    /// Why.
    pub reason: Arc<str>,
}

/// The log server's answer to a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Which batch; number 0 when it could not be read.
    pub id: BatchId,
    /// What became of it.
    pub result: Receipt,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Receipt {
    /// On disk and counted: forget it.
    Stored,
    /// Was there already: forget it.
    Duplicate,
    /// Did not decode: send it again.
    Corrupt,
    /// Not this server's customer, or not this sender's name: ask the name server again.
    Refused(String),
    /// Another batch has this number here, from before the sender lost its disk. Not stored: give
    /// it a number above `last` and send it again.
    Taken {
        /// The highest number that has arrived.
        last: u64,
    },
}
