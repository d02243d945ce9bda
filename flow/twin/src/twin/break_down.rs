//! Faults begin and end.

use std::time::Duration;

use popnet_terms::Timestamp;

use super::{Event, START, Twin};
use crate::fate::{Fate, Turn};
use crate::num::{count, whole};
use crate::scenario::{Fault, FaultKind};
use crate::server::KEEP;

/// Connections break and come back within so long after a way is open again.
const REJOIN_US: u64 = 2_000_000;

impl Twin<'_> {
    pub(super) fn turn(&mut self, n: usize, now: Timestamp) {
        let Some(turn) = self.turns.get(n).cloned() else { return };
        let Some(fault) = self.scenario.faults.get(turn.fault).cloned() else { return };
        self.journal.note(now, 8, turn.fault, u64::from(turn.begins));
        if fault.kind == FaultKind::Loss {
            self.post.extra_loss = if turn.begins { fault.factor.unwrap_or(0.0) } else { 0.0 };
            return;
        }
        for pop in turn.pops.iter().copied() {
            let of = |list: &[f64]| list.get(pop).copied().unwrap_or(1.0);
            let full = of(&self.world.capacity) / of(&self.world.natural).max(f64::MIN_POSITIVE);
            let factor = fault.to.map(|to| to * full).or(fault.factor).unwrap_or(1.0);
            let Some(fate) = self.fates.get_mut(pop) else { continue };
            change(fate, &fault, turn.begins, factor, now);
            match fault.kind {
                FaultKind::Crash => self.servers_of(pop, turn.begins, now),
                FaultKind::Quit => self.probes_of(pop, turn.begins, now),
                FaultKind::Dark => {
                    self.probes_of(pop, turn.begins, now);
                    self.servers_of(pop, turn.begins, now);
                }
                FaultKind::Cut if !turn.begins => self.rejoin(now),
                // Nobody looks at the clock but when it starts: `crash` and `quit` let it.
                FaultKind::Clock
                | FaultKind::Dead
                | FaultKind::Cut
                | FaultKind::Lie
                | FaultKind::Demand
                | FaultKind::Loss
                | FaultKind::Slow => {}
            }
        }
        self.note_step(&turn, &fault, now);
    }

    fn note_step(&mut self, turn: &Turn, fault: &Fault, now: Timestamp) {
        if turn.begins && fault.kind == FaultKind::Demand && self.gauge.step.is_none() {
            self.gauge.step = turn.pops.first().map(|pop| (*pop, now));
        }
        if self.fates.iter().all(|fate| !fate.serves()) {
            self.gauge.all_dead.get_or_insert(now);
            self.gauge.last_hope.get_or_insert(now);
        }
    }

    fn servers_of(&mut self, pop: usize, goes: bool, now: Timestamp) {
        for n in 0..self.servers.len() {
            let server = self.servers.get_mut(n).filter(|server| server.pop == pop);
            let Some(server) = server else { continue };
            if goes {
                server.is_up = false;
                self.gauge.silence(n, now);
            } else {
                self.start_server(n, now);
            }
        }
    }

    fn probes_of(&mut self, pop: usize, goes: bool, now: Timestamp) {
        for n in 0..self.sites.len() {
            let site = self.sites.get_mut(n).filter(|site| site.pop == pop);
            let Some(site) = site else { continue };
            if goes {
                site.is_up = false;
            } else {
                self.start_site(n, now);
            }
        }
    }

    /// Everybody's connections come back.
    fn rejoin(&mut self, now: Timestamp) {
        for n in 0..self.sites.len() {
            let wait = Duration::from_micros(self.dice.next() % REJOIN_US);
            if let Some(site) = self.sites.get(n).filter(|site| site.is_up) {
                self.queue.add(now.after(wait), Event::Join(n, site.boot));
            }
        }
    }

    /// What is on disk when a name server is killed is what was written last.
    pub(super) fn arrange_disks(&mut self) {
        let mut times: Vec<(usize, Timestamp)> = Vec::new();
        for turn in self.turns.iter().filter(|turn| turn.begins) {
            let kind = self.scenario.faults.get(turn.fault).map(|fault| fault.kind);
            if !matches!(kind, Some(FaultKind::Crash | FaultKind::Dark)) {
                continue;
            }
            let rounds = (turn.at.since(START).as_secs_f64() / KEEP.as_secs_f64()).floor();
            let last = START.after(Duration::from_micros(whole(rounds * KEEP.as_secs_f64() * 1e6)));
            times.extend(turn.pops.iter().map(|pop| (*pop, last)));
        }
        for (pop, at) in times {
            for n in 0..self.servers.len() {
                if self.servers.get(n).is_some_and(|server| server.pop == pop) {
                    self.queue.add(at, Event::Keep(n));
                }
            }
        }
        self.journal.note(START, 9, 0, count(self.turns.len()));
    }
}

fn change(fate: &mut Fate, fault: &Fault, begins: bool, factor: f64, now: Timestamp) {
    let served = fate.serves();
    let counted = |value: u32| if begins { value + 1 } else { value.saturating_sub(1) };
    match fault.kind {
        FaultKind::Dead => fate.dead = counted(fate.dead),
        FaultKind::Dark => fate.dark = counted(fate.dark),
        FaultKind::Cut => fate.cut = counted(fate.cut),
        FaultKind::Lie => match (begins, fault.says) {
            (true, Some(says)) => fate.lies.push(says),
            (true, None) => {}
            (false, _) => {
                fate.lies.pop();
            }
        },
        FaultKind::Clock => {
            let by = fault.seconds.unwrap_or(0).saturating_mul(1_000_000);
            fate.clock_us += if begins { by } else { -by };
        }
        FaultKind::Demand => fate.demand = if begins { factor } else { 1.0 },
        FaultKind::Slow => {
            let by = fault.ms.unwrap_or(0).saturating_mul(1_000);
            fate.slow_us = if begins { by } else { 0 };
        }
        FaultKind::Crash | FaultKind::Quit | FaultKind::Loss => {}
    }
    if served && !fate.serves() {
        fate.dead_since = Some(now);
    }
    if !served && fate.serves() {
        fate.dead_since = None;
        fate.back_since = Some(now);
    }
    if fault.kind == FaultKind::Cut && !begins {
        fate.back_since = Some(now);
    }
}
