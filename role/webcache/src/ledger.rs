//! One request's record and counters, written when the last octet of its answer has left, or when
//! the client has.
//!
//! `resp_bytes` is the head as HTTP/1.1 writes it plus content; `req_bytes` likewise. See
//! `popnet_http::measure` for what exactly is counted.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use popnet_http::body::Body;
use popnet_http::failure::Failure;
use popnet_runtime::clock;
use popnet_runtime::ship::Shipper;
use popnet_terms::{CacheReason, CustomerId, Micros, Seconds, SiteName, Timestamp};
use popnet_tier::control::Totals;
use popnet_tier::{Outcome, inside};
use popnet_wire::logging::{Access, CacheResult, Record};
use popnet_wire::rollout::Epoch;

/// Octets of a path or a query that are written down.
const WRITTEN_MAX: usize = 1_024;

/// What a request asks for, as it is written down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) scheme: &'a str,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) protocol: &'static str,
}

impl<'a> Asked<'a> {
    pub(crate) fn of<B>(request: &'a Request<B>) -> Self {
        let uri = request.uri();
        Self {
            method: request.method().as_str(),
            scheme: uri.scheme_str().unwrap_or("http"),
            host: uri.host().unwrap_or(""),
            path: uri.path(),
            query: uri.query().unwrap_or(""),
            protocol: protocol(request.version()),
        }
    }
}

/// A request's record while it is being answered.
pub(crate) struct Ledger {
    pub(crate) shipper: Option<Shipper>,
    pub(crate) totals: Arc<Totals>,
    pub(crate) customer: CustomerId,
    begun: Instant,
    head_octets: u64,
    /// Octets of the request's content, counted as they come.
    received: Arc<AtomicU64>,
    access: Access,
}

impl Ledger {
    /// A record for a request, about which nothing else is known so far.
    pub(crate) fn open(
        asked: &Asked<'_>,
        id: Arc<str>,
        client: Option<IpAddr>,
        begun: Instant,
        req_bytes: u64,
    ) -> Access {
        Access {
            ts: Timestamp(0),
            id,
            site: SiteName::new(""),
            client_ip: client,
            method: asked.method.into(),
            scheme: asked.scheme.into(),
            host: asked.host.into(),
            path: cut(asked.path).into(),
            query: cut(asked.query).into(),
            protocol: asked.protocol.into(),
            status: 0,
            req_bytes,
            resp_bytes: 0,
            body_bytes: 0,
            duration: Micros(0),
            ttfb: micros(begun),
            cache: CacheResult::Error,
            reason: CacheReason::RespOriginError,
            stored: false,
            age: None,
            ttl: None,
            origin: None,
            origin_bytes: 0,
            aborted: false,
            config: Epoch(0),
        }
    }

    /// The record once the answer's head is known.
    #[expect(clippy::too_many_arguments, reason = "each is one fact of the record")]
    pub(crate) fn new(
        shipper: Option<Shipper>,
        totals: Arc<Totals>,
        customer: CustomerId,
        mut access: Access,
        outcome: &Outcome,
        begun: Instant,
        head_octets: u64,
        received: Arc<AtomicU64>,
    ) -> Self {
        let (result, reason) = told(outcome);
        access.cache = result;
        access.reason = reason;
        access.stored = outcome.stored;
        access.age = outcome.age.map(Seconds);
        access.ttl = outcome.ttl;
        access.ttfb = micros(begun);
        if let Some(asked) = inside::asked(&outcome.inside) {
            access.origin = Some(asked.origin);
            access.origin_bytes = asked.bytes.unwrap_or(u64::MAX);
        }
        Self { shipper, totals, customer, begun, head_octets, received, access }
    }

    /// Writes it down, once the last octet has left or the client has.
    pub(crate) fn close(mut self, body_octets: u64, whole: bool) {
        let access = &mut self.access;
        access.ts = clock::now();
        access.req_bytes += self.received.load(Ordering::Relaxed);
        access.body_bytes = body_octets;
        access.resp_bytes = self.head_octets + body_octets;
        access.duration = micros(self.begun);
        access.aborted = !whole;
        if access.origin_bytes == u64::MAX {
            // The origin did not announce a length: what came through here is what it sent.
            access.origin_bytes = body_octets;
        }
        let hit = access.cache.is_hit();
        self.totals.requests.fetch_add(1, Ordering::Relaxed);
        self.totals.hits.fetch_add(u64::from(hit), Ordering::Relaxed);
        self.totals.bytes_out.fetch_add(access.resp_bytes, Ordering::Relaxed);
        let Some(shipper) = &self.shipper else { return };
        shipper.count(&self.customer, &access.site, |counter| {
            counter.requests += 1;
            counter.bytes_out += access.resp_bytes;
            counter.bytes_in += access.req_bytes;
            if hit {
                counter.hits += 1;
                counter.hit_bytes += access.resp_bytes;
            }
            let class = usize::from(access.status / 100).saturating_sub(1);
            if let Some(count) = counter.status.get_mut(class) {
                *count += 1;
            }
        });
        shipper.record(&self.customer, Record::Access(self.access));
    }
}

/// The outcome over both tiers: where this one went forward, what the disk tier said of itself.
fn told(outcome: &Outcome) -> (CacheResult, CacheReason) {
    let own = (outcome.result, outcome.reason);
    let Some(told) = inside::told(&outcome.inside) else { return own };
    match (outcome.result, told.result) {
        (CacheResult::Miss | CacheResult::Revalidated, CacheResult::Miss) => own,
        (CacheResult::Miss, _) => (told.result, told.reason),
        (CacheResult::Revalidated, CacheResult::HitDisk | CacheResult::Stale) => {
            (told.result, told.reason)
        }
        (CacheResult::Bypass, CacheResult::Error) => (told.result, told.reason),
        (
            CacheResult::HitMemory
            | CacheResult::HitDisk
            | CacheResult::Stale
            | CacheResult::Revalidated
            | CacheResult::Bypass
            | CacheResult::Error
            | CacheResult::Made,
            _,
        ) => own,
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "h2",
        Version::HTTP_3 => "h3",
        _ => "HTTP/1.1",
    }
}

fn micros(since: Instant) -> Micros {
    Micros(u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX))
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(WRITTEN_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or("")
}

/// A response's content, counted as it leaves.
pub(crate) struct Metered {
    body: Body,
    expected: Option<u64>,
    sent: u64,
    ended: bool,
    ledger: Option<Box<Ledger>>,
}

impl Metered {
    pub(crate) fn new(body: Body, ledger: Ledger) -> Self {
        let expected = body.length();
        Self { body, expected, sent: 0, ended: false, ledger: Some(Box::new(ledger)) }
    }
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.sent += frame.data_ref().map_or(0, |octets| octets.len() as u64);
            }
            Poll::Ready(None) => self.ended = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        if let Some(ledger) = self.ledger.take() {
            ledger.close(self.sent, self.ended || self.expected == Some(self.sent));
        }
    }
}
