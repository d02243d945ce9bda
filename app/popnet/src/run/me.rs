//! Who this node is: from the configuration file and `--node`, or from `node.toml`.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use popnet_config::network::{CertificateFiles, Network, Node};
use popnet_runtime::Context;
use popnet_runtime::files::create_private_dir;
use popnet_runtime::identity::{Authority, Identity, NODE_PEM};
use popnet_terms::NodeName;
use popnet_wire::control::Problem;
use tokio_util::sync::CancellationToken;

use crate::cli::RunArguments;
use crate::command::config::broken;
use crate::output::Style;
use popnet_configd::Parent;

use crate::node_file::NodeFile;

/// A node about to run.
pub(super) struct Me {
    /// Where and as whom.
    pub(super) context: Context,
    /// What the machine runs and where it listens.
    pub(super) node: Node,
    /// Certificates towards clients, with the folder their paths start from.
    pub(super) certificates: BTreeMap<String, CertificateFiles>,
    /// That folder.
    pub(super) base_dir: PathBuf,
    /// Where the configuration comes from.
    pub(super) source: Source,
    /// Nobody else is in the configuration file.
    pub(super) alone: bool,
}

/// Where the configuration comes from.
pub(super) enum Source {
    /// A file.
    File(PathBuf),
    /// A push from a parent.
    Managed {
        /// Who pushes.
        parents: Vec<Parent>,
        /// Who answers names, for nodes that hold no configuration.
        nameservers: Vec<SocketAddr>,
    },
}

impl Me {
    /// Finds out.
    pub(super) fn find(
        arguments: &RunArguments,
        shutdown: &CancellationToken,
        style: Style,
    ) -> Result<Self, Problem> {
        match (&arguments.config, &arguments.node) {
            (Some(file), Some(node)) => Self::from_file(arguments, file, node, shutdown, style),
            _ => Self::managed(arguments, shutdown),
        }
    }

    fn from_file(
        arguments: &RunArguments,
        file: &Path,
        name: &NodeName,
        shutdown: &CancellationToken,
        style: Style,
    ) -> Result<Self, Problem> {
        let shown = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| {
            Problem::new("R0007", format!("{shown}: {error}"), "popnet config validate FILE")
        })?;
        let loaded = popnet_config::load(&text, &shown)
            .map_err(|diagnostics| broken(&diagnostics, &text, &shown, style))?;
        let network = loaded.network;
        let alone = network.nodes().count() == 1;
        let node = network.node(name).cloned().ok_or_else(|| unknown(&network, name, &shown))?;
        let hostname = network.hostname(name);
        let identity = file_identity(arguments, &network, &hostname)?;
        let base_dir = file.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self {
            context: context(arguments, name, &network.network.domain, identity, shutdown),
            node,
            certificates: network.certificates,
            base_dir,
            source: Source::File(file.to_owned()),
            alone,
        })
    }

    fn managed(arguments: &RunArguments, shutdown: &CancellationToken) -> Result<Self, Problem> {
        let folder = arguments.config_dir.as_deref().unwrap_or(&arguments.state_dir);
        let file = NodeFile::read(folder)?;
        let identity =
            Identity::load(&folder.join(&file.identity)).map_err(|error| error.problem())?;
        Ok(Self {
            context: context(arguments, &file.name, &file.domain, identity, shutdown),
            node: file.node,
            certificates: file.certificates,
            base_dir: folder.to_owned(),
            source: Source::Managed {
                parents: file.parents.into_iter().map(Into::into).collect(),
                nameservers: file.nameservers,
            },
            alone: false,
        })
    }
}

fn context(
    arguments: &RunArguments,
    name: &NodeName,
    domain: &str,
    identity: Identity,
    shutdown: &CancellationToken,
) -> Context {
    Context {
        node: name.clone(),
        hostname: format!("{name}.{domain}"),
        domain: Arc::from(domain),
        state_dir: arguments.state_dir.clone(),
        run_dir: arguments.state_dir.join("run"),
        identity: Arc::new(identity),
        shutdown: shutdown.clone(),
    }
}

fn unknown(network: &Network, name: &NodeName, file: &str) -> Problem {
    let nodes: Vec<String> = network.nodes().map(|(node, _, _)| node.to_string()).collect();
    let what = format!("{file} has no node {name}; nodes: {}", nodes.join(", "));
    let next = nodes.first().map(|node| format!("--node {node}")).unwrap_or_default();
    Problem::new("R0004", what, next).with_exit(3)
}

/// A node that is alone makes its own authority; several need one in common.
fn file_identity(
    arguments: &RunArguments,
    network: &Network,
    hostname: &str,
) -> Result<Identity, Problem> {
    let own = arguments.state_dir.join("identity");
    let folder = arguments.identity.as_deref().unwrap_or(&own);
    // Processes of one node that start together must not make two identities out of one.
    let _turn = take_turn(&arguments.state_dir)?;
    // In our own folder the certificate is written last; one that we were given is not for us to
    // complete.
    let is_there = arguments.identity.as_deref().map_or(own.join(NODE_PEM), Path::to_owned);
    if !is_there.exists() {
        if network.nodes().count() > 1 {
            let what = format!("{hostname} has no certificate in {}", folder.display());
            let next = format!(
                "popnet authority create AUTHORITY --network {}; popnet authority issue AUTHORITY --hostname {hostname} --out {}",
                network.network.name,
                folder.display()
            );
            return Err(Problem::new("R0005", what, next));
        }
        let authority = arguments.state_dir.join("authority");
        let made = if authority.exists() {
            Authority::load(&authority)
        } else {
            Authority::create(&authority, &network.network.name)
        };
        made.and_then(|authority| authority.issue(hostname, folder))
            .map_err(|error| error.problem())?;
    }
    Identity::load(folder).map_err(|error| error.problem())
}

/// Waits until no other process of this node is at this place; the place is free when the file is
/// dropped.
fn take_turn(state_dir: &Path) -> Result<File, Problem> {
    let path = state_dir.join("identity.lock");
    let opened = create_private_dir(state_dir).and_then(|()| File::create(&path));
    let locked = opened.and_then(|file| file.lock().map(|()| file));
    locked.map_err(|error| super::folder_problem(&path, &error))
}
