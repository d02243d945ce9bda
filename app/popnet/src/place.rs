//! Which network a command talks to, and how it is reached.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use popnet_wire::control::Problem;
use serde::{Deserialize, Serialize};

use crate::demo::DIR;

/// A context file: how to reach a network's master.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContextFile {
    /// The network's name.
    pub(crate) network: String,
    /// A master's own socket, relative to this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) socket: Option<PathBuf>,
    /// Or a master's control address …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<SocketAddr>,
    /// … with the name in its certificate …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hostname: Option<String>,
    /// … and a folder with our own certificate, relative to this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) identity: Option<PathBuf>,
    /// State folder of the node that runs NetView, relative to this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) netview_state: Option<PathBuf>,
    /// The demo's own socket, relative to this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) demo: Option<PathBuf>,
}

/// A context with its paths resolved.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    file: ContextFile,
    folder: PathBuf,
}

/// The name of a context file in a folder.
pub(crate) const CONTEXT_FILE: &str = "context.toml";

/// The socket of a node set up by the package.
const SYSTEM_SOCKET: &str = "/run/popnet/admin.sock";

impl Place {
    /// The context that `given` names, or the first that there is.
    pub(crate) fn find(given: Option<&Path>) -> Result<Self, Problem> {
        if let Some(path) = given {
            let path = if path.is_dir() { path.join(CONTEXT_FILE) } else { path.to_owned() };
            return Self::read(&path);
        }
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let usual =
            [Path::new(DIR).join(CONTEXT_FILE), home.join(".config/popnet").join(CONTEXT_FILE)];
        if let Some(path) = usual.iter().find(|path| path.is_file()) {
            return Self::read(path);
        }
        if Path::new(SYSTEM_SOCKET).exists() {
            return Ok(Self::system());
        }
        let what = format!(
            "no network to talk to: there is no {}, no {} and no {SYSTEM_SOCKET}",
            usual[0].display(),
            usual[1].display()
        );
        Err(Problem::new("U0001", what, "popnet demo   (or name a network with --context PATH)"))
    }

    fn system() -> Self {
        let file = ContextFile {
            network: String::new(),
            socket: Some(SYSTEM_SOCKET.into()),
            address: None,
            hostname: None,
            identity: None,
            netview_state: Some("/var/lib/popnet".into()),
            demo: None,
        };
        Self { file, folder: "/".into() }
    }

    fn read(path: &Path) -> Result<Self, Problem> {
        let cannot = |why: String| {
            let what = format!("context {}: {why}", path.display());
            Problem::new("U0003", what, "popnet demo   (or name a network with --context PATH)")
        };
        let text = std::fs::read_to_string(path).map_err(|error| cannot(error.to_string()))?;
        let file = toml_edit::de::from_str(&text).map_err(|error| cannot(error.to_string()))?;
        Ok(Self { file, folder: path.parent().unwrap_or(Path::new(".")).to_owned() })
    }

    /// The master's Unix socket.
    pub(crate) fn socket(&self) -> Option<PathBuf> {
        self.file.socket.as_ref().map(|path| self.folder.join(path))
    }

    /// The master's control address, the name in its certificate and our identity's folder.
    pub(crate) fn remote(&self) -> Option<(SocketAddr, &str, PathBuf)> {
        let identity = self.folder.join(self.file.identity.as_ref()?);
        Some((self.file.address?, self.file.hostname.as_deref()?, identity))
    }

    /// The state folder of the node that runs NetView.
    pub(crate) fn netview_state(&self) -> Option<PathBuf> {
        self.file.netview_state.as_ref().map(|path| self.folder.join(path))
    }

    /// The demo's socket, when this is a demo.
    pub(crate) fn demo(&self) -> Option<PathBuf> {
        self.file.demo.as_ref().map(|path| self.folder.join(path))
    }
}
