//! Measurements from NetProbes to NameServers, and wishes the other way (N12–N17, P13–P16).
//! Each message is one QUIC datagram of at most [`DATAGRAM_MAX`] octets.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use popnet_terms::{Micros, NodeName, OriginId, PopId, ProbeId, SiteName, TargetId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::rollout::Epoch;

/// Fits every path's smallest allowed packet with QUIC's own octets around it.
pub const DATAGRAM_MAX: usize = 1_150;

/// One datagram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Datagram {
    /// A probe's results, to all name servers.
    Report(Report),
    /// A name server's wishes, to a probe (N15: many in one datagram).
    Needs(Needs),
    /// A name server's hits a site since its last such message (N17).
    Hits(Hits),
    /// What a publisher has said so far, so that losses are seen.
    Digest(Digest),
    /// What of it did not come.
    Repair(Repair),
    /// A name server's bindings, to the other name servers (N7).
    Bound(Bound),
}

/// What a publisher has said since its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Whose words.
    pub publisher: NodeName,
    /// Of which start.
    pub boot: u64,
    /// The oldest number that can be had again.
    pub low: u64,
    /// The newest number; below `low` when there is none yet.
    pub high: u64,
}

/// Asks a publisher for what did not come, or came so late that it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// Who asks.
    pub asker: NodeName,
    /// Of which start of the publisher.
    pub boot: u64,
    /// First and last number of each gap; at most [`RANGES_MAX`].
    pub ranges: Vec<(u64, u64)>,
    /// Everything that is in force, whatever its numbers: the asker has just come.
    pub all: bool,
}

/// Gaps in one datagram.
pub const RANGES_MAX: usize = 32;

/// Bindings made by a name server or known to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// Whose word it is.
    pub publisher: NodeName,
    /// Chosen anew at each start.
    pub boot: u64,
    /// Grows by one a message; 0: said again, and counts for no gap.
    pub seq: u64,
    /// The oldest number that can be had again.
    pub low: u64,
    /// The newest number; below `low` when there is none yet.
    pub high: u64,
    /// The rows; none, when it is only to tell the numbers.
    pub rows: Vec<Binding>,
}

/// A client that stays with a target (N7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// For which site.
    pub site: SiteName,
    /// Which client.
    pub client: IpNet,
    /// With whom.
    pub target: TargetId,
    /// When it was made, by the clock of its maker: of two for one client the earlier counts.
    pub issued: Timestamp,
    /// Its maker; of two made at one moment the one whose maker comes first counts.
    pub issuer: NodeName,
    /// How often the client was bound anew because its target could not be kept: of two the
    /// greater counts before all else.
    pub round: u32,
    /// How long it still holds, in seconds from when this was sent: clocks need not agree.
    pub left: u32,
}

/// Results of one probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whose word it is.
    pub publisher: NodeName,
    /// Chosen anew at each start, so that sequence numbers may begin again.
    pub boot: u64,
    /// Grows by one a report: order by `(boot, seq)`, never by clock.
    pub seq: u64,
    /// The configuration the probe runs.
    pub epoch: Epoch,
    /// When it was sent, by the sender's clock.
    pub sent: Timestamp,
    /// The results.
    pub samples: Vec<Sample>,
}

/// One result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// When the probe happened, by the publisher's clock (P16).
    pub at: Timestamp,
    /// What was learnt.
    pub finding: Finding,
}

/// What a probe learnt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finding {
    /// A service probe's verdict.
    Service(Service),
    /// Time and loss from the probe's POP to a client unit.
    Latency(Latency),
    /// Clients that a target asks to be sent elsewhere.
    Shed(Shed),
    /// What a POP sends and what a byte more costs there.
    Traffic(Traffic),
}

/// What a POP sends, and what that costs where it is billed by a percentile. The probes of the POP
/// speak for it; of several that do, the one whose name comes first counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Which POP.
    pub pop: PopId,
    /// What it sends, in bits a second.
    pub rate: u64,
    /// What is billed in any case by now: the commit, or more. In bits a second.
    pub paid: u64,
    /// What it aims to stay below, in bits a second; 0: that is not known yet.
    pub aim: u64,
    /// The share of its price that a byte more costs, in thousandths. Above 1000 where what is
    /// sent in a few slots is billed for all.
    pub price: u16,
}

/// What a target sheds. The probes of its own POP speak for it, those of every POP for a
/// customer's server; of several that do, the one whose name comes first counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shed {
    /// Who sheds.
    pub target: TargetId,
    /// Share of new clients, in thousandths.
    pub shed: u16,
    /// The load behind it, in thousandths, where it is known now.
    pub load: Option<u16>,
    /// Time between two steps of the share, in seconds.
    pub period: u32,
}

/// What was probed for service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// A node of ours that serves HTTP.
    Node(NodeName),
    /// A customer's server.
    Origin(OriginId),
}

/// A service probe's verdict after rise and fall.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Which probe.
    pub probe: ProbeId,
    /// Of what.
    pub subject: Subject,
    /// Verdict of this publisher.
    pub health: Health,
    /// Cause of the last failure; `Passed` when the last attempt passed.
    pub cause: Cause,
    /// Place and words for people: "http 127.0.0.13:8080 connection refused". At most 120 octets.
    pub detail: Arc<str>,
    /// Failures (or, when up, successes) in a row.
    pub streak: u16,
    /// Time to connect: the round trip from the probe to the subject.
    pub connect: Micros,
    /// Total time of the request (P3).
    pub total: Micros,
    /// The subject's own load in thousandths, when it told.
    pub load: Option<u16>,
    /// The configuration epoch that the subject says it serves by.
    pub epoch: Option<Epoch>,
}

/// A publisher's verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Health {
    /// Enough successes in a row.
    Up,
    /// Enough failures in a row.
    Down,
    /// Not yet enough of either.
    Unknown,
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Cause {
    /// It did not.
    Passed,
    /// Connection refused or reset, or no route.
    Refused,
    /// No answer in time.
    Timeout,
    /// A status that was not expected.
    Status,
    /// The content is not what it should be (P7).
    Content,
    /// The certificate does not verify.
    Certificate,
    /// The answer breaks the protocol.
    Protocol,
}

/// Time and loss from the publisher's POP to a client unit (N5, N10, P10, P11).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// The client unit.
    pub client: IpNet,
    /// Smoothed round trip; `None` when nothing answered.
    pub rtt: Option<Micros>,
    /// Its spread.
    pub spread: Micros,
    /// Lost packets in thousandths.
    pub loss: u16,
    /// How many packets it rests on.
    pub samples: u16,
    /// How it was measured.
    pub method: Method,
}

/// How a latency was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// A DNS query to port 53.
    DnsQuery,
    /// Opening TCP port 53.
    Tcp53,
    /// ICMP echo.
    Icmp,
    /// The `[simulate]` table of a lab network.
    Simulated,
    /// The last hop on the way that answers: a lower bound.
    Trace,
    /// What caches saw of connections from the unit.
    Passive,
}

/// Wishes for latencies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// Who asks.
    pub asker: NodeName,
    /// When, by the asker's clock.
    pub sent: Timestamp,
    /// For whom, most urgent first.
    pub needs: Vec<Need>,
}

/// One wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The address to probe: a resolver.
    pub resolver: IpAddr,
    /// The unit that it speaks for.
    pub client: IpNet,
}

/// Hits a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hits {
    /// Who counts.
    pub asker: NodeName,
    /// Queries a site since the last message.
    pub sites: Vec<(SiteName, u32)>,
}
