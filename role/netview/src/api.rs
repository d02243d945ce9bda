//! The interface for programs, `/api/v1`: the values of the pages as JSON. `as_of` says when they
//! were put together, `complete` whether everybody who was asked has answered.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use popnet_wire::asking::Scope;
use popnet_wire::purging::PurgeKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::access::{Operator, Who};
use crate::app::App;
use crate::order::{self, By, Wish};
use crate::pages::explain;
use crate::panels;
use crate::pulse::Snapshot;
use crate::refusal::Refusal;
use crate::topic;
use crate::view::format::Moment;
use crate::view::purges::JobRow;
use crate::view::{candidates, configuration, decisions, figures, pops, problems, traffic};

/// The field that carries the form token of a session.
const TOKEN: &str = "popnet-form-token";

type Answer = Result<Json<Value>, Refusal>;

fn data<T: Serialize>(snapshot: &Snapshot, value: &T) -> Json<Value> {
    let complete =
        panels::status_note(snapshot).is_empty() && panels::logs_note(snapshot).is_empty();
    Json(json!({ "as_of": Moment(snapshot.at), "complete": complete, "data": value }))
}

/// `GET /status`
pub(crate) async fn status(State(app): State<App>, Operator(_): Operator) -> Json<Value> {
    let snapshot = app.shared.pulse.snapshot();
    let rows = pops::rows(&snapshot);
    let value = json!({
        "network": snapshot.held.network.network.name,
        "config": configuration::in_force(&snapshot).0,
        "figures": figures::figures(&snapshot, &rows),
        "problems": problems::problems(&snapshot, &rows),
        "nodes": configuration::nodes(&snapshot),
    });
    data(&snapshot, &value)
}

/// `GET /pops`
pub(crate) async fn pops(State(app): State<App>, Operator(_): Operator) -> Json<Value> {
    let snapshot = app.shared.pulse.snapshot();
    data(&snapshot, &pops::rows(&snapshot))
}

/// `GET /me`: who is logged in, with the token that writes must carry.
pub(crate) async fn me(who: Who) -> Json<Value> {
    Json(json!({
        "user": who.name(),
        "role": who.role().to_string(),
        "form_token": who.form_token(),
    }))
}

/// `GET /decisions`: the newest of those that the asker may see.
pub(crate) async fn decisions(State(app): State<App>, who: Who) -> Json<Value> {
    let snapshot = app.shared.pulse.snapshot();
    data(&snapshot, &topic::decision_lines(&snapshot, &who))
}

/// `GET /decisions/{id}`
pub(crate) async fn decision(State(app): State<App>, who: Who, Path(id): Path<String>) -> Answer {
    let id = decisions::parse_id(&id).ok_or_else(|| Refusal::not_found().for_api(true))?;
    let found = explain::decision(&app, &who, id).await.map_err(|no| no.for_api(true))?;
    let row = found.ok_or_else(|| Refusal::not_found().for_api(true))?;
    let snapshot = app.shared.pulse.snapshot();
    Ok(data(&snapshot, &candidates::story(&row, who.role())))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Of {
    customer: Option<String>,
}

/// `GET /stats/timeseries?customer=`: the last hour by the minute. Operators may leave the customer
/// out and get everything.
pub(crate) async fn timeseries(State(app): State<App>, who: Who, Query(of): Query<Of>) -> Answer {
    let scope = scope(&app, &who, of.customer.as_deref())?;
    let snapshot = app.shared.pulse.snapshot();
    let hour = traffic::traffic(&snapshot, &scope);
    Ok(Json(json!({
        "as_of": Moment(snapshot.at),
        "complete": panels::logs_note(&snapshot).is_empty(),
        "rows": hour.minutes,
        "total": hour.total,
        "sites": hour.sites,
        "pops": hour.pops,
    })))
}

fn scope(app: &App, who: &Who, customer: Option<&str>) -> Result<Scope, Refusal> {
    match customer {
        None => Ok(who.scope()),
        Some(id) => {
            let customer = who.customer(&app.shared.pulse.held(), id);
            Ok(customer.map_err(|no| no.for_api(true))?.scope())
        }
    }
}

/// `GET /purges?customer=`
pub(crate) async fn purges(State(app): State<App>, who: Who, Query(of): Query<Of>) -> Answer {
    let scope = scope(&app, &who, of.customer.as_deref())?;
    let snapshot = app.shared.pulse.snapshot();
    Ok(data(&snapshot, &topic::jobs(&app.shared, &scope)))
}

/// `GET /purges/{id}`
pub(crate) async fn purge(State(app): State<App>, who: Who, Path(id): Path<String>) -> Answer {
    let found = app.shared.jobs.job(&who.scope(), &id);
    let job = found.ok_or_else(|| Refusal::not_found().for_api(true))?;
    Ok(data(&app.shared.pulse.snapshot(), &JobRow::of(&job)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ordered {
    customer: String,
    by: By,
    what: Vec<String>,
    #[serde(default)]
    hard: bool,
}

/// `POST /purges`: 202 and the jobs. The field `popnet-form-token` carries what `/me` gave.
pub(crate) async fn order(
    State(app): State<App>,
    who: Who,
    headers: HeaderMap,
    Json(ordered): Json<Ordered>,
) -> Result<Response, Refusal> {
    begin(&app, &who, &headers, &ordered).map_err(|no| no.for_api(true))
}

fn begin(
    app: &App,
    who: &Who,
    headers: &HeaderMap,
    ordered: &Ordered,
) -> Result<Response, Refusal> {
    let held = app.shared.pulse.held();
    let customer = who.customer(&held, &ordered.customer)?;
    if !who.role().may_purge() {
        return Err(Refusal::not_allowed("Your role may look, and not purge."));
    }
    let token = headers.get(TOKEN).and_then(|field| field.to_str().ok()).unwrap_or_default();
    who.check_form(token)?;
    let wish = Wish {
        by: ordered.by,
        what: ordered.what.join("\n"),
        kind: if ordered.hard { PurgeKind::Hard } else { PurgeKind::Soft },
        actor: Arc::from(who.name()),
    };
    let orders = order::orders(&held, &customer, &wish).map_err(Refusal::bad)?;
    let jobs: Vec<String> =
        orders.into_iter().map(|one| order::begin(app, one)).collect::<Result<_, _>>()?;
    let links: Vec<Value> =
        jobs.iter().map(|id| json!({ "id": id, "self": format!("/api/v1/purges/{id}") })).collect();
    Ok((StatusCode::ACCEPTED, Json(json!({ "jobs": links }))).into_response())
}

/// Whatever else is asked for below `/api`.
pub(crate) async fn nothing() -> Refusal {
    Refusal::not_found().for_api(true)
}
