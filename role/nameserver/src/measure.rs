//! Measurements: probes connect here, report, and are told what is wished for (N12–N17).
//!
//! One task owns the board. Readers of connections bring it reports through a bounded queue; it
//! publishes the next view at most 50 ms after the first of them, and every second in any case,
//! because ages grow.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use popnet_config::Held;
use popnet_runtime::Context;
use popnet_runtime::clock::Steady;
use popnet_runtime::quic::{Connection, Endpoint};
use popnet_steering::{Board, GuardHold, Input, Ledger, in_force};
use popnet_terms::{Because, CustomerId, Micros, NodeName, PopId, Role, SiteName, Timestamp};
use popnet_wire::frame::{Conversation, decode, encode};
use popnet_wire::logging::{Event, Record};
use popnet_wire::probing::{Bound, DATAGRAM_MAX, Datagram, Digest, Hits, Need, Repair, Report};
use popnet_wire::rollout::Epoch;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::archive::{BoardAsk, Limits, Note, Whole};
use crate::atlas::AtlasShelf;
use crate::counters::count;
use crate::needs::{self, Pending, Wished};
use crate::resort::Told;
use crate::shared::Shared;
use crate::state;

/// Reports that wait for the board: several seconds of a large network's.
const REPORTS: usize = 4_096;
/// Reports that come this close together share one view.
const COALESCE: Duration = Duration::from_millis(50);
/// Ages grow: a view is never older.
const VIEW_MAX: Duration = Duration::from_secs(1);
/// One slot of wishes.
const NEEDS_SLOT: Duration = Duration::from_millis(100);
/// How often probes are asked for what did not come.
const REPAIR_SLOT: Duration = Duration::from_millis(250);
/// How often probes are told how busy sites are.
const HITS_SLOT: Duration = Duration::from_secs(10);
/// How often the paths to the probes are looked at.
const PATHS_SLOT: Duration = Duration::from_secs(1);
/// A way to the probes that changes by less, in microseconds, has not changed.
const PATH_BAND: u32 = 500;
/// How often the board is written to disk.
const KEEP_SLOT: Duration = Duration::from_secs(5);
/// How often what counts for nothing is dropped.
const FORGET_SLOT: Duration = Duration::from_secs(8);
/// Parts of the latencies that are written at once: of a table that is full a sixteenth, 40 MB.
const KEPT_PARTS: usize = 16;
/// How often the databases of places are looked at, and distances learnt anew.
const ATLAS_SLOT: Duration = Duration::from_mins(10);
/// Sites in one datagram of hits.
const SITES_PER_DATAGRAM: usize = 12;

/// Starts to take measurements in.
pub(crate) fn start(
    context: &Context,
    endpoints: Vec<Endpoint>,
    config: watch::Receiver<Arc<Held>>,
    shared: Arc<Shared>,
    wished: Wished,
) -> JoinHandle<()> {
    let (sender, reports) = mpsc::channel(REPORTS);
    let probes = Arc::new(Probes::default());
    let shutdown = context.shutdown.clone();
    let door = Arc::new(Door {
        config: config.clone(),
        shared: Arc::clone(&shared),
        probes: Arc::clone(&probes),
        sender,
        shutdown: shutdown.clone(),
    });
    let doors: Vec<JoinHandle<()>> = endpoints
        .into_iter()
        .map(|endpoint| tokio::spawn(admit(endpoint, Arc::clone(&door))))
        .collect();
    let boards = shared.archive.start();
    let mut desk = BoardDesk {
        board: Board::new(),
        epoch: Epoch(0),
        text: "".into(),
        paths: BTreeMap::new(),
        ledger: Ledger::default(),
        steady: Steady::default(),
        guard: None,
        resorts: Told::default(),
        shared,
        probes,
        pending: Pending::default(),
        folder: context.role_dir(Role::Nameserver),
        atlas: AtlasShelf::default(),
        is_kept: true,
    };
    tokio::spawn(async move {
        desk.run(reports, wished, boards, config, shutdown).await;
        // The role has ended when its ports are free.
        for door in doors {
            let _ = door.await;
        }
    })
}

/// The probes that are connected now, the newest connection of each.
#[derive(Debug, Default)]
struct Probes {
    connections: Mutex<BTreeMap<NodeName, Connection>>,
}

impl Probes {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<NodeName, Connection>) -> T) -> T {
        act(&mut self.connections.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A probe that has come back has a second connection for a while: the newer one counts.
    fn enter(&self, name: &NodeName, connection: &Connection) {
        self.with(|all| all.insert(name.clone(), connection.clone()));
    }

    fn leave(&self) {
        self.with(|all| all.retain(|_, connection| !connection.is_closed()));
    }

    /// Ends the connections of nodes that are no probes any more.
    fn keep(&self, is_probe: impl Fn(&NodeName) -> bool) {
        self.with(|all| {
            all.retain(|name, connection| {
                let stays = is_probe(name);
                if !stays {
                    connection.close("not a probe any more");
                }
                stays
            });
        });
    }

    /// The way to each POP that has probes here: the shortest of theirs, because they stand side by
    /// side and what is above it is their own slowness.
    fn paths(&self) -> BTreeMap<PopId, Duration> {
        self.with(|all| {
            let mut paths: BTreeMap<PopId, Duration> = BTreeMap::new();
            for (name, connection) in all.iter().filter(|(_, known)| !known.is_closed()) {
                let rtt = connection.rtt();
                paths.entry(name.pop()).and_modify(|least| *least = rtt.min(*least)).or_insert(rtt);
            }
            paths
        })
    }

    fn send(&self, to: impl Fn(&NodeName) -> bool, octets: &Bytes) {
        let chosen: Vec<Connection> = self.with(|all| {
            all.iter().filter(|(name, _)| to(name)).map(|(_, known)| known.clone()).collect()
        });
        for connection in chosen {
            if let Err(error) = connection.send_datagram(octets.clone()) {
                tracing::debug!(peer = connection.peer(), %error, "datagram not sent");
            }
        }
    }
}

/// Lets probes in.
struct Door {
    config: watch::Receiver<Arc<Held>>,
    shared: Arc<Shared>,
    probes: Arc<Probes>,
    sender: mpsc::Sender<Word>,
    shutdown: CancellationToken,
}

impl Door {
    /// The node called `hostname`, when the configuration in force makes it a probe.
    fn probe(&self, hostname: &str) -> Option<NodeName> {
        self.node(hostname, Role::Netprobe)
    }

    /// The node called `hostname`, when it has that role.
    fn node(&self, hostname: &str, role: Role) -> Option<NodeName> {
        let held = self.config.borrow();
        let network = &held.network;
        let found = network.nodes().find(|(name, _, node)| {
            node.runs(role) && network.hostname(name).eq_ignore_ascii_case(hostname)
        });
        found.map(|(name, _, _)| name)
    }
}

async fn admit(endpoint: Endpoint, door: Arc<Door>) {
    loop {
        let connection = tokio::select! {
            () = door.shutdown.cancelled() => break,
            connection = endpoint.accept() => connection,
        };
        let Some(connection) = connection else { return };
        let probe = door.probe(connection.peer());
        let server = door.node(connection.peer(), Role::Nameserver);
        match (probe, server) {
            (Some(name), None) => {
                door.probes.enter(&name, &connection);
                tokio::spawn(listen(name, connection, None, Arc::clone(&door)));
            }
            (None, Some(name)) => {
                door.shared.book.enter(&name, &connection);
                tokio::spawn(listen_to_server(name, connection, None, Arc::clone(&door)));
            }
            // One node in two roles: what it says first shows in which one it speaks here.
            (Some(_), Some(name)) => {
                tokio::spawn(sort_out(name, connection, Arc::clone(&door)));
            }
            (None, None) => {
                count(&door.shared.counters.probe_foreign);
                let peer = connection.peer();
                tracing::warn!(
                    peer,
                    "neither a probe nor a name server of this network: turned away"
                );
                connection.close("not a probe");
            }
        }
    }
    endpoint.close().await;
}

async fn sort_out(name: NodeName, connection: Connection, door: Arc<Door>) {
    let read = tokio::select! {
        () = door.shutdown.cancelled() => return connection.close("done"),
        read = connection.read_datagram() => read,
    };
    let Ok(octets) = read else { return };
    if rows_in(&octets).is_some() {
        door.shared.book.enter(&name, &connection);
        listen_to_server(name, connection, Some(octets), door).await;
    } else {
        door.probes.enter(&name, &connection);
        listen(name, connection, Some(octets), door).await;
    }
}

/// The next datagram; `None` when the connection or the role ends.
async fn next(first: &mut Option<Bytes>, connection: &Connection, door: &Door) -> Option<Bytes> {
    if let Some(octets) = first.take() {
        return Some(octets);
    }
    tokio::select! {
        () = door.shutdown.cancelled() => None,
        read = connection.read_datagram() => read.ok(),
    }
}

/// Reads another name server's bindings until it leaves.
async fn listen_to_server(
    name: NodeName,
    connection: Connection,
    mut first: Option<Bytes>,
    door: Arc<Door>,
) {
    while let Some(octets) = next(&mut first, &connection, &door).await {
        let Some(rows) = rows_in(&octets) else {
            count(&door.shared.counters.probe_junk);
            continue;
        };
        let is_server = door.node(connection.peer(), Role::Nameserver).is_some();
        if rows.publisher != name || !is_server {
            count(&door.shared.counters.probe_foreign);
            continue;
        }
        door.shared.book.hear(rows);
    }
    connection.close("done");
}

/// Bindings in a datagram.
pub(crate) fn rows_in(octets: &[u8]) -> Option<Bound> {
    match decode(Conversation::Probing, octets) {
        Ok(Datagram::Bound(rows)) => Some(rows),
        Ok(_) | Err(_) => None,
    }
}

/// Reads one probe's datagrams until it leaves.
async fn listen(name: NodeName, connection: Connection, mut first: Option<Bytes>, door: Arc<Door>) {
    tracing::debug!(probe = %name, "connected");
    while let Some(octets) = next(&mut first, &connection, &door).await {
        let Some(word) = word_in(&octets) else {
            count(&door.shared.counters.probe_junk);
            continue;
        };
        // Nobody speaks for another, and a node that is no probe any more speaks for nobody.
        if *word.publisher() != name || door.probe(connection.peer()).is_none() {
            count(&door.shared.counters.probe_foreign);
            continue;
        }
        if door.sender.try_send(word).is_err() {
            count(&door.shared.counters.probe_overload);
        }
    }
    connection.close("done");
    door.probes.leave();
    tracing::debug!(probe = %name, "left");
}

/// What a probe says.
#[derive(Debug)]
pub(crate) enum Word {
    Report(Report),
    Digest(Digest),
}

impl Word {
    fn publisher(&self) -> &NodeName {
        match self {
            Self::Report(report) => &report.publisher,
            Self::Digest(digest) => &digest.publisher,
        }
    }
}

/// The word of a probe in a datagram; nothing else is for us.
pub(crate) fn word_in(octets: &[u8]) -> Option<Word> {
    match decode(Conversation::Probing, octets) {
        Ok(Datagram::Report(report)) => Some(Word::Report(report)),
        Ok(Datagram::Digest(digest)) => Some(Word::Digest(digest)),
        Ok(Datagram::Needs(_) | Datagram::Hits(_) | Datagram::Repair(_) | Datagram::Bound(_))
        | Err(_) => None,
    }
}

/// The board's one owner.
struct BoardDesk {
    board: Board,
    /// The configuration in force.
    epoch: Epoch,
    text: Arc<str>,
    /// The ways to the probes, as the board was told last.
    paths: BTreeMap<PopId, Micros>,
    /// What of the probes' words has come.
    ledger: Ledger,
    steady: Steady,
    /// Whose fall is not believed, as it was told last.
    guard: Option<Arc<GuardHold>>,
    /// Last resorts that people have been told of.
    resorts: Told,
    shared: Arc<Shared>,
    probes: Arc<Probes>,
    pending: Pending,
    /// Where measurements are kept.
    folder: PathBuf,
    atlas: AtlasShelf,
    /// The file has what the board has.
    is_kept: bool,
}

impl BoardDesk {
    async fn run(
        &mut self,
        mut words: mpsc::Receiver<Word>,
        mut wished: Wished,
        mut boards: mpsc::Receiver<BoardAsk>,
        mut config: watch::Receiver<Arc<Held>>,
        shutdown: CancellationToken,
    ) {
        let held = Arc::clone(&config.borrow_and_update());
        self.configure(&held);
        self.open_atlas(&held);
        self.restore();
        self.publish();
        let (mut needs, mut hits) = (ticks(NEEDS_SLOT), ticks(HITS_SLOT));
        let (mut keep, mut forget) = (ticks(KEEP_SLOT), ticks(FORGET_SLOT));
        let mut repair = ticks(REPAIR_SLOT);
        let (mut paths, mut atlas) = (ticks(PATHS_SLOT), ticks(ATLAS_SLOT));
        let mut next_view = Instant::now() + VIEW_MAX;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(word) = words.recv() => {
                    if self.hear(&word) {
                        next_view = next_view.min(Instant::now() + COALESCE);
                    }
                }
                Some(need) = wished.recv() => self.wish(need),
                // Whoever asked has gone, or has the board now.
                Some(ask) = boards.recv() => drop(ask.send(self.board.clone())),
                () = sleep_until(next_view) => {
                    self.publish();
                    next_view = Instant::now() + VIEW_MAX;
                }
                Ok(()) = config.changed() => {
                    let held = Arc::clone(&config.borrow_and_update());
                    self.configure(&held);
                    self.open_atlas(&held);
                    self.publish();
                }
                _ = needs.tick() => self.send_needs(),
                _ = hits.tick() => self.send_hits(),
                _ = repair.tick() => self.ask_again(),
                _ = paths.tick() => self.record_paths(),
                _ = keep.tick() => self.keep().await,
                _ = forget.tick() => {
                    let now = self.steady.now();
                    self.board.forget(now);
                    self.note(Input::Forgot { at: now });
                }
                _ = atlas.tick() => {
                    self.open_atlas(&Arc::clone(&config.borrow()));
                    let now = self.steady.now();
                    self.board.fit_models(now);
                    self.note(Input::Fitted { at: now });
                }
            }
        }
        self.is_kept = false;
        self.keep_parts(usize::from(Board::LATENCY_PARTS)).await;
        self.keep().await;
    }

    fn configure(&mut self, held: &Held) {
        let now = self.steady.now();
        self.board.configure(&held.network, in_force(held.epoch), now);
        self.paths.clear();
        (self.epoch, self.text) = (held.epoch, popnet_config::canonical(&held.network).into());
        let kept = held.network.logs.inputs.clone().unwrap_or_default();
        self.shared.archive.note(Note::Limits(Limits::of(&kept)));
        let (epoch, text) = (self.epoch, Arc::clone(&self.text));
        self.note(Input::Configured { at: now, epoch, text });
        let is_probe = |probe: &NodeName| {
            held.network.node(probe).is_some_and(|node| node.runs(Role::Netprobe))
        };
        self.probes.keep(is_probe);
        self.ledger.keep(is_probe);
    }

    /// Whether there was any news.
    fn hear(&mut self, word: &Word) -> bool {
        let now = self.steady.now();
        let report = match word {
            Word::Report(report) => report,
            Word::Digest(digest) => {
                self.ledger.digest(digest, now);
                return false;
            }
        };
        self.ledger.heard(&report.publisher, report.boot, report.seq, now);
        let recorded = self.board.record(report, now);
        self.note(Input::Heard { at: now, report: report.clone() });
        let news = recorded.accepted > 0;
        self.is_kept &= !news;
        news
    }

    /// The first term of preset `sum-ns` (N22); the next view has it.
    fn record_paths(&mut self) {
        for (pop, rtt) in self.probes.paths() {
            let rtt = Micros(u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX));
            let told = self.paths.get(&pop).copied();
            // What moves by less is no news (hysteresis belongs to the publisher).
            let is_news = |told: Micros| told.0.abs_diff(rtt.0) > PATH_BAND.max(told.0 / 16);
            if told.is_none_or(is_news) {
                self.paths.insert(pop.clone(), rtt);
                self.board.record_path(&pop, rtt);
                self.note(Input::Path { pop, rtt });
            }
        }
    }

    /// Writes down what the board was told.
    fn note(&self, input: Input) {
        self.shared.archive.note(Note::Input(input));
    }

    /// Writes the whole board down, when that is wanted: right after a view.
    fn note_whole(&self, at: Timestamp) {
        let Some(lost) = self.shared.archive.wants_whole() else { return };
        let (epoch, text) = (self.epoch, Arc::clone(&self.text));
        let (board, bound) = (self.board.clone(), self.shared.book.bound());
        let whole = Whole { at, epoch, text, board, bound, lost };
        self.shared.archive.note(Note::Start(Box::new(whole)));
    }

    fn publish(&mut self) {
        let now = self.steady.now();
        let view = self.board.view(now);
        self.alarm(view.guard.as_ref());
        self.tell_resorts(now);
        self.shared.view.store(Arc::new(view));
        self.note(Input::Viewed { at: now });
        self.note_whole(now);
    }

    /// Tells people when the guard begins to hold somebody up, and when it lets go.
    fn alarm(&mut self, guard: Option<&Arc<GuardHold>>) {
        let targets = |hold: Option<&Arc<GuardHold>>| hold.map(|hold| hold.targets.clone());
        if targets(self.guard.as_ref()) == targets(guard) {
            return;
        }
        let words = |hold: Option<&Arc<GuardHold>>| {
            hold.map_or_else(|| "".into(), |hold| Arc::clone(&hold.why))
        };
        match guard {
            Some(hold) => tracing::error!(why = &*hold.why, "targets are held up as they were"),
            None => tracing::warn!("no target is held up any more"),
        }
        let event = Event {
            ts: popnet_runtime::clock::now(),
            kind: "guard".into(),
            subject: self.shared.node.to_string().into(),
            from: words(self.guard.as_ref()),
            to: words(guard),
            reason: words(guard),
        };
        self.shared.shipper.record(&CustomerId::network(), Record::Event(event));
        self.guard = guard.cloned();
    }

    /// Tells people which sites live on a last resort, and which do no more.
    fn tell_resorts(&mut self, now: Timestamp) {
        let table = self.shared.table.load();
        let sites = table.sites().iter().map(|site| (&site.name, &site.resort));
        for turn in self.resorts.look(sites, now) {
            let word = |because: Option<Because>| because.map_or("", |because| because.code());
            let (site, from, to) = (&turn.site, word(turn.from), word(turn.to));
            match turn.to {
                Some(_) => tracing::error!(%site, because = to, "answers of last resort"),
                None => tracing::warn!(%site, "no answers of last resort any more"),
            }
            let event = Event {
                ts: popnet_runtime::clock::now(),
                kind: "last_resort".into(),
                subject: site.as_str().into(),
                from: from.into(),
                to: to.into(),
                reason: self.shared.node.to_string().into(),
            };
            let logged = table.sites().iter().find(|entry| entry.name == *site && entry.is_logged);
            let customer = logged.map_or_else(CustomerId::network, |entry| entry.customer.clone());
            self.shared.shipper.record(&customer, Record::Event(event));
        }
    }

    /// Asks for what did not come.
    fn ask_again(&mut self) {
        for missing in self.ledger.missing(self.steady.now()) {
            let (asker, boot) = (self.shared.node.clone(), missing.boot);
            let repair = Repair { asker, boot, ranges: missing.ranges, all: false };
            let octets = encode(Conversation::Probing, &Datagram::Repair(repair)).into();
            self.probes.send(|probe| *probe == missing.publisher, &octets);
        }
    }

    fn wish(&mut self, need: Need) {
        let now = self.steady.now();
        if needs::is_probeable(need.resolver) && !self.pending.add(need, now) {
            count(&self.shared.counters.need_overload);
        }
    }

    /// Tells each POP's probes what is wished for and not known from there.
    fn send_needs(&mut self) {
        let now = self.steady.now();
        let mut by_pop: BTreeMap<PopId, Vec<Need>> = BTreeMap::new();
        for need in self.pending.take(now) {
            for pop in self.board.needs(need.client, now) {
                by_pop.entry(pop).or_default().push(need.clone());
            }
        }
        for (pop, needs) in by_pop {
            let octets = needs::datagram(&self.shared.node, now, needs).into();
            self.probes.send(|probe| probe.pop() == pop, &octets);
        }
    }

    /// Tells every probe how often each site was asked for (N17).
    fn send_hits(&self) {
        let table = self.shared.table.load();
        let mut counted: Vec<(SiteName, u32)> = Vec::new();
        for site in table.sites() {
            let hits = site.hits.swap(0, Ordering::Relaxed);
            if hits > 0 {
                counted.push((site.name.clone(), hits));
            }
        }
        for sites in counted.chunks(SITES_PER_DATAGRAM) {
            let hits = Hits { asker: self.shared.node.clone(), sites: sites.to_vec() };
            let octets = encode(Conversation::Probing, &Datagram::Hits(hits));
            // Sites with names of the greatest length: rather untold than cut off.
            if octets.len() <= DATAGRAM_MAX {
                self.probes.send(|_| true, &octets.into());
            }
        }
    }

    /// Takes over what the last run kept.
    fn restore(&mut self) {
        self.board.import(&state::load(&state::path(&self.folder)));
        for (version, octets) in state::parts(&self.folder) {
            if self.board.restore_latencies(version, &octets).is_none() {
                tracing::warn!("a part of the kept latencies does not decode");
            }
        }
    }

    /// Opens the databases of places when they are new.
    fn open_atlas(&mut self, held: &Held) {
        if let Some(atlas) = self.atlas.renewed(held) {
            self.board.use_atlas(atlas);
        }
    }

    async fn keep(&mut self) {
        self.keep_parts(KEPT_PARTS).await;
        if std::mem::replace(&mut self.is_kept, true) {
            return;
        }
        let (file, reports) = (state::path(&self.folder), self.board.export());
        let _ = tokio::task::spawn_blocking(move || state::save(&file, &reports)).await;
    }

    async fn keep_parts(&mut self, most: usize) {
        let parts = self.board.changed_latencies(most);
        if parts.is_empty() {
            return;
        }
        let folder = self.folder.clone();
        let _ = tokio::task::spawn_blocking(move || state::save_parts(&folder, &parts)).await;
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
