//! What the configuration says of a target whatever its health: out of service, for whom, when,
//! what it can do (steering model, section 2). Decided by the view's instant alone.

use std::sync::Arc;

use popnet_config::network::{Hours, Serve};
use popnet_terms::{Removed, Timestamp};

/// A target's limits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    disabled: bool,
    only_to: Vec<Arc<str>>,
    never_to: Vec<Arc<str>>,
    hours: Option<Hours>,
    /// The first tag that the site asks for and the target has not.
    lacks: Option<Arc<str>>,
}

/// Where a client is, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whereabouts {
    pub(crate) country: [u8; 2],
    pub(crate) region: Option<Arc<str>>,
}

impl Limits {
    pub(crate) fn new(serve: &Serve, needs: &[String]) -> Self {
        let lacks = needs.iter().find(|tag| !serve.tags.contains(tag));
        let hours = (!serve.hours.is_empty()).then(|| Hours::read(&serve.hours));
        Self {
            disabled: serve.disabled,
            only_to: serve.only_to.iter().map(|place| place.as_str().into()).collect(),
            never_to: serve.never_to.iter().map(|place| place.as_str().into()).collect(),
            // What cannot be read was refused with the configuration: then it is never open.
            hours: hours.map(Result::unwrap_or_default),
            lacks: lacks.map(|tag| tag.as_str().into()),
        }
    }

    /// Whether it matters where the client is.
    pub(crate) fn is_by_place(&self) -> bool {
        !self.only_to.is_empty() || !self.never_to.is_empty()
    }

    /// Seconds until its hours begin or end.
    pub(crate) fn next_change(&self, now: Timestamp) -> Option<u32> {
        self.hours.as_ref()?.next_change(now.0.div_euclid(1_000_000))
    }

    /// Why it may not be named, if it may not. `client` is `None` for a POP of ours: content goes
    /// where its readers are.
    pub(crate) fn bars(
        &self,
        client: Option<&Whereabouts>,
        now: Timestamp,
    ) -> Option<(Removed, Arc<str>)> {
        if self.disabled {
            return Some((Removed::Disabled, "disabled by the operator".into()));
        }
        if let Some(tag) = &self.lacks {
            return Some((Removed::CapabilityMissing, format!("lacks the tag {tag:?}").into()));
        }
        if let Some(client) = client.filter(|_| self.is_by_place()) {
            if let Some(place) = self.never_to.iter().find(|place| client.is_in(place)) {
                let detail = format!("never serves {place}");
                return Some((Removed::RegionNotAllowed, detail.into()));
            }
            if !self.only_to.is_empty() && !self.only_to.iter().any(|place| client.is_in(place)) {
                let detail = format!("serves {} only", self.only_to.join(", "));
                return Some((Removed::RegionNotAllowed, detail.into()));
            }
        }
        let hours = self.hours.as_ref()?;
        let second = now.0.div_euclid(1_000_000);
        if hours.has(second) {
            return None;
        }
        let detail = match hours.next_change(second) {
            Some(seconds) => format!("serves again in {} min", seconds.div_ceil(60)),
            None => "never serves".into(),
        };
        Some((Removed::ScheduleClosed, detail.into()))
    }
}

impl Whereabouts {
    fn is_in(&self, place: &str) -> bool {
        let is_known = self.country != [0; 2];
        (is_known && place.as_bytes() == self.country) || self.region.as_deref() == Some(place)
    }
}
