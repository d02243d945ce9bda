//! Which certificate a client is shown: the one of the site it names, else that of `*`. Sites that
//! a new sheet brings have theirs as soon as its file is there.

use std::path::PathBuf;
use std::sync::Arc;

use popnet_http::certificates::{Choose, Place, Reader, Table};
use popnet_runtime::Published;
use popnet_runtime::issued;
use popnet_tier::sites::Sites;
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

use crate::start::Certificate;

/// The node's certificates as they are now.
#[derive(Clone)]
pub(crate) struct Certificates {
    table: Arc<Published<Table>>,
    sites: Arc<Published<Sites>>,
}

/// Which there should be.
struct Wanted {
    /// Those with files of their own.
    given: Vec<(Arc<str>, Place)>,
    /// Where the network puts what it orders for its sites.
    folder: PathBuf,
}

impl Wanted {
    fn now(&self, sites: &Sites) -> Vec<(Arc<str>, Place)> {
        let mut wanted = self.given.clone();
        for name in sites.certificates() {
            if !wanted.iter().any(|(known, _)| known == name)
                && let Some(path) = issued::path(&self.folder, name)
            {
                wanted.push((Arc::clone(name), Place::Issued(path)));
            }
        }
        wanted
    }
}

impl Certificates {
    /// Reads every certificate of `given`, and in `folder` those that sites have beside them. The
    /// second value follows them until shutdown.
    pub(crate) fn new(
        given: &[Certificate],
        folder: PathBuf,
        sites: Arc<Published<Sites>>,
        shutdown: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let place = |of: &Certificate| {
            let (chain, key) = (of.chain.clone(), of.key.clone());
            (Arc::clone(&of.name), Place::Files { chain, key })
        };
        let wanted = Wanted { given: given.iter().map(place).collect(), folder };
        let mut reader = Reader::default();
        let table = reader.look(&wanted.now(&sites.load())).unwrap_or_default();
        let certificates = Self { table: Arc::new(Published::new(Arc::new(table))), sites };
        let now = certificates.clone();
        let following = async move {
            let wanted = || wanted.now(&now.sites.load());
            reader.follow(wanted, |table| now.table.store(Arc::new(table)), shutdown).await;
        };
        (certificates, following)
    }
}

impl Choose for Certificates {
    fn choose(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let (sites, table) = (self.sites.load(), self.table.load());
        let site = match name {
            Some(name) => sites.of_host(&name.to_ascii_lowercase()),
            None => sites.named("*"),
        };
        let of_site = site
            .and_then(|site| site.certificate.as_ref())
            .and_then(|certificate| table.named(certificate));
        of_site.or(table.first()).map(Arc::clone)
    }
}
