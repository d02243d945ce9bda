//! `/c/CUSTOMER`: the last hour's traffic and the last requests.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Html;
use popnet_terms::client_unit;
use popnet_wire::asking::{Answer, Question, RecordKind, What};
use popnet_wire::logging::Record;

use super::frame::Frame;
use super::{Page, html};
use crate::access::{Visible, Who};
use crate::app::App;
use crate::panels;
use crate::refusal::Refusal;
use crate::topic::Topic;
use crate::view::traffic::{self, AccessLine};

/// Requests shown.
const LINES: usize = 50;

/// How long a page waits for the lines of a log server.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

#[derive(Template)]
#[template(path = "customer.html")]
struct Customer {
    frame: Frame,
    title: String,
    id: String,
    traffic: String,
    /// `None`: these eyes read no logs.
    lines: Option<String>,
    sites: Vec<String>,
}

pub(crate) async fn customer(State(app): State<App>, who: Who, Path(id): Path<String>) -> Page {
    let held = app.shared.pulse.held();
    let customer = who.customer(&held, &id)?;
    let lines = if who.role().reads_logs() {
        Some(lines_panel(&app, &who, &customer).await?)
    } else {
        None
    };
    let snapshot = app.shared.pulse.snapshot();
    let hour = traffic::traffic(&snapshot, &customer.scope());
    let frame = Frame::new(&app, &snapshot, &who, customer.title(), "traffic").of(&customer);
    let page = Customer {
        traffic: panels::traffic(&snapshot, &customer, &hour)?,
        frame: frame.live(&[Topic::Traffic(customer.clone())]),
        title: customer.title().to_owned(),
        id: customer.id().to_string(),
        lines,
        sites: customer.sites(&held).iter().map(ToString::to_string).collect(),
    };
    html(&page)
}

/// `/c/CUSTOMER/lines`: the panel alone, for the page's script.
pub(crate) async fn lines(State(app): State<App>, who: Who, Path(id): Path<String>) -> Page {
    let customer = who.customer(&app.shared.pulse.held(), &id)?;
    if !who.role().reads_logs() {
        return Err(Refusal::not_found());
    }
    Ok(Html(lines_panel(&app, &who, &customer).await?))
}

async fn lines_panel(app: &App, who: &Who, customer: &Visible) -> Result<String, Refusal> {
    let (mut lines, failing) = newest(app, customer, LINES).await;
    if who.role().sees_masked() {
        for line in &mut lines {
            if let Ok(address) = line.client.parse() {
                line.client = client_unit(address).to_string();
            }
        }
    }
    Ok(panels::lines(&lines, &failing)?)
}

/// The newest requests of a customer from every log server, and who did not answer.
pub(crate) async fn newest(
    app: &App,
    customer: &Visible,
    limit: usize,
) -> (Vec<AccessLine>, Vec<String>) {
    let admin = app.shared.pulse.admin();
    let what = What::Records {
        kind: RecordKind::Access,
        site: None,
        before: None,
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
    };
    let question = Question { scope: customer.scope(), what };
    let servers = app.shared.pulse.log_servers();
    let asked = servers.iter().map(|server| {
        let answer = tokio::time::timeout(PATIENCE, admin.question(server, question.clone()));
        async move { (server, answer.await) }
    });
    let (mut lines, mut failing) = (Vec::new(), Vec::new());
    for (server, answer) in futures_util::future::join_all(asked).await {
        match answer {
            Ok(Ok(Answer::Records(rows))) => {
                lines.extend(rows.iter().filter_map(|(_, node, record)| match record {
                    Record::Access(access) => Some(AccessLine::of(node.as_str(), access)),
                    Record::Decision(_) | Record::Event(_) => None,
                }));
            }
            Ok(Ok(Answer::Counters(_) | Answer::Completeness(_))) => {
                failing.push(format!("{server} answered something else"));
            }
            Ok(Err(problem)) => failing.push(format!("{server}: {}", problem.what)),
            Err(_) => {
                failing.push(format!("{server}: no answer within {} s", PATIENCE.as_secs()));
            }
        }
    }
    lines.sort_by_key(|line| std::cmp::Reverse(line.at));
    lines.truncate(limit);
    (lines, failing)
}
