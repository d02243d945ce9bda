//! The loop: the prober says what to do, sockets do it, the prober hears what came of it.

use std::sync::Arc;
use std::time::Duration;

use popnet_config::Held;
use popnet_http::roots::Trust;
use popnet_probe::{Action, JobId, Outcome, Prober, Ring, Turns, pack};
use popnet_runtime::clock::Steady;
use popnet_runtime::link::{Present, serve_local};
use popnet_runtime::quic::Endpoint;
use popnet_runtime::{Context, Running, StartError, clock};
use popnet_terms::{NodeName, Role};
use popnet_wire::frame::{Conversation, encode};
use popnet_wire::probing::{Datagram, Repair, Report, Sample};
use popnet_wire::trips::UnitTrips;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::announce::Announcer;
use crate::attempt::{Surroundings, attempt};
use crate::bill::Bill;
use crate::connect::{Progress, tcp};
use crate::resolver::{PORT, measure};
use crate::sessions::{Message, Sessions};
use crate::{boot, http, page, trips};

/// Without anything to do the loop still looks around.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// How often name servers are told what was said, so that those who missed it ask: several times
/// in the ten seconds in which what is lost is to be had again, because these get lost too.
const DIGEST_SLOT: Duration = Duration::from_secs(2);

pub(crate) fn start(
    context: Context,
    config: watch::Receiver<Arc<Held>>,
    trust: Trust,
) -> Result<Running, StartError> {
    let folder = context.role_dir(Role::Netprobe);
    let boot = boot::number(&folder, clock::now());
    let mut prober = Prober::new(context.node.pop(), seed(&context.node));
    let bill = Bill::read(&folder, &mut prober);
    let endpoint = Endpoint::client(&context.identity)
        .map_err(StartError::io("a UDP port for reports to name servers"))?;
    let announcer = Announcer::start(&context, &config)?;
    let page = page::serve(&context, &config)?;
    let shutdown = context.shutdown.clone();
    let socket = context.role_socket(Role::Netprobe);
    let served = serve_local(&socket, Arc::new(Present(Role::Netprobe)), shutdown.clone())?;
    let (sessions, messages) = Sessions::new(endpoint, shutdown.clone());
    // One piece of one cache's answer waits; the asker waits too.
    let (seen, news) = mpsc::channel(1);
    let listening = tokio::spawn(trips::listen(context.clone(), config.clone(), seen));
    let probing = Probing {
        steady: Steady::default(),
        prober,
        bill,
        turns: Turns::default(),
        publisher: context.node,
        boot,
        ring: Ring::default(),
        config,
        sessions,
        announcer,
        trust,
        jobs: JoinSet::new(),
    };
    let task = tokio::spawn(async move {
        probing.run(messages, news, shutdown).await;
        // It ends with the same shutdown, or because nobody listens to it any more.
        let _ = listening.await;
        if let Some(page) = page {
            page.wait().await;
        }
        served.wait().await;
    });
    Ok(Running::new(Role::Netprobe, task))
}

/// Spreads the probes of different nodes differently.
fn seed(node: &NodeName) -> u64 {
    node.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

struct Probing {
    /// When it may bother a resolver.
    turns: Turns,
    publisher: NodeName,
    boot: u64,
    ring: Ring,
    steady: Steady,
    prober: Prober,
    bill: Bill,
    config: watch::Receiver<Arc<Held>>,
    sessions: Sessions,
    announcer: Announcer,
    trust: Trust,
    jobs: JoinSet<(JobId, Outcome)>,
}

impl Probing {
    async fn run(
        mut self,
        mut messages: mpsc::Receiver<Message>,
        mut seen: mpsc::Receiver<Vec<UnitTrips>>,
        shutdown: CancellationToken,
    ) {
        self.configure();
        let mut configured = true;
        let mut digests = tokio::time::interval(DIGEST_SLOT);
        digests.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.act();
            let wake = self.steady.instant(self.prober.poll_timeout());
            let wake = wake.min(std::time::Instant::now() + IDLE_MAX);
            tokio::select! {
                () = shutdown.cancelled() => break,
                changed = self.config.changed(), if configured => match changed {
                    Ok(()) => self.configure(),
                    // Whoever held the configuration has ended; the last one stays in force.
                    Err(_) => configured = false,
                },
                Some(message) = messages.recv() => self.hear(message),
                Some(units) = seen.recv() => {
                    self.prober.handle_trips(&units, self.steady.now());
                }
                _ = digests.tick() => {
                    self.send_digest();
                    self.bill.write(&self.prober);
                }
                Some(done) = self.jobs.join_next() => {
                    // A job that panicked has no outcome: the prober gives it up in time.
                    if let Ok((id, outcome)) = done {
                        self.prober.handle_outcome(id, &outcome, self.steady.now());
                    }
                }
                () = tokio::time::sleep_until(wake.into()) => {
                    self.prober.handle_timeout(self.steady.now());
                }
            }
        }
        self.jobs.abort_all();
        drop(seen);
        tracing::debug!(
            tallies = ?self.prober.tallies(),
            foreign = self.sessions.foreign(),
            "probing ends"
        );
        tokio::join!(self.sessions.close(), self.announcer.finish());
    }

    fn configure(&mut self) {
        let held = self.config.borrow_and_update().clone();
        self.sessions.configure(&held.network);
        self.turns = Turns::of(&held.network, &self.publisher);
        self.prober.configure(&held.network, self.steady.now());
    }

    fn hear(&mut self, message: Message) {
        let now = self.steady.now();
        match message {
            Message::Joined => self.prober.handle_joined(now),
            Message::Needs(needs) => self.prober.handle_needs(&needs, now),
            Message::Hits(hits) => self.prober.handle_hits(&hits),
            Message::Repair(repair) => self.repair(&repair),
        }
    }

    /// Tells what has been said so far.
    fn send_digest(&self) {
        if self.ring.high() > 0 {
            let digest = Datagram::Digest(self.ring.digest(&self.publisher, self.boot));
            self.sessions.broadcast(encode(Conversation::Probing, &digest));
        }
    }

    /// Says again what a name server has missed.
    fn repair(&self, repair: &Repair) {
        if repair.boot != self.boot {
            return;
        }
        for (seq, samples) in self.ring.answer(repair) {
            let report = Report { seq, samples: samples.to_vec(), ..self.head() };
            let octets = encode(Conversation::Probing, &Datagram::Report(report));
            self.sessions.send(&repair.asker, octets);
        }
    }

    fn head(&self) -> Report {
        Report {
            publisher: self.publisher.clone(),
            boot: self.boot,
            seq: self.ring.high(),
            epoch: self.config.borrow().epoch,
            sent: self.steady.now(),
            samples: Vec::new(),
        }
    }

    /// Does everything that the prober wants done.
    fn act(&mut self) {
        while let Some(action) = self.prober.poll_action() {
            match action {
                Action::Http(job) => {
                    let trust = self.trust.clone();
                    self.jobs.spawn(async move { (job.id, http::attempt(&job, &trust).await) });
                }
                Action::Tcp(job) => {
                    self.jobs
                        .spawn(async move { (job.id, tcp(&job, &mut Progress::default()).await) });
                }
                Action::Try(job) => {
                    let around = Surroundings {
                        trust: self.trust.clone(),
                        base_dir: self.config.borrow().base_dir.clone(),
                    };
                    self.jobs.spawn(async move {
                        let outcome = attempt(&job, &around, &mut Progress::default()).await;
                        (job.id, outcome)
                    });
                }
                Action::Measure(job) => {
                    let turns = self.turns;
                    self.jobs.spawn(async move {
                        (job.id, Outcome::Burst(measure(&job, PORT, turns).await))
                    });
                }
                Action::Report(samples) => self.report(samples),
                Action::Announce(change) => {
                    let held = self.config.borrow().clone();
                    self.announcer.announce(&held.network, &change);
                }
            }
        }
    }

    fn report(&mut self, samples: Vec<Sample>) {
        let head = self.head();
        for samples in pack(&head, samples) {
            let seq = self.ring.add(samples.as_slice().into(), head.sent);
            let report = Report { samples, seq, ..head.clone() };
            let datagram = Datagram::Report(report);
            self.sessions.broadcast(encode(Conversation::Probing, &datagram));
        }
    }
}
