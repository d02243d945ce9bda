//! A POP's probe: the real prober, with the world in place of sockets.

use std::time::Duration;

use popnet_config::network::Network;
use popnet_probe::{Prober, Ring, pack};
use popnet_terms::{Micros, NodeName, Timestamp};
use popnet_wire::frame::{Conversation, encode};
use popnet_wire::probing::{Cause, Datagram, Finding, Health, Repair, Report, Sample};
use popnet_wire::rollout::Epoch;

use crate::chance::noise;
use crate::scenario::Says;

/// One probing node.
#[derive(Debug)]
pub(crate) struct ProbeSite {
    pub(crate) name: NodeName,
    pub(crate) pop: usize,
    pub(crate) prober: Prober,
    /// Its clock minus the true time. Read once a start: it then only goes forward.
    pub(crate) offset_us: i64,
    pub(crate) is_up: bool,
    /// Grows with each start; outcomes of an earlier life mean nothing.
    pub(crate) boot: u64,
    ring: Ring,
    /// When it is woken next.
    pub(crate) wake: Option<Timestamp>,
    seed: u64,
}

impl ProbeSite {
    pub(crate) fn new(name: NodeName, pop: usize, seed: u64) -> Self {
        let prober = Prober::new(name.pop(), seed);
        Self {
            name,
            pop,
            prober,
            offset_us: 0,
            is_up: false,
            boot: 0,
            ring: Ring::default(),
            wake: None,
            seed,
        }
    }

    /// Starts, with nothing but a greater boot number.
    pub(crate) fn start(&mut self, network: &Network, now: Timestamp, clock_us: i64) {
        self.boot += 1;
        self.ring = Ring::default();
        self.offset_us = clock_us;
        self.is_up = true;
        self.wake = None;
        self.prober = Prober::new(self.name.pop(), noise(self.seed, self.boot, 0));
        let now = self.local(now);
        self.prober.configure(network, now);
    }

    /// What this node's clock shows.
    pub(crate) fn local(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_add(self.offset_us))
    }

    /// When the prober wants to be woken, by true time.
    pub(crate) fn due(&self) -> Timestamp {
        Timestamp(self.prober.poll_timeout().0.saturating_sub(self.offset_us))
    }

    /// `samples` as datagrams.
    pub(crate) fn datagrams(
        &mut self,
        mut samples: Vec<Sample>,
        now: Timestamp,
        lie: Option<Says>,
    ) -> Vec<Vec<u8>> {
        if let Some(says) = lie {
            samples.iter_mut().for_each(|sample| lie_in(sample, says));
        }
        let head = self.head(now);
        let lists = pack(&head, samples);
        let datagrams = lists.into_iter().map(|samples| {
            let seq = self.ring.add(samples.as_slice().into(), head.sent);
            let report = Report { samples, seq, ..head.clone() };
            encode(Conversation::Probing, &Datagram::Report(report))
        });
        datagrams.collect()
    }

    fn head(&self, now: Timestamp) -> Report {
        Report {
            publisher: self.name.clone(),
            boot: self.boot,
            seq: self.ring.high(),
            epoch: Epoch(0),
            sent: self.local(now),
            samples: Vec::new(),
        }
    }

    /// What has been said so far, as a datagram; nothing before anything was said.
    pub(crate) fn digest(&self) -> Option<Vec<u8>> {
        let digest = || Datagram::Digest(self.ring.digest(&self.name, self.boot));
        (self.ring.high() > 0).then(|| encode(Conversation::Probing, &digest()))
    }

    /// Says again what a name server has missed.
    pub(crate) fn again(&self, repair: &Repair, now: Timestamp) -> Vec<Vec<u8>> {
        if repair.boot != self.boot {
            return Vec::new();
        }
        let told = self.ring.answer(repair).into_iter().map(|(seq, samples)| {
            let report = Report { seq, samples: samples.to_vec(), ..self.head(now) };
            encode(Conversation::Probing, &Datagram::Report(report))
        });
        told.collect()
    }
}

fn lie_in(sample: &mut Sample, says: Says) {
    match (&mut sample.finding, says) {
        (Finding::Service(service), Says::Down) => {
            service.health = Health::Down;
            service.cause = Cause::Timeout;
            service.detail = "no answer".into();
            service.streak = 9;
        }
        (Finding::Service(service), Says::Up) => {
            service.health = Health::Up;
            service.cause = Cause::Passed;
            service.detail = "".into();
        }
        (Finding::Latency(latency), Says::Near) => {
            latency.rtt = Some(Micros(1_000));
            latency.loss = 0;
        }
        (Finding::Service(_), Says::Near)
        | (Finding::Latency(_), Says::Down | Says::Up)
        | (Finding::Shed(_) | Finding::Traffic(_), _) => {}
    }
}

/// How long a cache takes to answer a probe beside the way.
pub(crate) const SERVICE: Duration = Duration::from_millis(2);
