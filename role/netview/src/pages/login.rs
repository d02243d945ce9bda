//! `/login` and `/logout`.

use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use askama::Template;
use axum::Form;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use popnet_runtime::clock;
use serde::Deserialize;

use crate::access::{Who, set_cookie};
use crate::app::App;
use crate::net::From;
use crate::refusal::Refusal;
use crate::users::{User, Verdict};

/// How long a login waits for its turn to hash.
const TURN: Duration = Duration::from_secs(5);

/// Wrong one-time links count under this name, which nobody can have.
const LINKS: &str = "(link)";

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'a> {
    network: &'a str,
    user: &'a str,
    next: &'a str,
    message: &'a str,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    next: String,
    #[serde(default)]
    once: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Given {
    user: String,
    password: String,
    #[serde(default)]
    next: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Leaving {
    token: String,
}

/// The form, or with `once=` the way in without one.
pub(crate) async fn page(
    State(app): State<App>,
    ConnectInfo(From(from)): ConnectInfo<From>,
    Query(asked): Query<Asked>,
) -> Result<Response, Refusal> {
    if asked.once.is_empty() {
        return form(&app, StatusCode::OK, "", &asked.next, "");
    }
    if let Verdict::Wait(left) = verdict(&app, LINKS, from.ip()) {
        return wait(&app, "", &asked.next, left);
    }
    let token = asked.once;
    let found = app.shared.with_users(move |users| users.redeem(&token, clock::now())).await?;
    match found {
        Some(user) => enter(&app, &user, &asked.next, "a one-time link").await,
        None => {
            wrong(&app, LINKS, from.ip());
            let message = "This link was used already, or is older than an hour. \
                           Make another with: popnet user once NAME";
            form(&app, StatusCode::UNAUTHORIZED, "", &asked.next, message)
        }
    }
}

/// The form comes back.
pub(crate) async fn login(
    State(app): State<App>,
    ConnectInfo(From(from)): ConnectInfo<From>,
    Form(given): Form<Given>,
) -> Result<Response, Refusal> {
    if let Verdict::Wait(left) = verdict(&app, &given.user, from.ip()) {
        return wait(&app, &given.user, &given.next, left);
    }
    let turn = tokio::time::timeout(TURN, app.shared.hashing.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        return Err(Refusal::busy("Many people log in at this moment; try again.", 5));
    };
    let Given { user: name, password, next } = given;
    let asked = name.clone();
    let found = app.shared.with_users(move |users| users.check(&asked, &password)).await?;
    match found {
        Some(user) => {
            app.shared.throttle.lock().unwrap_or_else(PoisonError::into_inner).right(&name);
            enter(&app, &user, &next, "a password").await
        }
        None => {
            wrong(&app, &name, from.ip());
            let message = "The name or the password is wrong.";
            form(&app, StatusCode::UNAUTHORIZED, &name, &next, message)
        }
    }
}

/// Ends the session.
pub(crate) async fn logout(
    State(app): State<App>,
    who: Who,
    Form(leaving): Form<Leaving>,
) -> Result<Response, Refusal> {
    who.check_form(&leaving.token)?;
    let token = who.token().to_owned();
    app.shared.with_users(move |users| users.close_session(&token)).await?;
    Ok(with_cookie(Redirect::to("/login").into_response(), &set_cookie("", app.loopback)))
}

async fn enter(app: &App, user: &User, next: &str, with: &str) -> Result<Response, Refusal> {
    let name = user.name.clone();
    let opened =
        app.shared.with_users(move |users| users.open_session(&name, clock::now())).await?;
    tracing::info!(user = user.name, role = %user.role, with, "logged in");
    let response = Redirect::to(local(next)).into_response();
    Ok(with_cookie(response, &set_cookie(&opened, app.loopback)))
}

/// Only a path of ours: `//host` and `/\host` are other people's sites to a browser.
fn local(next: &str) -> &str {
    let path = next.starts_with('/') && !next.starts_with("//") && !next.contains('\\');
    if path && next.bytes().all(|octet| octet.is_ascii_graphic()) { next } else { "/" }
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

fn verdict(app: &App, name: &str, from: IpAddr) -> Verdict {
    let throttle = app.shared.throttle.lock().unwrap_or_else(PoisonError::into_inner);
    throttle.check(name, from, Instant::now())
}

fn wrong(app: &App, name: &str, from: IpAddr) {
    tracing::debug!(name, %from, "a login was wrong");
    let mut throttle = app.shared.throttle.lock().unwrap_or_else(PoisonError::into_inner);
    throttle.wrong(name, from, Instant::now());
}

fn wait(app: &App, user: &str, next: &str, left: Duration) -> Result<Response, Refusal> {
    let seconds = left.as_secs().max(1);
    let message = format!("Too many wrong tries. Try again in {seconds} s.");
    let mut response = form(app, StatusCode::TOO_MANY_REQUESTS, user, next, &message)?;
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    Ok(response)
}

fn form(
    app: &App,
    status: StatusCode,
    user: &str,
    next: &str,
    message: &str,
) -> Result<Response, Refusal> {
    let held = app.shared.pulse.held();
    let network = &held.network.network.name;
    let page = Login { network, user, next: local(next), message }.render()?;
    Ok((status, Html(page)).into_response())
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn only_our_own_paths_are_gone_to() {
        for path in ["/", "/c/acme?x=1", "/explain"] {
            assert_eq!(local(path), path);
        }
        for path in ["", "//evil.test", "/\\evil.test", "https://evil.test", "/a b", "/\r\nx: y"] {
            assert_eq!(local(path), "/", "{path:?}");
        }
    }
}
