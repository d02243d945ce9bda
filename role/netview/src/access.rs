//! Who asks, and whose data they may see. A page about a customer takes a [`Visible`], and there
//! is one way to get it; what a user may not see does not exist for that user (404, not 403).

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, header, request::Parts};
use popnet_config::Held;
use popnet_runtime::clock;
use popnet_terms::{CustomerId, SiteName};
use popnet_wire::asking::Scope;

use crate::app::App;
use crate::refusal::Refusal;
use crate::users::{Session, UserRole};

/// The cookie where the connection is not TLS: on loopback only.
const PLAIN_COOKIE: &str = "popnet";

/// The cookie that browsers bind to this host and to TLS.
const HOST_COOKIE: &str = "__Host-popnet";

/// Who is logged in.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    session: Session,
    token: String,
}

impl Who {
    pub(crate) fn name(&self) -> &str {
        &self.session.user.name
    }

    pub(crate) fn role(&self) -> &UserRole {
        &self.session.user.role
    }

    pub(crate) fn scope(&self) -> Scope {
        self.role().scope()
    }

    /// What a form must carry.
    pub(crate) fn form_token(&self) -> &str {
        &self.session.form_token
    }

    /// The token of the session, for ending it.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Whether `given` is the form token of this session.
    pub(crate) fn check_form(&self, given: &str) -> Result<(), Refusal> {
        let (a, b) = (self.form_token().as_bytes(), given.as_bytes());
        // Compared in constant time: the token must not be found octet by octet.
        let differ =
            a.iter().zip(b).fold(a.len() ^ b.len(), |sum, (x, y)| sum | usize::from(x ^ y));
        if differ == 0 {
            Ok(())
        } else {
            Err(Refusal::foreign("The form is not from this session; load the page again."))
        }
    }

    /// The customer called `id`, for pages about it.
    pub(crate) fn customer(&self, held: &Arc<Held>, id: &str) -> Result<Visible, Refusal> {
        let covers = match self.scope() {
            Scope::Network => true,
            Scope::Customer(own) => own.as_str() == id,
        };
        let known = held.network.customers.get_key_value(id).filter(|_| covers);
        let (id, customer) = known.ok_or_else(Refusal::not_found)?;
        let title = if customer.title.is_empty() { id.to_string() } else { customer.title.clone() };
        Ok(Visible { id: id.clone(), title })
    }

    /// Customers that this user may pick.
    pub(crate) fn customers(&self, held: &Held) -> Vec<CustomerId> {
        match self.scope() {
            Scope::Network => held.network.customers.keys().cloned().collect(),
            Scope::Customer(own) => vec![own],
        }
    }
}

/// A customer that the asking user may see.
#[derive(Clone, Debug)]
pub(crate) struct Visible {
    id: CustomerId,
    title: String,
}

impl Visible {
    pub(crate) fn id(&self) -> &CustomerId {
        &self.id
    }

    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    pub(crate) fn scope(&self) -> Scope {
        Scope::Customer(self.id.clone())
    }

    /// Its sites.
    pub(crate) fn sites(&self, held: &Held) -> Vec<SiteName> {
        let own = held.network.sites.iter().filter(|(_, site)| site.customer == self.id);
        own.map(|(name, _)| name.clone()).collect()
    }
}

impl FromRequestParts<App> for Who {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let api = parts.uri.path().starts_with("/api/");
        let back = parts.uri.path_and_query().map_or("/", |whole| whole.as_str());
        let token = cookie(&parts.headers, app.loopback);
        let nobody = || Refusal::log_in(back).for_api(api);
        let token = token.ok_or_else(nobody)?;
        find(app, token).await.map_err(|no| no.for_api(api))?.ok_or_else(nobody)
    }
}

/// The user whose session `token` opens, asked anew.
pub(crate) async fn find(app: &App, token: String) -> Result<Option<Who>, Refusal> {
    let asked = token.clone();
    let found = app.shared.with_users(move |users| users.session(&asked, clock::now())).await?;
    Ok(found.map(|session| Who { session, token }))
}

/// Somebody who sees the whole network.
#[derive(Clone, Debug)]
pub(crate) struct Operator(pub(crate) Who);

impl FromRequestParts<App> for Operator {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let api = parts.uri.path().starts_with("/api/");
        let who = Who::from_request_parts(parts, app).await?;
        match who.scope() {
            Scope::Network => Ok(Self(who)),
            Scope::Customer(_) => Err(Refusal::not_found().for_api(api)),
        }
    }
}

/// The `Set-Cookie` that opens a session, or ends it with an empty token.
pub(crate) fn set_cookie(token: &str, loopback: bool) -> String {
    let (name, secure) = if loopback { (PLAIN_COOKIE, "") } else { (HOST_COOKIE, "; Secure") };
    let life = if token.is_empty() { 0 } else { crate::users::SESSION_LIFE.as_secs() };
    format!("{name}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={life}{secure}")
}

fn cookie(headers: &HeaderMap, loopback: bool) -> Option<String> {
    let name = if loopback { PLAIN_COOKIE } else { HOST_COOKIE };
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then(|| value.to_owned())
    });
    pairs.next().filter(|token| !token.is_empty() && token.len() <= 128)
}
