//! The running demo: starts every part, carries out orders, and leaves nothing behind.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use popnet_admin::{Admin, Endpoint};
use popnet_config::network::Network;
use popnet_dns::Rtype;
use popnet_netview::users::{UserRole, Users, UsersError};
use popnet_runtime::clock;
use popnet_runtime::publish::Published;
use popnet_runtime::socket_path::SocketPath;
use popnet_terms::{Micros, NodeName, PopId, Role, RttSource, TargetId};
use popnet_wire::control::{Problem, PushOrder};
use popnet_wire::explaining::{DnsStory, ExplainDns};
use popnet_wire::logging::Score;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::child::Node;
use super::folder::Folder;
use super::network::{CITIES, CONTROL, NODE, POPS, Plan};
use super::order::{LINE_MAX, Order, Report};
use super::screen::{self, Ready};
use super::visit::Visitor;
use super::{city, content};
use crate::command::{edit_problem, no_runtime};
use crate::output::{Done, Outcome, Style};

/// How long the demo waits for the first measurements before it says that it is ready anyway.
const WARM_UP_MAX: Duration = Duration::from_secs(10);

/// How long it waits for the measurements that a question asked for before it asks again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Plays the demo until it is told to stop.
pub(super) fn play(dir: &Path, plan: Plan, style: Style) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| no_runtime(&error))?;
    runtime.block_on(async {
        let begun = Instant::now();
        let mut end = End::listen()?;
        let set = tokio::select! {
            set = Stage::set(dir, plan) => set,
            // What has started so far is killed when it is dropped.
            () = end.comes() => return Ok(Done { exit: 130 }),
        };
        let mut stage = set?;
        let played = stage.run(begun, style, &mut end).await;
        stage.clear().await;
        played.map(|()| Done::WELL)
    })
}

/// Ctrl-C, or the polite signal. Listened for from the start: one that comes early is not lost.
struct End {
    interrupt: Signal,
    terminate: Signal,
}

impl End {
    fn listen() -> Result<Self, Problem> {
        let listen = |kind| signal(kind).map_err(|error| start_problem(&error));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn comes(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Everything that runs.
struct Stage {
    plan: Plan,
    folder: Folder,
    nodes: BTreeMap<NodeName, Node>,
    /// Nodes that were killed or died, and have been spoken of.
    dead: Vec<NodeName>,
    network: Arc<Published<Network>>,
    admin: Admin,
}

/// How an order begins its report when all is as ordered already.
const NOTHING: &str = "nothing to do";

/// How often the cities look whether somebody pushed.
const FOLLOW: Duration = Duration::from_secs(1);

/// What to do about an address that is taken: a demo has no configuration file to edit.
const OTHER_NET: &str = "stop that process, or use other addresses: popnet demo --net 127.7";

fn start_problem(error: &dyn std::fmt::Display) -> Problem {
    let what = error.to_string();
    let taken = what.contains("is taken by");
    let next = if taken { OTHER_NET } else { "the whole log is nodes/NODE/node.log in its folder" };
    Problem::new("D0007", what, next)
}

/// Keeps the cities' picture of the network the one in force, whoever pushes.
async fn follow(admin: Admin, network: Arc<Published<Network>>) {
    let mut seen = None;
    loop {
        tokio::time::sleep(FOLLOW).await;
        // While the control node is away nobody pushes.
        let Ok(Some(version)) = admin.version(None).await else { continue };
        if seen.replace(version.epoch) != Some(version.epoch)
            && let Ok(loaded) = popnet_config::load(&version.text, "popnet.toml")
        {
            network.store(Arc::new(loaded.network));
        }
    }
}

impl Stage {
    /// Prepares the folder and starts origins, cities and nodes.
    async fn set(dir: &Path, plan: Plan) -> Result<Self, Problem> {
        let folder = Folder::prepare(dir, plan)?;
        let taken = |error: popnet_runtime::bind::BindError| {
            let mut problem = error.problem();
            OTHER_NET.clone_into(&mut problem.next);
            problem
        };
        content::serve(plan.acme(), content::acme(&folder.acme())).map_err(taken)?;
        content::serve(plan.globex_east(), content::globex("east")).map_err(taken)?;
        content::serve(plan.globex_west(), content::globex("west")).map_err(taken)?;
        let network = Arc::new(Published::new(Arc::new(folder.loaded.network.clone())));
        for city in &CITIES {
            let visitor = Visitor::following(Arc::clone(&network), Some(plan.resolver(city)));
            city::serve(city.key, plan.proxy(city), Arc::new(visitor)).map_err(taken)?;
        }
        let control = NodeName::new(CONTROL);
        let socket = folder.node(&control).join("state/run/admin.sock");
        let admin = Admin::to(Endpoint::Local(socket));
        let mut stage =
            Self { plan, folder, nodes: BTreeMap::new(), dead: Vec::new(), network, admin };
        let started = stage.start_all().await;
        if let Err(problem) = started {
            stage.clear().await;
            return Err(problem);
        }
        Ok(stage)
    }

    async fn start_all(&mut self) -> Result<(), Problem> {
        let names: Vec<NodeName> = self.folder.loaded.network.nodes().map(|(n, _, _)| n).collect();
        for name in names {
            let folder = self.folder.node(&name);
            let node = Node::start(name.as_str(), &folder).map_err(|e| start_problem(&e))?;
            self.nodes.insert(name, node);
        }
        for node in self.nodes.values_mut() {
            node.wait_ready().await.map_err(|error| start_problem(&error))?;
        }
        Ok(())
    }

    async fn run(&mut self, begun: Instant, style: Style, end: &mut End) -> Result<(), Problem> {
        self.warm_up().await;
        let token = self.once_token()?;
        let ready = Ready {
            plan: self.plan,
            dir: &self.folder.path.display().to_string(),
            pids: POPS.iter().map(|pop| self.pid(&format!("{NODE}.{}", pop.key))).collect(),
            control: self.pid(CONTROL),
            token: &token,
            took: begun.elapsed(),
        };
        screen::show(&ready, style);
        let listener = SocketPath::of(&self.folder.socket())
            .and_then(|socket| UnixListener::bind(socket.path()))
            .map_err(|error| start_problem(&error))?;
        tokio::spawn(follow(self.admin.clone(), Arc::clone(&self.network)));
        let mut watch = tokio::time::interval(Duration::from_millis(500));
        loop {
            tokio::select! {
                () = end.comes() => break,
                _ = watch.tick() => self.notice_deaths(),
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    if self.converse(stream).await {
                        break;
                    }
                }
            }
        }
        eprintln!("stopping");
        Ok(())
    }

    /// Stops every node and takes the sockets away.
    async fn clear(&mut self) {
        let nodes = std::mem::take(&mut self.nodes);
        let stops: Vec<_> = nodes.into_values().map(|node| tokio::spawn(node.stop())).collect();
        for stop in stops {
            drop(stop.await);
        }
        // Another demo may have no socket to remove.
        drop(std::fs::remove_file(self.folder.socket()));
    }

    fn pid(&self, name: &str) -> Option<u32> {
        self.nodes.get(name)?.pid()
    }

    fn once_token(&self) -> Result<String, Problem> {
        let state = self.folder.node(&NodeName::new(CONTROL)).join("state");
        let problem = |error: UsersError| start_problem(&error);
        let users = Users::open(&state.join(Role::Netview.name())).map_err(problem)?;
        users.create("admin", &UserRole::Owner, None, clock::now()).map_err(problem)?;
        users.once("admin", clock::now()).map_err(problem)
    }

    /// Asks for each city's answer until it rests on measurements, so that the first thing that a
    /// newcomer sees is the real thing.
    async fn warm_up(&self) {
        let deadline = Instant::now() + WARM_UP_MAX;
        let nameservers: Vec<NodeName> = POPS
            .iter()
            .filter(|pop| pop.nameserver)
            .map(|pop| NodeName::of(NODE, &PopId::new(pop.key)))
            .collect();
        let mut asked = None;
        while Instant::now() < deadline && !self.all_measured(&nameservers).await {
            // Again only when the wish was too early for a probe: each shows among the decisions.
            if asked.is_none_or(|at: Instant| at.elapsed() >= ASK_AGAIN) {
                for city in &CITIES {
                    self.ask_once(self.plan.resolver(city)).await;
                }
                asked = Some(Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    async fn all_measured(&self, nameservers: &[NodeName]) -> bool {
        for city in &CITIES {
            for node in nameservers {
                if !self.measured(node, self.plan.resolver(city)).await {
                    return false;
                }
            }
        }
        true
    }

    async fn ask_once(&self, resolver: std::net::IpAddr) {
        let Ok(name) = "static.acme.test".parse() else { return };
        for server in crate::command::map::nameservers(&self.network.load()) {
            // Only the asking matters: it makes the name server want a measurement.
            drop(
                popnet_directory::lookup::query(server, &name, Rtype::A, None, Some(resolver))
                    .await,
            );
        }
    }

    async fn measured(&self, node: &NodeName, resolver: std::net::IpAddr) -> bool {
        let question = ExplainDns {
            name: "static.acme.test".into(),
            qtype: 1,
            resolver,
            subnet: None,
            assume: Vec::new(),
        };
        match self.admin.explain_dns(node, question).await {
            Ok((DnsStory::Steered(decision), _)) => decision.candidates.iter().all(|candidate| {
                // No penalty: its health is known, and good.
                let known = |score: &Score| {
                    let by_itself =
                        score.rtt_via.is_none() || matches!(candidate.target, TargetId::Origin(_));
                    score.rtt_source == RttSource::Measured
                        && by_itself
                        && score.penalty == Micros(0)
                };
                candidate.removed.is_none() && candidate.score.as_ref().is_some_and(known)
            }),
            Ok((DnsStory::Static(_) | DnsStory::Nothing { .. }, _)) | Err(_) => false,
        }
    }

    fn notice_deaths(&mut self) {
        for (name, node) in &mut self.nodes {
            if !node.lives() && !self.dead.contains(name) {
                eprintln!("{name} is gone; popnet demo start {} brings it back", name.pop());
                self.dead.push(name.clone());
            }
        }
    }

    /// Reads one order, carries it out and reports; whether the demo is to end.
    async fn converse(&mut self, stream: UnixStream) -> bool {
        let (read, mut write) = stream.into_split();
        let mut line = String::new();
        let mut reader = BufReader::new(read.take(LINE_MAX));
        let read = tokio::time::timeout(Duration::from_secs(2), reader.read_line(&mut line)).await;
        let order = match read {
            Ok(Ok(_)) => serde_json::from_str::<Order>(&line),
            Ok(Err(_)) | Err(_) => return false,
        };
        let (ends, report) = match order {
            Err(error) => {
                let what = format!("no order: {error}");
                let problem = Some(Problem::new("D0006", what, "popnet demo --help"));
                (false, Report { text: String::new(), problem })
            }
            Ok(order) => {
                let ends = matches!(order, Order::Down);
                let report = match self.carry_out(order).await {
                    Ok(text) => Report { text, problem: None },
                    Err(problem) => Report { text: String::new(), problem: Some(problem) },
                };
                (ends, report)
            }
        };
        if let Ok(mut text) = serde_json::to_string(&report) {
            text.push('\n');
            drop(write.write_all(text.as_bytes()).await);
        }
        ends
    }

    async fn carry_out(&mut self, order: Order) -> Result<String, Problem> {
        match order {
            Order::Kill { pop } => self.kill(&pop).await,
            Order::Start { pop } => self.start(&pop).await,
            Order::Slow { pop, ms } => {
                known(&pop)?;
                let value = format!("\"{ms}ms\"");
                let path = format!("simulate.slow.{pop}");
                let epoch =
                    self.push(&[(path, Some(value))], &format!("slow {pop} {ms} ms")).await?;
                Ok(format!("{pop} is {ms} ms farther from every city ({epoch})"))
            }
            Order::Load { pop, load } => {
                known(&pop)?;
                if !(0.0..=1.0).contains(&load) {
                    let what = format!("a load is between 0 and 1, not {load}");
                    return Err(Problem::new(
                        "D0008",
                        what,
                        format!("popnet demo load {pop} 0.97"),
                    )
                    .with_exit(2));
                }
                let path = format!("simulate.load.{pop}");
                let value = Some(format!("{load:?}"));
                let epoch = self.push(&[(path, value)], &format!("load {pop} {load}")).await?;
                Ok(format!("{pop} says that its load is {load} ({epoch})"))
            }
            Order::Reset => self.reset().await,
            Order::Down => Ok("the demo is stopped".to_owned()),
        }
    }

    async fn kill(&mut self, pop: &PopId) -> Result<String, Problem> {
        let name = node_of(pop)?;
        let node = self.nodes.get_mut(&name).filter(|_| !self.dead.contains(&name));
        let Some(node) = node else { return Ok(format!("{NOTHING}: {pop} does not run")) };
        let pid = node.pid().unwrap_or_default();
        node.kill().await.map_err(|error| start_problem(&error))?;
        self.dead.push(name);
        if *pop == NodeName::new(CONTROL).pop() {
            let loss = "no status, pushes, purges or logs until popnet demo start ctl";
            return Ok(format!("{pop} killed (pid {pid}): {loss}; visitors are served as before"));
        }
        Ok(format!("{pop} killed (pid {pid}); watch: popnet dig static.acme.test --from tokyo"))
    }

    async fn start(&mut self, pop: &PopId) -> Result<String, Problem> {
        let name = node_of(pop)?;
        if self.nodes.get_mut(&name).is_some_and(Node::lives) {
            return Ok(format!("{NOTHING}: {pop} runs"));
        }
        let folder = self.folder.node(&name);
        let mut node = Node::start(name.as_str(), &folder).map_err(|e| start_problem(&e))?;
        node.wait_ready().await.map_err(|error| start_problem(&error))?;
        let pid = node.pid().unwrap_or_default();
        self.nodes.insert(name.clone(), node);
        self.dead.retain(|dead| *dead != name);
        if *pop == NodeName::new(CONTROL).pop() {
            return Ok(format!("{pop} started (pid {pid})"));
        }
        Ok(format!("{pop} started (pid {pid}); it gets traffic after three good probes"))
    }

    async fn reset(&mut self) -> Result<String, Problem> {
        let control = NodeName::new(CONTROL).pop();
        let pops = std::iter::once(control).chain(POPS.iter().map(|pop| PopId::new(pop.key)));
        let mut started = false;
        for pop in pops {
            started |= !self.start(&pop).await?.starts_with(NOTHING);
        }
        let simulate = self.network.load().simulate.clone().unwrap_or_default();
        let slow = simulate.slow.keys().map(|pop| (format!("simulate.slow.{pop}"), None));
        let load = simulate.load.keys().map(|pop| (format!("simulate.load.{pop}"), None));
        let changes: Vec<(String, Option<String>)> = slow.chain(load).collect();
        if !changes.is_empty() {
            self.push(&changes, "reset").await?;
        }
        let well = "every POP runs, at its own distance, with its own load";
        let idle = !started && changes.is_empty();
        Ok(if idle { format!("{NOTHING}: {well}") } else { well.to_owned() })
    }

    /// Changes the configuration in force the way an operator would: edit, push.
    async fn push(
        &mut self,
        changes: &[(String, Option<String>)],
        message: &str,
    ) -> Result<popnet_wire::rollout::Epoch, Problem> {
        let version = self.admin.version(None).await?;
        let mut text = version.map(|version| version.text).unwrap_or_default();
        for (path, value) in changes {
            text = match value {
                Some(value) => popnet_config::set(&text, path, value),
                None => popnet_config::unset(&text, path),
            }
            .map_err(|error| edit_problem(&error))?;
        }
        let loaded = popnet_config::load(&text, "popnet.toml").map_err(|diagnostics| {
            start_problem(&popnet_config::render(&diagnostics, &text, "popnet.toml"))
        })?;
        let order = PushOrder {
            text,
            author: "demo".to_owned(),
            message: message.to_owned(),
            expect: None,
        };
        let pushed = self.admin.push(order, |_, _| {}).await?;
        if !pushed.committed {
            return Err(start_problem(&"a node refused the change; nothing changed"));
        }
        self.network.store(Arc::new(loaded.network));
        Ok(pushed.epoch)
    }
}

fn known(pop: &PopId) -> Result<(), Problem> {
    if POPS.iter().any(|known| known.key == pop.as_str()) {
        return Ok(());
    }
    let names: Vec<&str> = POPS.iter().map(|pop| pop.key).collect();
    let what = format!("no POP of the demo is called {pop}; POPs: {}", names.join(", "));
    Err(Problem::new("D0009", what, "popnet demo kill nrt1").with_exit(3))
}

/// The node that stands for `pop` in orders to kill and start; the control node is one, too.
fn node_of(pop: &PopId) -> Result<NodeName, Problem> {
    let control = NodeName::new(CONTROL);
    if *pop == control.pop() {
        return Ok(control);
    }
    known(pop)?;
    Ok(NodeName::of(NODE, pop))
}
