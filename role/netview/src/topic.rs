//! Topics: parts of the screens that change by themselves. Each is drawn as the page's own HTML or
//! as the interface's JSON, from the same values.

use popnet_wire::asking::Scope;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::access::{Visible, Who};
use crate::app::Shared;
use crate::panels;
use crate::pulse::Snapshot;
use crate::refusal::Refusal;
use crate::view::{configuration, decisions, figures, pops, problems, purges, traffic};

/// Decisions on the overview.
pub(crate) const DECISIONS: usize = 20;

/// Jobs in a customer's list.
pub(crate) const JOBS: usize = 20;

/// How a topic is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// Values.
    #[default]
    Json,
    /// `{"html": …}`, the content of the page's panel.
    Html,
}

/// A topic that its reader may read.
#[derive(Clone, Debug)]
pub(crate) enum Topic {
    /// The six figures.
    Figures,
    /// The POP table.
    Pops,
    /// What is wrong.
    Problems,
    /// The last decisions.
    Decisions,
    /// Nodes and their configuration.
    Config,
    /// One customer's hour.
    Traffic(Visible),
    /// One customer's purges.
    Purges(Visible),
    /// One purge.
    Purge(String),
}

impl Topic {
    /// The topic called `name`, if `who` may read it.
    pub(crate) fn parse(name: &str, who: &Who, shared: &Shared) -> Result<Self, Refusal> {
        let held = shared.pulse.held();
        if let Some((kind, of)) = name.split_once(':') {
            return match kind {
                "traffic" => Ok(Self::Traffic(who.customer(&held, of)?)),
                "purges" => Ok(Self::Purges(who.customer(&held, of)?)),
                "purge" if shared.jobs.job(&who.scope(), of).is_some() => {
                    Ok(Self::Purge(of.to_owned()))
                }
                _ => Err(Refusal::not_found()),
            };
        }
        match (name, who.scope()) {
            ("figures", Scope::Network) => Ok(Self::Figures),
            ("pops", Scope::Network) => Ok(Self::Pops),
            ("problems", Scope::Network) => Ok(Self::Problems),
            ("decisions", Scope::Network) => Ok(Self::Decisions),
            ("config", Scope::Network) => Ok(Self::Config),
            _ => Err(Refusal::not_found()),
        }
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::Figures => "figures".to_owned(),
            Self::Pops => "pops".to_owned(),
            Self::Problems => "problems".to_owned(),
            Self::Decisions => "decisions".to_owned(),
            Self::Config => "config".to_owned(),
            Self::Traffic(customer) => format!("traffic:{}", customer.id()),
            Self::Purges(customer) => format!("purges:{}", customer.id()),
            Self::Purge(job) => format!("purge:{job}"),
        }
    }

    /// The topic as one line of JSON.
    pub(crate) fn draw(
        &self,
        snapshot: &Snapshot,
        who: &Who,
        shared: &Shared,
        form: Form,
    ) -> String {
        let rows = || pops::rows(snapshot);
        match self {
            Self::Figures => {
                let figures = figures::figures(snapshot, &rows());
                print(form, &figures, || panels::figures(&figures))
            }
            Self::Pops => {
                let pops = rows();
                print(form, &pops, || panels::pops(snapshot, &pops))
            }
            Self::Problems => {
                let problems = problems::problems(snapshot, &rows());
                print(form, &problems, || panels::problems(snapshot, &problems))
            }
            Self::Decisions => {
                let lines = decision_lines(snapshot, who);
                print(form, &lines, || panels::decisions(snapshot, &lines))
            }
            Self::Config => {
                let nodes = configuration::nodes(snapshot);
                print(form, &nodes, || panels::nodes(snapshot, &nodes))
            }
            Self::Traffic(customer) => {
                let hour = traffic::traffic(snapshot, &customer.scope());
                print(form, &hour, || panels::traffic(snapshot, customer, &hour))
            }
            Self::Purges(customer) => {
                let jobs = jobs(shared, &customer.scope());
                print(form, &jobs, || panels::purges(customer.id().as_str(), &jobs))
            }
            Self::Purge(id) => match shared.jobs.job(&who.scope(), id) {
                Some(job) => {
                    let row = purges::JobRow::of(&job);
                    print(form, &row, || panels::purge(&row))
                }
                None => json!({ "gone": true }).to_string(),
            },
        }
    }
}

/// The newest decisions that `who` may see.
pub(crate) fn decision_lines(snapshot: &Snapshot, who: &Who) -> Vec<decisions::DecisionLine> {
    let rows = snapshot.decisions(&who.scope());
    rows.iter().take(DECISIONS).map(|row| decisions::DecisionLine::of(row, who.role())).collect()
}

/// The newest purges that `scope` covers.
pub(crate) fn jobs(shared: &Shared, scope: &Scope) -> Vec<purges::JobRow> {
    shared.jobs.list(scope).iter().take(JOBS).map(purges::JobRow::of).collect()
}

fn print<T: Serialize>(
    form: Form,
    value: &T,
    html: impl FnOnce() -> Result<String, askama::Error>,
) -> String {
    let drawn = match form {
        Form::Json => serde_json::to_string(value).map_err(|error| error.to_string()),
        Form::Html => {
            html().map(|html| json!({ "html": html }).to_string()).map_err(|no| no.to_string())
        }
    };
    drawn.unwrap_or_else(|error| {
        tracing::error!(error, "a topic cannot be drawn");
        json!({ "error": "cannot be drawn" }).to_string()
    })
}
