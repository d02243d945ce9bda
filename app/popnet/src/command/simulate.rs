//! `popnet simulate`: the whole steering system in one process, on virtual time.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use popnet_runtime::files;
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
    // A mistake in the last file is not to be found after an hour.
    let plans: Vec<Plan> =
        arguments.scenarios.iter().map(|path| Plan::read(path)).collect::<Result<_, _>>()?;
    let is_single = plans.len() == 1 && arguments.report.is_none();
    let folder = arguments.report.as_deref().or(arguments.plot.as_deref());
    let (mut ran, mut bodies) = (Vec::new(), Vec::new());
    for plan in plans {
        let begun = Instant::now();
        let report = simulate(&plan, arguments.seed)?;
        let took = begun.elapsed();
        let stem = if is_single { None } else { Some(plan.stem()) };
        let drawn = match folder {
            Some(folder) => draw(&report, folder, stem)?,
            None => Vec::new(),
        };
        if style.json {
            let file = plan.path.display().to_string();
            let passed = report.passed();
            bodies.push(json!({
                "scenario": file, "passed": passed, "plots": drawn, "report": report,
            }));
        } else {
            print!("{}", report.text());
            for file in &drawn {
                println!("  drawn   {file}");
            }
            if !report.passed() {
                let name = plan.path.display();
                println!("  again   popnet simulate {name} --seed {}", report.seed);
            }
            if !is_single {
                println!("");
            }
        }
        ran.push(Ran { plan, report, took, drawn });
    }
    if let Some(folder) = &arguments.report {
        let path = folder.join("report.md");
        let written = files::write_atomic(&path, page(&ran, arguments).as_bytes());
        written.map_err(|error| unwritten(folder, &error))?;
        if !style.json {
            println!("Written     {}", path.display());
        }
    }
    let passed = ran.iter().all(|ran| ran.report.passed());
    if style.json {
        let all = json!({ "passed": passed, "scenarios": bodies });
        print_json("simulate/v1", bodies.first().filter(|_| is_single).unwrap_or(&all));
    }
    Ok(if passed { Done::WELL } else { Done::FOUND_PROBLEMS })
}

/// A scenario that can be run.
struct Plan {
    path: PathBuf,
    scenario: Scenario,
    network: Option<String>,
}

impl Plan {
    fn read(path: &Path) -> Result<Self, Problem> {
        let name = path.display().to_string();
        let text = read(path, SCENARIO_MAX)?;
        let scenario = popnet_twin::load(&text, &name).map_err(|found| {
            let what = popnet_config::render(&found, &text, &name);
            let next = "docs/operate/simulate.md says what may be written";
            Problem::new("U0060", what.trim_end(), next)
        })?;
        let network = network(path, &scenario)?;
        Ok(Self { path: path.to_owned(), scenario, network })
    }

    /// The file's name without folder and ending.
    fn stem(&self) -> &str {
        self.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("scenario")
    }
}

/// A scenario that was run.
struct Ran {
    plan: Plan,
    report: Report,
    took: Duration,
    drawn: Vec<String>,
}

/// Everything on one page, in Markdown.
fn page(ran: &[Ran], arguments: &SimulateArguments) -> String {
    let files: Vec<String> = ran.iter().map(|ran| ran.plan.path.display().to_string()).collect();
    let seed = arguments.seed.map_or_else(String::new, |seed| format!(" --seed {seed}"));
    let mut text = format!(
        "# What the twin found\n\nWritten by popnet {}:\n\n    popnet simulate{seed} --report DIR \\\n        {}\n",
        env!("CARGO_PKG_VERSION"),
        files.join(" \\\n        ")
    );
    text.push_str("\n| scenario | figure | wanted | found | |\n| --- | --- | --- | ---: | --- |\n");
    for Ran { plan, report, .. } in ran {
        for row in report.rows().into_iter().filter(|row| row.passed.is_some()) {
            let verdict = if row.passed == Some(true) { "reached" } else { "**missed**" };
            let (name, stem) = (row.name, plan.stem());
            text.push_str(&format!(
                "| [{stem}](#{stem}) | {name} | {} | {} | {verdict} |\n",
                row.limit, row.value
            ));
        }
    }
    for Ran { plan, report, took, drawn } in ran {
        let (pops, servers, units) = report.size;
        text.push_str(&format!(
            "\n## {}\n\n{}. {pops} POPs, {servers} name servers, {units} client units, {} s; seed {}, digest\n\
             {}, {} events in {:.0} s.\n\n| figure | found | wanted | says |\n| --- | ---: | --- | --- |\n",
            plan.stem(), report.title, report.seconds, report.seed, report.digest, report.events,
            took.as_secs_f64()
        ));
        for row in report.rows() {
            let words = row.words;
            text.push_str(&format!("| {} | {} | {} | {words} |\n", row.name, row.value, row.limit));
        }
        text.push('\n');
        for file in drawn {
            let name = Path::new(file).file_name().and_then(|name| name.to_str()).unwrap_or("");
            text.push_str(&format!("![{}]({name})\n", name.trim_end_matches(".svg")));
        }
    }
    text
}

/// The configuration that the scenario names, beside its own file.
fn network(path: &Path, scenario: &Scenario) -> Result<Option<String>, Problem> {
    let Some(file) = &scenario.network.file else { return Ok(None) };
    let beside = path.parent().map_or_else(|| file.into(), |folder| folder.join(file));
    read(&beside, NETWORK_MAX).map(Some)
}

fn simulate(plan: &Plan, seed: Option<u64>) -> Result<Report, Problem> {
    let bar = ProgressBar::new(STEPS);
    let shape = "{msg} [{bar:40}] {percent:>3} %  {elapsed}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(shape) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(format!("simulating {}", plan.stem()));
    let mut tell = |done: f64| {
        let mut step = 0;
        while step < STEPS && f64::from(u32::try_from(step).unwrap_or(0)) < done * 1_000.0 {
            step += 1;
        }
        bar.set_position(step);
    };
    let report = popnet_twin::run(&plan.scenario, plan.network.as_deref(), seed, &mut tell);
    bar.finish_and_clear();
    report.map_err(|what| {
        Problem::new("U0061", what, "mend the scenario or the configuration that it names")
    })
}

/// Writes the drawings and gives the names of their files, which begin with `stem`.
fn draw(report: &Report, folder: &Path, stem: Option<&str>) -> Result<Vec<String>, Problem> {
    fs::create_dir_all(folder).map_err(|error| unwritten(folder, &error))?;
    let mut names = Vec::new();
    for plot in report.plots() {
        let name = stem.map_or_else(String::new, |stem| format!("{stem}-"));
        let path = folder.join(format!("{name}{}.svg", plot.name));
        let written = files::write_atomic(&path, plot.svg.as_bytes());
        written.map_err(|error| unwritten(folder, &error))?;
        names.push(path.display().to_string());
    }
    Ok(names)
}

fn unwritten(folder: &Path, error: &dyn std::fmt::Display) -> Problem {
    let what = format!("{}: {error}", folder.display());
    Problem::new("U0062", what, "--plot and --report name a folder that may be written to")
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
