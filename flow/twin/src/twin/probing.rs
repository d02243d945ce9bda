//! Probes and measurements: what sites do, and what travels between them and name servers.

use std::rc::Rc;
use std::time::Duration;

use popnet_probe::{Action, Answer, Burst, Failure, HttpJob, JobId, MeasureJob, Outcome};
use popnet_terms::{Micros, Timestamp};
use popnet_wire::frame::{Conversation, decode};
use popnet_wire::probing::{
    Cause, Datagram, Finding, Health, Latency, Method, Needs, Report, Sample,
};

use super::healing::TELL;
use super::{Event, START, Twin};
use crate::num::{count, whole};
use crate::server::SLOT;
use crate::site::SERVICE;

impl Twin<'_> {
    pub(super) fn start_site(&mut self, n: usize, now: Timestamp) {
        let Some(site) = self.sites.get_mut(n) else { return };
        let clock = self.fates.get(site.pop).map_or(0, |fate| fate.clock_us);
        site.start(&self.fabric.network, now, clock);
        let boot = site.boot;
        self.journal.note(now, 3, n, boot);
        self.queue.add(now.after(TELL), Event::Tell(n, boot));
        self.drive(n, now);
    }

    /// Every measuring POP has measured those who are known.
    pub(super) fn prime(&mut self) {
        let known: Vec<usize> = (0..self.world.units.len())
            .filter(|n| self.world.units.get(*n).is_some_and(|unit| unit.is_known))
            .collect();
        for n in 0..self.sites.len() {
            let Some(pop) = self.sites.get(n).map(|site| site.pop) else { continue };
            let samples = known.iter().map(|unit| self.known_latency(*unit, pop)).collect();
            let Some(site) = self.sites.get_mut(n) else { continue };
            for octets in site.datagrams(samples, START, None) {
                let Some(report) = report_in(&octets) else { continue };
                for server in &mut self.servers {
                    server.record(&report, START);
                }
            }
        }
        for server in &mut self.servers {
            server.fit(START);
            server.publish(START);
        }
    }

    fn known_latency(&self, unit: usize, pop: usize) -> Sample {
        let silent = self.world.units.get(unit).is_some_and(|unit| unit.is_silent);
        let rtt = Micros(self.world.rtt_us(unit, pop));
        let latency = Latency {
            client: self.world.net(unit),
            rtt: (!silent).then_some(rtt),
            spread: Micros(500),
            loss: 0,
            samples: 3,
            method: Method::DnsQuery,
        };
        Sample { at: START, finding: Finding::Latency(latency) }
    }

    pub(super) fn wake(&mut self, n: usize, boot: u64, now: Timestamp) {
        let Some(site) = self.sites.get_mut(n) else { return };
        if site.boot != boot || !site.is_up || site.wake != Some(now) {
            return;
        }
        let local = site.local(now);
        site.prober.handle_timeout(local);
        self.drive(n, now);
    }

    pub(super) fn join(&mut self, n: usize, boot: u64, now: Timestamp) {
        let site = self.sites.get_mut(n).filter(|site| site.boot == boot && site.is_up);
        let Some(site) = site else { return };
        let local = site.local(now);
        site.prober.handle_joined(local);
        self.drive(n, now);
    }

    pub(super) fn outcome(
        &mut self,
        n: usize,
        boot: u64,
        (job, outcome): (JobId, &Outcome),
        now: Timestamp,
    ) {
        let site = self.sites.get_mut(n).filter(|site| site.boot == boot && site.is_up);
        let Some(site) = site else { return };
        let local = site.local(now);
        site.prober.handle_outcome(job, outcome, local);
        self.drive(n, now);
    }

    pub(super) fn needs(&mut self, n: usize, needs: &Needs, now: Timestamp) {
        let Some(site) = self.sites.get_mut(n).filter(|site| site.is_up) else { return };
        let local = site.local(now);
        site.prober.handle_needs(needs, local);
        self.journal.note(now, 4, n, count(needs.needs.len()));
        self.drive(n, now);
    }

    pub(super) fn report(&mut self, n: usize, report: &Report, now: Timestamp) {
        let views = self.scenario.network.views.duration();
        let Some(server) = self.servers.get_mut(n).filter(|server| server.is_up) else { return };
        let news = server.record(report, now);
        self.journal.note(now, 5, n, report.seq ^ (report.boot << 48) ^ (u64::from(news) << 63));
        let soon = now.after(views);
        if news && server.publish_at.is_none_or(|at| at > soon) {
            server.publish_at = Some(soon);
            let life = server.life;
            self.queue.add(soon, Event::Publish(n, life));
        }
    }

    /// One slot of wishes of a name server.
    pub(super) fn slot(&mut self, n: usize, life: u64, now: Timestamp) {
        let server = self.servers.get_mut(n).filter(|server| server.life == life && server.is_up);
        let Some(server) = server else { return };
        let from = server.pop;
        let datagrams = server.slot(now);
        self.queue.add(now.after(SLOT), Event::Slot(n, life));
        for (pop, octets) in datagrams {
            self.journal.octets(&octets);
            let Ok(Datagram::Needs(needs)) = decode(Conversation::Probing, &octets) else {
                continue;
            };
            let needs = Rc::new(needs);
            for to in 0..self.sites.len() {
                let site = self.sites.get(to).filter(|site| site.name.pop() == pop);
                let Some(there) = site.map(|site| site.pop) else { continue };
                if !self.connected(from, there) {
                    continue;
                }
                let trip = self.trip(from, there);
                for at in self.post.arrivals(now, trip) {
                    self.queue.add(at, Event::Needs(to, Rc::clone(&needs)));
                }
            }
        }
    }

    /// Does what a site's prober wants done, and notes when it wants to be woken.
    fn drive(&mut self, n: usize, now: Timestamp) {
        while let Some(action) = self.sites.get_mut(n).and_then(|site| site.prober.poll_action()) {
            #[expect(clippy::wildcard_enum_match_arm, reason = "all others are treated alike")]
            match action {
                Action::Http(job) => self.http(n, &job, now),
                Action::Measure(job) => self.measure(n, &job, now),
                Action::Report(samples) => self.broadcast(n, samples, now),
                Action::Announce(change) => {
                    self.journal.note(now, 6, n, u64::from(change.to == Health::Up));
                }
                // Made networks have no other probes. One of a file's gets no outcome here, and its
                // prober gives it up.
                _ => {}
            }
        }
        let Some(site) = self.sites.get_mut(n) else { return };
        // Time goes on even when the prober is woken a little early by a rounded clock.
        let due = site.due().max(now.after(Duration::from_micros(1)));
        if site.wake.is_none_or(|at| at > due || at <= now) {
            site.wake = Some(due);
            let boot = site.boot;
            self.queue.add(due, Event::Wake(n, boot));
        }
    }

    /// An attempt's outcome comes after `time`.
    fn over(&mut self, n: usize, job: JobId, outcome: Outcome, time: Duration, now: Timestamp) {
        let boot = self.sites.get(n).map_or(0, |site| site.boot);
        self.queue.add(now.after(time), Event::Outcome(n, boot, job, Box::new(outcome)));
    }

    fn http(&mut self, n: usize, job: &HttpJob, now: Timestamp) {
        let Some(from) = self.sites.get(n).map(|site| site.pop) else { return };
        let Some(to) = self.fabric.pop_at(&job.address.host) else {
            let failed = failure(Cause::Refused, "no route", Duration::ZERO);
            return self.over(n, job.id, failed, Duration::ZERO, now);
        };
        let trip = self.trip(from, to);
        let dark = self.fates.get(to).is_some_and(|fate| fate.dark > 0);
        let reached = self.connected(from, to) && !dark;
        let opened = if reached { self.post.handshake(trip, job.timeout) } else { None };
        let dead = self.fates.get(to).is_some_and(|fate| fate.dead > 0);
        if let Some(time) = opened.filter(|_| dead) {
            let failed = failure(Cause::Refused, "connection refused", time);
            return self.over(n, job.id, failed, time, now);
        }
        let answered = opened.and_then(|opened| {
            let rest = job.timeout.checked_sub(opened + SERVICE)?;
            Some((opened, opened + SERVICE + self.post.request(trip, rest)?))
        });
        let Some((connect, total)) = answered else {
            let failed = failure(Cause::Timeout, "no answer", job.timeout);
            return self.over(n, job.id, failed, job.timeout, now);
        };
        let of_pop = |all: &[f64]| all.get(to).copied().unwrap_or(0.0);
        let (load, sent) = (of_pop(&self.loads), of_pop(&self.sent));
        let answer = Answer {
            status: 200,
            connect: micros(connect),
            total: micros(total),
            content: b"ok".to_vec(),
            digest: None,
            load: Some(format!("{load:.3};sent={}", whole(sent))),
            epoch: None,
        };
        self.over(n, job.id, Outcome::Answered(answer), total, now);
    }

    fn measure(&mut self, n: usize, job: &MeasureJob, now: Timestamp) {
        let Some(pop) = self.sites.get(n).map(|site| site.pop) else { return };
        let unit = self.world.unit_at(job.resolver);
        let slow = self.fates.get(pop).map_or(0, |fate| fate.slow_us);
        let answers = unit.and_then(|n| self.world.units.get(n)).is_some_and(|u| !u.is_silent);
        let mut rtts = Vec::new();
        let mut time = Duration::ZERO;
        for _ in 0..job.samples {
            let trip = unit.map_or(0, |unit| self.world.rtt_us(unit, pop)).saturating_add(slow);
            let found = if answers { self.post.exchange(trip) } else { None };
            let found = found.filter(|rtt| *rtt < job.timeout);
            time += found.unwrap_or(job.timeout);
            rtts.push(found.map(micros));
        }
        let any = rtts.iter().any(Option::is_some);
        if !any {
            // Each further way is tried, and is silent too.
            let more = u32::try_from(job.methods.len().saturating_sub(1)).unwrap_or(0);
            time += job.timeout * u32::from(job.samples) * more;
        }
        let burst = Burst { method: any.then_some(Method::DnsQuery), rtts };
        self.over(n, job.id, Outcome::Burst(burst), time, now);
    }

    /// A site's results to every name server.
    fn broadcast(&mut self, n: usize, samples: Vec<Sample>, now: Timestamp) {
        let Some(site) = self.sites.get_mut(n) else { return };
        let from = site.pop;
        let lie = self.fates.get(from).and_then(|fate| fate.lies.last().copied());
        for octets in site.datagrams(samples, now, lie) {
            self.journal.octets(&octets);
            let Some(report) = report_in(&octets).map(Rc::new) else { continue };
            self.post_to_all(from, now, |to| Event::Report(to, Rc::clone(&report)));
        }
    }

    /// One datagram to every name server.
    pub(super) fn post_to_all(
        &mut self,
        from: usize,
        now: Timestamp,
        event: impl Fn(usize) -> Event,
    ) {
        for to in 0..self.servers.len() {
            self.post_to(from, to, now, &event);
        }
    }

    /// One datagram to one name server.
    pub(super) fn post_to(
        &mut self,
        from: usize,
        to: usize,
        now: Timestamp,
        event: impl Fn(usize) -> Event,
    ) {
        let Some(pop) = self.servers.get(to).map(|server| server.pop) else { return };
        if !self.connected(from, pop) {
            return;
        }
        let trip = self.trip(from, pop);
        for at in self.post.arrivals(now, trip) {
            self.queue.add(at, event(to));
        }
    }
}

fn failure(cause: Cause, words: &str, total: Duration) -> Outcome {
    let total = micros(total);
    Outcome::Failed(Failure { cause, words: words.into(), connect: None, total })
}

fn micros(time: Duration) -> Micros {
    Micros(u32::try_from(time.as_micros()).unwrap_or(u32::MAX))
}

pub(super) fn report_in(octets: &[u8]) -> Option<Report> {
    match decode(Conversation::Probing, octets) {
        Ok(Datagram::Report(report)) => Some(report),
        Ok(_) | Err(_) => None,
    }
}
