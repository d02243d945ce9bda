//! Service and latency probes.

use ipnet::IpNet;
use popnet_terms::{OriginGroupId, PerTime, PopId, Role, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kinds::{CommandRequest, DnsRequest, FtpRequest, SnmpRequest, StreamRequest, TcpTalk};
use super::selects;

/// A probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// What kind.
    pub kind: ProbeKind,
    /// Service probes: what is probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<ProbeTarget>,
    /// HTTP probes: what is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<ProbeRequest>,
    /// Service probes: what a good answer is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
    /// Service probes: the port, when it is not the target's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// TCP probes: what is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpTalk>,
    /// FTP probes: what is fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ftp: Option<FtpRequest>,
    /// DNS probes: what is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsRequest>,
    /// Streaming probes: what is listened to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamRequest>,
    /// Plug-ins: what is started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandRequest>,
    /// SNMP: who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snmp: Option<SnmpRequest>,
    /// Service probes: time between two attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Span>,
    /// Service probes: an attempt's longest time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Failures in a row before "down".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fall: Option<u16>,
    /// Successes in a row before "up".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rise: Option<u16>,
    /// Which POPs probe, and how many must agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ProbeFrom>,
    /// Latency probes: methods in the order in which they are tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<LatencyMethod>,
    /// Latency probes: packets a burst.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<u16>,
    /// Latency probes: measure a busy resolver again this often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Span>,
    /// Latency probes: forget after this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire: Option<Span>,
    /// Latency probes: politeness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

impl Probe {
    /// Time between two attempts.
    #[must_use]
    pub fn interval(&self) -> Span {
        self.interval.unwrap_or(Span::seconds(5))
    }

    /// An attempt's longest time.
    #[must_use]
    pub fn timeout(&self) -> Span {
        self.timeout.unwrap_or(Span::seconds(2))
    }

    /// Failures in a row before "down".
    #[must_use]
    pub fn fall(&self) -> u16 {
        self.fall.unwrap_or(3)
    }

    /// Successes in a row before "up".
    #[must_use]
    pub fn rise(&self) -> u16 {
        self.rise.unwrap_or(3)
    }

    /// How many POPs must agree before a target is called down.
    #[must_use]
    pub fn agree(&self) -> u16 {
        self.from.as_ref().and_then(|from| from.agree).unwrap_or(1)
    }

    /// First and last octet that the expected digest is over.
    #[must_use]
    pub fn digest_range(&self) -> Option<(u64, u64)> {
        let text = self.expect.as_ref()?.body_range.as_deref()?;
        let (first, last) = text.split_once('-')?;
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first <= last).then_some((first, last))
    }

    /// Whether `pop` takes part.
    #[must_use]
    pub fn is_from(&self, pop: &PopId) -> bool {
        self.from.as_ref().is_none_or(|from| selects(&from.pops, pop))
    }
}

/// What kind of probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// An HTTP request with content check.
    Http,
    /// Opening a TCP connection, and what is said on it.
    Tcp,
    /// Logging in and fetching a file by FTP.
    Ftp,
    /// A DNS query.
    Dns,
    /// Streamed media.
    Stream,
    /// ICMP echo.
    Icmp,
    /// A program of the operator's.
    Command,
    /// Load as the Prometheus node exporter tells it.
    Metrics,
    /// Load by SNMP.
    Snmp,
    /// Time and loss towards resolvers.
    Latency,
}

impl ProbeKind {
    /// The port of a target that names none.
    #[must_use]
    pub fn usual_port(self, tls: bool) -> u16 {
        match self {
            Self::Ftp => 21,
            Self::Dns => 53,
            Self::Http
            | Self::Tcp
            | Self::Stream
            | Self::Icmp
            | Self::Command
            | Self::Metrics
            | Self::Snmp
            | Self::Latency => {
                if tls {
                    443
                } else {
                    80
                }
            }
        }
    }

    /// Whether the probe only reads a server's load, and says nothing of its health.
    #[must_use]
    pub fn is_load(self) -> bool {
        match self {
            Self::Metrics | Self::Snmp => true,
            Self::Http
            | Self::Tcp
            | Self::Ftp
            | Self::Dns
            | Self::Stream
            | Self::Icmp
            | Self::Command
            | Self::Latency => false,
        }
    }
}

/// What a service probe looks at: one of the two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeTarget {
    /// Every node with this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Every server of this group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_group: Option<OriginGroupId>,
}

/// What an HTTP probe asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeRequest {
    /// Method; GET when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Path and query.
    pub path: String,
    /// Host field; the target's address when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<bool>,
}

/// What a good answer is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Statuses; 200 when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<u16>,
    /// Text that the content has (P7).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_contains: Option<String>,
    /// SHA-256 of the whole content, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_sha256: Option<String>,
    /// First and last octet of the content that the digest is over, such as `0-65535`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_range: Option<String>,
    /// HTTPS: the certificate has to be good for so many days more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_days: Option<u16>,
    /// Response field with the target's load, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_header: Option<String>,
    /// JSON pointer to the target's load in the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_json: Option<String>,
}

/// Which POPs probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeFrom {
    /// POPs; `*` is all.
    pub pops: Vec<String>,
    /// How many must agree before a target is called down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agree: Option<u16>,
}

/// How a latency is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LatencyMethod {
    /// A DNS query to port 53.
    #[serde(rename = "dns-query")]
    DnsQuery,
    /// Opening TCP port 53.
    #[serde(rename = "tcp-53")]
    Tcp53,
    /// ICMP echo.
    #[serde(rename = "icmp")]
    Icmp,
    /// The last hop on the way that answers.
    #[serde(rename = "trace")]
    Trace,
}

/// Politeness towards other people's resolvers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Probes a second and POP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_pop: Option<u32>,
    /// Bursts to one resolver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_resolver: Option<PerTime>,
    /// Networks that want no probes of ours: never measured, whoever wishes for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub never: Vec<IpNet>,
}
