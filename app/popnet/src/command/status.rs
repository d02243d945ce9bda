//! `popnet status`: one screen; exit 8 when something is wrong.

use std::collections::BTreeMap;
use std::path::Path;

use popnet_config::network::Network;
use popnet_runtime::clock;
use popnet_terms::{PopId, Role, TargetId};
use popnet_wire::status::{NetworkStatus, RoleStatus, TargetState, TargetStatus};
use serde_json::json;

use super::{admin, network};
use crate::output::{Done, Outcome, Style, ago, print_json, table};

pub(crate) async fn execute(context: Option<&Path>, style: Style) -> Outcome {
    let admin = admin(context)?;
    let status = admin.network_status().await?;
    let (_, _, network) = network(&admin).await?;
    let summary = Summary::of(&status, &network);
    if style.json {
        print_json("status/v1", &summary.json(&status));
    } else {
        print!("{}", summary.text(&status));
    }
    Ok(if summary.well() { Done::WELL } else { Done::FOUND_PROBLEMS })
}

/// What the screen shows.
struct Summary {
    targets: BTreeMap<TargetId, TargetStatus>,
    caches: BTreeMap<PopId, Traffic>,
    pops: Vec<PopId>,
    unreachable: Vec<(String, String)>,
    behind: Vec<String>,
    holders: (usize, usize),
    logs: String,
    /// Whether there are name servers: they are who judges POPs.
    judged: bool,
}

#[derive(Default)]
struct Traffic {
    requests: u64,
    hits: u64,
}

impl Summary {
    fn of(status: &NetworkStatus, network: &Network) -> Self {
        let serves = |pop: &PopId| {
            network.pops.get(pop).is_some_and(|p| p.nodes.values().any(|n| n.runs(Role::Webcache)))
        };
        let mut summary = Self {
            targets: BTreeMap::new(),
            caches: BTreeMap::new(),
            pops: network.pops.keys().filter(|pop| serves(pop)).cloned().collect(),
            unreachable: Vec::new(),
            behind: Vec::new(),
            holders: (0, 0),
            logs: String::from("no log server"),
            judged: network.nodes().any(|(_, _, node)| node.runs(Role::Nameserver)),
        };
        for (name, roles, node) in &status.nodes {
            match node {
                Err(why) => summary.unreachable.push((name.to_string(), why.clone())),
                Ok(node) => {
                    if roles.iter().any(|role| role.holds_configuration()) {
                        summary.holders.1 += 1;
                        if node.epoch == status.epoch {
                            summary.holders.0 += 1;
                        } else {
                            summary.behind.push(format!("{name} runs {}", node.epoch));
                        }
                    }
                    node.roles.iter().for_each(|role| summary.add(&name.pop(), role));
                }
            }
        }
        summary
    }

    fn add(&mut self, pop: &PopId, role: &RoleStatus) {
        match role {
            RoleStatus::Nameserver { targets, .. } => {
                for target in targets {
                    // Name servers agree within a second; between them the worse word is shown.
                    let entry = self.targets.entry(target.target.clone());
                    let kept = entry.or_insert_with(|| target.clone());
                    if target.state > kept.state {
                        *kept = target.clone();
                    }
                }
            }
            RoleStatus::Cache { role: Role::Webcache, requests, hits, .. } => {
                let traffic = self.caches.entry(pop.clone()).or_default();
                traffic.requests += requests;
                traffic.hits += hits;
            }
            RoleStatus::Logserver { missing, .. } => {
                self.logs = if *missing == 0 {
                    "logs complete".into()
                } else {
                    format!("{missing} log batches missing")
                };
            }
            RoleStatus::Cache { .. } => {}
            RoleStatus::Plain { role, up, why } => {
                if !up {
                    self.unreachable.push((format!("{role} at {pop}"), why.to_string()));
                }
            }
        }
    }

    fn up(&self) -> usize {
        self.pops.iter().filter(|pop| self.state(pop) == TargetState::Up).count()
    }

    fn state(&self, pop: &PopId) -> TargetState {
        self.targets.get(&TargetId::Pop(pop.clone())).map_or(TargetState::Unknown, |t| t.state)
    }

    fn well(&self) -> bool {
        let up = !self.judged || self.up() == self.pops.len();
        up && self.unreachable.is_empty() && self.behind.is_empty()
    }

    fn text(&self, status: &NetworkStatus) -> String {
        let mut text = format!(
            "{}   {}   {} · config {}{} · {}\n",
            status.network,
            if self.well() { "WELL" } else { "DEGRADED" },
            self.pops_text(),
            status.epoch,
            match self.holders {
                (_, 0) => String::new(),
                (current, all) => format!(" on {current} of {all} live nodes"),
            },
            self.logs,
        );
        let heading = ["POP", "state", "since", "load", "requests", "hit", "why"];
        let mut rows = vec![heading.map(String::from).to_vec()];
        let mut targets: Vec<TargetId> =
            self.pops.iter().map(|pop| TargetId::Pop(pop.clone())).collect();
        targets.extend(self.targets.keys().filter(|t| matches!(t, TargetId::Origin(_))).cloned());
        targets.sort_by_key(|t| {
            let state = self.targets.get(t).map_or(TargetState::Unknown, |found| found.state);
            (std::cmp::Reverse(state), t.clone())
        });
        rows.extend(targets.iter().map(|target| self.row(target)));
        if rows.len() > 1 {
            text.push_str(&table(&rows));
        }
        for (name, why) in &self.unreachable {
            text.push_str(&format!("  {name}: {why}\n"));
        }
        for behind in &self.behind {
            text.push_str(&format!("  {behind}, {} is in force\n", status.epoch));
        }
        text
    }

    fn pops_text(&self) -> String {
        match self.pops.len() {
            0 => "no caches".to_owned(),
            all if self.judged => format!("{} of {all} POPs up", self.up()),
            _ => "no name server, which would say what is up".to_owned(),
        }
    }

    fn row(&self, target: &TargetId) -> Vec<String> {
        let unknown = || String::from("?");
        let status = self.targets.get(target);
        let traffic = match target {
            TargetId::Pop(pop) => self.caches.get(pop),
            TargetId::Origin(_) => None,
        };
        let none = String::from("-");
        vec![
            target.to_string(),
            status.map_or_else(unknown, |s| s.state.word().to_owned()),
            status.map_or_else(unknown, |s| ago(s.since, clock::now())),
            // What a server said before it went down is no news.
            status
                .filter(|s| s.state != TargetState::Down)
                .and_then(|s| s.load)
                .map_or_else(unknown, |load| format!("{:.2}", f64::from(load) / 1000.0)),
            traffic.map_or_else(|| none.clone(), |t| t.requests.to_string()),
            traffic.and_then(|t| percent(t.hits, t.requests)).unwrap_or(none),
            status.map_or_else(String::new, why),
        ]
    }

    fn json(&self, status: &NetworkStatus) -> serde_json::Value {
        json!({
            "network": &*status.network,
            "well": self.well(),
            "epoch": status.epoch.0,
            "pops_up": self.up(),
            "pops": self.pops,
            "logs": self.logs,
            "targets": self.targets.values().collect::<Vec<_>>(),
            "unreachable": self.unreachable,
            "behind": self.behind,
            "nodes": status.nodes,
        })
    }
}

fn why(status: &TargetStatus) -> String {
    if status.seen_by.is_empty() || status.why.is_empty() {
        return status.why.to_string();
    }
    let seen: Vec<&str> = status.seen_by.iter().map(PopId::as_str).collect();
    format!("{} ({})", status.why, seen.join(", "))
}

fn percent(part: u64, whole: u64) -> Option<String> {
    (whole > 0).then(|| format!("{} %", part.saturating_mul(100) / whole))
}
