//! A simulation from a scenario to figures beside their limits.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use popnet_terms::Span;
use serde::Serialize;

use crate::fabric::{Bill, Fabric};
use crate::figures::{Figure, Measured};
use crate::gauge::{Context, Series};
use crate::globe::databases;
use crate::num::{count, place};
use crate::oracle::{Ideals, bill, ideals};
use crate::places::Atlas;
use crate::plot;
use crate::scenario::Scenario;
use crate::twin::{START, Twin};
use crate::world::World;

/// What a simulation gave.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The scenario's title.
    pub title: String,
    /// The seed that repeats it.
    pub seed: u64,
    /// Digest of everything that happened: equal for equal histories.
    pub digest: String,
    /// Events that happened.
    pub events: u64,
    /// Answers that were given after the warm-up.
    pub answers: u64,
    /// Simulated seconds.
    pub seconds: u64,
    /// POPs, name servers, client units.
    pub size: (usize, usize, usize),
    /// The figures.
    pub figures: Vec<Measured>,
    #[serde(skip)]
    series: Series,
    #[serde(skip)]
    names: Vec<String>,
    #[serde(skip)]
    target: f64,
}

/// A drawing.
#[derive(Clone, Debug)]
pub struct Plot {
    /// A good name for its file, without an ending.
    pub name: &'static str,
    /// The drawing as SVG.
    pub svg: String,
}

/// One of the simulations of a scenario: its own, or its baseline's.
struct Outcome {
    figures: BTreeMap<Figure, f64>,
    digest: String,
    events: u64,
    answers: u64,
    series: Series,
    bill: f64,
    names: Vec<String>,
    servers: usize,
}

/// Times a day for which a POP's traffic is billed: every five minutes.
const BILLED_A_DAY: u64 = 288;

/// Simulates `scenario`. `network` is the content of the file that it names, if it names one;
/// `progress` is told the part that is done.
///
/// # Errors
/// What the scenario and the network do not agree on.
pub fn run(
    scenario: &Scenario,
    network: Option<&str>,
    seed: Option<u64>,
    progress: &mut dyn FnMut(f64),
) -> Result<Report, String> {
    let seed = seed.unwrap_or(scenario.seed);
    let own = scenario.policy.as_ref();
    let baseline = match &scenario.baseline {
        Some(policy) => {
            let half = &mut |done: f64| progress(done / 2.0);
            Some(simulate(scenario, network, Some(policy), seed, half)?)
        }
        None => None,
    };
    let rest = &mut |done: f64| {
        progress(if baseline.is_some() { 0.5 + done / 2.0 } else { done });
    };
    let mut outcome = simulate(scenario, network, own, seed, rest)?;
    if let Some(baseline) = &baseline {
        let saving = 1.0 - outcome.bill / baseline.bill.max(f64::MIN_POSITIVE);
        outcome.figures.insert(Figure::BillSaving, saving);
        let mean = |of: &Outcome| of.figures.get(&Figure::MeanLatency).copied().unwrap_or(0.0);
        let loss = mean(&outcome) - mean(baseline);
        outcome.figures.insert(Figure::LatencyLoss, loss);
    }
    Ok(Report {
        title: scenario.title.clone(),
        seed,
        digest: outcome.digest,
        events: outcome.events,
        answers: outcome.answers,
        seconds: scenario.length.duration().as_secs(),
        size: (outcome.names.len(), outcome.servers, place(scenario.crowd.units.into())),
        figures: judged(scenario, &outcome.figures),
        series: outcome.series,
        names: outcome.names,
        target: target(scenario),
    })
}

/// The load that POPs should have at most, by the scenario's policy.
fn target(scenario: &Scenario) -> f64 {
    scenario.policy.as_ref().and_then(|policy| policy.shed.target).unwrap_or(0.80)
}

fn simulate(
    scenario: &Scenario,
    network: Option<&str>,
    policy: Option<&popnet_config::network::Policy>,
    seed: u64,
    progress: &mut dyn FnMut(f64),
) -> Result<Outcome, String> {
    let atlas = Atlas::new();
    let mut fabric = Fabric::new(&scenario.network, network, policy, &atlas, seed)?;
    let world = World::new(&scenario.crowd, scenario.network.capacity, &fabric, &atlas, seed);
    fabric.set_capacity(&world.capacity);
    let billing = billing(scenario);
    if scenario.network.commits > 0.0 {
        fabric.set_commits(&world.natural, scenario.network.commits, &billing, seed);
    }
    let globe = databases(&world, &atlas, seed)?;
    let mut twin = Twin::new(scenario, &fabric, &world, &globe, seed)?;
    twin.run(progress);
    let compared = [Figure::OverBest, Figure::UnderGlobe, Figure::UnderTurns];
    let wanted = scenario.expect.iter().any(|wish| compared.contains(&wish.figure));
    let ideals: Option<Ideals> = wanted.then(|| ideals(&world, &fabric, &atlas, target(scenario)));
    let context = Context {
        start: START,
        interval: scenario.network.interval.duration().as_secs_f64(),
        target: target(scenario),
        ideals,
    };
    let figures = twin.gauge.figures(&context);
    let series = std::mem::take(&mut twin.gauge.series);
    let slot = place(billing.slot.duration().as_secs());
    let period = place(billing.period.duration().as_secs());
    let sent: Vec<Vec<f64>> = series
        .loads
        .iter()
        .zip(&world.capacity)
        .map(|(loads, capacity)| {
            let last = loads.get(loads.len().saturating_sub(period)..).unwrap_or_default();
            let means = last.chunks(slot).map(crate::oracle::mean);
            means.map(|load| load * capacity).collect()
        })
        .collect();
    Ok(Outcome {
        figures,
        digest: twin.journal.digest(),
        events: twin.journal.events,
        answers: twin.gauge.answers,
        bill: bill(&sent, &fabric.pops),
        series,
        names: fabric.pops.iter().map(|site| site.id.as_str().to_owned()).collect(),
        servers: fabric.servers.len(),
    })
}

/// A bill is for a day, or for all of it where days do not differ. The last one is measured.
fn billing(scenario: &Scenario) -> Bill {
    let period = scenario.crowd.day.unwrap_or(scenario.length);
    let slot = Span::seconds((period.duration().as_secs() / BILLED_A_DAY).max(1));
    Bill { period, slot }
}

/// Every figure, with what the scenario expects of it.
fn judged(scenario: &Scenario, values: &BTreeMap<Figure, f64>) -> Vec<Measured> {
    let mut all = Vec::new();
    for figure in Figure::ALL.iter().copied() {
        let value = values.get(&figure).copied();
        let wishes: Vec<_> = scenario.expect.iter().filter(|w| w.figure == figure).collect();
        if wishes.is_empty() {
            if value.is_some() {
                all.push(Measured { figure, value, at_most: None, at_least: None, passed: None });
            }
            continue;
        }
        for wish in wishes {
            let (at_most, at_least) = (wish.at_most, wish.at_least);
            let within = |value: f64| {
                at_most.is_none_or(|most| value <= most) && at_least.is_none_or(|l| value >= l)
            };
            // What could not be measured was not reached.
            let passed = Some(value.is_some_and(within));
            all.push(Measured { figure, value, at_most, at_least, passed });
        }
    }
    all
}

impl Report {
    /// Whether everything is as the scenario expects.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.figures.iter().all(|one| one.passed != Some(false))
    }

    /// The value of a figure.
    #[must_use]
    pub fn value(&self, figure: Figure) -> Option<f64> {
        self.figures.iter().find(|one| one.figure == figure)?.value
    }

    /// For people: what was simulated, each expected figure with its limit, then the others.
    #[must_use]
    pub fn text(&self) -> String {
        let (pops, servers, units) = self.size;
        let mut text = format!(
            "{}\n  {pops} POPs, {servers} name servers, {units} client units, {} s, seed {}\n  \
             {} events, {} answers, digest {}\n\n",
            self.title, self.seconds, self.seed, self.events, self.answers, self.digest
        );
        for row in self.rows() {
            let verdict = match row.passed {
                Some(true) => "pass",
                Some(false) => "FAIL",
                None => "    ",
            };
            let Row { name, words, value, limit, .. } = row;
            let _ = writeln!(text, "  {verdict}  {name:<18} {value:>20} {limit:<15} {words}");
        }
        text
    }

    /// The figures as people read them, first those of which something is expected.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let (expected, others): (Vec<_>, Vec<_>) =
            self.figures.iter().partition(|one| one.passed.is_some());
        expected.into_iter().chain(others).map(Row::of).collect()
    }

    /// Drawings of what happened over time.
    #[must_use]
    pub fn plots(&self) -> Vec<Plot> {
        let mut plots = vec![plot::loads(&self.title, &self.series, &self.names, self.target)];
        plots.push(plot::latency(&self.title, &self.series));
        plots.extend(plot::agreement(&self.title, &self.series));
        plots
    }

    /// How many values the drawings rest on.
    #[must_use]
    pub fn points(&self) -> u64 {
        count(self.series.latency.len())
    }
}

/// A figure as people read it.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name in scenarios.
    pub name: &'static str,
    /// What it says.
    pub words: &'static str,
    /// What was found, with its unit; `-` where it could not be measured.
    pub value: String,
    /// What was expected; empty where nothing was.
    pub limit: String,
    /// Whether it is as expected.
    pub passed: Option<bool>,
}

impl Row {
    fn of(one: &Measured) -> Self {
        let figure = one.figure;
        let value =
            one.value.map_or("-".to_owned(), |value| format!("{} {}", Short(value), figure.unit()));
        let limit = match (one.at_most, one.at_least) {
            (Some(most), Some(least)) => format!("{} to {}", Short(least), Short(most)),
            (Some(most), None) => format!("at most {}", Short(most)),
            (None, Some(least)) => format!("at least {}", Short(least)),
            (None, None) => String::new(),
        };
        let value = value.trim_end().to_owned();
        Self { name: figure.name(), words: figure.words(), value, limit, passed: one.passed }
    }
}

/// A number as people read it: four digits that say something.
struct Short(f64);

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(value) = *self;
        let text = match value.abs() {
            _ if value.fract() == 0.0 => format!("{value:.0}"),
            size if size >= 100.0 => format!("{value:.1}"),
            size if size >= 1.0 => format!("{value:.2}"),
            _ => format!("{value:.4}"),
        };
        f.pad(&text)
    }
}
