//! A directory that is told everything: a node that runs straight from a file in which there is
//! no name server to ask.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use popnet_terms::CustomerId;
use popnet_wire::sheet::{OriginAddress, Sheet, SiteSheet};
use tokio::sync::watch;

use crate::directory::Service;

/// Where things are, as a file says it.
#[derive(Debug)]
pub(crate) struct Fixed {
    sheet: watch::Sender<Option<Arc<Sheet>>>,
    services: Mutex<Services>,
}

#[derive(Debug)]
struct Services {
    stores: Vec<Service>,
    logs: BTreeMap<CustomerId, Vec<Service>>,
}

impl Fixed {
    pub(crate) fn new(
        sheet: Sheet,
        stores: Vec<Service>,
        logs: BTreeMap<CustomerId, Vec<Service>>,
    ) -> Self {
        Self {
            sheet: watch::Sender::new(Some(Arc::new(sheet))),
            services: Mutex::new(Services { stores, logs }),
        }
    }

    pub(crate) fn replace(
        &self,
        sheet: Sheet,
        stores: Vec<Service>,
        logs: BTreeMap<CustomerId, Vec<Service>>,
    ) {
        *self.services.lock().unwrap_or_else(PoisonError::into_inner) = Services { stores, logs };
        self.sheet.send_replace(Some(Arc::new(sheet)));
    }

    pub(crate) fn sheet(&self) -> watch::Receiver<Option<Arc<Sheet>>> {
        self.sheet.subscribe()
    }

    pub(crate) fn stores(&self) -> Vec<Service> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner).stores.clone()
    }

    /// The customer's log servers, else the network's own.
    pub(crate) fn logs(&self, customer: &CustomerId) -> Vec<Service> {
        let services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let own = services.logs.get(customer);
        own.or_else(|| services.logs.get(&CustomerId::network())).cloned().unwrap_or_default()
    }

    /// Whether anybody takes records.
    pub(crate) fn has_logs(&self) -> bool {
        let services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        services.logs.values().any(|servers| !servers.is_empty())
    }

    /// The configured order: there is nobody who could know a better one.
    pub(crate) fn origins(site: &SiteSheet) -> Vec<OriginAddress> {
        site.origins.clone()
    }
}
