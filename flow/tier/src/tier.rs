//! The way of a request: looks at the shelf, carries out the verdict, makes the answer.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body::Body as _;
use popnet_cache::invalidate::invalidated;
use popnet_cache::key::Key;
use popnet_cache::reuse::{Rule, Verdict, Wish, is_cacheable_request, reuse};
use popnet_cache::status::{Facts, member};
use popnet_cache::stored::Stored;
use popnet_cache::{coding, part, serve};
use popnet_field::hop;
use popnet_field::report::Forwarded;
use popnet_http::body::Body;
use popnet_http::client::has_content;
use popnet_http::failure::Failure;
use popnet_http::interim::Ahead;
use popnet_terms::{CacheReason, NodeName, Timestamp};
use popnet_wire::delivery::Coding;
use popnet_wire::logging::CacheResult;
use popnet_wire::sheet::SiteSheet;
use tokio::sync::RwLock;

use crate::absence::Absences;
use crate::coding::Asked;
use crate::dress::{self, CACHE_STATUS};
use crate::fill::Fill;
use crate::flight::{Boarded, Flight, Flights, Landing, Wanted};
use crate::mission::{Base, Brought, Mission, What, figures, is_ever_fresh, is_reusable};
use crate::outcome::{Answer, Outcome};
use crate::posted::Posted;
use crate::shelf::{Entry, Shelf};
use crate::upstream::Upstream;

/// Who a tier is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name in `Cache-Status` and `Via`, such as `mem.fra1`.
    pub name: String,
    /// Its node.
    pub node: NodeName,
    /// `mem` or `disk`.
    pub kind: &'static str,
    /// The reason of a hit here.
    pub hit: CacheReason,
    /// The result of a hit here.
    pub hit_result: CacheResult,
    /// The clock.
    pub now: fn() -> Timestamp,
}

/// A request for a tier.
#[derive(Debug)]
pub struct Ask {
    /// The site whose rules apply.
    pub site: Arc<SiteSheet>,
    /// The request, with an absolute URI: scheme, host in lower case without port, path.
    pub request: Request<Body>,
}

/// A caching tier.
pub struct Tier<S: Shelf, U> {
    pub(crate) settings: Settings,
    pub(crate) shelf: S,
    pub(crate) upstream: U,
    pub(crate) flights: Flights<S::Reader>,
    pub(crate) absences: Absences,
    /// Held for reading while something becomes findable, for writing while a purge marks what is
    /// under way: nothing slips in between.
    pub(crate) storing: RwLock<()>,
}

/// A request on its way, taken apart.
struct Seeker {
    site: Arc<SiteSheet>,
    rule: Rule,
    key: Key,
    wish: Wish,
    wanted: Wanted,
    /// It goes forward for the part that it asks for.
    part: bool,
    /// The `Range` of the slices that bring this part, where these go forward in its place.
    slices: Option<HeaderValue>,
}

impl Seeker {
    /// As it asks for something stored.
    fn asked(&self) -> Asked<'_> {
        let Self { site, wanted, .. } = self;
        Asked { method: &wanted.method, fields: &wanted.fields, path: wanted.uri.path(), site }
    }

    /// A fetch for everybody, to validate `base` where there is one.
    fn mission(&self, base: Option<Base>) -> Mission {
        let mut wanted = self.wanted.clone();
        if let Some(slices) = self.slices.as_ref().filter(|_| base.is_none()) {
            wanted.fields.insert(header::RANGE, slices.clone());
        }
        Mission {
            site: Arc::clone(&self.site),
            rule: self.rule,
            wanted,
            look_again: base.is_none(),
            as_asked: self.part && base.is_none(),
            base,
            may_store: true,
        }
    }
}

/// How often a request looks again after something moved away under it, before it goes alone.
/// Each look ends the wait for one variant, so this is above the usual limit on those.
const LOOKS_MAX: usize = 10;

impl<S: Shelf, U: Upstream> Tier<S, U> {
    /// A tier over `shelf` in front of `upstream`.
    #[must_use]
    pub fn new(settings: Settings, shelf: S, upstream: U) -> Arc<Self> {
        Arc::new(Self {
            settings,
            shelf,
            upstream,
            flights: Flights::new(),
            absences: Absences::new(),
            storing: RwLock::new(()),
        })
    }

    /// The shelf.
    #[must_use]
    pub fn shelf(&self) -> &S {
        &self.shelf
    }

    /// The next tier.
    #[must_use]
    pub fn upstream(&self) -> &U {
        &self.upstream
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.settings.now)()
    }

    /// What all hits on `stored`, whole, without conditions and with `length` octets of content in
    /// `coding`, have in common: everything but `Age` and `Cache-Status`. `None` where more
    /// differs. `varies`: there may be codings of it.
    #[must_use]
    pub fn common(
        &self,
        stored: &Stored,
        length: u64,
        (coding, varies): (Option<Coding>, bool),
    ) -> Option<(StatusCode, HeaderMap)> {
        let (get, plain) = (Method::GET, HeaderMap::new());
        let made = match coding {
            Some(coding) => serve::coded(&get, &plain, stored, coding, Some(length)),
            None => serve::answer(&get, &plain, stored, Some(length)),
        };
        let mut fields = made.fields;
        if varies {
            coding::vary(&mut fields);
        }
        let is_dated = fields.contains_key(header::DATE) && !fields.contains_key(&CACHE_STATUS);
        dress::add_via(&mut fields, &self.settings.name);
        (is_dated && made.octets == Some(0..length)).then_some((made.status, fields))
    }

    /// `Cache-Status` of such a hit.
    #[must_use]
    pub fn hit_status(&self, ttl: i64) -> String {
        let hit = Outcome::new(self.settings.hit_result, self.settings.hit);
        member(&self.facts(&Outcome { ttl: Some(ttl), ..hit }, None, 200))
    }

    fn facts(&self, outcome: &Outcome, forward_status: Option<u16>, status: u16) -> Facts<'_> {
        Facts {
            cache: &self.settings.name,
            reason: outcome.reason,
            forwarded: outcome.went,
            forward_status,
            status,
            stored: outcome.stored,
            collapsed: outcome.collapsed,
            ttl: outcome.ttl,
        }
    }

    /// Answers a request.
    pub async fn serve(self: &Arc<Self>, ask: Ask) -> Answer {
        let Ask { site, mut request } = ask;
        let rule = Rule::of(&site, request.uri().path());
        let key = key_of(&request, &site);
        let has_content = has_content(&request) || !request.body().is_end_stream();
        // Before anything is selected by a field: a client names in `Connection` what it likes, and
        // a variant must be that of the request which goes forward.
        hop::strip(request.headers_mut());
        if let Err(reason) = is_cacheable_request(request.method(), has_content, rule) {
            return self.bypass((&site, rule, &key), request, reason).await;
        }
        if request.method() != Method::GET {
            // RFC 9110 14.2: a range is of a GET.
            request.headers_mut().remove(header::RANGE);
        }
        let ahead = Ahead::of(&request);
        let (head, _) = request.into_parts();
        let seeker = Seeker {
            wish: Wish::of(&head.headers),
            part: part::is_wanted(&head.headers),
            slices: part::slices(&head.headers).filter(|_| head.method == Method::GET),
            wanted: Wanted {
                uri: head.uri,
                method: head.method,
                version: head.version,
                fields: head.headers,
                ahead,
            },
            site,
            rule,
            key,
        };
        Box::pin(self.seek(&seeker)).await
    }

    /// Passes on what no cache answers, and notes what it changes (RFC 9111 section 4.4).
    async fn bypass(
        self: &Arc<Self>,
        (site, rule, key): (&Arc<SiteSheet>, Rule, &Key),
        mut request: Request<Body>,
        reason: CacheReason,
    ) -> Answer {
        let method = request.method().clone();
        let posted = Posted::of(self, (site, rule, key), &request);
        let version = request.version();
        self.prepare(&mut request, version);
        let mut outcome = Outcome::onward(CacheResult::Bypass, reason, false);
        outcome.forwarded = true;
        match self.exchange(site, request).await {
            Ok((mut got, mut content)) => {
                let status = got.status;
                let keys = invalidated(&method, key, status, &got.fields, &site.cache);
                let own = posted.as_ref().map(|posted| &*posted.flight);
                self.invalidate(&keys, own).await;
                outcome.inside = std::mem::take(&mut got.inside);
                if let Some(posted) = posted {
                    (content, outcome.stored) = posted.answered(&got, content).await;
                }
                self.dressed(got.with(content), outcome, Some(status.as_u16()))
            }
            Err(failure) => self.error(&failure, outcome),
        }
    }

    async fn seek(self: &Arc<Self>, seeker: &Seeker) -> Answer {
        for look in 0..LOOKS_MAX {
            if look > 0 && seeker.slices.is_some() {
                // They brought nothing that answers it: as it was asked for, then.
                break;
            }
            let entries = self.shelf.find(&seeker.key).await;
            let selected = entries.iter().find(|entry| entry.stored.selects(&seeker.wanted.fields));
            let Some(entry) = selected else {
                let (parts, others): (Vec<_>, Vec<_>) =
                    entries.iter().partition(|entry| entry.stored.is_part());
                let mut reason = self.why_absent(&seeker.key, !others.is_empty());
                if reason == CacheReason::NeverSeen && !parts.is_empty() {
                    reason = CacheReason::ReqRange;
                }
                if let Some(answer) = self.missed(seeker, reason).await {
                    return answer;
                }
                continue;
            };
            let now = self.now();
            let judged = reuse(&seeker.wish, &entry.stored, &seeker.site, seeker.rule, now);
            let served = match judged.verdict {
                Verdict::Reuse => self.hit(seeker, entry, false).await,
                Verdict::ReuseWhileValidating => {
                    self.validate_meanwhile(seeker, entry);
                    self.hit(seeker, entry, true).await
                }
                Verdict::Validate { reason, on_error } => {
                    let base = Base { entry: entry.clone(), on_error };
                    self.stale(seeker, base, reason).await
                }
            };
            if let Some(answer) = served {
                return answer;
            }
        }
        self.alone(seeker, CacheReason::NotAdmitted).await
    }

    pub(crate) fn why_absent(&self, key: &Key, other_variants: bool) -> CacheReason {
        if other_variants {
            return CacheReason::NewVariant;
        }
        match self.absences.recall(key, self.now()).map(|absence| absence.reason) {
            Some(CacheReason::Purged) => CacheReason::Purged,
            Some(_) | None if self.shelf.evicted(key) => CacheReason::Evicted,
            Some(_) | None => CacheReason::NeverSeen,
        }
    }

    /// Serves what is stored; `None` when it has gone meanwhile.
    async fn hit(&self, seeker: &Seeker, entry: &Entry, stale: bool) -> Option<Answer> {
        let outcome = if stale {
            Outcome::new(CacheResult::Stale, CacheReason::StaleRevalidating)
        } else {
            Outcome::new(self.settings.hit_result, self.settings.hit)
        };
        self.serve_stored(seeker, entry, outcome, None).await
    }

    async fn missed(self: &Arc<Self>, seeker: &Seeker, reason: CacheReason) -> Option<Answer> {
        if seeker.wish.only_if_cached() {
            return Some(self.not_cached(reason));
        }
        let absence = self.absences.recall(&seeker.key, self.now());
        let unstorable = absence.is_some_and(|absence| absence.is_unstorable());
        if seeker.wanted.method == Method::HEAD || seeker.wish.no_store() || unstorable {
            return Some(self.alone(seeker, reason).await);
        }
        self.share(seeker, None, reason).await
    }

    async fn stale(
        self: &Arc<Self>,
        seeker: &Seeker,
        base: Base,
        reason: CacheReason,
    ) -> Option<Answer> {
        if seeker.wish.only_if_cached() {
            return Some(self.not_cached(reason));
        }
        if seeker.wish.no_store() {
            return Some(self.alone(seeker, CacheReason::ReqNoStore).await);
        }
        if !is_ever_fresh(&base.entry.stored, &seeker.site, seeker.rule) {
            // One validation counts for one request: waiting for another's would be for nothing.
            let site = &seeker.site;
            let flight = self.flights.alone(&seeker.key, &site.site, &site.customer);
            let mission = seeker.mission(Some(base));
            let brought = self.launch(flight, mission).await.ok()?;
            let outcome = Outcome::onward(CacheResult::Miss, reason, true);
            return self.brought(seeker, brought, outcome).await;
        }
        self.share(seeker, Some(base), reason).await
    }

    /// Waits for one fetch together with everybody else who wants the same.
    async fn share(
        self: &Arc<Self>,
        seeker: &Seeker,
        base: Option<Base>,
        reason: CacheReason,
    ) -> Option<Answer> {
        let site = &seeker.site;
        let now = self.now();
        let mut outcome = Outcome::onward(CacheResult::Miss, reason, base.is_some());
        let range = seeker.slices.as_ref().or_else(|| seeker.wanted.fields.get(header::RANGE));
        let part = range.filter(|_| seeker.part && base.is_none());
        let boarded = self.flights.board(&seeker.key, (&site.site, &site.customer), part, |fill| {
            fill.stored.selects(&seeker.wanted.fields)
                && fill.is_open_to_all()
                && !part::is_far(&seeker.wanted.fields, fill.arrived(), fill.stored.length)
                && is_reusable(&seeker.wanted.fields, &fill.stored, site, seeker.rule, now)
        });
        match boarded {
            Boarded::First(flight) => {
                let is_sliced = base.is_none() && seeker.slices.is_some();
                let mut brought = self.launch(flight, seeker.mission(base)).await.ok()?;
                if is_sliced {
                    brought = brought.cut(&seeker.wanted.fields)?;
                }
                self.brought(seeker, brought, outcome).await
            }
            Boarded::With(flight) => {
                let landing = flight.landing().await;
                if !self.is_for_others(seeker, &landing) {
                    return Some(Box::pin(self.alone(seeker, reason)).await);
                }
                outcome.collapsed = true;
                self.landed(seeker, landing, outcome, None).await
            }
        }
    }

    /// Whether what another request's fetch brought may answer this one: a response that must be
    /// validated for each request (RFC 9111 section 4) is only for the one that asked.
    fn is_for_others(&self, seeker: &Seeker, landing: &Landing<S::Reader>) -> bool {
        let stored = match landing {
            Landing::Fill(fill) => &fill.stored,
            Landing::Valid(entry) => &entry.stored,
            Landing::Stale(..) | Landing::Failed(_) | Landing::Released(_) => return true,
        };
        // Another variant is looked for again, not fetched at once. What the request itself wishes
        // does not count: an answer that comes while it waits is as good as validated for it.
        let nothing = HeaderMap::new();
        !stored.selects(&seeker.wanted.fields)
            || is_reusable(&nothing, stored, &seeker.site, seeker.rule, self.now())
    }

    /// A fetch for this request only.
    async fn alone(self: &Arc<Self>, seeker: &Seeker, reason: CacheReason) -> Answer {
        let site = &seeker.site;
        let absence = self.absences.recall(&seeker.key, self.now());
        let too_large = absence.is_some_and(|absence| {
            absence.is_unstorable() && absence.reason == CacheReason::RespTooLarge
        });
        let flight = self.flights.alone(&seeker.key, &site.site, &site.customer);
        let mission = Mission {
            site: Arc::clone(site),
            rule: seeker.rule,
            wanted: seeker.wanted.clone(),
            base: None,
            as_asked: true,
            may_store: !too_large,
            look_again: false,
        };
        let answer = match self.launch(flight, mission).await {
            Ok(brought) => {
                let outcome = Outcome::onward(CacheResult::Miss, reason, false);
                self.brought(seeker, brought, outcome).await
            }
            Err(_) => None,
        };
        answer.unwrap_or_else(|| {
            let kind = popnet_http::failure::FailureKind::Internal;
            let failure = Failure::new(kind, "", "the fetch ended without an answer");
            self.error(&failure, Outcome::new(CacheResult::Error, CacheReason::RespOriginError))
        })
    }

    async fn brought(
        self: &Arc<Self>,
        seeker: &Seeker,
        brought: Brought<S::Reader>,
        mut outcome: Outcome,
    ) -> Option<Answer> {
        let Brought { what, inside, status } = brought;
        outcome.forwarded = true;
        outcome.inside = inside;
        match what {
            What::Shared(landing) => self.landed(seeker, landing, outcome, status).await,
            What::Own(response, reason) => {
                // The request's own cause comes first: it would have gone forward in any case.
                let own = matches!(outcome.reason, CacheReason::ReqNoStore);
                outcome.reason = if own { outcome.reason } else { reason };
                Some(self.dressed(*response, outcome, status))
            }
        }
    }

    async fn landed(
        self: &Arc<Self>,
        seeker: &Seeker,
        landing: Landing<S::Reader>,
        mut outcome: Outcome,
        status: Option<u16>,
    ) -> Option<Answer> {
        match landing {
            Landing::Fill(fill) => self.serve_arriving(seeker, &fill, outcome, status),
            Landing::Valid(entry) => {
                if !entry.stored.selects(&seeker.wanted.fields) {
                    return None;
                }
                if status.is_none() && !outcome.collapsed {
                    // Another fetch had just brought it.
                    outcome = Outcome::new(self.settings.hit_result, self.settings.hit);
                } else {
                    outcome.result = CacheResult::Revalidated;
                }
                self.serve_stored(seeker, &entry, outcome, status).await
            }
            Landing::Stale(entry, failed_with) => {
                if !entry.stored.selects(&seeker.wanted.fields) {
                    return None;
                }
                outcome.result = CacheResult::Stale;
                outcome.reason = CacheReason::StaleOnError;
                outcome.went = Some(Forwarded::Stale);
                self.serve_stored(seeker, &entry, outcome, failed_with).await
            }
            Landing::Failed(failure) => Some(self.error(&failure, outcome)),
            Landing::Released(reason) => Some(Box::pin(self.alone(seeker, reason)).await),
        }
    }

    async fn serve_stored(
        &self,
        seeker: &Seeker,
        entry: &Entry,
        mut outcome: Outcome,
        status: Option<u16>,
    ) -> Option<Answer> {
        let (made, body) = self.represented(&seeker.asked(), entry).await?;
        self.note(&mut outcome, seeker, &entry.stored);
        Some(self.finished(made, body, outcome, status))
    }

    fn serve_arriving(
        &self,
        seeker: &Seeker,
        fill: &Arc<Fill<S::Reader>>,
        mut outcome: Outcome,
        status: Option<u16>,
    ) -> Option<Answer> {
        let stored = &fill.stored;
        if !stored.selects(&seeker.wanted.fields) {
            return None;
        }
        let made = self.arriving(&seeker.asked(), stored);
        let body = match made.octets.clone() {
            None => Body::empty(),
            Some(octets) => fill.body(octets)?,
        };
        outcome.stored = !outcome.collapsed;
        self.note(&mut outcome, seeker, stored);
        Some(self.finished(made, body, outcome, status))
    }

    fn note(&self, outcome: &mut Outcome, seeker: &Seeker, stored: &Stored) {
        let (ttl, age) = figures(stored, &seeker.site, seeker.rule, self.now());
        outcome.ttl = Some(ttl);
        outcome.age = Some(age);
    }

    fn finished(
        &self,
        made: serve::Answer,
        body: Body,
        outcome: Outcome,
        status: Option<u16>,
    ) -> Answer {
        let mut response = http::Response::new(body);
        *response.status_mut() = made.status;
        *response.headers_mut() = made.fields;
        let fields = response.headers_mut();
        let own = outcome.inside.iter();
        let own: Vec<_> = own
            .filter(|(name, _)| !hop::is_internal(name) && !fields.contains_key(*name))
            .collect();
        for (name, value) in own {
            fields.append(name.clone(), value.clone());
        }
        self.dressed(response, outcome, status)
    }

    fn dressed(
        &self,
        mut response: http::Response<Body>,
        outcome: Outcome,
        forward_status: Option<u16>,
    ) -> Answer {
        let facts = self.facts(&outcome, forward_status, response.status().as_u16());
        dress::dress(response.headers_mut(), &facts, outcome.age, self.now());
        Answer { response, outcome }
    }

    fn error(&self, failure: &Failure, mut outcome: Outcome) -> Answer {
        outcome.result = CacheResult::Error;
        outcome.reason = CacheReason::RespOriginError;
        let response = dress::failed(&self.settings.name, failure);
        self.dressed(response, outcome, None)
    }

    /// RFC 9111 5.2.1.7.
    fn not_cached(&self, reason: CacheReason) -> Answer {
        let what = "The request wants an answer from this cache only, and it has none.";
        let response = dress::page(StatusCode::GATEWAY_TIMEOUT, what);
        self.dressed(response, Outcome::new(CacheResult::Error, reason), None)
    }

    /// Starts a validation in the background unless one is under way (RFC 5861 section 3).
    fn validate_meanwhile(self: &Arc<Self>, seeker: &Seeker, entry: &Entry) {
        let site = &seeker.site;
        if self.flights.is_flying(&seeker.key) {
            return;
        }
        let boarded = self.flights.board(&seeker.key, (&site.site, &site.customer), None, |_| true);
        if let Boarded::First(flight) = boarded {
            let base = Base { entry: entry.clone(), on_error: true };
            let mut mission = seeker.mission(Some(base));
            mission.wanted.ahead = None;
            drop(self.launch(flight, mission));
        }
    }

    /// Forgets what is stored or arriving under `keys`, but not what `own` brings.
    async fn invalidate(&self, keys: &[Key], own: Option<&Flight<S::Reader>>) {
        if keys.is_empty() {
            return;
        }
        let marking = self.storing.write().await;
        let is_own = |flight| own.is_some_and(|own| std::ptr::eq(own, flight));
        self.flights.purge(|flight| keys.contains(&flight.key) && !is_own(flight));
        drop(marking);
        for key in keys {
            for entry in self.shelf.find(key).await {
                self.shelf.remove(entry.id).await;
            }
        }
    }
}

/// The key of a request with an absolute URI.
pub(crate) fn key_of<B>(request: &Request<B>, site: &SiteSheet) -> Key {
    let uri = request.uri();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Key::of(uri.scheme_str().unwrap_or("http"), uri.host().unwrap_or(""), path, &site.cache)
}

/// What a request without anything but `fields` would wish.
pub(crate) fn wish_of(fields: &HeaderMap) -> Wish {
    Wish::of(fields)
}
