//! What goes wrong here, as records for the log server (W6, C9). Requests are the memory tier's
//! to log.

use popnet_http::failure::Failure;
use popnet_runtime::clock;
use popnet_runtime::ship::Shipper;
use popnet_terms::{CustomerId, OriginId};
use popnet_wire::logging::{Event, Record};
use popnet_wire::sheet::SiteSheet;

use crate::disk::Trouble;

/// Sends events; without a shipper they are only in the program's own log.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    shipper: Option<Shipper>,
}

impl Events {
    pub(crate) fn new(shipper: Option<Shipper>) -> Self {
        Self { shipper }
    }

    /// An origin failed that had answered before: the customer's to know.
    pub(crate) fn origin_failed(&self, site: &SiteSheet, origin: &OriginId, failure: &Failure) {
        tracing::warn!(site = %site.site, %origin, %failure, "origin failed");
        let reason = format!("{}: {}", failure.kind.token(), failure.detail);
        self.send(&site.customer, "origin", &origin.to_string(), ["up", "down"], &reason);
    }

    /// An origin answers that had failed before.
    pub(crate) fn origin_back(&self, site: &SiteSheet, origin: &OriginId) {
        tracing::info!(site = %site.site, %origin, "origin answers again");
        self.send(&site.customer, "origin", &origin.to_string(), ["down", "up"], "it answered");
    }

    /// The disk failed: the operator's to know.
    pub(crate) fn disk(&self, trouble: &Trouble) {
        let (subject, reason) = match trouble {
            Trouble::Open(reason) => ("open", reason),
            Trouble::Write(reason) => ("write", reason),
            Trouble::Read(reason) => ("read", reason),
        };
        tracing::error!(subject, reason, "disk tier");
        self.send(&CustomerId::network(), "disk", subject, ["", "failed"], reason);
    }

    fn send(
        &self,
        customer: &CustomerId,
        kind: &str,
        subject: &str,
        [from, to]: [&str; 2],
        reason: &str,
    ) {
        let Some(shipper) = &self.shipper else { return };
        let event = Event {
            ts: clock::now(),
            kind: kind.into(),
            subject: subject.into(),
            from: from.into(),
            to: to.into(),
            reason: reason.into(),
        };
        shipper.record(customer, Record::Event(event));
    }
}
