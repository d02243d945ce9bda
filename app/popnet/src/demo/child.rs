//! A node of the demo as a real process that cannot outlive its parent.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use popnet_runtime::socket_path::SocketPath;
use tokio::process::{Child, ChildStdin, Command};

/// How long a node may take to be ready. A laptop needs a quarter of it.
const READY_MAX: Duration = Duration::from_secs(20);

/// A running node.
pub(crate) struct Node {
    /// NODE.POP.
    pub(crate) name: String,
    child: Child,
    /// The pipe whose end stops the node. Kept apart: waiting for a child closes its own.
    lifeline: Option<ChildStdin>,
    ready: tokio::net::UnixDatagram,
    log: PathBuf,
}

/// This very program, also when its file has been replaced since it was started.
fn program() -> std::io::Result<PathBuf> {
    let itself = Path::new("/proc/self/exe");
    if itself.exists() { Ok(itself.to_owned()) } else { std::env::current_exe() }
}

impl Node {
    /// Starts the node whose folder is `folder`. It stops when this process ends, however that
    /// happens: its standard input is a pipe that only we hold open.
    pub(crate) fn start(name: &str, folder: &Path) -> std::io::Result<Self> {
        let notify = folder.join("notify.sock");
        if notify.exists() {
            std::fs::remove_file(&notify)?;
        }
        let socket = UnixDatagram::bind(SocketPath::of(&notify)?.path())?;
        socket.set_nonblocking(true)?;
        let ready = tokio::net::UnixDatagram::from_std(socket)?;
        let log = folder.join("node.log");
        let output = std::fs::OpenOptions::new().create(true).append(true).open(&log)?;
        // Paths are relative to the node's folder: the kernel limits those of sockets.
        let mut child = Command::new(program()?)
            .args(["run", "--config-dir", ".", "--state-dir", "state", "--until-stdin-closes"])
            .current_dir(folder)
            .env("NOTIFY_SOCKET", "notify.sock")
            .env_remove("POPNET_CONTEXT")
            .stdin(Stdio::piped())
            .stdout(Stdio::from(output.try_clone()?))
            .stderr(Stdio::from(output))
            .kill_on_drop(true)
            .spawn()?;
        let lifeline = child.stdin.take();
        Ok(Self { name: name.to_owned(), child, lifeline, ready, log })
    }

    /// The process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Whether it still runs.
    pub(crate) fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until the node says that it is ready.
    ///
    /// # Errors
    /// The end of its log when it ends or stays silent.
    pub(crate) async fn wait_ready(&mut self) -> Result<(), String> {
        let mut message = [0u8; 512];
        tokio::select! {
            got = self.ready.recv(&mut message) => match got {
                Ok(_) => Ok(()),
                Err(error) => Err(format!("{}: {error}", self.name)),
            },
            ended = self.child.wait() => {
                let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                Err(format!("{} ended ({how}) before it was ready:\n{}", self.name, self.log_end()))
            }
            () = tokio::time::sleep(READY_MAX) => {
                Err(format!("{} is not ready after {READY_MAX:?}:\n{}", self.name, self.log_end()))
            }
        }
    }

    fn log_end(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        // What it says at last, when it says why it ends, is enough.
        let last = lines.iter().rposition(|line| line.starts_with("error["));
        let from = last.unwrap_or(lines.len().saturating_sub(12));
        lines.get(from..).unwrap_or_default().join("\n")
    }

    /// Ends it the hard way, as a power cut would.
    pub(crate) async fn kill(&mut self) -> std::io::Result<()> {
        self.child.kill().await
    }

    /// Asks it to stop and waits a little; then ends it the hard way.
    pub(crate) async fn stop(mut self) {
        drop(self.lifeline.take());
        let asked = tokio::time::timeout(Duration::from_secs(5), self.child.wait()).await;
        if asked.is_err() {
            drop(self.child.kill().await);
        }
    }
}
