//! What a site asks for on the way to its clients, carried out: who is served, how often, and what
//! changes in requests and responses.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use popnet_delivery::fields::{change_request, change_response, is_fixed};
use popnet_delivery::judge::{Answer, Facts, Verdict, judge};
use popnet_delivery::{Allowance, Rates};
use popnet_field::path::resolved;
use popnet_field::report::CacheStatus;
use popnet_http::body::Body;
use popnet_runtime::clock;
use popnet_terms::CacheReason;
use popnet_tier::{delivery_of, page};
use popnet_wire::delivery::Delivery;
use popnet_wire::sheet::SiteSheet;

/// How the answer to one request goes out.
#[derive(Debug)]
pub(crate) struct Way {
    delivery: Arc<Delivery>,
    tls: bool,
    /// Who reads the answer, where that is a script.
    origin: Option<HeaderValue>,
}

impl Way {
    /// Changes the fields of the request on its way to the origin.
    pub(crate) fn change_request(&self, fields: &mut HeaderMap) {
        change_request(&self.delivery, fields);
    }

    /// Changes the fields of the answer.
    pub(crate) fn dress(&self, fields: &mut HeaderMap) {
        change_response(&self.delivery, self.tls, self.origin.as_ref(), fields);
    }
}

/// Who asks for what.
pub(crate) struct Asking<'a> {
    pub(crate) site: &'a SiteSheet,
    pub(crate) client: Option<IpAddr>,
    pub(crate) tls: bool,
}

impl Asking<'_> {
    /// The way of `request`, or the answer that is made here.
    pub(crate) fn admit(&self, rates: &Rates, request: &Request<Body>) -> Result<Way, Box<Answer>> {
        let path = request.uri().path();
        let resolved = resolved(path);
        let delivery = Arc::clone(delivery_of(self.site, &resolved));
        // A server that resolves the path and one that does not must both find it guarded.
        let literal = delivery_of(self.site, path);
        self.judge(&delivery, request)?;
        self.count(&delivery, rates)?;
        if !Arc::ptr_eq(&delivery, literal) {
            self.judge(literal, request)?;
            self.count(literal, rates)?;
        }
        let origin = request.headers().get(header::ORIGIN).cloned();
        Ok(Way { delivery, tls: self.tls, origin })
    }

    fn judge(&self, delivery: &Delivery, request: &Request<Body>) -> Result<(), Box<Answer>> {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let facts = Facts {
            method: request.method(),
            tls: self.tls,
            host: request.uri().host().unwrap_or_default(),
            path_and_query: target,
            client: self.client,
            fields: request.headers(),
        };
        match judge(delivery, &facts) {
            Verdict::Serve => Ok(()),
            Verdict::Answer(answer) => Err(answer),
        }
    }

    fn count(&self, delivery: &Delivery, rates: &Rates) -> Result<(), Box<Answer>> {
        let (Some(rate), Some(client)) = (delivery.rate, self.client) else { return Ok(()) };
        let Allowance::After(wait) =
            rates.count(self.site.site.as_str(), client, rate, clock::now())
        else {
            return Ok(());
        };
        let mut fields = HeaderMap::new();
        fields.insert(header::RETRY_AFTER, HeaderValue::from(wait.0));
        Err(Box::new(Answer {
            // RFC 6585 section 4.
            status: StatusCode::TOO_MANY_REQUESTS,
            reason: CacheReason::RateLimited,
            what: format!("The site serves {rate} to a client. Ask again in {} s.", wait.0),
            fields,
        }))
    }
}

/// `answer` as the cache called `cache` sends it.
pub(crate) fn response(answer: Answer, cache: &str) -> Response<Body> {
    let mut response = if answer.what.is_empty() {
        let mut empty = Response::new(Body::empty());
        *empty.status_mut() = answer.status;
        empty
    } else {
        page(answer.status, &answer.what)
    };
    response.headers_mut().extend(answer.fields);
    let told = CacheStatus {
        cache,
        hit: false,
        forwarded: None,
        forward_status: None,
        stored: false,
        collapsed: false,
        ttl: None,
        detail: Some(answer.reason.code()),
    };
    if let Ok(told) = HeaderValue::try_from(told.print()) {
        response.headers_mut().insert("cache-status", told);
    }
    response
}

/// The delivery of `path`, where all its answers are changed alike and none is refused: then they
/// can be given at once.
pub(crate) fn fixed<'a>(site: &'a SiteSheet, path: &str, tls: bool) -> Option<&'a Delivery> {
    let delivery = delivery_of(site, path);
    is_fixed(delivery, tls).then_some(())?;
    let differs = site.paths.iter().any(|rule| rule.delivery.is_some());
    if differs && let Cow::Owned(other) = resolved(path) {
        Arc::ptr_eq(delivery, delivery_of(site, &other)).then_some(())?;
    }
    Some(delivery)
}
