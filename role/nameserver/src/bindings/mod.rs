//! Which clients stay with which targets (N7), the same at every name server within a second.
//!
//! Workers look rows up in what is published, and leave wishes for new ones. One task owns the
//! table: it takes wishes and the other name servers' rows in, and twenty times a second writes
//! what is new to its log, publishes it, and tells the others. An answer does not wait for the
//! disk: a server that is killed in that twentieth of a second learns its last rows from the
//! others.

mod lines;
mod log;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use popnet_config::Held as Config;
use popnet_runtime::clock::{self, Steady};
use popnet_runtime::files::write_atomic;
use popnet_runtime::quic::{Connection, Endpoint};
use popnet_runtime::{Context, Published, StartError};
use popnet_steering::{Bindings, Bound as Rows, Held, Input, Ledger, Took};
use popnet_terms::{NodeName, Role, SiteName, TargetId, Timestamp};
use popnet_wire::frame::{Conversation, encode};
use popnet_wire::probing::{Binding, Bound, DATAGRAM_MAX, Datagram, Digest, Repair};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use self::lines::Lines;
use self::log::Log;
pub use self::log::{Kept, parse as parse_log};
use crate::archive::Note;

/// Wishes that wait: a twentieth of a second of many new clients. More come again with the next
/// answer.
const WISHES: usize = 16_384;
/// Messages of other name servers that wait; what is lost is asked for.
const INBOX: usize = 4_096;
/// What is new is written, published and told this often.
const SLOT: Duration = Duration::from_millis(50);
/// The others are told the numbers this often, and asked for what is missing.
const DIGEST_SLOT: Duration = Duration::from_millis(250);
/// Messages kept for those who missed them.
const RING_MAX: usize = 8_192;
/// Datagrams of old rows in one slot: 30,000 rows a second, so that news has room beside them.
const AGAIN_PER_SLOT: usize = 128;
/// How long a client stays, where the configuration does not say.
pub(crate) const HOLD: Duration = Duration::from_hours(1);

/// What a worker wants a client to be bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) site: SiteName,
    pub(crate) client: IpNet,
    pub(crate) target: TargetId,
    pub(crate) round: u32,
    pub(crate) hold: Duration,
}

/// What the task hears of other name servers.
#[derive(Debug)]
pub(crate) enum Message {
    /// The way to one is open.
    Connected(NodeName),
    /// One has opened the way to us.
    Entered(NodeName),
    Rows(Bound),
    Repair(Repair),
}

/// The workers' side.
#[derive(Debug)]
pub(crate) struct Book {
    rows: Published<Rows>,
    steady: Steady,
    wishes: mpsc::Sender<Wish>,
    inbox: mpsc::Sender<Message>,
    /// Connections that other name servers opened: what is missing is asked for over them.
    peers: Mutex<BTreeMap<NodeName, Connection>>,
    task: Mutex<Option<(mpsc::Receiver<Wish>, mpsc::Receiver<Message>)>>,
}

impl Book {
    pub(crate) fn new() -> Self {
        let (wishes, wished) = mpsc::channel(WISHES);
        let (inbox, messages) = mpsc::channel(INBOX);
        Self {
            rows: Published::new(Arc::default()),
            steady: Steady::default(),
            wishes,
            inbox,
            peers: Mutex::default(),
            task: Mutex::new(Some((wished, messages))),
        }
    }

    /// What holds for `client`.
    pub(crate) fn get(&self, site: &SiteName, client: IpNet) -> Option<Held> {
        self.rows.load().get(site, client, self.steady.now())
    }

    /// All that holds.
    pub(crate) fn bound(&self) -> Rows {
        (*self.rows.load_full()).clone()
    }

    /// Leaves a wish; never waits.
    pub(crate) fn wish(&self, wish: &Wish) {
        let _ = self.wishes.try_send(wish.clone());
    }

    /// Another name server has opened the way here.
    pub(crate) fn enter(&self, name: &NodeName, connection: &Connection) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|_, connection| !connection.is_closed());
        peers.insert(name.clone(), connection.clone());
        drop(peers);
        let _ = self.inbox.try_send(Message::Entered(name.clone()));
    }

    /// Takes rows in that another name server has sent.
    pub(crate) fn hear(&self, rows: Bound) {
        let _ = self.inbox.try_send(Message::Rows(rows));
    }

    fn ask(&self, name: &NodeName, octets: Vec<u8>) {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = peers.get(name).cloned();
        drop(peers);
        if let Some(Err(error)) = connection.map(|known| known.send_datagram(octets.into())) {
            tracing::debug!(peer = %name, %error, "datagram not sent");
        }
    }
}

/// Starts the table's task.
pub(crate) fn start(
    context: &Context,
    config: watch::Receiver<Arc<Config>>,
    shared: Arc<crate::shared::Shared>,
) -> Result<JoinHandle<()>, StartError> {
    let endpoint = Endpoint::client(&context.identity)
        .map_err(StartError::io("a UDP port for bindings to other name servers"))?;
    let folder = context.role_dir(Role::Nameserver);
    let task = shared.book.task.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some((wishes, messages)) = task else { return Ok(tokio::spawn(async {})) };
    let lines = Lines::new(endpoint, shared.book.inbox.clone(), context.shutdown.clone());
    let (log, kept) = Log::open(&folder);
    let mut keeper = Keeper {
        boot: boot(&folder),
        own: context.node.clone(),
        table: Bindings::default(),
        is_new: true,
        ledger: Ledger::default(),
        unwritten: Vec::new(),
        untold: Vec::new(),
        high: 0,
        ring: VecDeque::new(),
        again: VecDeque::new(),
        log: Some(log),
        lines,
        shared,
    };
    keeper.restore(kept);
    let shutdown = context.shutdown.clone();
    Ok(tokio::spawn(async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = keeper.run(wishes, messages, config) => {}
        }
        keeper.turn().await;
        keeper.lines.close().await;
    }))
}

/// The number of this start, greater than that of every one before.
fn boot(folder: &Path) -> u64 {
    let path: PathBuf = folder.join("bindings.boot");
    let before = std::fs::read_to_string(&path).ok().and_then(|t| t.trim().parse::<u64>().ok());
    let seconds = u64::try_from(clock::now().unix_seconds()).unwrap_or(0);
    let boot = before.map_or(seconds, |before| seconds.max(before.saturating_add(1)));
    if let Err(error) = write_atomic(&path, format!("{boot}\n").as_bytes()) {
        tracing::warn!(path = %path.display(), %error, "the boot number cannot be kept");
    }
    boot
}

/// The table's one owner.
struct Keeper {
    own: NodeName,
    boot: u64,
    table: Bindings,
    /// The table has what is not published.
    is_new: bool,
    ledger: Ledger,
    unwritten: Vec<Kept>,
    untold: Vec<Binding>,
    high: u64,
    /// Messages with the numbers up to `high`.
    ring: VecDeque<Vec<Binding>>,
    /// Rows for those who asked for everything, a datagram's worth each.
    again: VecDeque<(NodeName, Vec<Binding>)>,
    /// Away while it writes.
    log: Option<Log>,
    lines: Lines,
    shared: Arc<crate::shared::Shared>,
}

impl Keeper {
    async fn run(
        &mut self,
        mut wishes: mpsc::Receiver<Wish>,
        mut messages: mpsc::Receiver<Message>,
        mut config: watch::Receiver<Arc<Config>>,
    ) {
        let held = Arc::clone(&config.borrow_and_update());
        self.lines.configure(&held.network, &self.own);
        let (mut turns, mut digests) = (ticks(SLOT), ticks(DIGEST_SLOT));
        loop {
            tokio::select! {
                Some(wish) = wishes.recv() => self.bind(wish),
                Some(message) = messages.recv() => self.hear(message),
                _ = turns.tick() => self.turn().await,
                _ = digests.tick() => self.compare(),
                Ok(()) = config.changed() => {
                    let held = Arc::clone(&config.borrow_and_update());
                    self.lines.configure(&held.network, &self.own);
                    let is_peer = |name: &NodeName| {
                        held.network.node(name).is_some_and(|node| node.runs(Role::Nameserver))
                    };
                    self.ledger.keep(is_peer);
                }
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.shared.book.steady.now()
    }

    fn restore(&mut self, kept: Vec<Kept>) {
        let now = self.now();
        for Kept { row, expires } in kept {
            let left = u32::try_from(expires.since(now).as_secs()).unwrap_or(u32::MAX);
            self.table.record(&Binding { left, ..row }, now);
        }
        self.publish();
    }

    fn bind(&mut self, wish: Wish) {
        let now = self.now();
        let Wish { site, client, target, round, hold } = wish;
        let (issuer, left) = (self.own.clone(), u32::try_from(hold.as_secs()).unwrap_or(u32::MAX));
        let row = Binding { site, client, target, issued: now, issuer, round, left };
        if self.take(&row, now) {
            self.untold.push(row);
        }
    }

    /// Whether the row counts now.
    fn take(&mut self, row: &Binding, now: Timestamp) -> bool {
        if self.table.record(row, now) != Took::Counts {
            return false;
        }
        let expires = now.after(Duration::from_secs(u64::from(row.left)));
        self.unwritten.push(Kept { row: row.clone(), expires });
        self.is_new = true;
        true
    }

    fn hear(&mut self, message: Message) {
        let now = self.now();
        match message {
            Message::Rows(said) => {
                let (from, boot) = (said.publisher.clone(), said.boot);
                for row in &said.rows {
                    self.take(row, now);
                }
                if said.seq > 0 {
                    self.ledger.heard(&from, boot, said.seq, now);
                }
                let (low, high) = (said.low, said.high);
                self.ledger.digest(&Digest { publisher: from, boot, low, high }, now);
            }
            Message::Repair(repair) => self.repair(&repair),
            // Whoever comes first hears where the numbers stand.
            Message::Connected(name) => self.tell(Some(&name), 0, Vec::new()),
            Message::Entered(name) => {
                let asker = self.own.clone();
                let all = Repair { asker, boot: 0, ranges: Vec::new(), all: true };
                let octets = encode(Conversation::Probing, &Datagram::Repair(all));
                self.shared.book.ask(&name, octets);
            }
        }
    }

    fn low(&self) -> u64 {
        self.high + 1 - u64::try_from(self.ring.len()).unwrap_or(0)
    }

    fn repair(&mut self, repair: &Repair) {
        if repair.all {
            let rows = self.table.shown().all(self.now()).collect();
            self.again.retain(|(name, _)| *name != repair.asker);
            let parts = self.pack(rows);
            self.again.extend(parts.into_iter().map(|rows| (repair.asker.clone(), rows)));
            return;
        }
        if repair.boot != self.boot {
            return;
        }
        let (low, high) = (self.low(), self.high);
        let numbers = repair.ranges.iter().flat_map(|(a, b)| (*a).max(low)..=(*b).min(high));
        for seq in numbers.take(AGAIN_PER_SLOT) {
            let place = usize::try_from(seq - low).unwrap_or(usize::MAX);
            let rows = self.ring.get(place).cloned().unwrap_or_default();
            self.tell(Some(&repair.asker), seq, rows);
        }
    }

    fn tell(&self, to: Option<&NodeName>, seq: u64, rows: Vec<Binding>) {
        let (publisher, boot, low, high) = (self.own.clone(), self.boot, self.low(), self.high);
        let bound = Datagram::Bound(Bound { publisher, boot, seq, low, high, rows });
        self.lines.send(to, encode(Conversation::Probing, &bound));
    }

    /// Rows cut into datagrams.
    fn pack(&self, rows: Vec<Binding>) -> Vec<Vec<Binding>> {
        // Numbers take ten octets each at most, the publisher's name and the rest the others.
        let room = DATAGRAM_MAX.saturating_sub(64 + self.own.as_str().len());
        let mut parts: Vec<Vec<Binding>> = Vec::new();
        let mut left = 0;
        for row in rows {
            let length = encode(Conversation::Probing, &row).len();
            match parts.last_mut() {
                Some(last) if length <= left => {
                    last.push(row);
                    left -= length;
                }
                Some(_) | None if length <= room => {
                    parts.push(vec![row]);
                    left = room - length;
                }
                // No name of ours is so long.
                Some(_) | None => {}
            }
        }
        parts
    }

    /// Publishes, tells and writes what is new.
    async fn turn(&mut self) {
        if std::mem::take(&mut self.is_new) {
            self.publish();
            // After that: whoever writes all of them down from now on has these.
            let rows = self.unwritten.iter().map(|kept| kept.row.clone()).collect();
            let input = Input::Bound { at: self.now(), rows };
            self.shared.archive.note(Note::Input(input));
        }
        let untold = std::mem::take(&mut self.untold);
        for rows in self.pack(untold) {
            self.high += 1;
            self.ring.push_back(rows.clone());
            if self.ring.len() > RING_MAX {
                self.ring.pop_front();
            }
            self.tell(None, self.high, rows);
        }
        for (name, rows) in
            self.again.drain(..self.again.len().min(AGAIN_PER_SLOT)).collect::<Vec<_>>()
        {
            self.tell(Some(&name), 0, rows);
        }
        self.write().await;
    }

    async fn write(&mut self) {
        let rows = std::mem::take(&mut self.unwritten);
        let Some(mut log) = self.log.take_if(|_| !rows.is_empty()) else { return };
        let now = self.now();
        let shown = log.is_long().then(|| self.table.shown());
        let written = tokio::task::spawn_blocking(move || {
            match shown {
                Some(shown) => {
                    let kept = |row: Binding| {
                        let expires = now.after(Duration::from_secs(u64::from(row.left)));
                        Kept { row, expires }
                    };
                    log.rewrite(&shown.all(now).map(kept).collect::<Vec<Kept>>());
                }
                None => log.add(&rows),
            }
            log
        });
        self.log = written.await.ok();
    }

    /// Tells the numbers, and asks for what is missing; drops what has ended.
    fn compare(&mut self) {
        let now = self.now();
        self.table.expire(now);
        self.tell(None, 0, Vec::new());
        for missing in self.ledger.missing(now) {
            let (asker, boot) = (self.own.clone(), missing.boot);
            let repair = Repair { asker, boot, ranges: missing.ranges, all: false };
            let octets = encode(Conversation::Probing, &Datagram::Repair(repair));
            self.shared.book.ask(&missing.publisher, octets);
        }
    }

    fn publish(&self) {
        self.shared.book.rows.store(Arc::new(self.table.shown()));
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
