//! `popnet dns stats`: what name servers have counted.

use std::path::Path;

use popnet_runtime::clock;
use popnet_terms::{NodeName, Role};
use popnet_wire::control::Problem;
use popnet_wire::counting::{DnsCounts, Group};
use serde_json::{Map, Value, json};

use super::explain::no_nameserver;
use super::{admin, network};
use crate::cli::DnsCommand;
use crate::output::{Done, Outcome, Style, ago, print_json, table};

/// The group that has each question once.
const ONCE: &str = "transport";

pub(crate) async fn execute(command: &DnsCommand, context: Option<&Path>, style: Style) -> Outcome {
    let DnsCommand::Stats { ns: only } = command;
    let admin = admin(context)?;
    let (_, _, network) = network(&admin).await?;
    let mut counted: Vec<(NodeName, DnsCounts)> = Vec::new();
    let mut failed: Option<Problem> = None;
    for (node, _, of) in network.nodes() {
        if !of.runs(Role::Nameserver) || only.as_ref().is_some_and(|only| *only != node) {
            continue;
        }
        match admin.dns_counts(&node).await {
            Ok(counts) => counted.push((node, counts)),
            Err(problem) => {
                if !style.json {
                    eprintln!("! {node}   {}", problem.what);
                }
                failed = Some(problem);
            }
        }
    }
    if counted.is_empty() {
        return Err(failed.unwrap_or_else(|| no_nameserver(&network, only.as_ref())));
    }
    if style.json {
        let all: Vec<Value> = counted.iter().map(|(node, counts)| in_json(node, counts)).collect();
        print_json("dns.stats/v1", &json!({ "name_servers": all }));
    } else {
        let blocks: Vec<String> =
            counted.iter().map(|(node, counts)| in_words(node, counts)).collect();
        print!("{}", blocks.join("\n"));
    }
    failed.map_or(Ok(Done::WELL), Err)
}

fn in_words(node: &NodeName, counts: &DnsCounts) -> String {
    let mut rows =
        vec![vec![node.to_string(), format!("counting since {}", ago(counts.since, clock::now()))]];
    let by_worker = counts.workers.iter().map(|(name, groups)| (&**name, asked(groups)));
    rows.push(vec!["  worker".to_owned(), listed(by_worker)]);
    for group in counts.total().iter().chain(&counts.node) {
        let words = listed(group.counts.iter().map(|(name, count)| (&**name, *count)));
        if !words.is_empty() {
            rows.push(vec![format!("  {}", group.name), words]);
        }
    }
    let mut text = table(&rows);
    for tap in &counts.taps {
        let trouble = tap.trouble.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        text.push_str(&format!(
            "  {} to {}: {} written, {} dropped{trouble}\n",
            tap.name, tap.place, tap.written, tap.dropped
        ));
    }
    text
}

/// How many questions these are.
fn asked(groups: &[Group]) -> u64 {
    let once = groups.iter().filter(|group| &*group.name == ONCE);
    once.flat_map(|group| &group.counts).map(|(_, count)| count).sum()
}

fn listed<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> String {
    let some = counts.filter(|(_, count)| *count > 0);
    some.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

fn in_json(node: &NodeName, counts: &DnsCounts) -> Value {
    let workers = counts.workers.iter();
    let workers: Vec<Value> =
        workers.map(|(name, groups)| json!({ "worker": name, "counts": object(groups) })).collect();
    json!({
        "node": node,
        "since": jiff::Timestamp::from_second(counts.since.unix_seconds()).unwrap_or_default().to_string(),
        "total": object(&counts.total()),
        "workers": workers,
        "counts": object(&counts.node),
        "taps": counts.taps,
    })
}

fn object(groups: &[Group]) -> Value {
    let group = |group: &Group| {
        let counts = group.counts.iter().map(|(name, count)| (name.to_string(), json!(count)));
        (group.name.to_string(), Value::Object(counts.collect()))
    };
    Value::Object(groups.iter().map(group).collect::<Map<_, _>>())
}
