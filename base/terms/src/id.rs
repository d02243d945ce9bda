//! Identifiers: a type for each kind of name, so that one cannot stand for another.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        #[schemars(transparent)]
        pub struct $name(#[schemars(with = "String")] Arc<str>);

        impl $name {
            /// Takes the text as it stands; the configuration's checks have looked at it before.
            #[must_use]
            pub fn new(text: &str) -> Self {
                Self(Arc::from(text))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type! {
    /// A POP's key in the configuration, such as `fra1`.
    PopId
}
name_type! {
    /// A customer's key in the configuration, such as `acme`. `_network` stands for ourselves.
    CustomerId
}
name_type! {
    /// A site's hostname in lower case without a final dot, or `*` for every other host.
    SiteName
}
name_type! {
    /// A group of origin servers, such as `acme-www`.
    OriginGroupId
}
name_type! {
    /// A probe's key in the configuration, such as `edge-http`.
    ProbeId
}
name_type! {
    /// A node as `NODE.POP`, such as `edge1.fra1`: unique in the network.
    NodeName
}

impl NodeName {
    /// The name of node `node` in `pop`.
    #[must_use]
    pub fn of(node: &str, pop: &PopId) -> Self {
        Self::new(&format!("{node}.{pop}"))
    }

    /// The part before the last dot: the node's key inside its POP.
    #[must_use]
    pub fn node(&self) -> &str {
        self.as_str().rsplit_once('.').map_or(self.as_str(), |(node, _)| node)
    }

    /// The POP that the name ends with; empty when the text has no dot.
    #[must_use]
    pub fn pop(&self) -> PopId {
        PopId::new(self.as_str().rsplit_once('.').map_or("", |(_, pop)| pop))
    }
}

impl CustomerId {
    /// The owner of records about the network itself, which no customer sees.
    #[must_use]
    pub fn network() -> Self {
        Self::new("_network")
    }
}

/// One server of an origin group, printed `GROUP/SERVER`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OriginId {
    /// The group in `origin_groups`.
    pub group: OriginGroupId,
    /// The server's key in the group.
    pub server: Arc<str>,
}

impl fmt::Display for OriginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.group, self.server))
    }
}

/// What an answer may name (S14: customers' own servers compete with our POPs).
///
/// In JSON it is the text that people write, `fra1` or `acme-www/west`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetId {
    /// The caches of a POP.
    Pop(PopId),
    /// A customer's own server.
    Origin(OriginId),
}

/// [`TargetId`] as it travels between nodes.
#[derive(Serialize, Deserialize)]
#[serde(rename = "TargetId")]
enum Packed {
    Pop(PopId),
    Origin(OriginId),
}

impl Serialize for TargetId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            return to.collect_str(self);
        }
        match self.clone() {
            Self::Pop(pop) => Packed::Pop(pop),
            Self::Origin(origin) => Packed::Origin(origin),
        }
        .serialize(to)
    }
}

impl<'de> Deserialize<'de> for TargetId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            let text = String::deserialize(from)?;
            return text.parse().map_err(serde::de::Error::custom);
        }
        Ok(match Packed::deserialize(from)? {
            Packed::Pop(pop) => Self::Pop(pop),
            Packed::Origin(origin) => Self::Origin(origin),
        })
    }
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pop(pop) => pop.fmt(f),
            Self::Origin(origin) => origin.fmt(f),
        }
    }
}

/// The text is neither a POP nor `GROUP/SERVER`.
#[derive(Debug, thiserror::Error)]
#[error("a target is a POP (fra1) or GROUP/SERVER (acme-www/west), not {0:?}")]
pub struct UnknownTarget(String);

impl FromStr for TargetId {
    type Err = UnknownTarget;

    fn from_str(text: &str) -> Result<Self, UnknownTarget> {
        match text.split_once('/') {
            None if !text.is_empty() => Ok(Self::Pop(PopId::new(text))),
            Some((group, server)) if !group.is_empty() && !server.is_empty() => {
                Ok(Self::Origin(OriginId { group: group.into(), server: server.into() }))
            }
            Some(_) | None => Err(UnknownTarget(text.to_owned())),
        }
    }
}
