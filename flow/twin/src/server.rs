//! A name server: the real board, view and choice, with what its role does around them: one slot
//! of wishes every 100 ms, a view soon after news, what is on disk every five seconds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use popnet_config::network::Network;
use popnet_steering::{Atlas, Board, Ledger, Lineup, Pick, Question, SiteRules, View};
use popnet_terms::{NodeName, PopId, Timestamp};
use popnet_wire::frame::{Conversation, encode};
use popnet_wire::probing::{Datagram, Digest, Need, Needs, Repair, Report};

/// A view is never older.
pub(crate) const VIEW_MAX: Duration = Duration::from_secs(1);
/// One slot of wishes.
pub(crate) const SLOT: Duration = Duration::from_millis(100);
/// Probes are asked this often for what did not come.
pub(crate) const REPAIR: Duration = Duration::from_millis(250);
/// What is known goes to disk this often.
pub(crate) const KEEP: Duration = Duration::from_secs(5);
/// What counts for nothing is dropped this often.
pub(crate) const FORGET: Duration = Duration::from_mins(1);
/// A probe needs this long before asking it again makes sense.
const PATIENCE: Duration = Duration::from_secs(5);
/// Wishes that wait.
const WAITING: usize = 4_096;
/// Wishes in one datagram.
const PER_DATAGRAM: usize = 24;

/// One name server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: NodeName,
    pub(crate) pop: usize,
    pub(crate) board: Board,
    pub(crate) view: Arc<View>,
    /// Those of the sites under the view that were asked for.
    lineups: Vec<Option<Lineup>>,
    pub(crate) is_up: bool,
    /// Its clock minus the true time.
    pub(crate) offset_us: i64,
    /// What of the probes' words has come.
    ledger: Ledger,
    /// Starts so far: what was arranged in an earlier life is void.
    pub(crate) life: u64,
    /// When the next view is published.
    pub(crate) publish_at: Option<Timestamp>,
    waiting: VecDeque<Need>,
    asked: BTreeMap<IpNet, Timestamp>,
    disk: Vec<(Timestamp, Report)>,
    /// Latencies on disk, by the number of their part.
    parts: BTreeMap<u16, Vec<u8>>,
    /// What it knows of where clients are.
    atlas: Atlas,
}

impl Server {
    pub(crate) fn new(name: NodeName, pop: usize, atlas: Atlas) -> Self {
        let mut board = Board::new();
        let view = Arc::new(board.view(Timestamp(0)));
        Self {
            name,
            pop,
            board,
            view,
            lineups: Vec::new(),
            is_up: false,
            offset_us: 0,
            ledger: Ledger::default(),
            life: 0,
            publish_at: None,
            waiting: VecDeque::new(),
            asked: BTreeMap::new(),
            disk: Vec::new(),
            parts: BTreeMap::new(),
            atlas,
        }
    }

    /// Starts with what is on disk.
    pub(crate) fn start(&mut self, network: &Network, now: Timestamp) {
        self.life += 1;
        self.is_up = true;
        self.publish_at = None;
        self.waiting.clear();
        self.asked.clear();
        self.ledger = Ledger::default();
        self.board = Board::new();
        self.board.configure(network, None, self.local(now));
        let kept = std::mem::take(&mut self.disk);
        self.board.import(&kept);
        self.disk = kept;
        for octets in self.parts.values() {
            self.board.restore_latencies(Board::LATENCY_VERSION, octets);
        }
        self.board.use_atlas(self.atlas.clone());
        self.fit(now);
        self.publish(now);
    }

    /// What this node's clock shows.
    pub(crate) fn local(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_add(self.offset_us))
    }

    /// Takes a report in; whether it had any news.
    pub(crate) fn record(&mut self, report: &Report, now: Timestamp) -> bool {
        let now = self.local(now);
        self.ledger.heard(&report.publisher, report.boot, report.seq, now);
        self.board.record(report, now).accepted > 0
    }

    /// Takes in what a publisher has said so far.
    pub(crate) fn digest(&mut self, digest: &Digest, now: Timestamp) {
        let now = self.local(now);
        self.ledger.digest(digest, now);
    }

    /// Asks publishers for what did not come.
    pub(crate) fn repairs(&mut self, now: Timestamp) -> Vec<(NodeName, Vec<u8>)> {
        let now = self.local(now);
        let missing = self.ledger.missing(now).into_iter().map(|missing| {
            let (asker, boot) = (self.name.clone(), missing.boot);
            let repair = Repair { asker, boot, ranges: missing.ranges, all: false };
            (missing.publisher, encode(Conversation::Probing, &Datagram::Repair(repair)))
        });
        missing.collect()
    }

    pub(crate) fn publish(&mut self, now: Timestamp) {
        self.view = Arc::new(self.board.view(self.local(now)));
        self.lineups.clear();
    }

    /// Whom this server names for `question` about the site with this number and these rules.
    pub(crate) fn pick(&mut self, site: usize, rules: &SiteRules, question: &Question) -> Pick {
        let view = &self.view;
        if self.lineups.len() <= site {
            self.lineups.resize_with(site + 1, || None);
        }
        match self.lineups.get_mut(site) {
            Some(place) => {
                let lineup = place.get_or_insert_with(|| Lineup::new(view, rules));
                lineup.pick(view, rules, question)
            }
            None => Lineup::new(view, rules).pick(view, rules, question),
        }
    }

    /// Writes to disk.
    pub(crate) fn keep(&mut self) {
        self.disk = self.board.export();
        self.parts.extend(self.board.changed_latencies(usize::from(Board::LATENCY_PARTS)));
    }

    /// Learns anew how distance becomes time.
    pub(crate) fn fit(&mut self, now: Timestamp) {
        let now = self.local(now);
        self.board.fit_models(now);
    }

    /// Leaves a wish; a client for whom one waits or was sent lately has enough.
    pub(crate) fn wish(&mut self, need: Need, now: Timestamp) {
        let now = self.local(now);
        let lately = |at: &Timestamp| now.since(*at) < PATIENCE;
        if self.asked.get(&need.client).is_some_and(lately) || self.waiting.len() >= WAITING {
            return;
        }
        self.asked.insert(need.client, now);
        self.waiting.push_back(need);
    }

    /// One slot's wishes as a datagram for each POP that should measure.
    pub(crate) fn slot(&mut self, now: Timestamp) -> Vec<(PopId, Vec<u8>)> {
        let now = self.local(now);
        let mut by_pop: BTreeMap<PopId, Vec<Need>> = BTreeMap::new();
        for _ in 0..PER_DATAGRAM {
            let Some(need) = self.waiting.pop_front() else { break };
            self.asked.insert(need.client, now);
            for pop in self.board.needs(need.client, now) {
                by_pop.entry(pop).or_default().push(need.clone());
            }
        }
        let asker = self.name.clone();
        let datagram = |needs| Needs { asker: asker.clone(), sent: now, needs };
        let datagrams = by_pop.into_iter().map(|(pop, needs)| {
            (pop, encode(Conversation::Probing, &Datagram::Needs(datagram(needs))))
        });
        datagrams.collect()
    }

    /// Drops what counts for nothing.
    pub(crate) fn forget(&mut self, now: Timestamp) {
        let now = self.local(now);
        self.board.forget(now);
        self.asked.retain(|_, at| now.since(*at) < PATIENCE);
    }
}
