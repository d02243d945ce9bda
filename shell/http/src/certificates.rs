//! Certificates for clients: PEM files, chosen by the name a client asks for, and looked at again
//! and again: whoever renews one need not tell us.

use std::collections::HashMap;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use tokio_util::sync::CancellationToken;

/// How often files are looked at: two calls each.
const LOOK: Duration = Duration::from_secs(2);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read or holds no PEM of the right kind.
    #[error("{}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Key and chain do not fit, or the key's kind is not supported.
    #[error("{} does not fit {}: {why}", key.display(), chain.display())]
    Pair {
        /// The chain.
        chain: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        why: String,
    },
}

/// Reads a chain and its key.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn load(chain: &Path, key: &Path) -> Result<Arc<CertifiedKey>, CertificateError> {
    let file = |path: &Path, why: &dyn fmt::Display| CertificateError::File {
        path: path.to_owned(),
        why: why.to_string(),
    };
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect)
        .map_err(|error| file(chain, &error))?;
    if certificates.is_empty() {
        return Err(file(chain, &"no certificate in it"));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| file(key, &error))?;
    CertifiedKey::from_der(certificates, secret, &aws_lc_rs::default_provider())
        .map(Arc::new)
        .map_err(|error| CertificateError::Pair {
            chain: chain.to_owned(),
            key: key.to_owned(),
            why: error.to_string(),
        })
}

/// Where a certificate lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In files that somebody else looks after.
    Files {
        /// The chain.
        chain: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// In one file with chain and key, which is there as soon as the network has the certificate.
    Issued(PathBuf),
}

impl Place {
    fn chain(&self) -> &Path {
        match self {
            Self::Files { chain, .. } => chain,
            Self::Issued(path) => path,
        }
    }

    fn key(&self) -> &Path {
        match self {
            Self::Files { key, .. } => key,
            Self::Issued(path) => path,
        }
    }

    fn stamps(&self) -> Stamps {
        [stamp(self.chain()), stamp(self.key())]
    }
}

/// What changes when a file does; `None`: it is not there.
type Stamps = [Option<(i64, i64, u64, u64)>; 2];

fn stamp(path: &Path) -> Option<(i64, i64, u64, u64)> {
    let data = std::fs::metadata(path).ok()?;
    Some((data.mtime(), data.mtime_nsec(), data.len(), data.ino()))
}

/// Certificates as they were last good.
#[derive(Clone, Debug, Default)]
pub struct Table {
    by_name: HashMap<Arc<str>, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
}

impl Table {
    /// The one with this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        self.by_name.get(name)
    }

    /// The first of those that were wanted.
    #[must_use]
    pub fn first(&self) -> Option<&Arc<CertifiedKey>> {
        self.first.as_ref()
    }
}

/// Reads certificates, and again those whose files have changed. One that cannot be used leaves
/// the last good one in place.
#[derive(Debug, Default)]
pub struct Reader {
    entries: HashMap<Arc<str>, Entry>,
}

#[derive(Debug)]
struct Entry {
    place: Place,
    stamps: Stamps,
    pair: Option<Arc<CertifiedKey>>,
    trouble: Trouble,
}

/// How the last reading went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    /// Somebody may be in the middle of replacing two files: nothing is said before the next look.
    New,
    Told,
}

impl Reader {
    /// Looks at the files of `wanted`; gives what is in force when that is not what the last look
    /// gave.
    pub fn look(&mut self, wanted: &[(Arc<str>, Place)]) -> Option<Table> {
        let before = self.entries.len();
        self.entries.retain(|name, _| wanted.iter().any(|(wanted, _)| wanted == name));
        let mut has_changed = self.entries.len() != before;
        for (name, place) in wanted {
            let entry = self.entries.entry(Arc::clone(name)).or_insert_with(|| Entry {
                place: place.clone(),
                stamps: [None, None],
                pair: None,
                trouble: Trouble::New,
            });
            has_changed |= entry.look(name, place);
        }
        has_changed.then(|| self.table(wanted))
    }

    fn table(&self, wanted: &[(Arc<str>, Place)]) -> Table {
        let mut table = Table::default();
        for (name, _) in wanted {
            if let Some(pair) = self.entries.get(name).and_then(|entry| entry.pair.as_ref()) {
                table.first.get_or_insert_with(|| Arc::clone(pair));
                table.by_name.insert(Arc::clone(name), Arc::clone(pair));
            }
        }
        table
    }

    /// Looks until shutdown at what `wanted` says then, and tells `publish` of what has changed.
    pub async fn follow(
        mut self,
        wanted: impl Fn() -> Vec<(Arc<str>, Place)> + Send,
        publish: impl Fn(Table) + Send,
        shutdown: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            if let Some(table) = self.look(&wanted()) {
                publish(table);
            }
        }
    }
}

impl Entry {
    /// Says whether there is another pair now.
    fn look(&mut self, name: &str, place: &Place) -> bool {
        let stamps = place.stamps();
        let is_same = stamps == self.stamps && *place == self.place;
        if is_same && self.trouble != Trouble::New {
            return false;
        }
        (self.place, self.stamps) = (place.clone(), stamps);
        if matches!(place, Place::Issued(_)) && stamps == [None, None] {
            return false;
        }
        match load(place.chain(), place.key()) {
            Ok(pair) => {
                tracing::info!(certificate = name, from = %place.chain().display(), "read");
                (self.pair, self.trouble) = (Some(pair), Trouble::None);
                true
            }
            Err(_) if !is_same => {
                self.trouble = Trouble::New;
                false
            }
            Err(error) => {
                self.trouble = Trouble::Told;
                let last = if self.pair.is_some() { "the last good one stays" } else { "left out" };
                tracing::error!(certificate = name, %error, "certificate: {last}");
                false
            }
        }
    }
}

/// Chooses a certificate for the server name of a handshake, or for none.
pub trait Choose: Send + Sync + 'static {
    /// The certificate; `None` refuses the handshake.
    fn choose(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>>;
}

struct Chooser<C>(C);

impl<C> fmt::Debug for Chooser<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chooser")
    }
}

impl<C: Choose> ResolvesServerCert for Chooser<C> {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.choose(hello.server_name())
    }
}

/// TLS 1.2 and 1.3 for clients, with HTTP/2 and HTTP/1.1 by ALPN.
///
/// # Panics
/// Never: the built-in provider supports both versions.
#[must_use]
pub fn server_config(choose: impl Choose) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .expect("the provider supports TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Chooser(choose)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        std::fs::write(folder.join("chain.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    }

    fn shown(table: &Table) -> Vec<u8> {
        table.named("shop").unwrap().cert[0].to_vec()
    }

    #[test]
    fn the_last_good_one_stays_and_a_new_one_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let files = Place::Files { chain: folder.join("chain.pem"), key: folder.join("key.pem") };
        let issued = folder.join("both.pem");
        let wanted = [
            (Arc::from("later"), Place::Issued(issued.clone())),
            (Arc::<str>::from("shop"), files),
        ];
        let mut reader = Reader::default();
        assert!(reader.look(&wanted).is_none());
        write(folder, "a.test");
        let first = reader.look(&wanted).unwrap();
        assert!(reader.look(&wanted).is_none(), "nothing has changed");
        assert_eq!(first.first().unwrap().cert[0].to_vec(), shown(&first));

        // Half replaced, then broken, then good.
        let key = std::fs::read(folder.join("key.pem")).unwrap();
        write(folder, "b.test");
        let next = std::fs::read(folder.join("key.pem")).unwrap();
        std::fs::write(folder.join("key.pem"), key).unwrap();
        assert!(reader.look(&wanted).is_none());
        assert_eq!(reader.entries["shop"].trouble, Trouble::New);
        assert!(reader.look(&wanted).is_none());
        assert_eq!(reader.entries["shop"].trouble, Trouble::Told);
        assert_eq!(shown(&reader.table(&wanted)), shown(&first));
        std::fs::write(folder.join("key.pem"), &next).unwrap();
        assert_ne!(shown(&reader.look(&wanted).unwrap()), shown(&first));

        // One file with both.
        let both = [next, std::fs::read(folder.join("chain.pem")).unwrap()].concat();
        std::fs::write(&issued, both).unwrap();
        assert!(reader.look(&wanted).unwrap().named("later").is_some());
        assert!(reader.look(&wanted[1..]).unwrap().named("later").is_none());
    }
}
