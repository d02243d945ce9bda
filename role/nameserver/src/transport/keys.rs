//! The certificate that clients of DoT, DoH and DoQ see: the one that the configuration names, else
//! one of the network's own authority.

use std::fmt;
use std::sync::Arc;

use popnet_config::Held;
use popnet_http::certificates::{Place, Reader, Table};
use popnet_runtime::{Context, Published, StartError};
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use tokio::sync::watch;

use crate::transfer::Asking;

/// The certificate in force.
pub(super) struct Keys {
    /// The one that the configuration names.
    named: Published<Table>,
    /// The node's own.
    own: Arc<dyn ResolvesServerCert>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl ResolvesServerCert for Keys {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = self.named.load();
        named.first().map(Arc::clone).or_else(|| self.own.resolve(hello))
    }
}

/// What `held` names.
fn wanted(held: &Held) -> Vec<(Arc<str>, Place)> {
    let named = || {
        let name = held.network.dns.certificate.as_ref()?;
        let files = held.network.certificates.get(name)?;
        let (chain, key) = (held.base_dir.join(&files.chain), held.base_dir.join(&files.key));
        Some((Arc::from(name.as_str()), Place::Files { chain, key }))
    };
    named().into_iter().collect()
}

impl Keys {
    /// The certificate that the configuration names, if it is good. The second value follows the
    /// configuration and the files until shutdown.
    pub(super) fn new(
        config: &watch::Receiver<Arc<Held>>,
        context: &Context,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + use<>) {
        let own = Arc::clone(&context.identity.server_tls().cert_resolver);
        let mut reader = Reader::default();
        let table = reader.look(&wanted(&config.borrow())).unwrap_or_default();
        let keys = Arc::new(Self { named: Published::new(Arc::new(table)), own });
        let (now, config, shutdown) = (Arc::clone(&keys), config.clone(), context.shutdown.clone());
        let following = async move {
            let wanted = || wanted(&config.borrow());
            reader.follow(wanted, |table| now.named.store(Arc::new(table)), shutdown).await;
        };
        (keys, following)
    }
}

/// TLS for these protocols (ALPN). With `asking`, clients may show certificates.
pub(super) fn server_config(
    keys: &Arc<Keys>,
    protocols: &[&[u8]],
    asking: Option<Asking>,
) -> Result<Arc<ServerConfig>, StartError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(std::io::Error::other)
        .map_err(StartError::io("TLS for DNS clients"))?;
    let builder = match asking {
        None => builder.with_no_client_auth(),
        Some(asking) => builder.with_client_cert_verifier(Arc::new(asking)),
    };
    let mut config = builder.with_cert_resolver(Arc::clone(keys) as _);
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}
