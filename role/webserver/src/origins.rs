//! The way to a site's origins: the order is the directory's (W3); one that fails before it has
//! answered is passed over where asking twice does no harm.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::{Method, Request, Response};
use popnet_directory::Directory;
use popnet_field::hop;
use popnet_http::body::Body;
use popnet_http::client::{self, Client, Place};
use popnet_http::failure::{Failure, FailureKind};
use popnet_tier::inside::{self, Asked};
use popnet_tier::upstream::Upstream;
use popnet_wire::sheet::{OriginAddress, SiteSheet};
use rustls::ClientConfig;

use crate::events::Events;
use crate::health::{Health, Refused};
use crate::hosted;

/// How long an origin is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// To connect, TLS included.
    pub connect: Duration,
    /// From the request to the first octet of the answer.
    pub first_octet: Duration,
    /// Silence in the middle of an answer, and how long an unused connection is kept.
    pub idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            first_octet: Duration::from_secs(30),
            idle: Duration::from_secs(30),
        }
    }
}

/// Origins asked for one request.
const ATTEMPTS: usize = 4;

/// Forwards to origins.
pub(crate) struct Origins {
    directory: Arc<Directory>,
    client: Client,
    tls: Arc<ClientConfig>,
    health: Mutex<Health>,
    events: Events,
}

impl Origins {
    pub(crate) fn new(
        directory: Arc<Directory>,
        tls: Arc<ClientConfig>,
        events: Events,
        patience: Patience,
    ) -> Self {
        let client = Client::new(client::Patience {
            connect: patience.connect,
            first_octet: patience.first_octet,
            stall: patience.idle,
            idle: patience.idle,
            ..client::Patience::default()
        });
        Self { directory, client, tls, health: Mutex::default(), events }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(
        &self,
        site: &SiteSheet,
        origin: &OriginAddress,
        request: Request<Body>,
    ) -> Result<Response<Body>, Failure> {
        let asked_for_head = *request.method() == Method::HEAD;
        let answer = if hosted::is_folder(origin) {
            hosted::answer(origin, &request.map(drop)).await
        } else {
            self.client.send(&self.place(origin, &request), request).await
        };
        match answer {
            Ok(mut response) => {
                if self.health().answered(&origin.id, Instant::now()) {
                    self.events.origin_back(site, &origin.id);
                }
                mark(&mut response, origin, asked_for_head);
                Ok(response)
            }
            Err(failure) => {
                // A client that broke off its own request says nothing about the origin, nor does
                // a limit of ours.
                if !matches!(failure.kind, FailureKind::Request | FailureKind::Overload)
                    && self.health().failed(&origin.id, &failure, Instant::now())
                {
                    self.events.origin_failed(site, &origin.id, &failure);
                }
                Err(failure)
            }
        }
    }

    fn place(&self, origin: &OriginAddress, request: &Request<Body>) -> Place {
        let (host, port) = (Arc::clone(&origin.host), origin.port);
        if !origin.tls {
            return Place::Tcp { host, port };
        }
        // An origin given as an address shows the certificate of the site itself.
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = if bare.parse::<std::net::IpAddr>().is_ok() {
            request.uri().host().unwrap_or_default().into()
        } else {
            Arc::clone(&host)
        };
        Place::Tls { host, port, name, config: Arc::clone(&self.tls) }
    }
}

impl Upstream for Origins {
    async fn fetch(
        &self,
        site: &Arc<SiteSheet>,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, Failure> {
        let origins = self.directory.origins(site).await;
        let order = {
            let mut health = self.health();
            origins.first().iter().for_each(|origin| health.earn(&origin.id.group));
            health.order(origins, Instant::now())
        };
        let mut last = Failure::new(FailureKind::NoServer, "", "the site has no origin");
        let mut asked = false;
        for origin in order.iter().take(ATTEMPTS) {
            let admitted = self.health().admit(&origin.id, !asked, Instant::now());
            match admitted {
                Ok(()) => asked = true,
                Err(Refused::Out(why)) if !asked => {
                    last = why;
                    continue;
                }
                // What was found out by asking is the better word.
                Err(Refused::Out(_)) => continue,
                Err(Refused::Budget) => {
                    last.detail.push_str("; no further origin: too many attempts failed lately");
                    break;
                }
            }
            let again = copy_of(&request);
            match self.ask(site, origin, request).await {
                Ok(response) => return Ok(response),
                Err(failure) => {
                    let other = another_may_be_asked(failure.kind);
                    last = failure;
                    match again.filter(|_| other) {
                        Some(copy) => request = copy,
                        None => break,
                    }
                }
            }
        }
        Err(last)
    }
}

/// Whether the next origin may do better. One that took the request and fell silent for long is
/// the client's own wait already.
fn another_may_be_asked(kind: FailureKind) -> bool {
    kind.is_before_request() || matches!(kind, FailureKind::Terminated | FailureKind::Protocol)
}

/// The same request once more, where it has no content and asking twice does no harm (RFC 9110
/// 9.2.1).
fn copy_of(request: &Request<Body>) -> Option<Request<Body>> {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !safe || request.body().length() != Some(0) {
        return None;
    }
    Some(client::same(request, Body::empty()))
}

/// Says which origin was asked, in place of whatever internal fields an origin may have thought up.
fn mark(response: &mut Response<Body>, origin: &OriginAddress, asked_for_head: bool) {
    hop::take_internal(response.headers_mut());
    let asked = Asked {
        origin: origin.id.clone(),
        status: response.status().as_u16(),
        bytes: if asked_for_head { Some(0) } else { response.body().length() },
    };
    inside::tell_origin(response.headers_mut(), &asked);
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use popnet_terms::OriginId;

    #[test]
    fn origins_cannot_speak_for_us() {
        let origin = OriginAddress {
            id: OriginId { group: "www".into(), server: "west".into() },
            host: "127.0.0.1".into(),
            port: 80,
            tls: false,
        };
        let mut response = Response::new(Body::whole("four"));
        let fields = response.headers_mut();
        fields.append("popnet-origin", HeaderValue::from_static("other/one"));
        fields.append("popnet-load", HeaderValue::from_static("1"));
        mark(&mut response, &origin, false);
        assert_eq!(response.headers().len(), 1);
        assert_eq!(response.headers()[inside::ORIGIN], "www/west; status=200; bytes=4");
    }

    #[test]
    fn what_may_be_asked_twice() {
        let request = |method: Method, body: Body| {
            let mut request = Request::new(body);
            *request.method_mut() = method;
            copy_of(&request).is_some()
        };
        assert!(request(Method::GET, Body::empty()));
        assert!(!request(Method::POST, Body::empty()));
        assert!(!request(Method::GET, Body::whole("x")));
        assert!(another_may_be_asked(FailureKind::Refused));
        assert!(!another_may_be_asked(FailureKind::ResponseTimeout));
    }
}
