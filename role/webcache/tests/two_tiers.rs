//! Two tiers behind each other, over the memory shelf: what comes out is what went in.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response};
use popnet_http::body::Body;
use popnet_http::failure::{Failure, FailureKind};
use popnet_terms::{CacheReason, NodeName, Seconds, Timestamp};
use popnet_tier::upstream::Upstream;
use popnet_tier::{Ask, Settings, Tier, inside};
use popnet_webcache::memory::Memory;
use popnet_wire::logging::CacheResult;
use popnet_wire::sheet::{CacheRules, Masking, SetCookie, SiteSheet};
use sha2::{Digest, Sha256};

const SIZE: usize = 20 << 20;

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(since.as_micros()).unwrap())
}

fn site() -> Arc<SiteSheet> {
    Arc::new(SiteSheet {
        site: "a.test".into(),
        customer: "acme".into(),
        cache: CacheRules {
            default_ttl: Seconds(60),
            max_ttl: Seconds(86_400),
            heuristic: false,
            stale_while_revalidate: Seconds(0),
            stale_if_error: Seconds(0),
            obey: vec!["cache-control".into()],
            query_ignore: Vec::new(),
            query_sort: false,
            vary_limit: 4,
            set_cookie: SetCookie::Bypass,
            tags: Vec::new(),
            max_object: 1 << 30,
        },
        paths: Vec::new(),
        origins: Vec::new(),
        client_ip: Masking::Full,
        certificate: None,
        delivery: Arc::default(),
    })
}

/// An origin with one large file, sent in odd pieces.
struct Origin {
    content: Bytes,
    announced: bool,
    asked: Arc<AtomicUsize>,
}

impl Upstream for Origin {
    async fn fetch(
        &self,
        _site: &Arc<SiteSheet>,
        _request: Request<Body>,
    ) -> Result<Response<Body>, Failure> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        // An origin takes its time, and everybody else comes meanwhile.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let pieces: Vec<Result<http_body::Frame<Bytes>, Failure>> = (0..self.content.len())
            .step_by(77_777)
            .map(|at| {
                let end = self.content.len().min(at + 77_777);
                Ok(http_body::Frame::data(self.content.slice(at..end)))
            })
            .collect();
        let stream = futures_util::stream::iter(pieces);
        let mut response = Response::new(if self.announced {
            Body::whole(self.content.clone())
        } else {
            Body::stream(http_body_util::StreamBody::new(stream))
        });
        let asked = inside::Asked {
            origin: popnet_terms::OriginId { group: "www".into(), server: "east".into() },
            status: 200,
            bytes: None,
        };
        inside::tell_origin(response.headers_mut(), &asked);
        Ok(response)
    }
}

/// The outer tier's way to the inner one.
struct Inner(Arc<Tier<Memory, Origin>>);

impl Upstream for Inner {
    async fn fetch(
        &self,
        site: &Arc<SiteSheet>,
        request: Request<Body>,
    ) -> Result<Response<Body>, Failure> {
        let answer = self.0.serve(Ask { site: Arc::clone(site), request }).await;
        if answer.outcome.result == CacheResult::Error {
            return Err(Failure::new(FailureKind::Protocol, "inner", "no answer"));
        }
        let mut response = answer.response;
        inside::tell(response.headers_mut(), &answer.outcome);
        Ok(response)
    }
}

fn settings(name: &str, reason: CacheReason, result: CacheResult) -> Settings {
    Settings {
        name: name.to_owned(),
        node: NodeName::new("edge1.lab"),
        kind: "mem",
        hit: reason,
        hit_result: result,
        now,
    }
}

fn tiers(content: &Bytes, announced: bool) -> (Arc<Tier<Memory, Inner>>, Arc<AtomicUsize>) {
    let asked = Arc::<AtomicUsize>::default();
    let origin = Origin { content: content.clone(), announced, asked: Arc::clone(&asked) };
    let disk = settings("disk.lab", CacheReason::HitDisk, CacheResult::HitDisk);
    let inner = Tier::new(disk, Memory::new(64 << 20), origin);
    let mem = settings("mem.lab", CacheReason::HitMemory, CacheResult::HitMemory);
    (Tier::new(mem, Memory::new(64 << 20), Inner(inner)), asked)
}

async fn get<U: Upstream>(
    tier: &Arc<Tier<Memory, U>>,
    range: Option<&str>,
) -> (u16, CacheResult, [u8; 32]) {
    let mut request = Request::get("http://a.test/large").body(Body::empty()).unwrap();
    if let Some(range) = range {
        request.headers_mut().insert("range", range.parse().unwrap());
    }
    let answer = tier.serve(Ask { site: site(), request }).await;
    let status = answer.response.status().as_u16();
    let octets = answer.response.into_body().collect(SIZE * 2).await.unwrap();
    (status, answer.outcome.result, Sha256::digest(&octets).into())
}

#[tokio::test]
async fn large_content_is_the_same_at_every_turn() {
    let content: Bytes =
        (0..SIZE).map(|at| u8::try_from(at * 31 / 7 % 253).unwrap()).collect::<Vec<_>>().into();
    let whole: [u8; 32] = Sha256::digest(&content).into();
    for announced in [true, false] {
        let (tier, asked) = tiers(&content, announced);
        let mut clients = Vec::new();
        for _ in 0..8 {
            let tier = Arc::clone(&tier);
            clients.push(tokio::spawn(async move { get(&tier, None).await }));
        }
        for client in clients {
            let (status, _, digest) = client.await.unwrap();
            assert_eq!((status, digest), (200, whole), "announced {announced}");
        }
        assert_eq!(get(&tier, None).await, (200, CacheResult::HitMemory, whole));
        let part: [u8; 32] = Sha256::digest(content.slice(1_000_001..9_000_003)).into();
        let found = get(&tier, Some("bytes=1000001-9000002")).await;
        assert_eq!(found, (206, CacheResult::HitMemory, part));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}

/// Reads all of an answer beside `content`; whether it is the same.
async fn is_same(mut body: Body, content: &Bytes) -> bool {
    let mut at = 0;
    while let Ok(Some(piece)) = body.next().await {
        if content.get(at..at + piece.len()) != Some(&*piece) {
            return false;
        }
        at += piece.len();
    }
    at == content.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_misses_are_one_question() {
    const LENGTH: usize = 10_000_000;
    let content: Bytes =
        (0..LENGTH).map(|at| u8::try_from(at * 31 / 7 % 253).unwrap()).collect::<Vec<_>>().into();
    for announced in [true, false] {
        let (tier, asked) = tiers(&content, announced);
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..1_000 {
            let (tier, content) = (Arc::clone(&tier), content.clone());
            clients.spawn(async move {
                let request = Request::get("http://a.test/large").body(Body::empty()).unwrap();
                let answer = tier.serve(Ask { site: site(), request }).await;
                let forwarded = answer.outcome.forwarded;
                (forwarded, is_same(answer.response.into_body(), &content).await)
            });
        }
        let all = clients.join_all().await;
        assert!(all.iter().all(|(_, same)| *same), "announced {announced}");
        assert_eq!(all.iter().filter(|(forwarded, _)| *forwarded).count(), 1);
        assert_eq!(asked.load(Ordering::SeqCst), 1, "announced {announced}");
    }
}
