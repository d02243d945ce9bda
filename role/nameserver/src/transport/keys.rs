//! The certificate that clients of DoT, DoH and DoQ see: files that the configuration names, else
//! one of the network's own authority. Looked at again and again: whoever renews a certificate
//! need not tell us.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use popnet_config::Held;
use popnet_http::certificates::load;
use popnet_runtime::identity::Identity;
use popnet_runtime::{Published, StartError};
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::transfer::Asking;

/// How often the files are looked at: two calls.
const LOOK: Duration = Duration::from_secs(2);

/// The certificate in force.
pub(super) struct Keys {
    /// From files. `None`: there are none, or none was ever good.
    named: Published<Option<Arc<CertifiedKey>>>,
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
        (**named).clone().or_else(|| self.own.resolve(hello))
    }
}

/// Files and their states when they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    chain: PathBuf,
    key: PathBuf,
    stamps: [Option<(SystemTime, u64)>; 2],
}

impl Seen {
    fn now(held: &Held) -> Option<Self> {
        let name = held.network.dns.certificate.as_ref()?;
        let files = held.network.certificates.get(name)?;
        let (chain, key) = (held.base_dir.join(&files.chain), held.base_dir.join(&files.key));
        let stamps = [stamp(&chain), stamp(&key)];
        Some(Self { chain, key, stamps })
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let data = std::fs::metadata(path).ok()?;
    Some((data.modified().ok()?, data.len()))
}

impl Keys {
    /// The certificate that `held` names, if it is good.
    pub(super) fn new(held: &Held, identity: &Identity) -> Self {
        let own = Arc::clone(&identity.server_tls().cert_resolver);
        let keys = Self { named: Published::new(Arc::new(None)), own };
        keys.read(Seen::now(held).as_ref());
        keys
    }

    /// Follows the configuration and the files.
    pub(super) async fn follow(
        self: Arc<Self>,
        mut config: watch::Receiver<Arc<Held>>,
        shutdown: CancellationToken,
    ) {
        let mut seen = Seen::now(&config.borrow_and_update().clone());
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(LOOK) => {}
            }
            let held = Arc::clone(&config.borrow_and_update());
            let now = Seen::now(&held);
            if now != seen {
                self.read(now.as_ref());
                seen = now;
            }
        }
    }

    /// A pair that cannot be used leaves the last good one in place.
    fn read(&self, seen: Option<&Seen>) {
        let Some(Seen { chain, key, .. }) = seen else {
            return self.named.store(Arc::new(None));
        };
        match load(chain, key) {
            Ok(pair) => {
                tracing::info!(chain = %chain.display(), "certificate for DNS clients read");
                self.named.store(Arc::new(Some(pair)));
            }
            Err(error) => {
                tracing::error!(%error, "certificate for DNS clients: the last good one stays");
            }
        }
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
