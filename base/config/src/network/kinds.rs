//! What service probes other than HTTP ask, one table a kind.

use std::path::PathBuf;

use popnet_terms::{BitRate, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an FTP probe does: log in, fetch one file in passive mode (RFC 959, RFC 2428).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FtpRequest {
    /// The file to fetch.
    pub path: String,
    /// Who logs in; `anonymous` when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// File with the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

/// What a DNS probe asks, and what the answer has to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsRequest {
    /// The name.
    pub name: String,
    /// The type; A when unset.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub rtype: Option<String>,
    /// Response code that is expected; NOERROR when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rcode: Option<DnsRcode>,
    /// An address that has to be among the answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<std::net::IpAddr>,
}

/// A response code (RFC 6895 2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum DnsRcode {
    /// 0
    #[default]
    NoError,
    /// 1
    FormErr,
    /// 2
    ServFail,
    /// 3
    NxDomain,
    /// 4
    NotImp,
    /// 5
    Refused,
}

impl DnsRcode {
    /// Its number.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::NoError => 0,
            Self::FormErr => 1,
            Self::ServFail => 2,
            Self::NxDomain => 3,
            Self::NotImp => 4,
            Self::Refused => 5,
        }
    }
}

/// What a streaming probe fetches, and how fast it has to come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamRequest {
    /// Path of the manifest or of the stream.
    pub path: String,
    /// What it is.
    pub format: StreamFormat,
    /// Host field; the target's address when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<bool>,
    /// Endless streams: listen for this long; one second when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<Span>,
    /// The media has to come at least this fast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<BitRate>,
}

/// How media is streamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StreamFormat {
    /// HTTP Live Streaming (RFC 8216).
    Hls,
    /// MPEG-DASH (ISO/IEC 23009-1).
    Dash,
    /// One response that does not end, as Icecast sends it.
    Endless,
}

/// A program that probes: its exit code is the verdict, as with Nagios plug-ins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandRequest {
    /// The program's whole path; it is started without a shell.
    pub program: PathBuf,
    /// Its arguments; `{host}` and `{port}` stand for the target's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
}

/// What a TCP probe says once the connection is open.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TcpTalk {
    /// Sent first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send: Option<String>,
    /// Has to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
}

/// How a server is asked for its load by SNMP (RFC 3416 over version 2c or 3). Secrets are in
/// files, never here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SnmpRequest {
    /// Version 2c: file with the community.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub community_file: Option<PathBuf>,
    /// Version 3: the user (RFC 3414), with SHA-1 for authentication and AES-128 for privacy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Version 3: file with the authentication password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_file: Option<PathBuf>,
    /// Version 3: file with the privacy password; not encrypted when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privacy_file: Option<PathBuf>,
    /// Number of processors; one when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processors: Option<u16>,
}
