//! A stored response without its content: everything a verdict needs, as one value that a disk tier
//! can write down.

use std::sync::Arc;

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use popnet_terms::{CustomerId, SiteName, Timestamp};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::freshness::Policy;
use crate::key::Key;
use crate::part;
use crate::vary::Variant;

/// A stored response's head and history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// Its primary key.
    pub key: Key,
    /// The site whose rules stored it.
    pub site: SiteName,
    /// That site's customer.
    pub customer: CustomerId,
    /// Its secondary key: the request fields that it was selected by (RFC 9111 4.1).
    pub variant: Variant,
    /// Status.
    pub status: u16,
    /// Fields as they are sent again: no hop-by-hop fields, no `Age`, no `Cache-Status`.
    pub fields: Fields,
    /// When the request for it left (`request_time` of RFC 9111 4.2.3).
    pub requested: Timestamp,
    /// When its head arrived (`response_time`).
    pub received: Timestamp,
    /// Lifetime and limits, as its fields gave them.
    pub policy: Policy,
    /// Its tags.
    pub tags: Vec<Arc<str>>,
    /// `Age` as it came, in seconds.
    pub came_aged: u32,
    /// Octets of content; unknown until the content has ended where no length was announced.
    pub length: Option<u64>,
    /// A soft purge: stale whatever its age, until it is validated.
    pub purged: bool,
}

impl Stored {
    /// Whether it could answer a GET or HEAD with the fields `request` (RFC 9111 4.1).
    #[must_use]
    pub fn selects(&self, request: &HeaderMap) -> bool {
        if self.is_part() {
            return part::answers(self, request);
        }
        let language = self.fields.0.get(header::CONTENT_LANGUAGE);
        self.variant.selects(request)
            || language.is_some_and(|language| {
                self.variant.selects_in_language(request, language.as_bytes())
            })
    }

    /// Whether it is a part of the content (206).
    #[must_use]
    pub fn is_part(&self) -> bool {
        self.status == 206
    }

    /// `age_value` of RFC 9111 4.2.3.
    #[must_use]
    pub fn announced_age(&self) -> u64 {
        u64::from(self.came_aged)
    }

    /// Octets that this value itself takes in memory, roughly.
    #[must_use]
    pub fn weight(&self) -> u64 {
        let fields: usize =
            self.fields.0.iter().map(|(n, v)| n.as_str().len() + v.len() + 96).sum();
        let variant: usize = self.variant.weight();
        let tags: usize = self.tags.iter().map(|tag| tag.len() + 32).sum();
        let whole = size_of::<Self>() + self.key.as_str().len() + fields + variant + tags;
        u64::try_from(whole).unwrap_or(u64::MAX)
    }
}

/// Header fields that can be written down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(pub HeaderMap);

impl Fields {
    /// The same fields in an allocation of their own. As they come from a connection, values are
    /// slices of what was read from it, content and all: as long as one is kept, so is that.
    #[must_use]
    pub fn owned(mut fields: HeaderMap) -> Self {
        let octets: usize = fields.values().map(HeaderValue::len).sum();
        let mut whole = BytesMut::with_capacity(octets);
        fields.values().for_each(|value| whole.extend_from_slice(value.as_bytes()));
        let mut whole = whole.freeze();
        for value in fields.values_mut() {
            // What was a value is one again.
            if let Ok(mut own) = HeaderValue::from_maybe_shared(whole.split_to(value.len())) {
                own.set_sensitive(value.is_sensitive());
                *value = own;
            }
        }
        Self(fields)
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let list: Vec<(&str, &[u8])> =
            self.0.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        list.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Vec::<(String, Vec<u8>)>::deserialize(deserializer)?;
        let mut fields = HeaderMap::new();
        for (name, value) in list {
            let name = HeaderName::try_from(name).map_err(D::Error::custom)?;
            let value = HeaderValue::try_from(value).map_err(D::Error::custom)?;
            fields.try_append(name, value).map_err(D::Error::custom)?;
        }
        Ok(Self(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn fields_of_their_own() {
        let read = Bytes::from(b"one, two and all the content that came with it".to_vec());
        let mut fields = HeaderMap::new();
        for (name, range) in [("a", 0..3), ("b", 5..8), ("a", 0..0)] {
            let value = HeaderValue::from_maybe_shared(read.slice(range)).unwrap();
            fields.append(HeaderName::from_static(name), value);
        }
        assert!(!read.is_unique());
        let owned = Fields::owned(fields.clone());
        assert_eq!(owned.0, fields);
        drop(fields);
        assert!(read.is_unique(), "nothing keeps what was read");
    }
}
