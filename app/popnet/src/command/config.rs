//! `popnet config`: the global configuration from a file to every node.

use std::path::Path;

use popnet_admin::Admin;
use popnet_config::network::Network;
use popnet_config::{Change, Diagnostic, EditError, Loaded, Restart};
use popnet_terms::{NodeName, Role};
use popnet_wire::control::{Problem, PushOrder};
use popnet_wire::inquiring::Moves;
use popnet_wire::rollout::{Epoch, Outcome as Became, Version};
use serde_json::json;

use super::explain::no_nameserver;
use super::suppose::moves_text;
use super::{admin, edit_problem, parsed};
use crate::cli::{ConfigCommand, Consent};
use crate::output::{Done, Outcome, Style, consent, print_json, table};

pub(crate) async fn execute(
    command: ConfigCommand,
    context: Option<&Path>,
    style: Style,
) -> Outcome {
    match command {
        ConfigCommand::Validate { file } => validate(&file, style),
        ConfigCommand::Schema => schema(style),
        ConfigCommand::Get { path, file } => get(&path, file.as_deref(), context, style).await,
        ConfigCommand::Set { path, value, file } => {
            change(&file, style, |text| popnet_config::set(text, &path, &value))
        }
        ConfigCommand::Unset { path, file } => {
            change(&file, style, |text| match popnet_config::unset(text, &path) {
                // Twice is as good as once.
                Err(EditError::Unset { .. }) => Ok(text.to_owned()),
                other => other,
            })
        }
        ConfigCommand::Show { version } => show(version, context, style).await,
        ConfigCommand::History { limit } => history(limit, context, style).await,
        ConfigCommand::Plan { file } => plan(&file, context, style).await,
        ConfigCommand::Push { file, message, expect_version, consent } => {
            let (text, loaded) = read(&file, style)?;
            let message = message.unwrap_or_default();
            let expect = expect_version.map(Epoch);
            push(
                &admin(context)?,
                Draft { text, network: loaded.network, message, expect },
                &consent,
                style,
            )
            .await
        }
        ConfigCommand::Rollback { version, consent } => {
            let admin = admin(context)?;
            let old = one_version(&admin, Some(version)).await?;
            let network = parsed(&old)?;
            let message = format!("content of v{version}");
            let draft = Draft { text: old.text, network, message, expect: None };
            push(&admin, draft, &consent, style).await
        }
    }
}

fn file_error(file: &Path, error: &std::io::Error) -> Problem {
    let what = format!("{}: {error}", file.display());
    Problem::new("U0020", what, "popnet config show > popnet.toml   writes the version in force")
}

pub(super) fn read(file: &Path, style: Style) -> Result<(String, Loaded), Problem> {
    let text = std::fs::read_to_string(file).map_err(|error| file_error(file, &error))?;
    let name = file.display().to_string();
    match popnet_config::load(&text, &name) {
        Ok(loaded) => Ok((text, loaded)),
        Err(diagnostics) => Err(broken(&diagnostics, &text, &name, style)),
    }
}

/// The mistakes of a file that was to be used: all of them, each at its place.
pub(crate) fn broken(diagnostics: &[Diagnostic], text: &str, name: &str, style: Style) -> Problem {
    let what = popnet_config::render(diagnostics, text, name);
    if style.json {
        let first = diagnostics.first();
        let code = first.map(|first| first.code.as_str()).unwrap_or_default();
        let body = json!({
            "schema": "popnet.problem/v1",
            "type": format!("urn:popnet:problem:{code}"),
            "title": first.map(|first| first.message.as_str()),
            "detail": what.trim_end(),
            "code": code,
            "next": format!("popnet config validate {name}"),
            "exit": 1,
            "diagnostics": diagnostics,
        });
        eprintln!("{body}");
        return Problem::new("", "", "");
    }
    // The rendered text carries the codes itself.
    Problem::new("", what.trim_end(), "")
}

fn schema(style: Style) -> Outcome {
    let schema = popnet_config::schema();
    if style.json {
        // Wrapped like every other answer; without the flag it is the bare schema, for a file.
        let parsed: serde_json::Value = serde_json::from_str(&schema)
            .map_err(|error| Problem::new("U0036", error.to_string(), "popnet --version"))?;
        print_json("config.schema/v1", &json!({ "data": parsed }));
    } else {
        print!("{schema}");
    }
    Ok(Done::WELL)
}

fn validate(file: &Path, style: Style) -> Outcome {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| file_error(file, &error))?;
    let loaded = match popnet_config::load(&text, &name) {
        Ok(loaded) => loaded,
        // To find mistakes is this command's answer, not its failure.
        Err(diagnostics) if style.json => {
            let found = json!({ "valid": false, "diagnostics": diagnostics });
            print_json("config.validate/v1", &found);
            return Ok(Done::FOUND_PROBLEMS);
        }
        Err(diagnostics) => return Err(broken(&diagnostics, &text, &name, style).with_exit(8)),
    };
    if style.json {
        print_json(
            "config.validate/v1",
            &json!({ "valid": true, "digest": loaded.digest.to_string(), "diagnostics": loaded.warnings }),
        );
        return Ok(Done::WELL);
    }
    if !loaded.warnings.is_empty() {
        eprint!("{}", popnet_config::render(&loaded.warnings, &text, &name));
    }
    let network = &loaded.network;
    println!(
        "{name} is valid: {} POPs, {} nodes, {} sites, {} zones   sha256:{:.12}",
        network.pops.len(),
        network.nodes().count(),
        network.sites.len(),
        network.zones.len(),
        loaded.digest.to_string(),
    );
    Ok(Done::WELL)
}

async fn get(path: &str, file: Option<&Path>, context: Option<&Path>, style: Style) -> Outcome {
    let text = match file {
        Some(file) => std::fs::read_to_string(file).map_err(|error| file_error(file, &error))?,
        None => one_version(&admin(context)?, None).await?.text,
    };
    let value = popnet_config::get(&text, path).map_err(|error| edit_problem(&error))?;
    if style.json {
        let json = as_json(&value);
        print_json("config.get/v1", &json!({ "path": path, "value": json, "toml": value }));
    } else {
        println!("{value}");
    }
    Ok(Done::WELL)
}

/// A value or table as it stands in the file, as JSON.
fn as_json(toml: &str) -> Option<serde_json::Value> {
    let value: Result<serde_json::Value, _> = toml_edit::de::from_str(&format!("value = {toml}"));
    match value {
        Ok(holder) => holder.get("value").cloned(),
        Err(_) => toml_edit::de::from_str(toml).ok(),
    }
}

/// Edits a file in place; a result that would not load is refused and the file left alone.
fn change(
    file: &Path,
    style: Style,
    edit: impl FnOnce(&str) -> Result<String, EditError>,
) -> Outcome {
    let text = std::fs::read_to_string(file).map_err(|error| file_error(file, &error))?;
    let new = edit(&text).map_err(|error| edit_problem(&error))?;
    let name = file.display().to_string();
    let loaded = popnet_config::load(&new, &name).map_err(|diagnostics| {
        if !style.json {
            eprintln!("{name} is left alone; with this change it would say:");
        }
        broken(&diagnostics, &new, &name, style)
    })?;
    if text == new {
        if style.json {
            print_json("config.set/v1", &json!({ "file": name, "changed": false, "changes": [] }));
        } else {
            println!("nothing to do: {name} says so already");
        }
        return Ok(Done::WELL);
    }
    // A file that did not load before has no meaning to compare with.
    let before = popnet_config::load(&text, &name).ok();
    let changes = before
        .map(|before| popnet_config::diff(&before.network, &loaded.network))
        .unwrap_or_default();
    popnet_runtime::files::write_atomic(file, new.as_bytes()).map_err(|error| {
        Problem::new("U0035", format!("{name}: {error}"), "df, and who may write there")
    })?;
    if style.json {
        print_json("config.set/v1", &json!({ "file": name, "changed": true, "changes": changes }));
    } else {
        changes.iter().for_each(|change| println!("  {change}"));
        println!("{name} written; popnet config push {name} puts it in force");
    }
    Ok(Done::WELL)
}

pub(super) async fn one_version(admin: &Admin, number: Option<u64>) -> Result<Version, Problem> {
    admin.version(number.map(Epoch)).await?.ok_or_else(|| {
        let which = number.map_or("no version is in force".into(), |n| format!("there is no v{n}"));
        Problem::new("N0016", which, "popnet config history").with_exit(3)
    })
}

async fn show(number: Option<u64>, context: Option<&Path>, style: Style) -> Outcome {
    let version = one_version(&admin(context)?, number).await?;
    if style.json {
        print_json("config.show/v1", &version_json(&version, true));
    } else {
        print!("{}", version.text);
    }
    Ok(Done::WELL)
}

fn version_json(version: &Version, with_text: bool) -> serde_json::Value {
    let text = with_text.then_some(&version.text);
    json!({
        "epoch": version.epoch.0,
        "digest": version.digest.to_string(),
        "author": version.author,
        "message": version.message,
        "at": version.at,
        "text": text,
    })
}

async fn history(limit: u32, context: Option<&Path>, style: Style) -> Outcome {
    let versions = admin(context)?.history(limit).await?;
    if style.json {
        let list: Vec<_> = versions.iter().map(|version| version_json(version, false)).collect();
        print_json("config.history/v1", &json!({ "versions": list }));
        return Ok(Done::WELL);
    }
    let mut rows =
        vec![["version", "when (UTC)", "who", "digest", "why"].map(String::from).to_vec()];
    for version in &versions {
        let at = jiff::Timestamp::from_microsecond(version.at.0).unwrap_or_default();
        rows.push(vec![
            version.epoch.to_string(),
            at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            version.author.clone(),
            format!("{:.12}", version.digest.to_string()),
            version.message.clone(),
        ]);
    }
    print!("{}", table(&rows));
    Ok(Done::WELL)
}

async fn plan(file: &Path, context: Option<&Path>, style: Style) -> Outcome {
    let (text, loaded) = read(file, style)?;
    let admin = admin(context)?;
    let now = one_version(&admin, None).await?;
    let plan = Difference::between(Some(&now), &loaded.network)?;
    // What cannot be told is no reason to tell nothing: a network may have no name server yet.
    let in_force = parsed(&now)?;
    let moves = moves(&admin, &in_force, &text).await;
    if style.json {
        let told = json!({ "from": plan.from.0, "changes": plan.changes,
                           "restarts": plan.restarts, "moves": moves.as_ref().ok() });
        print_json("config.plan/v1", &told);
        return Ok(Done::WELL);
    }
    println!("against {}, in force:", plan.from);
    if plan.changes.is_empty() {
        println!("  no difference in meaning");
    }
    plan.print();
    match moves {
        Ok(moves) => print!("{}", moves_text(&moves)),
        Err(problem) => println!("  who would move is not known: {}", problem.what),
    }
    Ok(Done::WELL)
}

/// Who would move, as the first name server that answers sees it.
async fn moves(admin: &Admin, network: &Network, text: &str) -> Result<Moves, Problem> {
    let mut last = no_nameserver(network, None);
    for (node, ..) in network.nodes().filter(|(.., of)| of.runs(Role::Nameserver)) {
        match admin.moves(&node, text.to_owned()).await {
            Ok(moves) => return Ok(moves),
            Err(problem) => last = problem,
        }
    }
    Err(last)
}

/// A configuration that is to be pushed.
struct Draft {
    text: String,
    network: Network,
    message: String,
    expect: Option<Epoch>,
}

async fn push(admin: &Admin, draft: Draft, agreed: &Consent, style: Style) -> Outcome {
    let now = admin.version(None).await?;
    let plan = Difference::between(now.as_ref(), &draft.network)?;
    let from = plan.from;
    if now.is_some_and(|now| now.text == draft.text) {
        if style.json {
            print_json(
                "config.push/v1",
                &json!({ "epoch": from.0, "committed": false, "changes": [], "restarts": [] }),
            );
        } else {
            println!("nothing to do: {from} says the same");
        }
        return Ok(Done::WELL);
    }
    if !style.json {
        println!("{from} → {}", Epoch(from.0 + 1));
        plan.print();
    }
    if agreed.dry_run {
        if style.json {
            let told = json!({ "epoch": from.0, "committed": false, "dry_run": true,
                               "changes": plan.changes, "restarts": plan.restarts });
            print_json("config.push/v1", &told);
        }
        return Ok(Done::WELL);
    }
    if !consent(agreed.yes, style, "push this?")? {
        return Ok(Done::WELL);
    }
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
    let author = user.unwrap_or_else(|| "command line".to_owned());
    let order =
        PushOrder { text: draft.text, author, message: draft.message, expect: draft.expect };
    let begun = std::time::Instant::now();
    let pushed = admin
        .push(order, |phase, outcomes| {
            if !style.json {
                progress(phase, outcomes);
            }
        })
        .await?;
    if style.json {
        print_json(
            "config.push/v1",
            &json!({ "epoch": pushed.epoch.0, "committed": pushed.committed,
                     "fenced": pushed.fenced, "changes": plan.changes,
                     "restarts": plan.restarts }),
        );
    } else if pushed.committed {
        println!("{} is in force, {:.1} s", pushed.epoch, begun.elapsed().as_secs_f64());
        for (node, why) in &pushed.fenced {
            println!("  {node}: {why}");
        }
    } else {
        println!("refused; {} stays in force everywhere", pushed.epoch);
    }
    Ok(match (pushed.committed, pushed.fenced.is_empty()) {
        (true, true) => Done::WELL,
        (true, false) => Done::PARTLY,
        (false, _) => Done { exit: 1 },
    })
}

/// What a file changes.
struct Difference {
    /// The version in force.
    from: Epoch,
    changes: Vec<Change>,
    restarts: Vec<Restart>,
}

impl Difference {
    fn between(now: Option<&Version>, next: &Network) -> Result<Self, Problem> {
        let Some(now) = now else {
            return Ok(Self { from: Epoch(0), changes: Vec::new(), restarts: Vec::new() });
        };
        let old = parsed(now)?;
        let changes = popnet_config::diff(&old, next);
        Ok(Self { from: now.epoch, changes, restarts: popnet_config::restarts(&old, next) })
    }

    fn print(&self) {
        self.changes.iter().for_each(|change| println!("  {change}"));
        self.restarts.iter().for_each(|restart| println!("  {restart}"));
    }
}

fn progress(phase: &str, outcomes: &[(NodeName, Became)]) {
    for (node, became) in outcomes {
        let text = match became {
            Became::Prepared => "prepared".to_owned(),
            Became::Switched => "switched".to_owned(),
            Became::Aborted => "aborted".to_owned(),
            Became::Refused(why) => format!("refuses: {why}"),
            Became::Unreachable(why) => format!("unreachable: {why}"),
        };
        println!("  {phase:<8} {node:<14} {text}");
    }
}
