//! The demo's folder: identities, node files and the first configuration, written once.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use popnet_config::Loaded;
use popnet_config::network::{Network, Service};
use popnet_runtime::identity::Authority;
use popnet_terms::{NodeName, Role};
use popnet_wire::control::Problem;

use super::network::{self, CONTROL, Plan};
use crate::node_file::{NodeFile, Parent};
use crate::place::{CONTEXT_FILE, ContextFile};

/// A file that says that a folder is ours to empty.
const MARK: &str = ".popnet-demo";

/// The prepared folder.
pub(crate) struct Folder {
    /// Where it is, as the user wrote it: relative paths keep socket names short.
    pub(crate) path: PathBuf,
    /// What the nodes start with.
    pub(crate) loaded: Loaded,
    /// That text.
    pub(crate) text: String,
    // Held for as long as the demo runs: two demos in one folder would tread on each other.
    _lock: std::fs::File,
}

fn problem(path: &Path, error: &dyn std::fmt::Display) -> Problem {
    let what = format!("{}: {error}", path.display());
    Problem::new("D0001", what, "popnet demo --dir /tmp/popnet-demo   (or another folder)")
}

impl Folder {
    /// Empties and fills `path`.
    ///
    /// # Errors
    /// The folder is somebody else's, in use, or cannot be written.
    pub(crate) fn prepare(path: &Path, plan: Plan) -> Result<Self, Problem> {
        let lock = claim(path)?;
        let text = network::text(plan);
        let loaded = popnet_config::load(&text, "popnet.toml").map_err(|diagnostics| {
            problem(path, &popnet_config::render(&diagnostics, &text, "popnet.toml"))
        })?;
        let folder = Self { path: path.to_owned(), loaded, text, _lock: lock };
        folder.fill().map_err(|error| problem(path, &error))?;
        Ok(folder)
    }

    /// The folder of a node.
    pub(crate) fn node(&self, node: &NodeName) -> PathBuf {
        self.path.join("nodes").join(node.as_str())
    }

    /// The folder of acme's content.
    pub(crate) fn acme(&self) -> PathBuf {
        self.path.join("acme-origin")
    }

    /// The demo's own socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join("demo.sock")
    }

    fn fill(&self) -> Result<(), Box<dyn std::error::Error>> {
        std::fs::write(self.path.join("popnet.toml"), &self.text)?;
        let authority = Authority::create(&self.path.join("authority"), "lab")?;
        let network = &self.loaded.network;
        for (name, _, _) in network.nodes() {
            self.fill_node(&authority, network, &name)?;
        }
        let control = Path::new("nodes").join(CONTROL);
        let context = ContextFile {
            network: network.network.name.clone(),
            socket: Some(control.join("state/run/admin.sock")),
            address: None,
            hostname: None,
            identity: None,
            netview_state: Some(control.join("state")),
            demo: Some("demo.sock".into()),
        };
        std::fs::write(self.path.join(CONTEXT_FILE), toml_edit::ser::to_string_pretty(&context)?)?;
        super::content::write(&self.acme())?;
        Ok(())
    }

    fn fill_node(
        &self,
        authority: &Authority,
        network: &Network,
        name: &NodeName,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let folder = self.node(name);
        std::fs::create_dir_all(folder.join("state"))?;
        authority.issue(&network.hostname(name), &folder.join("identity"))?;
        let Some(node) = network.node(name) else { return Ok(()) };
        let control = NodeName::new(CONTROL);
        let parents = match network.node(&control) {
            Some(master) if *name != control => master
                .listens(Service::Control)
                .first()
                .map(|address| Parent { node: control.clone(), address: *address })
                .into_iter()
                .collect(),
            _ => Vec::new(),
        };
        let file = NodeFile {
            name: name.clone(),
            domain: network.network.domain.clone(),
            identity: "identity".into(),
            parents,
            nameservers: nameservers(network),
            node: node.clone(),
            certificates: Default::default(),
        };
        file.write(&folder)?;
        // What joining the network hands to a node that holds the configuration.
        if node.holds_configuration() {
            popnet_configd::seed(&folder.join("state"), &self.text, "demo", "the demo network")?;
        }
        Ok(())
    }
}

fn nameservers(network: &Network) -> Vec<SocketAddr> {
    network
        .nodes()
        .filter(|(_, _, node)| node.runs(Role::Nameserver))
        .filter_map(|(_, _, node)| node.listens(Service::Dns).into_iter().next())
        .collect()
}

/// Whether no demo runs in `path`.
pub(super) fn is_free(path: &Path) -> bool {
    match std::fs::File::open(path.join(MARK)) {
        Ok(mark) => mark.try_lock().is_ok(),
        Err(_) => true,
    }
}

/// Makes `path` ours and empty.
fn claim(path: &Path) -> Result<std::fs::File, Problem> {
    let fail = |error: &dyn std::fmt::Display| problem(path, error);
    let mark = path.join(MARK);
    let used = path.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    if used && !mark.is_file() {
        let what = format!("{} is not empty and not a demo's", path.display());
        return Err(Problem::new("D0002", what, "popnet demo --dir ANOTHER"));
    }
    std::fs::create_dir_all(path).map_err(|error| fail(&error))?;
    let lock = std::fs::File::create(&mark).map_err(|error| fail(&error))?;
    if lock.try_lock().is_err() {
        let what = format!("a demo runs in {} already", path.display());
        return Err(Problem::new("D0003", what, "popnet status   or   popnet demo down"));
    }
    let entries = path.read_dir().map_err(|error| fail(&error))?;
    for entry in entries {
        let entry = entry.map_err(|error| fail(&error))?;
        if entry.file_name() == MARK {
            continue;
        }
        let kind = entry.file_type().map_err(|error| fail(&error))?;
        let removed = if kind.is_dir() {
            std::fs::remove_dir_all(entry.path())
        } else {
            std::fs::remove_file(entry.path())
        };
        removed.map_err(|error| fail(&error))?;
    }
    Ok(lock)
}
