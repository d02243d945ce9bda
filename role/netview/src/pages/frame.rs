//! What is around every page: names, navigation, who is logged in.

use popnet_terms::CustomerId;
use popnet_wire::asking::Scope;

use crate::access::{Visible, Who};
use crate::app::App;
use crate::pulse::Snapshot;
use crate::topic::Topic;
use crate::view::configuration;
use crate::view::format::Moment;

/// The frame of a page.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) title: String,
    pub(crate) section: &'static str,
    pub(crate) network: String,
    pub(crate) user: String,
    pub(crate) role: String,
    pub(crate) form_token: String,
    pub(crate) operator: bool,
    pub(crate) may_purge: bool,
    pub(crate) customers: Vec<CustomerId>,
    /// The customer whose pages these are; empty on pages about the network.
    pub(crate) customer: String,
    pub(crate) epoch: String,
    pub(crate) as_of: Moment,
    /// Topics of the page's panels; empty for pages that stand still.
    pub(crate) topics: String,
}

impl Frame {
    pub(crate) fn new(
        app: &App,
        snapshot: &Snapshot,
        who: &Who,
        title: &str,
        section: &'static str,
    ) -> Self {
        let held = app.shared.pulse.held();
        Self {
            title: title.to_owned(),
            section,
            network: held.network.network.name.clone(),
            user: who.name().to_owned(),
            role: who.role().to_string(),
            form_token: who.form_token().to_owned(),
            operator: who.scope() == Scope::Network,
            may_purge: who.role().may_purge(),
            customers: who.customers(&held),
            customer: String::new(),
            epoch: configuration::in_force(snapshot).to_string(),
            as_of: Moment(snapshot.at),
            topics: String::new(),
        }
    }

    pub(crate) fn of(mut self, customer: &Visible) -> Self {
        self.customer = customer.id().to_string();
        self
    }

    pub(crate) fn live(mut self, topics: &[Topic]) -> Self {
        self.topics = topics.iter().map(Topic::name).collect::<Vec<_>>().join(",");
        self
    }
}
