//! What a site asks for on the way to its clients, apart from caching, as its caches are told.

use std::sync::Arc;

use ipnet::IpNet;
use popnet_terms::{PerTime, Seconds};
use serde::{Deserialize, Serialize};

/// A site's delivery, or that of one of its paths. The default asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Requests without TLS are sent to the same URL with it.
    pub https: bool,
    /// For how long clients remember that (RFC 6797).
    pub hsts: Option<Seconds>,
    /// Only these networks; all when empty.
    pub allow: Vec<IpNet>,
    /// Never these networks.
    pub deny: Vec<IpNet>,
    /// Hosts of pages that may embed the content; a first label `*` is any. All when empty.
    pub referrers: Vec<Arc<str>>,
    /// Requests of one client: a unit of IPv6, an address of IPv4.
    pub rate: Option<PerTime>,
    /// Who may read responses across origins.
    pub cors: Option<Cors>,
    /// Changes to requests on their way to the origin.
    pub request: Vec<FieldChange>,
    /// Changes to responses on their way to clients.
    pub response: Vec<FieldChange>,
    /// Codings that stored responses are given; none when unset.
    pub compress: Option<Compression>,
}

/// Which stored responses are given codings, and which codings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compression {
    /// The best first; each once.
    pub codings: Vec<Coding>,
    /// Content types in lower case: `text/html`, `text/*` or `*+json`. The usual ones when unset.
    pub types: Option<Vec<Arc<str>>>,
    /// Fewest octets that are worth it.
    pub min: u64,
    /// Most octets.
    pub max: u64,
}

/// A content coding that is made here (RFC 9110 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Coding {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Br,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// Every one, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Br, Self::Gzip];

    /// Its name in `Content-Encoding` and `Accept-Encoding`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// Who may read responses across origins (the Fetch standard, section 3.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cors {
    /// Such as `https://app.example`; `*` is everybody.
    pub origins: Vec<Arc<str>>,
    /// Methods beyond GET, HEAD and POST.
    pub methods: Vec<Arc<str>>,
    /// Request fields beyond those that need no leave.
    pub headers: Vec<Arc<str>>,
    /// Response fields that scripts may read beyond the usual.
    pub expose: Vec<Arc<str>>,
    /// With cookies.
    pub credentials: bool,
    /// How long a browser may remember the leave.
    pub max_age: Option<Seconds>,
}

/// A field that is set, or taken away where there is no value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Lower case.
    pub name: Arc<str>,
    /// Instead of all that the message has under this name.
    pub value: Option<Arc<str>>,
}
