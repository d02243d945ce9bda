//! The way to the POP's disk tier (C2): over a Unix socket when the node has one itself, else over
//! mutually authenticated TLS to another node's. What an origin sent is counted here.

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as Polling, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use popnet_directory::{Directory, Service};
use popnet_http::body::Body;
use popnet_http::client::{Client, Patience, Place, same};
use popnet_http::failure::{Failure, FailureKind};
use popnet_runtime::Context;
use popnet_runtime::ship::Shipper;
use popnet_tier::inside;
use popnet_tier::upstream::Upstream;
use popnet_wire::sheet::SiteSheet;
use rustls::ClientConfig;
use xxhash_rust::xxh3::xxh3_64;

/// The disk tier's socket in the node's run folder.
const SOCKET: &str = "store.sock";

/// A disk tier waits up to half a minute for an origin; it should be the first to give up.
const FIRST_OCTET: Duration = Duration::from_secs(40);

/// Silence in the middle of content, likewise.
const STALL: Duration = Duration::from_secs(40);

/// Exchanges at once with one disk tier: as many as a worker takes connections. How much one origin
/// may hold is limited where it is asked; a small limit here would let one customer's slow origin
/// keep everybody else's misses waiting.
const EXCHANGES: usize = 16_384;

/// How long a disk tier that did not answer is asked last.
const SUSPECT: Duration = Duration::from_secs(5);

/// Forwards to the disk tier.
pub(crate) struct Store {
    directory: Arc<Directory>,
    client: Client,
    socket: PathBuf,
    own: String,
    tls: Arc<ClientConfig>,
    suspects: Mutex<HashMap<String, Instant>>,
    shipper: Option<Shipper>,
}

impl Store {
    pub(crate) fn new(
        context: &Context,
        directory: Arc<Directory>,
        shipper: Option<Shipper>,
    ) -> Self {
        let patience = Patience {
            first_octet: FIRST_OCTET,
            stall: STALL,
            exchanges: EXCHANGES,
            ..Patience::default()
        };
        Self {
            directory,
            client: Client::new(patience),
            socket: context.run_dir.join(SOCKET),
            own: context.hostname.clone(),
            tls: Arc::new(context.identity.client_tls_for(b"http/1.1")),
            suspects: Mutex::default(),
            shipper,
        }
    }

    /// Where to ask for a URL, in order: the node's own disk tier, then the others by a hash that
    /// spreads URLs over them and always names the same one for a URL; those that failed just now
    /// last.
    async fn places(&self, url: &str) -> Vec<Place> {
        let mut places = Vec::new();
        if self.socket.exists() {
            places.push(Place::Unix(self.socket.clone()));
        }
        let mut others = self.directory.stores().await;
        others.retain(|service| places.is_empty() || service.hostname != self.own);
        others.sort_by_cached_key(|service| {
            std::cmp::Reverse(xxh3_64(format!("{} {url}", service.hostname).as_bytes()))
        });
        places.extend(others.iter().map(|service| self.place(service)));
        places.sort_by_key(|place| self.is_suspect(&place.to_string()));
        places
    }

    fn place(&self, service: &Service) -> Place {
        Place::Tls {
            host: service.addr.ip().to_string().into(),
            port: service.addr.port(),
            name: service.hostname.as_str().into(),
            config: Arc::clone(&self.tls),
        }
    }

    fn is_suspect(&self, place: &str) -> bool {
        let suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        suspects.get(place).is_some_and(|since| since.elapsed() < SUSPECT)
    }

    fn suspect(&self, place: &Place) {
        let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        suspects.retain(|_, since| since.elapsed() < SUSPECT);
        suspects.insert(place.to_string(), Instant::now());
    }

    fn counted(&self, site: &SiteSheet, response: Response<Body>) -> Response<Body> {
        let Some(asked) = inside::asked(response.headers()) else { return response };
        let Some(shipper) = self.shipper.clone() else { return response };
        let (customer, name) = (site.customer.clone(), site.site.clone());
        if let Some(bytes) = asked.bytes {
            shipper.count(&customer, &name, |counter| counter.bytes_origin += bytes);
            return response;
        }
        let count = move |octets: u64| {
            shipper.count(&customer, &name, |counter| counter.bytes_origin += octets);
        };
        response
            .map(|body| Body::stream(FromOrigin { body, octets: 0, count: Some(Box::new(count)) }))
    }
}

impl Upstream for Store {
    async fn fetch(
        &self,
        site: &Arc<SiteSheet>,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, Failure> {
        if request.uri().scheme_str() == Some("https") {
            request.headers_mut().insert(inside::SCHEME, HeaderValue::from_static("https"));
        }
        let places = self.places(&request.uri().to_string()).await;
        let repeatable = request.body().is_end_stream()
            && request.method().is_safe()
            && !request.headers().contains_key(header::TRANSFER_ENCODING);
        let mut last = Failure::new(FailureKind::NoServer, "", "the POP has no disk tier");
        for place in &places {
            let content = std::mem::take(request.body_mut());
            match self.client.send(place, same(&request, content)).await {
                Ok(response) => return Ok(self.counted(site, response)),
                Err(failure) => {
                    tracing::debug!(%failure, "disk tier");
                    if failure.kind.is_before_request() {
                        self.suspect(place);
                    }
                    let once_more = repeatable
                        && (failure.kind.is_before_request()
                            || failure.kind == FailureKind::Terminated);
                    last = failure;
                    if !once_more {
                        break;
                    }
                }
            }
        }
        Err(last)
    }
}

/// Content that an origin sent without saying how much: counted when it has ended.
struct FromOrigin {
    body: Body,
    octets: u64,
    count: Option<Count>,
}

type Count = Box<dyn FnOnce(u64) + Send>;

impl HttpBody for FromOrigin {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Polling<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.octets += frame.data_ref().map_or(0, |octets| octets.len() as u64);
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

impl Drop for FromOrigin {
    fn drop(&mut self) {
        if let Some(count) = self.count.take() {
            count(self.octets);
        }
    }
}
