//! HTTP fields and the rules over them, and configurations.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use popnet_answer::Catalog;
use popnet_cache::accepted::Accepted;
use popnet_cache::coding::{Choice, unmark};
use popnet_cache::invalidate::invalidated;
use popnet_cache::key::Key;
use popnet_cache::purges::Purges;
use popnet_cache::reuse::{Rule, Wish, reuse};
use popnet_cache::storable::{Arrived, Kept, Plan, storable};
use popnet_cache::stored::Stored;
use popnet_cache::{serve, validate};
use popnet_field::{chain, hop};
use popnet_probe::Prober;
use popnet_steering::{Board, Rules};
use popnet_terms::{Seconds, Timestamp};
use popnet_webserver::disk::{read_meta, read_purge, write_meta, write_purge};
use popnet_wire::delivery::{Coding, Compression};
use popnet_wire::sheet::{CacheRules, Masking, SetCookie, SiteSheet};

/// HTTP field values.
pub fn http_fields(octets: &[u8]) {
    popnet_field::read_anything(octets);
}

/// A configuration file; one that is taken also goes to what lives by it.
pub fn configuration(octets: &[u8]) {
    match popnet_config::load_bytes(octets, "popnet.toml") {
        Ok(loaded) => {
            let (network, now) = (&loaded.network, Timestamp(0));
            let _ = Catalog::build(network, 1, &[]);
            let mut board = Board::new();
            board.configure(network, None, now);
            let _ = (board.view(now), Rules::compile(network).sites().count());
            for pop in network.pops.keys() {
                Prober::new(pop.clone(), 1).configure(network, now);
            }
        }
        Err(found) => {
            let text = String::from_utf8_lossy(octets);
            let _ = popnet_config::render(&found, &text, "popnet.toml");
        }
    }
}

/// A scenario of a simulation.
pub fn scenario(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    if let Err(found) = popnet_twin::load(text, "scenario.toml") {
        let _ = popnet_config::render(&found, text, "scenario.toml");
    }
}

fn site() -> SiteSheet {
    SiteSheet {
        site: "a.test".into(),
        customer: "acme".into(),
        cache: CacheRules {
            default_ttl: Seconds(0),
            max_ttl: Seconds(86_400),
            heuristic: true,
            stale_while_revalidate: Seconds(10),
            stale_if_error: Seconds(60),
            obey: vec!["cdn-cache-control".into(), "cache-control".into(), "expires".into()],
            query_ignore: vec!["utm_*".into()],
            query_sort: true,
            vary_limit: 8,
            set_cookie: SetCookie::Bypass,
            tags: vec!["surrogate-key".into(), "cache-tag".into()],
            max_object: 1 << 30,
        },
        paths: Vec::new(),
        origins: Vec::new(),
        client_ip: Masking::Full,
        certificate: None,
        delivery: std::sync::Arc::default(),
    }
}

/// `name: value` lines; what is no field is left out.
fn fields(lines: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines.split(|octet| *octet == b'\n') {
        let Some(at) = line.iter().position(|octet| *octet == b':') else { continue };
        let (name, value) = (line.get(..at), line.get(at + 1..));
        let name = HeaderName::from_bytes(name.unwrap_or_default());
        let value = HeaderValue::from_bytes(value.unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            fields.append(name, value);
        }
    }
    fields
}

fn at(second: i64) -> Timestamp {
    Timestamp((1_700_000_000 + second) * 1_000_000)
}

/// What one text says of a request and its response.
struct Exchange {
    method: Method,
    path: String,
    status: StatusCode,
    /// When it is asked for again, in seconds.
    later: i64,
    request: HeaderMap,
    response: HeaderMap,
}

impl Exchange {
    /// Reads `METHOD PATH STATUS SECONDS`, the request's fields, an empty line and the response's
    /// fields.
    fn read(octets: &[u8]) -> Self {
        let (head, response) = split(octets, b"\n\n");
        let (first, request) = split(head, b"\n");
        let first = String::from_utf8_lossy(first);
        let mut words = first.split(' ');
        let method = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        let path = words.next().unwrap_or("/").to_owned();
        let status = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        let later = words.next().and_then(|word| word.parse::<i32>().ok()).unwrap_or(0).into();
        let (mut request, mut response) = (fields(request), fields(response));
        let _ = hop::take_internal(&mut request);
        hop::strip(&mut response);
        chain::add_via(&mut response, http::Version::HTTP_11, "edge1");
        Self { method, path, status, later, request, response }
    }

    fn key(&self, site: &SiteSheet) -> Key {
        Key::of("http", "a.test", &self.path, &site.cache)
    }

    fn stored(&self, site: &SiteSheet) -> Option<Stored> {
        // Parts are kept only where their length is known.
        let length = self.response.get("content-length").and_then(|value| value.to_str().ok());
        let length = length.filter(|_| self.status == StatusCode::PARTIAL_CONTENT);
        let arrived = Arrived {
            key: self.key(site),
            request: &self.request,
            status: self.status,
            fields: &self.response,
            length: length.and_then(|length| length.parse().ok()),
            requested: at(0),
            received: at(1),
            variants: 0,
        };
        match storable(&Kept { site, rule: Rule::of(site, &self.path) }, &arrived) {
            Plan::Store(stored) => Some(*stored),
            Plan::Pass(_) => None,
        }
    }
}

/// What stands before and after the first `end`.
fn split<'a>(octets: &'a [u8], end: &[u8]) -> (&'a [u8], &'a [u8]) {
    let at = octets.windows(end.len()).position(|window| window == end).unwrap_or(octets.len());
    (octets.get(..at).unwrap_or_default(), octets.get(at + end.len()..).unwrap_or_default())
}

/// A request and its response: stored, asked for again later, and validated.
pub fn caching(octets: &[u8]) {
    let (site, exchange) = (site(), Exchange::read(octets));
    let key = exchange.key(&site);
    assert_eq!(Key::try_from(String::from(key.clone())).as_ref(), Ok(&key));
    let _ = invalidated(&exchange.method, &key, exchange.status, &exchange.response, &site.cache);
    let Some(stored) = exchange.stored(&site) else { return };
    let octets = write_meta(&stored).expect("it can be written down");
    assert_eq!(read_meta(&octets).as_ref(), Some(&stored));
    let Exchange { method, later, request, response, .. } = exchange;
    again(&stored, &site, &method, request, &response, at(later));
}

/// The head on disk of an exchange as [`caching`] reads it, if it is stored.
pub fn head_of(octets: &[u8]) -> Option<Vec<u8>> {
    write_meta(&Exchange::read(octets).stored(&site())?)
}

/// Asks for what is stored, and validates it with a 304 of these fields.
fn again(
    stored: &Stored,
    site: &SiteSheet,
    method: &Method,
    mut request: HeaderMap,
    response: &HeaderMap,
    now: Timestamp,
) {
    let _ = (stored.weight(), stored.variant.readable(), stored.selects(&request));
    let rule = Rule::of(site, stored.key.path());
    let _ = reuse(&Wish::of(&request), stored, site, rule, now);
    for length in [None, Some(0), Some(1_000), stored.length] {
        let answer = serve::answer(method, &request, stored, length);
        if let (Some(octets), Some(length)) = (answer.octets, length) {
            assert!(octets.start <= octets.end && octets.end <= length);
        }
    }
    codings(stored, method, &request);
    let _ = validate::make_conditional(&mut request, stored);
    let kept = Kept { site, rule };
    let _ = validate::freshened(stored, response, &kept, now, now);
}

/// Asks for it in a coding.
fn codings(stored: &Stored, method: &Method, request: &HeaderMap) {
    let codings = Coding::ALL.to_vec();
    let rules = Compression { codings, types: None, min: 0, max: u64::MAX };
    let coding = match Choice::of(method, request, stored, Some(&rules)) {
        Choice::AsItCame { .. } => return,
        Choice::Coded(coding) | Choice::Held(coding) => coding,
    };
    let lines = request.get_all(http::header::ACCEPT_ENCODING).iter();
    assert!(Accepted::read(lines.map(|line| line.as_bytes())).takes(coding));
    let answer = serve::coded(method, request, stored, coding, Some(7));
    assert!(answer.fields.contains_key(http::header::VARY));
    let mut forward = request.clone();
    unmark(&mut forward);
    let once = forward.clone();
    unmark(&mut forward);
    assert_eq!(once.len(), forward.len());
}

/// The head of a response on the disk tier, served from there.
pub fn stored_head(octets: &[u8]) {
    if let Some((aim, kind)) = read_purge(octets) {
        let mut purges = Purges::default();
        purges.add(&aim, kind, 1);
        let again = write_purge(&aim, kind).and_then(|octets| read_purge(&octets));
        assert_eq!(again, Some((aim, kind)));
    }
    let Some(stored) = read_meta(octets) else { return };
    let request = fields(b"range: bytes=0-5\nif-none-match: \"a\"\naccept-encoding: gzip");
    for now in [i64::MIN, 0, 1_700_000_000_000_000, i64::MAX] {
        let response = stored.fields.0.clone();
        again(&stored, &site(), &Method::GET, request.clone(), &response, Timestamp(now));
    }
}
