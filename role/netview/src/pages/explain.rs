//! `/explain`: why. A decision that was made, the answer a resolver would get now, or what a URL
//! would get at every POP; always in the words of the role that decides.

use std::net::IpAddr;
use std::sync::Arc;

use askama::Template;
use axum::extract::{ConnectInfo, Query, State};
use ipnet::IpNet;
use popnet_config::Held;
use popnet_terms::{CustomerId, NodeName, Role};
use popnet_wire::asking::{Answer, Question, What};
use popnet_wire::control::Problem;
use popnet_wire::explaining::{DnsStory, ExplainDns, ExplainUrl, UrlStory};
use serde::Deserialize;

use super::frame::Frame;
use super::{Page, html};
use crate::access::Who;
use crate::app::App;
use crate::net::From;
use crate::pulse::{DecisionRow, logs_see};
use crate::refusal::Refusal;
use crate::view::candidates::{Story, story};
use crate::view::decisions::parse_id;

/// Caches asked about one URL.
const CACHES_MAX: usize = 16;

/// Name servers tried before one question is given up.
const SERVERS_MAX: usize = 3;

/// Longest name or URL.
const QUESTION_MAX: usize = 2048;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    /// A decision's id.
    d: String,
    /// A decision's id, a name or a URL.
    q: String,
    resolver: String,
    subnet: String,
    #[serde(rename = "type")]
    qtype: String,
}

/// What is shown below the form.
enum Shown {
    Nothing,
    Decision { story: Box<Story>, now: bool },
    Static(Vec<String>),
    None { rcode: String, why: String },
    Url { url: String, stories: Vec<UrlRow>, failing: Vec<String> },
    Problem { what: String, next: String },
}

/// One tier's word on a URL.
struct UrlRow {
    node: String,
    tier: String,
    verdict: String,
    reason: &'static str,
    ttl: String,
    age: String,
    variants: u32,
    not_stored: &'static str,
    key: String,
    checks: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "explain.html")]
struct Explain {
    frame: Frame,
    asked: Asked,
    shown: Shown,
}

pub(crate) async fn explain(
    State(app): State<App>,
    who: Who,
    ConnectInfo(From(from)): ConnectInfo<From>,
    Query(asked): Query<Asked>,
) -> Page {
    let shown = answer(&app, &who, &asked, from.ip()).await?;
    let snapshot = app.shared.pulse.snapshot();
    let frame = Frame::new(&app, &snapshot, &who, "Explain", "explain");
    html(&Explain { frame, asked, shown })
}

async fn answer(app: &App, who: &Who, asked: &Asked, from: IpAddr) -> Result<Shown, Refusal> {
    let text = asked.q.trim();
    if !asked.d.is_empty() || text.starts_with("d-") {
        let text = if asked.d.is_empty() { text } else { &asked.d };
        let row = match parse_id(text) {
            Some(id) => decision(app, who, id).await?,
            None => None,
        };
        return Ok(match row {
            Some(row) => Shown::Decision { story: Box::new(story(&row, who.role())), now: false },
            None => problem("No decision with this id is kept.", "Ask for the name instead."),
        });
    }
    if text.is_empty() {
        return Ok(Shown::Nothing);
    }
    if text.len() > QUESTION_MAX {
        return Err(Refusal::bad("The question is too long."));
    }
    if text.contains('/') { url(app, who, text).await } else { name(app, who, asked, from).await }
}

fn problem(what: &str, next: &str) -> Shown {
    Shown::Problem { what: what.to_owned(), next: next.to_owned() }
}

/// A decision that `who` may see: from the newest, else from the log servers.
pub(crate) async fn decision(
    app: &App,
    who: &Who,
    id: u64,
) -> Result<Option<DecisionRow>, Refusal> {
    let scope = who.scope();
    let known = app.shared.pulse.snapshot().decisions(&scope);
    if let Some(row) = known.into_iter().find(|row| row.decision.id == id) {
        return Ok(Some(row));
    }
    let question = Question { scope: scope.clone(), what: What::Decision { id } };
    let admin = app.shared.pulse.admin();
    let servers = app.shared.pulse.log_servers();
    let asked = servers.iter().map(|server| admin.question(server, question.clone()));
    let mut failed = None;
    for answer in futures_util::future::join_all(asked).await {
        match answer {
            Ok(Answer::Records(rows)) => {
                let mut found = rows.into_iter().filter_map(DecisionRow::of);
                // A log server keeps to the scope; looked at again, because a leak would be ours.
                if let Some(row) = found.find(|row| logs_see(&scope, &row.customer)) {
                    return Ok(Some(row));
                }
            }
            Ok(Answer::Counters(_) | Answer::Completeness(_)) => {}
            Err(problem) => failed = Some(problem),
        }
    }
    failed.map_or(Ok(None), |problem| Err(problem.into()))
}

/// The site's customer, when `who` may see it.
fn owner(held: &Held, who: &Who, host: &str) -> Option<CustomerId> {
    let (_, site) = held.network.site_of(host)?;
    logs_see(&who.scope(), &site.customer).then(|| site.customer.clone())
}

async fn name(app: &App, who: &Who, asked: &Asked, from: IpAddr) -> Result<Shown, Refusal> {
    let held = app.shared.pulse.held();
    let name = asked.q.trim().trim_end_matches('.').to_ascii_lowercase();
    let customer = owner(&held, who, &name);
    // Names of zones and of nobody are the operator's to ask for.
    if customer.is_none() && who.role().customer().is_some() {
        return Ok(problem("This name is not one of your sites.", ""));
    }
    let resolver = match asked.resolver.trim() {
        "" => from,
        text => match text.parse() {
            Ok(address) => address,
            Err(_) => return Ok(problem("The resolver is not an address.", "Write 192.0.2.53")),
        },
    };
    let subnet: Option<IpNet> = match asked.subnet.trim() {
        "" => None,
        text => match text.parse() {
            Ok(net) => Some(net),
            Err(_) => return Ok(problem("The subnet is no network.", "Write 192.0.2.0/24")),
        },
    };
    let qtype = if asked.qtype == "AAAA" { 28 } else { 1 };
    let question =
        ExplainDns { name: Arc::from(&*name), qtype, resolver, subnet, assume: Vec::new() };
    Ok(match any_nameserver(app, &held, &question).await {
        Ok(DnsStory::Steered(decision)) => {
            let customer = customer.unwrap_or_else(CustomerId::network);
            let row = DecisionRow { customer, decision: Arc::new(*decision) };
            Shown::Decision { story: Box::new(story(&row, who.role())), now: true }
        }
        Ok(DnsStory::Static(records)) => Shown::Static(records),
        Ok(DnsStory::Nothing { rcode, why }) => {
            Shown::None { rcode: rcode.to_string(), why: why.to_string() }
        }
        Err(no) => Shown::Problem { what: no.what, next: no.next },
    })
}

async fn url(app: &App, who: &Who, text: &str) -> Result<Shown, Refusal> {
    let held = app.shared.pulse.held();
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let host = authority.split(':').next().unwrap_or_default().to_ascii_lowercase();
    if owner(&held, who, &host).is_none() {
        return Ok(problem("The host of this URL is not a site that you may see.", ""));
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let question = ExplainUrl {
        scheme: scheme.into(),
        host: host.into(),
        path: path.into(),
        fields: Vec::new(),
    };
    let caches = held.network.nodes().filter(|(_, _, node)| node.runs(Role::Webcache));
    let caches: Vec<NodeName> = caches.map(|(name, _, _)| name).take(CACHES_MAX).collect();
    let admin = app.shared.pulse.admin();
    let asked = caches.iter().map(|node| {
        let (admin, question) = (&admin, question.clone());
        async move { (node, admin.explain_url(node, question).await) }
    });
    let (mut stories, mut failing) = (Vec::new(), Vec::new());
    for (node, answer) in futures_util::future::join_all(asked).await {
        match answer {
            Ok(some) => stories.extend(some.iter().map(row)),
            Err(no) => failing.push(format!("{node}: {}", no.what)),
        }
    }
    Ok(Shown::Url { url: text.to_owned(), stories, failing })
}

fn row(story: &UrlStory) -> UrlRow {
    let seconds = |value: Option<i64>| value.map_or_else(|| "–".to_owned(), |s| format!("{s} s"));
    UrlRow {
        node: story.node.to_string(),
        tier: story.tier.to_string(),
        verdict: story.verdict.to_string(),
        reason: story.reason.code(),
        ttl: seconds(story.ttl),
        age: seconds(story.age.map(i64::from)),
        variants: story.variants,
        not_stored: story.not_stored.map_or("", |reason| reason.code()),
        key: story.key.to_string(),
        checks: story
            .checks
            .iter()
            .map(|(check, outcome)| (check.to_string(), outcome.to_string()))
            .collect(),
    }
}

/// The first name server that answers.
async fn any_nameserver(
    app: &App,
    held: &Held,
    question: &ExplainDns,
) -> Result<DnsStory, Problem> {
    let admin = app.shared.pulse.admin();
    let servers = held.network.nodes().filter(|(_, _, node)| node.runs(Role::Nameserver));
    let none = "No node of the configuration is a name server.";
    let mut last = Problem::new("W0405", none, "");
    for (server, _, _) in servers.take(SERVERS_MAX) {
        match admin.explain_dns(&server, question.clone()).await {
            Ok((story, _)) => return Ok(story),
            Err(problem) => last = problem,
        }
    }
    Err(last)
}
