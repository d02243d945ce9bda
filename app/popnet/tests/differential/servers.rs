//! The four servers on free ports, with the same zone files; ended when dropped.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::zones::Zone;

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    Popnet,
    Bind,
    Nsd,
    Knot,
}

/// A server that ends with us.
struct Server {
    peer: Peer,
    port: u16,
    child: Child,
}

/// The servers and the folder they live in.
pub(crate) struct Lab {
    servers: Vec<Server>,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // NSD is a family; its parent ends the others when it is asked to.
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = udp.local_addr().unwrap().port();
    if TcpListener::bind(("127.0.0.1", port)).is_ok() { port } else { free_port() }
}

/// A program, also where only root has its folder on the path.
fn program(name: &str) -> String {
    let places = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"];
    let found = places.iter().map(|place| format!("{place}/{name}"));
    let mut found = found.filter(|path| Path::new(path).exists());
    found.next().unwrap_or_else(|| panic!("{name} is missing: cargo xtask setup"))
}

impl Lab {
    /// Starts all with `zones` and waits until each answers for all of them.
    pub(crate) fn start(zones: &[Zone]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        for zone in zones {
            fs::write(at.join(format!("{}.zone", zone.name)), &zone.text).unwrap();
        }
        let peers = [Peer::Popnet, Peer::Bind, Peer::Nsd, Peer::Knot];
        let servers = peers.map(|peer| {
            let port = free_port();
            let own = at.join(format!("{peer:?}"));
            fs::create_dir(&own).unwrap();
            let mut command = match peer {
                Peer::Popnet => popnet(at, &own, port, zones),
                Peer::Bind => bind(at, &own, port, zones),
                Peer::Nsd => nsd(at, &own, port, zones),
                Peer::Knot => knot(at, &own, port, zones),
            };
            let log = fs::File::create(own.join("log")).unwrap();
            let child = command
                .current_dir(&own)
                .stdin(Stdio::null())
                .stdout(Stdio::from(log.try_clone().unwrap()))
                .stderr(Stdio::from(log))
                .spawn()
                .unwrap_or_else(|error| panic!("{peer:?}: {error}"));
            Server { peer, port, child }
        });
        let lab = Self { servers: servers.into(), _folder: folder };
        for server in &lab.servers {
            let log = lab._folder.path().join(format!("{:?}/log", server.peer));
            for zone in zones {
                wait_for(server, zone, &log);
            }
        }
        lab
    }

    /// Each server and its port.
    pub(crate) fn ports(&self) -> impl Iterator<Item = (Peer, u16)> {
        self.servers.iter().map(|server| (server.peer, server.port))
    }
}

/// Waits until the zone's SOA comes with authority.
fn wait_for(server: &Server, zone: &Zone, log: &Path) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut query = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in zone.name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 6, 0, 1]);
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        let mut answer = [0; 512];
        let sent = socket.send_to(&query, ("127.0.0.1", server.port));
        let got = sent.and_then(|_| socket.recv(&mut answer));
        // AA, NOERROR, one answer.
        if got.is_ok() && answer[2] & 4 != 0 && answer[3] & 15 == 0 && answer[7] == 1 {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let log = fs::read_to_string(log).unwrap_or_default();
    panic!("{:?} does not answer for {}:\n{log}", server.peer, zone.name);
}

fn popnet(at: &Path, own: &Path, port: u16, zones: &[Zone]) -> Command {
    let (probe, control) = (free_port(), free_port());
    let mut text = format!(
        "[network]\nname = \"lab\"\nschema = 1\ndomain = \"popnet.lab\"\n\
         [pops.lab.nodes.ns1]\nroles = [\"nameserver\"]\naddress = [\"127.0.0.1\"]\n\
         workers = {{ dns = 1 }}\nlisten = {{ dns = [\"127.0.0.1:{port}\"], \
         probe = [\"127.0.0.1:{probe}\"], control = [\"127.0.0.1:{control}\"] }}\n"
    );
    for zone in zones {
        let file = at.join(format!("{}.zone", zone.name));
        text.push_str(&format!("[zones.\"{}\"]\nfile = \"{}\"\n", zone.name, file.display()));
    }
    fs::write(own.join("popnet.toml"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_popnet"));
    command.args(["run", "--config", "popnet.toml", "--node", "ns1.lab", "--state-dir", "state"]);
    command
}

fn bind(at: &Path, own: &Path, port: u16, zones: &[Zone]) -> Command {
    let own_path = own.display();
    let mut text = format!(
        "options {{ directory \"{own_path}\"; pid-file \"{own_path}/pid\"; \
         session-keyfile \"{own_path}/session\"; managed-keys-directory \"{own_path}\"; \
         listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; \
         minimal-responses no-auth; dnssec-validation no; notify no; check-names primary ignore; \
         check-integrity no; check-mx ignore; check-mx-cname ignore; check-srv-cname ignore; \
         zero-no-soa-ttl no; max-udp-size 1232; edns-udp-size 1232; allow-transfer {{ none; }}; }};\n\
         controls {{ }};\n"
    );
    for zone in zones {
        let file = at.join(format!("{}.zone", zone.name));
        let (name, file) = (&zone.name, file.display());
        text.push_str(&format!("zone \"{name}\" {{ type primary; file \"{file}\"; }};\n"));
    }
    let file = own.join("named.conf");
    fs::write(&file, text).unwrap();
    let mut command = Command::new(program("named"));
    command.args(["-g", "-n", "1", "-c"]).arg(file);
    command
}

fn nsd(at: &Path, own: &Path, port: u16, zones: &[Zone]) -> Command {
    let own_path = own.display();
    let mut text = format!(
        "server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: \"\"\n  \
         zonesdir: \"{own_path}\"\n  database: \"\"\n  pidfile: \"{own_path}/pid\"\n  \
         xfrdfile: \"{own_path}/xfrd\"\n  zonelistfile: \"{own_path}/zonelist\"\n  \
         xfrdir: \"{own_path}\"\n  ipv4-edns-size: 1232\n  rrl-ratelimit: 0\n  \
         minimal-responses: yes\nremote-control:\n  control-enable: no\n"
    );
    for zone in zones {
        let file = at.join(format!("{}.zone", zone.name));
        let (name, file) = (&zone.name, file.display());
        text.push_str(&format!("zone:\n  name: \"{name}\"\n  zonefile: \"{file}\"\n"));
    }
    fs::write(own.join("nsd.conf"), text).unwrap();
    let mut command = Command::new(program("nsd"));
    command.arg("-d").arg("-c").arg(own.join("nsd.conf"));
    command
}

fn knot(at: &Path, own: &Path, port: u16, zones: &[Zone]) -> Command {
    let own_path = own.display();
    let mut text = format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: \"{own_path}\"\n  udp-workers: 1\n  \
         tcp-workers: 1\n  background-workers: 1\n  udp-max-payload: 1232\n\
         database:\n  storage: \"{own_path}/db\"\nlog:\n  - target: stderr\n    any: info\n\
         template:\n  - id: default\n    zonefile-sync: -1\n    journal-content: none\n    \
         semantic-checks: off\nzone:\n"
    );
    for zone in zones {
        let file = at.join(format!("{}.zone", zone.name));
        text.push_str(&format!(
            "  - domain: \"{}\"\n    file: \"{}\"\n",
            zone.name,
            file.display()
        ));
    }
    fs::create_dir(own.join("db")).unwrap();
    fs::write(own.join("knot.conf"), text).unwrap();
    let mut command = Command::new(program("knotd"));
    command.arg("-c").arg(own.join("knot.conf"));
    command
}
