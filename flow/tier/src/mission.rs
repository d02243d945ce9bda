//! One fetch from the next tier: asks, decides what becomes of the answer, and brings it onto the
//! shelf. Runs as a task of its own, so that it outlives the request that started it.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use popnet_cache::coding::unmark;
use popnet_cache::freshness;
use popnet_cache::part;
use popnet_cache::reuse::{Rule, Verdict, Wish, reuse};
use popnet_cache::storable::{Arrived, Kept, Plan, storable};
use popnet_cache::stored::Stored;
use popnet_cache::validate::{freshened, make_conditional, make_plain};
use popnet_field::{chain, hop};
use popnet_http::body::Body;
use popnet_http::failure::{Failure, FailureKind};
use popnet_terms::{CacheReason, Timestamp};
use popnet_wire::sheet::{SetCookie, SiteSheet};
use tokio::sync::oneshot;

use crate::content;
use crate::dress;
use crate::fill::Fill;
use crate::flight::{Flight, Landing, Listed, Wanted};
use crate::shelf::{Entry, Shelf, ShelfError, Writer};
use crate::tier::Tier;
use crate::upstream::Upstream;

/// What to fetch and under which rules.
pub(crate) struct Mission {
    pub(crate) site: Arc<SiteSheet>,
    pub(crate) rule: Rule,
    pub(crate) wanted: Wanted,
    /// What is stored and to be validated.
    pub(crate) base: Option<Base>,
    /// Ask as the client asked, with its own preconditions and ranges.
    pub(crate) as_asked: bool,
    /// The answer may be stored.
    pub(crate) may_store: bool,
    /// Look at the shelf once more before asking: another fetch may just have ended.
    pub(crate) look_again: bool,
}

/// A stored response that is validated.
#[derive(Clone)]
pub(crate) struct Base {
    pub(crate) entry: Entry,
    /// It may be served if this fails.
    pub(crate) on_error: bool,
}

/// What a mission brings to the request that started it.
pub(crate) struct Brought<R> {
    pub(crate) what: What<R>,
    /// `popnet-*` fields of the answer.
    pub(crate) inside: HeaderMap,
    /// Its status.
    pub(crate) status: Option<u16>,
}

pub(crate) enum What<R> {
    /// The same as for everybody.
    Shared(Landing<R>),
    /// A response for it alone, and why it is not stored.
    Own(Box<Response<Body>>, CacheReason),
}

impl<R> Brought<R> {
    /// The same for who asked for less with the fields `wanted` than went forward: a part that is
    /// for it alone is cut to that. `None`: this is not in it.
    pub(crate) fn cut(mut self, wanted: &HeaderMap) -> Option<Self> {
        if let What::Own(response, _) = &mut self.what
            && response.status() == StatusCode::PARTIAL_CONTENT
        {
            let (octets, fields) = part::cut(response.headers(), wanted)?;
            *response.headers_mut() = fields;
            let whole = std::mem::replace(response.body_mut(), Body::empty());
            *response.body_mut() = content::cut(whole, octets);
        }
        Some(self)
    }
}

/// An answer's head with its times.
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) fields: HeaderMap,
    pub(crate) length: Option<u64>,
    pub(crate) inside: HeaderMap,
    pub(crate) requested: Timestamp,
    pub(crate) received: Timestamp,
}

impl Got {
    /// The response as it came.
    pub(crate) fn with(self, content: Body) -> Response<Body> {
        let mut response = Response::new(content);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.fields;
        response
    }
}

type Answering<R> = oneshot::Sender<Brought<R>>;

impl<S: Shelf, U: Upstream> Tier<S, U> {
    /// Starts `mission` as `flight`.
    pub(crate) fn launch(
        self: &Arc<Self>,
        flight: Arc<Flight<S::Reader>>,
        mission: Mission,
    ) -> oneshot::Receiver<Brought<S::Reader>> {
        let (answer, brought) = oneshot::channel();
        let tier = Arc::clone(self);
        tokio::spawn(async move {
            let _listed = Listed { flights: &tier.flights, flight: &flight };
            tier.fly(&flight, mission, answer).await;
        });
        brought
    }

    async fn fly(
        &self,
        flight: &Arc<Flight<S::Reader>>,
        mut mission: Mission,
        answer: Answering<S::Reader>,
    ) {
        if mission.look_again
            && let Some(entry) = self.fresh_after_all(flight, &mission).await
        {
            return land(flight, answer, Landing::Valid(entry), HeaderMap::new(), None);
        }
        // Once with what is stored; once more without, where that turned out to be of no use.
        for _ in 0..2 {
            let (got, content) = match self.ask(&mission).await {
                Ok(answer) => answer,
                Err(failure) => return self.failed(flight, &mission, answer, failure),
            };
            let status = got.status;
            if let Some(base) = mission.base.clone() {
                if status == StatusCode::NOT_MODIFIED && !mission.as_asked {
                    match self.validated(flight, &mission, &base, &got).await {
                        Some(entry) => {
                            let valid = Landing::Valid(entry);
                            return land(flight, answer, valid, got.inside, Some(304));
                        }
                        None => {
                            mission.base = None;
                            continue;
                        }
                    }
                }
                if is_failure(status) && base.on_error {
                    let stale = Landing::Stale(base.entry, Some(status.as_u16()));
                    return land(flight, answer, stale, got.inside, Some(status.as_u16()));
                }
            }
            return self.arrived(flight, &mission, answer, got, content).await;
        }
        let failure = Failure::new(FailureKind::Protocol, "", "304 to a request without condition");
        self.failed(flight, &mission, answer, failure);
    }

    async fn fresh_after_all(
        &self,
        flight: &Flight<S::Reader>,
        mission: &Mission,
    ) -> Option<Entry> {
        let entries = self.shelf.find(&flight.key).await;
        let now = self.now();
        entries.into_iter().find(|entry| {
            let stored = &entry.stored;
            stored.selects(&mission.wanted.fields)
                && is_reusable(&mission.wanted.fields, stored, &mission.site, mission.rule, now)
        })
    }

    async fn ask(&self, mission: &Mission) -> Result<(Got, Body), Failure> {
        let wanted = &mission.wanted;
        let mut fields = wanted.fields.clone();
        if !mission.as_asked {
            make_plain(&mut fields);
            if let Some(base) = &mission.base {
                make_conditional(&mut fields, &base.entry.stored);
            }
        }
        let unasked = Unasked::of(&fields);
        let mut request = Request::new(Body::empty());
        *request.method_mut() = if mission.as_asked { wanted.method.clone() } else { Method::GET };
        *request.uri_mut() = wanted.uri.clone();
        *request.headers_mut() = fields;
        if let Some(ahead) = &wanted.ahead {
            request.extensions_mut().insert(ahead.clone());
        }
        self.prepare(&mut request, wanted.version);
        let (got, content) = self.exchange(&mission.site, request).await?;
        unasked.check(got.status)?;
        Ok((got, content))
    }

    /// Makes a client's request one to the next tier.
    pub(crate) fn prepare(&self, request: &mut Request<Body>, version: http::Version) {
        let host = request.uri().host().and_then(|host| HeaderValue::from_str(host).ok());
        let fields = request.headers_mut();
        hop::strip(fields);
        fields.remove(header::EXPECT);
        if self.shelf.codes() {
            // The origin judges by its own tags.
            unmark(fields);
        }
        if let Some(host) = host {
            fields.insert(header::HOST, host);
        }
        chain::add_via(fields, version, &self.settings.name);
    }

    /// The next tier's answer to `request`, with its `popnet-*` fields apart.
    pub(crate) async fn exchange(
        &self,
        site: &Arc<SiteSheet>,
        request: Request<Body>,
    ) -> Result<(Got, Body), Failure> {
        let requested = self.now();
        let (head, content) = self.upstream.fetch(site, request).await?.into_parts();
        let received = self.now();
        let mut fields = head.headers;
        let mut inside = hop::take_internal(&mut fields);
        for value in fields.get_all(dress::CACHE_STATUS) {
            // What the next tier says of this exchange goes out with it, and is not stored.
            inside.append(dress::CACHE_STATUS, value.clone());
        }
        hop::strip(&mut fields);
        let (status, length) = (head.status, content.length());
        Ok((Got { status, fields, length, inside, requested, received }, content))
    }

    fn failed(
        &self,
        flight: &Flight<S::Reader>,
        mission: &Mission,
        answer: Answering<S::Reader>,
        failure: Failure,
    ) {
        tracing::debug!(key = %flight.key, %failure, "fetch failed");
        let landing = match &mission.base {
            Some(base) if base.on_error => Landing::Stale(base.entry.clone(), None),
            Some(_) | None => Landing::Failed(failure),
        };
        self.absences.remember(&flight.key, CacheReason::RespOriginError, self.now());
        land(flight, answer, landing, HeaderMap::new(), None);
    }

    /// The stored response after a 304; `None` when it is no longer there or not the one meant.
    async fn validated(
        &self,
        flight: &Flight<S::Reader>,
        mission: &Mission,
        base: &Base,
        got: &Got,
    ) -> Option<Entry> {
        let fields = &got.fields;
        let old = &base.entry.stored;
        let kept = Kept { site: &mission.site, rule: mission.rule };
        let Some(new) = freshened(old, fields, &kept, got.requested, got.received) else {
            self.shelf.remove(base.entry.id).await;
            return None;
        };
        let _storing = self.storing.read().await;
        if flight.is_purged() {
            return None;
        }
        self.shelf.freshen(base.entry.id, new).await.ok()
    }

    async fn arrived(
        &self,
        flight: &Arc<Flight<S::Reader>>,
        mission: &Mission,
        answer: Answering<S::Reader>,
        mut got: Got,
        content: Body,
    ) {
        let stored = match self.plan(flight, mission, &got).await {
            Plan::Store(stored) => *stored,
            Plan::Pass(reason) => {
                return self.passed(flight, mission, answer, (got, content), reason).await;
            }
        };
        let writer = match self.shelf.begin(stored.clone()).await {
            Ok(writer) => writer,
            Err(error) => {
                let reason = refused(&error);
                return self.passed(flight, mission, answer, (got, content), reason).await;
            }
        };
        for name in &stored.policy.withheld {
            // Not for the store, but for the one who asked, unless the site wants it gone.
            let gone = name == "set-cookie" && mission.rule.set_cookie == SetCookie::Strip;
            for value in got.fields.get_all(name.as_str()).iter().filter(|_| !gone) {
                if let Ok(name) = HeaderName::try_from(name) {
                    got.inside.append(name, value.clone());
                }
            }
        }
        let fill = Arc::new(Fill::new(Arc::new(stored), writer.reader()));
        let status = got.status.as_u16();
        let landing = Landing::Fill(Arc::clone(&fill));
        land(flight, answer, landing, got.inside, Some(status));
        let most = mission.site.cache.max_object;
        self.pump(flight, &fill, writer, content, most).await;
    }

    async fn plan(&self, flight: &Flight<S::Reader>, mission: &Mission, got: &Got) -> Plan {
        // A part or a 304 answers the client's own question, and a HEAD's answer has no content.
        let status = got.status;
        if mission.as_asked
            && (mission.wanted.method != Method::GET || status == StatusCode::NOT_MODIFIED)
        {
            return Plan::Pass(CacheReason::RespStatus);
        }
        let entries = self.shelf.find(&flight.key).await;
        let is_part = status == StatusCode::PARTIAL_CONTENT;
        let others = entries.iter().map(|entry| &entry.stored).filter(|stored| {
            stored.is_part() == is_part && !stored.selects(&mission.wanted.fields)
        });
        let kept = Kept { site: &mission.site, rule: mission.rule };
        let length = got.length;
        if !mission.may_store && length.is_none() {
            // The last time it proved too large on the way.
            return Plan::Pass(CacheReason::RespTooLarge);
        }
        storable(
            &kept,
            &Arrived {
                key: flight.key.clone(),
                request: &mission.wanted.fields,
                status,
                fields: &got.fields,
                length,
                requested: got.requested,
                received: got.received,
                variants: u32::try_from(others.count()).unwrap_or(u32::MAX),
            },
        )
    }

    /// Hands a response that is not stored to the one who asked, and lets the others go.
    async fn passed(
        &self,
        flight: &Flight<S::Reader>,
        mission: &Mission,
        answer: Answering<S::Reader>,
        (mut got, content): (Got, Body),
        reason: CacheReason,
    ) {
        let status = got.status;
        if let Some(base) = &mission.base
            && !mission.as_asked
            && !status.is_server_error()
        {
            // RFC 9111 4.3.3: a full answer takes the place of what was to be validated.
            self.shelf.remove(base.entry.id).await;
        }
        let partial = matches!(status, StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT);
        if !(mission.as_asked && (partial || mission.wanted.method == Method::HEAD)) {
            // Such an answer tells nothing about the whole.
            // Nor does an error page, whatever its own fields say.
            let failed = status.is_server_error();
            let lasting = if failed { CacheReason::RespOriginError } else { reason };
            self.absences.remember(&flight.key, lasting, self.now());
        }
        flight.land(Landing::Released(reason));
        let inside = std::mem::take(&mut got.inside);
        let what = What::Own(Box::new(got.with(content)), reason);
        // If the client has gone, nobody needs it.
        let _ = answer.send(Brought { what, inside, status: Some(status.as_u16()) });
    }

    /// Brings the content onto the shelf and to everybody who follows.
    pub(crate) async fn pump(
        &self,
        flight: &Arc<Flight<S::Reader>>,
        fill: &Arc<Fill<S::Reader>>,
        mut writer: S::Writer,
        mut content: Body,
        most: u64,
    ) {
        let mut taken: u64 = 0;
        // The last piece is shown when the whole can be found: who has all of it and asks again
        // gets a hit.
        let mut last = 0;
        loop {
            let piece = match content.next().await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(failure) => {
                    tracing::debug!(key = %flight.key, %failure, "content broke off");
                    let now = self.now();
                    self.absences.remember(&flight.key, CacheReason::RespIncomplete, now);
                    self.flights.remove(flight);
                    return fill.broken(failure);
                }
            };
            let size = piece.len();
            let fits = taken.saturating_add(size as u64) <= most;
            let put = if fits { writer.append(piece.clone()).await } else { Err(ShelfError::Full) };
            match put {
                Ok(()) => {
                    taken += size as u64;
                    if fill.stored.length == Some(taken) {
                        last = size;
                    } else {
                        fill.grown(size);
                    }
                }
                Err(error) => {
                    let reason = refused(&error);
                    self.absences.remember(&flight.key, reason, self.now());
                    self.flights.remove(flight);
                    return overflow(fill, piece, content).await;
                }
            }
        }
        if fill.stored.length.is_some_and(|length| length != taken) {
            let detail = "content ended before its announced length";
            return fill.broken(Failure::new(FailureKind::Incomplete, "", detail));
        }
        let storing = self.storing.read().await;
        if !flight.is_purged() {
            match writer.finish(taken).await {
                Ok(_) => self.absences.forget(&flight.key),
                Err(error) => {
                    tracing::debug!(key = %flight.key, %error, "not kept");
                    self.absences.remember(&flight.key, refused(&error), self.now());
                }
            }
        }
        drop(storing);
        // Only now: who looked at the shelf too early finds the flight, and who finds no flight
        // looks at the shelf again.
        self.flights.remove(flight);
        fill.grown(last);
        fill.done();
    }
}

/// What the next tier cannot rightly say to a request.
struct Unasked {
    part: bool,
    not_modified: bool,
}

impl Unasked {
    fn of(request: &HeaderMap) -> Self {
        let conditions = [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE];
        Self {
            part: !request.contains_key(header::RANGE),
            not_modified: !conditions.iter().any(|name| request.contains_key(name)),
        }
    }

    /// An answer to a question that was not asked is none: a 304 would pass for a validation, and a
    /// part for the whole.
    fn check(&self, status: StatusCode) -> Result<(), Failure> {
        let what = match status {
            StatusCode::NOT_MODIFIED if self.not_modified => "304 to a request without condition",
            StatusCode::PARTIAL_CONTENT if self.part => "206 to a request without range",
            _ => return Ok(()),
        };
        Err(Failure::new(FailureKind::Protocol, "", what))
    }
}

/// Whether `stored` is fresh at all when it comes: if not, it answers one request at a time.
pub(crate) fn is_ever_fresh(stored: &Stored, site: &SiteSheet, rule: Rule) -> bool {
    let lifetime = stored.policy.lifetime(&site.cache, rule.default_ttl);
    !stored.policy.no_cache && lifetime.is_some_and(|lifetime| lifetime > 0)
}

/// Whether `stored` answers a request with `fields` just now.
pub(crate) fn is_reusable(
    fields: &HeaderMap,
    stored: &Stored,
    site: &SiteSheet,
    rule: Rule,
    now: Timestamp,
) -> bool {
    match reuse(&Wish::of(fields), stored, site, rule, now).verdict {
        Verdict::Reuse | Verdict::ReuseWhileValidating => true,
        Verdict::Validate { .. } => false,
    }
}

/// The rest of a response that the shelf has no room for.
async fn overflow<R: crate::shelf::Reader>(fill: &Fill<R>, piece: bytes::Bytes, mut content: Body) {
    let mut next = Ok(Some(piece));
    loop {
        match next {
            Ok(Some(piece)) => {
                if !fill.overflow(piece).await {
                    let kind = FailureKind::Internal;
                    return fill.broken(Failure::new(kind, "", "nobody reads any more"));
                }
            }
            Ok(None) => return fill.done(),
            Err(failure) => return fill.broken(failure),
        }
        next = content.next().await;
    }
}

fn land<R>(
    flight: &Flight<R>,
    answer: Answering<R>,
    landing: Landing<R>,
    inside: HeaderMap,
    status: Option<u16>,
) {
    flight.land(landing.clone());
    // If the client has gone, the others still have their landing.
    let _ = answer.send(Brought { what: What::Shared(landing), inside, status });
}

/// RFC 5861 4: what counts as an error.
fn is_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

fn refused(error: &ShelfError) -> CacheReason {
    match error {
        ShelfError::Full => CacheReason::RespTooLarge,
        ShelfError::Gone | ShelfError::Broken(_) => CacheReason::NotAdmitted,
    }
}

/// The remaining lifetime and the age of `stored`.
pub(crate) fn figures(stored: &Stored, site: &SiteSheet, rule: Rule, now: Timestamp) -> (i64, u32) {
    let age = freshness::age(stored, now);
    let lifetime = stored.policy.lifetime(&site.cache, rule.default_ttl).unwrap_or(0);
    (i64::from(lifetime) - i64::from(age), age)
}
