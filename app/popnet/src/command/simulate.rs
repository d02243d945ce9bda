//! `popnet simulate`: the whole steering system in one process, on virtual time.

use std::fs;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use popnet_twin::{Report, Scenario};
use popnet_wire::control::Problem;
use serde_json::json;

use crate::cli::SimulateArguments;
use crate::output::{Done, Outcome, Style, print_json};

/// No scenario is longer; a configuration that it names may be.
const SCENARIO_MAX: u64 = 1 << 20;
const NETWORK_MAX: u64 = 64 << 20;

/// Steps of the progress bar.
const STEPS: u64 = 1_000;

pub(crate) fn execute(arguments: &SimulateArguments, style: Style) -> Outcome {
    let path = &arguments.scenario;
    let name = path.display().to_string();
    let text = read(path, SCENARIO_MAX)?;
    let scenario = popnet_twin::load(&text, &name).map_err(|found| {
        let what = popnet_config::render(&found, &text, &name);
        Problem::new("U0060", what.trim_end(), "docs/operate/simulate.md says what may be written")
    })?;
    let network = network(path, &scenario)?;
    let report = simulate(&scenario, network.as_deref(), arguments.seed)?;
    let drawn = match &arguments.plot {
        Some(folder) => draw(&report, folder)?,
        None => Vec::new(),
    };
    if style.json {
        let body = json!({ "passed": report.passed(), "plots": drawn, "report": report });
        print_json("simulate/v1", &body);
    } else {
        print!("{}", report.text());
        for file in &drawn {
            println!("  drawn   {file}");
        }
        if !report.passed() {
            println!("  again   popnet simulate {name} --seed {}", report.seed);
        }
    }
    Ok(if report.passed() { Done::WELL } else { Done::FOUND_PROBLEMS })
}

/// The configuration that the scenario names, beside its own file.
fn network(path: &Path, scenario: &Scenario) -> Result<Option<String>, Problem> {
    let Some(file) = &scenario.network.file else { return Ok(None) };
    let beside = path.parent().map_or_else(|| file.into(), |folder| folder.join(file));
    read(&beside, NETWORK_MAX).map(Some)
}

fn simulate(
    scenario: &Scenario,
    network: Option<&str>,
    seed: Option<u64>,
) -> Result<Report, Problem> {
    let bar = ProgressBar::new(STEPS);
    let shape = "{msg} [{bar:40}] {percent:>3} %  {elapsed}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(shape) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message("simulating");
    let mut tell = |done: f64| {
        let mut step = 0;
        while step < STEPS && f64::from(u32::try_from(step).unwrap_or(0)) < done * 1_000.0 {
            step += 1;
        }
        bar.set_position(step);
    };
    let report = popnet_twin::run(scenario, network, seed, &mut tell);
    bar.finish_and_clear();
    report.map_err(|what| {
        Problem::new("U0061", what, "mend the scenario or the configuration that it names")
    })
}

/// Writes the drawings and gives the names of their files.
fn draw(report: &Report, folder: &Path) -> Result<Vec<String>, Problem> {
    let failed = |error: &std::io::Error| {
        let what = format!("{}: {error}", folder.display());
        Problem::new("U0062", what, "--plot names a folder that may be written to")
    };
    fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    let mut names = Vec::new();
    for plot in report.plots() {
        let path = folder.join(format!("{}.svg", plot.name));
        let written = popnet_runtime::files::write_atomic(&path, plot.svg.as_bytes());
        written.map_err(|error| failed(&std::io::Error::other(error.to_string())))?;
        names.push(path.display().to_string());
    }
    Ok(names)
}

fn read(path: &Path, longest: u64) -> Result<String, Problem> {
    let failed = |why: String| {
        let next = "popnet simulate examples/scenarios/agreement.toml   is one that is shipped";
        Problem::new("U0063", format!("{}: {why}", path.display()), next)
    };
    let length = fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if length > longest {
        return Err(failed(format!("{length} octets; the limit is {longest}")));
    }
    fs::read_to_string(path).map_err(|error| failed(error.to_string()))
}
