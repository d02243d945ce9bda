//! Zone transfers and updates: with whom, and who may.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use data_encoding::BASE64;
use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::networks;

/// Another name server: `"192.0.2.1"`, or with a port `"192.0.2.1:5301"`, `"[2001:db8::1]:5301"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// Its port, when it is not 53.
    pub port: Option<u16>,
}

/// A text that names no peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address nor an address with a port")]
pub struct PeerError(String);

impl Peer {
    /// Address and port.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port.unwrap_or(53))
    }
}

impl FromStr for Peer {
    type Err = PeerError;

    fn from_str(text: &str) -> Result<Self, PeerError> {
        if let Ok(address) = text.parse() {
            return Ok(Self { address, port: None });
        }
        let socket: SocketAddr = text.parse().map_err(|_| PeerError(text.to_owned()))?;
        Ok(Self { address: socket.ip(), port: Some(socket.port()) })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(_) => self.socket().fmt(f),
            None => self.address.fmt(f),
        }
    }
}

/// The SHA-256 of a certificate's public key (its SubjectPublicKeyInfo), in base64 (RFC 7858 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pin(pub [u8; 32]);

/// A text that is no pin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no pin: 44 characters of base64, the SHA-256 of a public key")]
pub struct PinError(String);

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let octets = BASE64.decode(text.as_bytes()).ok();
        let pin = octets.and_then(|octets| octets.try_into().ok());
        pin.map(Self).ok_or_else(|| PinError(text.to_owned()))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(&self.0))
    }
}

/// A server to transfer from over TLS (RFC 9103): it must be who it says, by name or by key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsPrimary {
    /// Its address; the port is 853 when unset.
    pub address: Peer,
    /// Its name, which its certificate must be for, of an authority in `dns.transfer_ca`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its public keys: the SHA-256 of each, in base64. Its certificate must have one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<Pin>,
    /// The certificate that is shown to it, one of `certificates`; unset: none is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

impl TlsPrimary {
    /// Address and port.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address.address, self.address.port.unwrap_or(853))
    }
}

/// Somebody in an access list: `"any"`, an address, a network, `"key:NAME"` for whoever signs
/// with that key, or over TLS `"tls:NAME"` for whoever shows a certificate for that name of an
/// authority in `dns.transfer_ca`, and `"pin:BASE64"` for whoever shows one with that public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everybody.
    Any,
    /// An address or a network.
    Net(IpNet),
    /// Who signs with this key.
    Key(String),
    /// Who shows a certificate for this name.
    Tls(String),
    /// Who shows a certificate with this public key.
    Pin(Pin),
}

/// A text that names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither an address, nor a network, \"key:NAME\", \"tls:NAME\", \"pin:BASE64\" or \"any\""
)]
pub struct WhoError(String);

impl FromStr for Who {
    type Err = WhoError;

    fn from_str(text: &str) -> Result<Self, WhoError> {
        if text == "any" {
            return Ok(Self::Any);
        }
        if let Some(name) = text.strip_prefix("key:").filter(|name| !name.is_empty()) {
            return Ok(Self::Key(name.to_owned()));
        }
        if let Some(name) = text.strip_prefix("tls:").filter(|name| !name.is_empty()) {
            return Ok(Self::Tls(name.to_owned()));
        }
        if let Some(pin) = text.strip_prefix("pin:") {
            return pin.parse().map(Self::Pin).map_err(|_| WhoError(text.to_owned()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Net(address.into()));
        }
        text.parse().map(Self::Net).map_err(|_| WhoError(text.to_owned()))
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Net(net) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            Self::Net(net) => net.fmt(f),
            Self::Key(name) => write!(f, "key:{name}"),
            Self::Tls(name) => write!(f, "tls:{name}"),
            Self::Pin(pin) => write!(f, "pin:{pin}"),
        }
    }
}

/// As text, whatever the format.
macro_rules! as_text {
    ($name:ident, $format:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format })
            }
        }
    };
}

as_text!(Peer, "popnet-peer");
as_text!(Who, "popnet-who");
as_text!(Pin, "popnet-pin");

/// Lets somebody change records from afar (RFC 2136).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateGrant {
    /// Name of the key that updates must be signed with; the secret lies on the nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where updates must come from; unset: anywhere, when there is a key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "networks")]
    pub from: Vec<IpNet>,
    /// Names at and below which records may be changed; unset: the whole zone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Types that may be changed; unset: all but those that hold the zone together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_and_lists_print_as_they_are_written() {
        for text in ["192.0.2.1", "127.0.0.1:5301", "2001:db8::1", "[2001:db8::1]:5301"] {
            assert_eq!(text.parse::<Peer>().unwrap().to_string(), text);
        }
        for text in ["ns1.example", "192.0.2.1:", "192.0.2.1:99999", "", "[::1]"] {
            assert!(text.parse::<Peer>().is_err(), "{text}");
        }
        for text in ["any", "192.0.2.1", "192.0.2.0/24", "2001:db8::/32", "key:xfr", "tls:ns.test"]
        {
            assert_eq!(text.parse::<Who>().unwrap().to_string(), text);
        }
        for text in ["key:", "all", "192.0.2.0/33", ""] {
            assert!(text.parse::<Who>().is_err(), "{text}");
        }
        let pin = format!("pin:{}=", "A".repeat(43));
        assert_eq!(pin.parse::<Who>().unwrap(), Who::Pin(Pin([0; 32])));
        assert_eq!(pin.parse::<Who>().unwrap().to_string(), pin);
        for text in ["pin:", "pin:AAAA", "tls:"] {
            assert!(text.parse::<Who>().is_err(), "{text}");
        }
    }
}
