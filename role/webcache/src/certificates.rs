//! Which certificate a client is shown: the one of the site it names, else that of `*`.

use std::collections::HashMap;
use std::sync::Arc;

use popnet_http::certificates::{Choose, load};
use popnet_runtime::Published;
use popnet_tier::sites::Sites;
use rustls::sign::CertifiedKey;

use crate::start::Certificate;

/// The node's own certificates, by name.
pub(crate) struct Certificates {
    by_name: HashMap<Arc<str>, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
    sites: Arc<Published<Sites>>,
}

impl Certificates {
    /// Reads every certificate. One that cannot be read is reported and left out: the others'
    /// sites are not to suffer.
    pub(crate) fn load(certificates: &[Certificate], sites: Arc<Published<Sites>>) -> Self {
        let mut by_name = HashMap::new();
        let mut first = None;
        for certificate in certificates {
            match load(&certificate.chain, &certificate.key) {
                Ok(key) => {
                    first.get_or_insert_with(|| Arc::clone(&key));
                    by_name.insert(Arc::clone(&certificate.name), key);
                }
                Err(error) => {
                    tracing::error!(certificate = %certificate.name, %error, "certificate left out");
                }
            }
        }
        Self { by_name, first, sites }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

impl Choose for Certificates {
    fn choose(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let sites = self.sites.load();
        let site = match name {
            Some(name) => sites.of_host(&name.to_ascii_lowercase()),
            None => sites.named("*"),
        };
        let of_site = site
            .and_then(|site| site.certificate.as_ref())
            .and_then(|certificate| self.by_name.get(certificate));
        of_site.or(self.first.as_ref()).map(Arc::clone)
    }
}
