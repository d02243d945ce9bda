//! A client's request: checked, given to its site's rules and the tier, answered and recorded.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::uri::{Authority as UriAuthority, PathAndQuery, Scheme};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
};
use popnet_delivery::Rates;
use popnet_field::authority::Authority;
use popnet_field::report::ProxyStatus;
use popnet_field::{chain, date, hop};
use popnet_http::body::Body;
use popnet_http::measure::{Framing, request_head};
use popnet_http::server::{Client, Head, Output, Service};
use popnet_runtime::ship::Shipper;
use popnet_runtime::{Published, clock};
use popnet_tally::Trips;
use popnet_terms::{CacheReason, CustomerId, SiteName, Trip};
use popnet_tier::control::Totals;
use popnet_tier::sites::Sites;
use popnet_tier::{Answer, Ask, Outcome, Tier, page};
use popnet_wire::logging::{Access, CacheResult};

use crate::delivery::{self, Asking, Way};
use crate::health::{self, Load};
use crate::ledger::{Asked, Ledger, Metered};
use crate::memory::Memory;
use crate::naming::Names;
use crate::store::Store;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Fields that only the first hop may set, so what a client claims in them is dropped. No key holds
/// them, and there are origins that make pages of each: one client's page would be everybody's.
const OURS: [&str; 15] = [
    "x-request-id",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-host",
    "x-original-host",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    "forwarded",
];

/// Fields that make another method of a request: dropped where the answer may be kept, as that of
/// the method which stands in the request.
const METHODS: [&str; 3] = ["x-http-method", "x-http-method-override", "x-method-override"];

/// Requests for hosts that are nobody's are counted under this name, for the network itself.
const NOBODYS: &str = "_none";

/// Answers clients.
pub(crate) struct Front {
    pub(crate) tier: Arc<Tier<Memory, Store>>,
    pub(crate) sites: Arc<Published<Sites>>,
    pub(crate) shipper: Option<Shipper>,
    pub(crate) totals: Arc<Totals>,
    pub(crate) load: Arc<Load>,
    /// Ways to clients, one entry a connection that ended.
    pub(crate) trips: Arc<Mutex<Trips>>,
    pub(crate) names: Names,
    /// `Alt-Svc`, where there is another way to the same sites.
    pub(crate) alternative: Option<HeaderValue>,
    /// The tier's name, to see a request that went in a circle.
    pub(crate) name: String,
    /// How often clients ask, where a site wants that counted.
    pub(crate) rates: Rates,
}

/// A request's own facts, kept aside while it is answered.
struct Arrival {
    client: Client,
    begun: Instant,
    framing: Framing,
    head_octets: u64,
    received: Arc<AtomicU64>,
    id: Arc<str>,
}

impl Service for Front {
    async fn answer(self: Arc<Self>, client: Client, request: Request<Body>) -> Response<Body> {
        let begun = Instant::now();
        let framing = Framing::of(&request, client.draining);
        if is_health(&request) {
            let sent = self.totals.bytes_out.load(Ordering::Relaxed);
            let mut response = self.load.answer(self.sites.load().epoch, sent);
            stamp(&mut response);
            framing.settle(&mut response);
            return response;
        }
        let arrival = Arrival {
            client,
            begun,
            framing,
            head_octets: request_head(&request),
            received: Arc::default(),
            id: self.names.next(clock::now()),
        };
        match self.check(&arrival, request) {
            Ok((ask, way, access)) => {
                let customer = ask.site.customer.clone();
                let mut answer = self.tier.serve(ask).await;
                way.dress(answer.response.headers_mut());
                self.finish(&arrival, answer, customer, access)
            }
            Err(refused) => {
                let Refused { response, customer, outcome, access } = *refused;
                self.finish(&arrival, Answer { response, outcome }, customer, access)
            }
        }
    }

    fn at_once(&self, client: Client, head: &Head<'_>, out: &mut Output) -> bool {
        self.answer_at_once(client, head, out).is_some()
    }

    fn parted(&self, client: SocketAddr, trip: &dyn Fn() -> Option<Trip>) {
        let Some(trip) = trip() else { return };
        let mut trips = self.trips.lock().unwrap_or_else(PoisonError::into_inner);
        trips.record(client.ip(), trip, clock::now());
    }
}

/// A request that is answered without the tier.
struct Refused {
    response: Response<Body>,
    customer: CustomerId,
    outcome: Outcome,
    access: Access,
}

impl Front {
    /// Makes a request fit for the tier, or says why it is not.
    fn check(
        &self,
        arrival: &Arrival,
        mut request: Request<Body>,
    ) -> Result<(Ask, Way, Access), Box<Refused>> {
        let client = arrival.client;
        let uri = target(&request, client.tls);
        if let Ok(uri) = &uri {
            *request.uri_mut() = uri.clone();
        }
        let address = client.address.map(|address| address.ip());
        let id = Arc::clone(&arrival.id);
        let mut access =
            Ledger::open(&Asked::of(&request), id, None, arrival.begun, arrival.head_octets);
        access.site = SiteName::new(NOBODYS);
        let refuse = |status: StatusCode, what: &str, access: Access| {
            let mut response = page(status, what);
            self.explain(&mut response);
            Err(Box::new(Refused {
                response,
                customer: CustomerId::network(),
                outcome: Outcome::new(CacheResult::Error, CacheReason::RuleBypass),
                access,
            }))
        };
        let uri = match uri {
            Ok(uri) => uri,
            Err((status, what)) => return refuse(status, what, access),
        };
        let host = uri.host().unwrap_or_default();
        let (site, epoch) = {
            let sites = self.sites.load();
            (sites.of_host(host).cloned(), sites.epoch)
        };
        access.config = epoch;
        let Some(site) = site else {
            let what = format!("This network has no site named {host}.");
            return refuse(StatusCode::MISDIRECTED_REQUEST, &what, access);
        };
        access.site = site.site.clone();
        access.client_ip = address.and_then(|address| site.client_ip.apply(address));
        if chain::passed(request.headers(), &self.name) > 0 {
            let what = "The request has passed this cache before: an origin points back here.";
            return refuse(StatusCode::LOOP_DETECTED, what, access);
        }
        let asking = Asking { site: &site, client: address, tls: client.tls };
        let way = match asking.admit(&self.rates, &request) {
            Ok(way) => way,
            Err(answer) => {
                return Err(Box::new(Refused {
                    outcome: Outcome::new(CacheResult::Made, answer.reason),
                    response: delivery::response(*answer, &self.name),
                    customer: site.customer.clone(),
                    access,
                }));
            }
        };
        let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
        forward(arrival, &way, (address, is_safe), request.headers_mut());
        let received = Arc::clone(&arrival.received);
        let add = move |octets| {
            received.fetch_add(octets, Ordering::Relaxed);
        };
        let request = request.map(|body| body.counted(add));
        Ok((Ask { site, request }, way, access))
    }

    /// The other way that a client is told of. Not those without TLS: nothing vouches for what they
    /// are told (RFC 7838 2.1).
    pub(crate) fn alternative_for(&self, client: Client) -> Option<&HeaderValue> {
        self.alternative.as_ref().filter(|_| client.tls)
    }

    /// Says in the words of RFC 9209 why this cache refused a request.
    fn explain(&self, response: &mut Response<Body>) {
        let error = match response.status() {
            StatusCode::MISDIRECTED_REQUEST => "destination_not_found",
            StatusCode::LOOP_DETECTED => "proxy_loop_detected",
            _ => "http_request_error",
        };
        let told = ProxyStatus { proxy: &self.name, error, next_hop: None, details: None };
        chain::append_to_list(response.headers_mut(), &PROXY_STATUS, &told.print());
    }

    fn finish(
        &self,
        arrival: &Arrival,
        answer: Answer,
        customer: CustomerId,
        mut access: Access,
    ) -> Response<Body> {
        let Answer { mut response, outcome } = answer;
        let fields = response.headers_mut();
        hop::take_internal(fields);
        if let Ok(value) = HeaderValue::from_str(&arrival.id) {
            fields.insert(REQUEST_ID, value);
        }
        if let Some(value) = self.alternative_for(arrival.client)
            && arrival.framing.version != Version::HTTP_3
        {
            fields.insert(header::ALT_SVC, value.clone());
        }
        stamp(&mut response);
        let head_octets = arrival.framing.settle(&mut response);
        access.status = response.status().as_u16();
        let ledger = Ledger::new(
            self.shipper.clone(),
            Arc::clone(&self.totals),
            customer,
            access,
            &outcome,
            arrival.begun,
            head_octets,
            Arc::clone(&arrival.received),
        );
        // Not `Body::stream`, which would let go of an empty body, and its record, too early.
        response.map(|body| Body::kept(Metered::new(body, ledger)))
    }
}

/// Makes the fields of a request those that go on from here. `is_safe`: it is a GET or a HEAD.
fn forward(
    arrival: &Arrival,
    way: &Way,
    (client, is_safe): (Option<IpAddr>, bool),
    fields: &mut HeaderMap,
) {
    // First, so that a client cannot name in `Connection` what is set here.
    hop::strip(fields);
    hop::take_internal(fields);
    join_cookies(fields);
    for name in OURS.iter().chain(METHODS.iter().filter(|_| is_safe)) {
        fields.remove(*name);
    }
    way.change_request(fields);
    if let Some(value) = client.and_then(|ip| HeaderValue::try_from(ip.to_string()).ok()) {
        fields.insert(FORWARDED_FOR, value);
    }
    let scheme = if arrival.client.tls { "https" } else { "http" };
    fields.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
    if let Ok(value) = HeaderValue::from_str(&arrival.id) {
        fields.insert(REQUEST_ID, value);
    }
}

fn is_health(request: &Request<Body>) -> bool {
    request.uri().path() == health::PATH
        && matches!(*request.method(), Method::GET | Method::HEAD)
        && request
            .headers()
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .or_else(|| request.uri().host())
            .and_then(Authority::read)
            .is_some_and(|authority| authority.host == health::HOST)
}

/// The absolute URI that a request means, with its host in lower case and without port; or why it
/// means none.
fn target(request: &Request<Body>, tls: bool) -> Result<Uri, (StatusCode, &'static str)> {
    let bad = |what| Err((StatusCode::BAD_REQUEST, what));
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err((StatusCode::NOT_IMPLEMENTED, "This method is not served here."));
    }
    // RFC 9112 6.1: content in a coding that is not taken off here would reach the origin as if it
    // were plain.
    let mut codings = request.headers().get_all(header::TRANSFER_ENCODING).iter();
    if !codings.all(|line| line.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")) {
        return Err((StatusCode::NOT_IMPLEMENTED, "This transfer coding is not served here."));
    }
    // RFC 9112 3.2: the form of an authority alone is for CONNECT, an asterisk for OPTIONS.
    let fits = match (request.uri().scheme_str(), request.uri().path()) {
        (None, "*") => *request.method() == Method::OPTIONS,
        (None, _) => request.uri().authority().is_none(),
        (Some(scheme), _) => matches!(scheme, "http" | "https"),
    };
    if !fits {
        return bad("The request's target is none of this method.");
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        // RFC 9112 3.2: more than one Host is a client error.
        return bad("The request names more than one host.");
    }
    if host.is_none() && request.version() == Version::HTTP_11 {
        return bad("The request names no host.");
    }
    // RFC 9112 3.2.2: an absolute target counts more than Host.
    let named = match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => host.and_then(|host| host.to_str().ok()),
    };
    let Some(authority) = named.and_then(Authority::read) else {
        return bad("The request names no host that can be read.");
    };
    let Ok(authority) = UriAuthority::try_from(authority.host) else {
        return bad("The request names no host that can be read.");
    };
    let path = match request.uri().path_and_query() {
        Some(path) if path.as_str().starts_with('?') => {
            PathAndQuery::try_from(format!("/{}", path.as_str()))
                .unwrap_or(PathAndQuery::from_static("/"))
        }
        Some(path) => path.clone(),
        None => PathAndQuery::from_static("/"),
    };
    let scheme = if tls { Scheme::HTTPS } else { Scheme::HTTP };
    let built = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build();
    built.or(bad("The request's target cannot be read."))
}

/// HTTP/2 splits cookies over several lines; towards HTTP/1.1 they are one (RFC 9113 8.2.3).
fn join_cookies(fields: &mut HeaderMap) {
    let lines: Vec<&[u8]> =
        fields.get_all(header::COOKIE).iter().map(|value| value.as_bytes()).collect();
    if lines.len() > 1
        && let Ok(whole) = HeaderValue::from_bytes(&lines.join(&b"; "[..]))
    {
        fields.insert(header::COOKIE, whole);
    }
}

fn stamp(response: &mut Response<Body>) {
    if !response.headers().contains_key(header::DATE)
        && let Ok(value) = HeaderValue::try_from(date::print(clock::now().unix_seconds()))
    {
        response.headers_mut().insert(header::DATE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target_text: &str, hosts: &[&str], expected: &str) {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = target_text.parse().unwrap();
        for host in hosts {
            request.headers_mut().append(header::HOST, host.parse().unwrap());
        }
        let found = match target(&request, false) {
            Ok(uri) => uri.to_string(),
            Err((status, _)) => status.as_u16().to_string(),
        };
        assert_eq!(found, expected, "{target_text} {hosts:?}");
    }

    #[test]
    fn targets() {
        check("/a?b", &["A.test:8080"], "http://a.test/a?b");
        check("http://b.test:81/x", &["a.test"], "http://b.test/x");
        check("http://b.test?q", &["a.test"], "http://b.test/?q");
        check("/", &[], "400");
        check("/", &["a.test", "a.test"], "400");
        check("/", &["a b"], "400");
        check("/", &["user@a.test"], "400");
        check("http://user@a.test/", &["a.test"], "400");
        check("/", &["[::1]:80"], "http://[::1]/");
        check("*", &["a.test"], "400");
        check("b.test", &["a.test"], "400");
        check("ftp://b.test/", &["a.test"], "400");
        check("/", &["a.test.."], "400");
    }

    #[test]
    fn targets_by_method_and_coding() {
        let ask = |method: Method, target_text: &str, coding: Option<&'static str>| {
            let mut request = Request::new(Body::empty());
            *request.method_mut() = method;
            *request.uri_mut() = target_text.parse().unwrap();
            request.headers_mut().insert(header::HOST, HeaderValue::from_static("a.test"));
            if let Some(coding) = coding {
                let coding = HeaderValue::from_static(coding);
                request.headers_mut().insert(header::TRANSFER_ENCODING, coding);
            }
            target(&request, false).map_or_else(|(status, _)| status.as_u16(), |_| 200)
        };
        assert_eq!(ask(Method::OPTIONS, "*", None), 200);
        assert_eq!(ask(Method::CONNECT, "a.test:80", None), 501);
        assert_eq!(ask(Method::TRACE, "/", None), 501);
        assert_eq!(ask(Method::POST, "/", Some("Chunked")), 200);
        for coding in ["gzip, chunked", "chunked, chunked", "identity"] {
            assert_eq!(ask(Method::POST, "/", Some(coding)), 501, "{coding}");
        }
    }

    #[test]
    fn cookies() {
        let mut fields = HeaderMap::new();
        join_cookies(&mut fields);
        assert!(fields.is_empty());
        for crumb in ["a=1", "b=2; c=3"] {
            fields.append(header::COOKIE, HeaderValue::from_static(crumb));
        }
        join_cookies(&mut fields);
        let lines: Vec<_> = fields.get_all(header::COOKIE).iter().collect();
        assert_eq!(lines, ["a=1; b=2; c=3"]);
    }
}
