//! What a site asks for on the way to its clients, apart from caching.

use std::collections::BTreeMap;

use ipnet::IpNet;
use popnet_terms::{Octets, PerTime, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{is_default, networks};

/// What is done on the way to clients. In a path rule each key that is set counts instead of the
/// site's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Delivery {
    /// What becomes of requests without TLS; they are served when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<PlainHttp>,
    /// For how long browsers remember to come with TLS (RFC 6797); not said when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hsts: Option<Span>,
    /// Only clients in these networks are served; all when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "networks")]
    pub allow: Option<Vec<IpNet>>,
    /// Clients in these networks are never served.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "networks")]
    pub deny: Option<Vec<IpNet>>,
    /// Hosts whose pages may embed the content, beside the site itself; `*.` begins those below a
    /// name. All when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referrers: Option<Vec<String>>,
    /// Requests of one client, an IPv4 address or an IPv6 /64; those of ten seconds may come at
    /// once. Each node counts for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<PerTime>,
    /// Leave for scripts of other origins, given here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// Changes to requests on their way to the origin.
    #[serde(skip_serializing_if = "is_default")]
    pub request_headers: FieldChanges,
    /// Changes to responses on their way to clients.
    #[serde(skip_serializing_if = "is_default")]
    pub response_headers: FieldChanges,
    /// Codings that stored responses are given; the usual ones when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compress: Option<Compress>,
}

/// Codings that stored responses are given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Compress {
    /// The best first; zstd, br and gzip when unset. Without any, nothing is compressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codings: Option<Vec<CodingName>>,
    /// Content types, such as `text/html`, `text/*` or `*+json`; the usual texts when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub types: Option<Vec<String>>,
    /// Nothing smaller; 256 B when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<Octets>,
    /// Nothing larger; 8 MiB when unset, 64 MiB at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Octets>,
}

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CodingName {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Br,
    /// RFC 1952.
    Gzip,
}

/// What becomes of requests without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PlainHttp {
    /// They are served.
    Serve,
    /// They are sent to the same URL with TLS (status 308).
    Redirect,
}

/// Leave for scripts of other origins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Such as `https://app.example`; `*` is everybody.
    pub origins: Vec<String>,
    /// Methods beyond GET, HEAD and POST.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Request fields that scripts may send beyond those that need no leave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Response fields that scripts may read beyond the usual.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<String>,
    /// Also with cookies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub credentials: bool,
    /// How long a browser may remember the leave; as it likes when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Span>,
}

/// Changes to fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FieldChanges {
    /// Fields and the value that each gets in place of those it has.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// Fields that are taken away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

impl Delivery {
    /// These keys, and those of `site` where one is unset.
    #[must_use]
    pub fn over(&self, site: &Self) -> Self {
        fn own<T: Clone>(own: Option<&T>, site: Option<&T>) -> Option<T> {
            own.or(site).cloned()
        }
        let fields = |own: &FieldChanges, site: &FieldChanges| {
            if own == &FieldChanges::default() { site.clone() } else { own.clone() }
        };
        Self {
            http: self.http.or(site.http),
            hsts: self.hsts.or(site.hsts),
            allow: own(self.allow.as_ref(), site.allow.as_ref()),
            deny: own(self.deny.as_ref(), site.deny.as_ref()),
            referrers: own(self.referrers.as_ref(), site.referrers.as_ref()),
            rate: self.rate.or(site.rate),
            cors: own(self.cors.as_ref(), site.cors.as_ref()),
            request_headers: fields(&self.request_headers, &site.request_headers),
            response_headers: fields(&self.response_headers, &site.response_headers),
            compress: own(self.compress.as_ref(), site.compress.as_ref()),
        }
    }
}
