//! The harness beside the project: it starts ours and the peers in turn, each alone on a core, and
//! writes a line for each run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::page::Row;
use super::{Fallible, median};

/// Where the harness is, when not beside the project.
const PLACE: &str = "POPNET_BENCH";
/// Runs of each row, and the length of one; `POPNET_BENCH_SECONDS` shortens them for a trial.
const RUNS: u32 = 3;
const SECONDS: u32 = 5;

/// One of the harness's scripts.
pub(super) struct Script {
    /// Its file.
    pub(super) file: &'static str,
    /// The option before the list of scenarios.
    pub(super) option: Option<&'static str>,
    /// The file that it writes its lines to.
    pub(super) results: &'static str,
    /// Its words for work, and ours.
    pub(super) works: &'static [(&'static str, &'static str)],
}

pub(super) struct Harness {
    script: Script,
    folder: PathBuf,
    peers: PathBuf,
    popnet: PathBuf,
    /// Where it keeps what it builds and its logs.
    pub(super) work: PathBuf,
}

impl Harness {
    pub(super) fn new(script: Script, root: &Path, popnet: &Path, work: &Path) -> Fallible<Self> {
        let given = std::env::var_os(PLACE).map(PathBuf::from);
        let folder = given.unwrap_or_else(|| root.join("../shared/bench"));
        let file = script.file;
        if !folder.join(file).exists() {
            let place = folder.display();
            return Err(format!("no {file} in {place}: set {PLACE} to the harness's folder").into());
        }
        Ok(Self {
            script,
            folder: fs::canonicalize(folder)?,
            peers: root.join("xtask/peers"),
            popnet: popnet.to_owned(),
            work: work.join("harness"),
        })
    }

    /// Runs scenarios with peers and gives the medians of each; all must have some.
    pub(super) fn run(
        &self,
        name: &str,
        scenarios: &[&str],
        peers: &[&str],
        more: &[(&str, &str)],
    ) -> Fallible<Vec<Row>> {
        let results = self.work.join(name);
        fs::create_dir_all(&results)?;
        let status = Command::new("bash")
            .arg(self.folder.join(self.script.file))
            .args(self.script.option)
            .arg(scenarios.join(","))
            .args(peers)
            .env("BENCH_PEERS", &self.peers)
            .env("BENCH_WORK", &self.work)
            .env("BENCH_RESULTS", &results)
            .env("BENCH_US", "popnet")
            .env("POPNET_BIN", &self.popnet)
            .env("RUNS", RUNS.to_string())
            .env("SECS", seconds().to_string())
            .envs(more.iter().copied())
            .status()?;
        if !status.success() {
            return Err(format!(
                "the harness failed at {name}; its logs are in {}",
                self.work.display()
            )
            .into());
        }
        let lines = fs::read_to_string(results.join(self.script.results))?;
        let rows = medians(self.script.works, &lines);
        let work = self.work.display();
        match peers.iter().find(|peer| !rows.iter().any(|row| row.server == **peer)) {
            Some(peer) => Err(format!("{peer} gave no figures; see {work}/run/{peer}/log").into()),
            None => Ok(rows),
        }
    }
}

/// Length of a run.
pub(super) fn seconds() -> u32 {
    let given = std::env::var("POPNET_BENCH_SECONDS").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(SECONDS)
}

/// Figures by name, each with those of all runs.
type Figures = Vec<(String, Vec<f64>)>;

/// Medians of the harness's lines: scenario, peer, then `name=value`, parted by tabs.
fn medians(works: &[(&str, &str)], lines: &str) -> Vec<Row> {
    let mut gathered: Vec<(String, String, Figures)> = Vec::new();
    for line in lines.lines() {
        let mut fields = line.split('\t');
        let (Some(scenario), Some(peer)) = (fields.next(), fields.next()) else { continue };
        let known = works.iter().find(|(theirs, _)| *theirs == scenario);
        let work = known.map_or(scenario, |(_, ours)| ours);
        let at = gathered.iter().position(|(w, p, _)| w == work && p == peer);
        let at = at.unwrap_or_else(|| {
            gathered.push((work.to_owned(), peer.to_owned(), Vec::new()));
            gathered.len() - 1
        });
        let Some((_, _, values)) = gathered.get_mut(at) else { continue };
        for (name, value) in fields.filter_map(|field| field.split_once('=')) {
            let Ok(value) = value.parse::<f64>() else { continue };
            match values.iter_mut().find(|(known, _)| known == name) {
                Some((_, all)) => all.push(value),
                None => values.push((name.to_owned(), vec![value])),
            }
        }
    }
    let row = |(work, peer, values): (String, String, Figures)| Row {
        work,
        server: peer,
        values: values.into_iter().map(|(name, all)| (name, median(all))).collect(),
    };
    gathered.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_harness() {
        let rows = medians(
            &[("www", "static"), ("scale", "1,000,000 names")],
            "www\tpopnet\trate=10\tcpu_us=5.0\nwww\tpopnet\trate=30\tcpu_us=4.0\n\
             www\tpopnet\trate=20\tcpu_us=4.5\nscale\tknot\tload_s=2.2\tversion=x\n",
        );
        let [one, two] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!((one.work.as_str(), one.server.as_str()), ("static", "popnet"));
        assert_eq!((one.values["rate"], one.values["cpu_us"]), (20.0, 4.5));
        assert_eq!((two.work.as_str(), two.values.len()), ("1,000,000 names", 1));
    }
}
