//! What is broken at the moment.

use std::time::Duration;

use popnet_terms::Timestamp;

use crate::fabric::Fabric;
use crate::num::{count, place};
use crate::scenario::{Fault, FaultKind, Says};
use crate::world::World;

/// After a fault verdicts may lag: probes have to rise, and flapping is damped.
const RECOVERY: Duration = Duration::from_mins(2);

/// One POP's fate. Faults of one kind may overlap: they are counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fate {
    pub(crate) dead: u32,
    pub(crate) dark: u32,
    pub(crate) cut: u32,
    pub(crate) lies: Vec<Says>,
    pub(crate) slow_us: u32,
    /// Its clocks minus the true time.
    pub(crate) clock_us: i64,
    /// Factors on the demand nearest to it.
    pub(crate) demand: f64,
    /// Since when its caches have not answered.
    pub(crate) dead_since: Option<Timestamp>,
    /// When its last fault of that kind ended.
    pub(crate) back_since: Option<Timestamp>,
}

impl Fate {
    pub(crate) fn new() -> Self {
        Self { demand: 1.0, ..Self::default() }
    }

    /// Whether it has been well for so long that probes must have seen it.
    pub(crate) fn recovered(&self, now: Timestamp) -> bool {
        self.back_since.is_none_or(|back| now.since(back) > RECOVERY)
    }

    /// Whether its caches answer.
    pub(crate) fn serves(&self) -> bool {
        self.dead == 0 && self.dark == 0
    }
}

/// A fault that begins or ends.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) at: Timestamp,
    /// Which of the scenario's faults.
    pub(crate) fault: usize,
    pub(crate) begins: bool,
    pub(crate) pops: Vec<usize>,
}

/// Every turn of the scenario's faults, repetitions included.
///
/// # Errors
/// Names a POP that does not exist.
pub(crate) fn turns(
    faults: &[Fault],
    fabric: &Fabric,
    world: &World,
    (start, end): (Timestamp, Timestamp),
) -> Result<Vec<Turn>, String> {
    let mut busiest: Vec<usize> = (0..fabric.pops.len()).collect();
    let natural = |pop: &usize| world.natural.get(*pop).copied().unwrap_or(0.0);
    busiest.sort_by(|a, b| natural(b).total_cmp(&natural(a)).then(a.cmp(b)));
    let mut turns = Vec::new();
    for (at, fault) in faults.iter().enumerate() {
        let mut named = Vec::new();
        for name in &fault.pops {
            match fabric.pop_named(name) {
                _ if name == "*" => named.extend(0..fabric.pops.len()),
                Some(pop) => named.push(pop),
                None => return Err(unknown(name, fabric)),
            }
        }
        let mut round = 0;
        let mut begin = start.after(fault.at.duration());
        while begin < end {
            let pops = chosen(fault, &named, (&busiest, &fabric.watchers), round);
            let turn =
                |at_time, begins| Turn { at: at_time, fault: at, begins, pops: pops.clone() };
            turns.push(turn(begin, true));
            if let Some(lasts) = fault.lasts {
                turns.push(turn(begin.after(lasts.duration()), false));
            }
            let Some(every) = fault.every else { break };
            begin = begin.after(every.duration());
            round += 1;
        }
    }
    turns.sort_by_key(|turn| (turn.at, turn.begins, turn.fault));
    Ok(turns)
}

fn chosen(
    fault: &Fault,
    named: &[usize],
    (busiest, watchers): (&[usize], &[usize]),
    round: usize,
) -> Vec<usize> {
    if fault.kind == FaultKind::Loss {
        return Vec::new();
    }
    for (some, of) in [(fault.busiest, busiest), (fault.watchers, watchers)] {
        let some = place(some.into());
        if some > 0 {
            let all = of.iter().cycle().skip(round * some % of.len().max(1));
            return all.take(some.min(of.len())).copied().collect();
        }
    }
    if fault.every.is_some() {
        return named.iter().cycle().skip(round).take(1).copied().collect();
    }
    named.to_vec()
}

fn unknown(name: &str, fabric: &Fabric) -> String {
    let names: Vec<&str> = fabric.pops.iter().map(|site| site.id.as_str()).take(8).collect();
    let more = count(fabric.pops.len()).saturating_sub(8);
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("a fault names the POP {name:?}; there are {}{tail}", names.join(", "))
}
