//! A made-up network behind a real admin socket: what a configuration daemon would say of three
//! POPs, two customers and one log server.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use popnet_config::Held;
use popnet_runtime::context::{Context, Running};
use popnet_runtime::link::{Handler, Peer, ReplySink, Served, serve_local};
use popnet_runtime::{Authority, clock};
use popnet_terms::{
    Because, CacheReason, CustomerId, Micros, NodeName, PopId, Removed, Role, RttSource, Seconds,
    SiteName, TargetId, Timestamp,
};
use popnet_wire::asking::{Answer, Arrival, Question, RecordKind, Scope, What};
use popnet_wire::control::{Ask, Problem, Reply};
use popnet_wire::explaining::{DnsStory, UrlStory};
use popnet_wire::logging::{
    Access, CacheResult, Candidate, Counter, Decision, Record, Removal, Score,
};
use popnet_wire::purging::{Purge, PurgeId, PurgeReceipt, PurgeState};
use popnet_wire::rollout::{Digest, Epoch, Version};
use popnet_wire::status::{NetworkStatus, NodeStatus, RoleStatus, TargetState, TargetStatus};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) const CONFIG: &str = r#"
[network]
name = "northlight"
schema = 1
domain = "cdn.test"
[masters]
allow = ["ctl1.iad1"]
[pops.fra1]
title = "Frankfurt"
location = { lat = 50.11, lon = 8.68, region = "eu" }
nodes.ns1 = { roles = ["nameserver", "netprobe"], address = ["127.0.0.21"] }
nodes.edge1 = { roles = ["webcache", "webserver"], address = ["127.0.0.22"] }
nodes.log1 = { roles = ["logserver"], address = ["127.0.0.23"] }
[pops.iad1]
title = "Ashburn"
location = { lat = 39.04, lon = -77.49, region = "na" }
nodes.ctl1 = { roles = ["master", "netview"], address = ["127.0.0.1"], listen = { netview = ["LISTEN"] } }
nodes.ns1 = { roles = ["nameserver", "netprobe"], address = ["127.0.0.11"] }
nodes.edge1 = { roles = ["webcache", "webserver"], address = ["127.0.0.12"] }
[pops.nrt1]
title = "Tokyo"
location = { lat = 35.76, lon = 140.39, region = "ap" }
nodes.edge1 = { roles = ["webcache", "webserver"], address = ["127.0.0.32"] }
[customers.acme]
title = "Acme Outdoor"
[customers.globex]
title = "Globex Search"
[origin_groups.acme-www.servers]
west = { address = "127.0.0.41:8000" }
[sites."static.acme.test"]
customer = "acme"
kind = "cached"
origins = "acme-www"
[sites."img.acme.test"]
customer = "acme"
kind = "cached"
origins = "acme-www"
[sites."www.globex.test"]
customer = "globex"
kind = "cached"
origins = "acme-www"
"#;

/// What the fake daemon says; changed while it runs.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// Requests so far at each cache.
    pub(crate) requests: AtomicU64,
    /// The daemon answers nothing.
    pub(crate) mute: AtomicBool,
    /// The log server answers nothing.
    pub(crate) logs_mute: AtomicBool,
    /// Every scope that the log server was asked with other than the network's.
    pub(crate) scopes: std::sync::Mutex<Vec<Scope>>,
}

/// A running NetView over a made-up network.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    pub(crate) world: Arc<World>,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) end: CancellationToken,
    pub(crate) running: Running,
    _served: Served,
    _config: watch::Sender<Arc<Held>>,
}

impl Fake {
    /// Starts it on `port` of the loopback address, or on a free one.
    pub(crate) async fn start(port: u16) -> Self {
        let free = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let dir = tempfile::tempdir().unwrap();
        let end = CancellationToken::new();
        let world = Arc::new(World::default());
        let served = serve_local(
            &dir.path().join("admin.sock"),
            Arc::new(Daemon(world.clone())),
            end.clone(),
        )
        .unwrap();
        let text = CONFIG.replace("LISTEN", &address.to_string());
        let held = Held {
            epoch: Epoch(41),
            digest: Digest([7; 32]),
            network: toml_edit::de::from_str(&text).unwrap(),
            base_dir: dir.path().into(),
        };
        let (sender, config) = watch::channel(Arc::new(held));
        let context = context(dir.path(), &end);
        let running = popnet_netview::start(context, config).await.unwrap();
        Self { address, world, dir, end, running, _served: served, _config: sender }
    }

    /// NetView's folder, where its users are.
    pub(crate) fn users(&self) -> popnet_netview::users::Users {
        popnet_netview::users::Users::open(&self.dir.path().join("netview")).unwrap()
    }
}

fn context(dir: &Path, end: &CancellationToken) -> Context {
    let authority = Authority::create(&dir.join("authority"), "northlight").unwrap();
    Context {
        node: NodeName::new("ctl1.iad1"),
        hostname: "ctl1.iad1.cdn.test".into(),
        domain: "cdn.test".into(),
        state_dir: dir.into(),
        run_dir: dir.into(),
        identity: authority.identity("ctl1.iad1.cdn.test").unwrap(),
        shutdown: end.clone(),
    }
}

struct Daemon(Arc<World>);

impl Handler for Daemon {
    async fn answer(&self, _peer: Peer, ask: Ask, out: ReplySink) {
        if self.0.mute.load(Ordering::Relaxed) {
            out.problem(Problem::new("N0009", "the daemon is out for lunch", "wait")).await;
            return;
        }
        for reply in self.replies(ask) {
            if out.send(reply).await.is_err() {
                return;
            }
        }
    }
}

impl Daemon {
    fn replies(&self, ask: Ask) -> Vec<Reply> {
        match ask {
            Ask::NetworkStatus => vec![Reply::Network(Box::new(self.network()))],
            Ask::History { .. } => vec![Reply::Versions(versions())],
            Ask::PurgeNetwork(order) => {
                let purge = Purge { id: PurgeId(7), at: clock::now(), order };
                let applied = |node: &str, objects| PurgeReceipt {
                    node: NodeName::new(node),
                    state: PurgeState::Applied { objects, took: Micros(1800) },
                };
                let away = PurgeReceipt {
                    node: NodeName::new("edge1.nrt1"),
                    state: PurgeState::Unreachable("connection refused".into()),
                };
                vec![
                    Reply::PurgeStarted(purge),
                    Reply::Receipts(vec![applied("edge1.fra1", 3), applied("edge1.iad1", 1)]),
                    Reply::Receipts(vec![away]),
                ]
            }
            Ask::At(_, inner) => match *inner {
                Ask::Question(question) => self.question(&question),
                Ask::ExplainDns(_) => {
                    vec![Reply::Dns(DnsStory::Steered(Box::new(decision(3, clock::now()))))]
                }
                Ask::ExplainUrl(ask) => vec![Reply::Url(url_story(&ask.host, &ask.path))],
                _ => vec![Reply::Problem(Problem::new("N0009", "not asked in this test", ""))],
            },
            _ => vec![Reply::Problem(Problem::new("N0009", "not asked in this test", ""))],
        }
    }

    fn question(&self, question: &Question) -> Vec<Reply> {
        if self.0.logs_mute.load(Ordering::Relaxed) {
            return vec![Reply::Problem(Problem::new(
                "L0001",
                "log1.fra1: connection refused",
                "",
            ))];
        }
        if question.scope != Scope::Network {
            self.0.scopes.lock().unwrap().push(question.scope.clone());
        }
        let sees = |customer: &CustomerId| match &question.scope {
            Scope::Network => true,
            Scope::Customer(own) => own == customer,
        };
        let requests = self.0.requests.load(Ordering::Relaxed);
        let answer = match &question.what {
            What::Counters { from, to, .. } => Answer::Counters(
                counters(*from, *to, requests).into_iter().filter(|(c, _)| sees(c)).collect(),
            ),
            What::Records { kind: RecordKind::Access, .. } => {
                Answer::Records(accesses().into_iter().filter(|(c, _, _)| sees(c)).collect())
            }
            What::Records { kind: RecordKind::Decision, .. } => {
                Answer::Records(decisions().into_iter().filter(|(c, _, _)| sees(c)).collect())
            }
            What::Records { kind: RecordKind::Event, .. } => Answer::Records(Vec::new()),
            What::Decision { id } => Answer::Records(
                decisions()
                    .into_iter()
                    .filter(|(c, _, record)| {
                        sees(c) && matches!(record, Record::Decision(one) if one.id == *id)
                    })
                    .collect(),
            ),
            What::Completeness => Answer::Completeness(vec![arrival()]),
        };
        vec![Reply::Answer(answer)]
    }

    fn network(&self) -> NetworkStatus {
        let requests = self.0.requests.load(Ordering::Relaxed);
        let up = |name: &str, epoch: u64, roles: Vec<RoleStatus>| {
            let node = NodeStatus {
                node: NodeName::new(name),
                version: "0.1.0".into(),
                pid: 812,
                started: Timestamp(1_794_600_000_000_000),
                epoch: Epoch(epoch),
                digest: Digest([7; 32]),
                purge: PurgeId(6),
                purged: true,
                roles,
            };
            (node.node.clone(), Vec::new(), Ok(node))
        };
        let mut nodes = vec![
            up("ctl1.iad1", 41, vec![]),
            up("ns1.iad1", 41, vec![nameserver(requests)]),
            up("edge1.iad1", 0, caches(requests, 41)),
            up("ns1.fra1", 41, vec![nameserver(requests / 2)]),
            up("edge1.fra1", 0, caches(requests / 3, 40)),
            up("log1.fra1", 41, vec![]),
        ];
        let away = Err("connection refused".to_owned());
        nodes.push((NodeName::new("edge1.nrt1"), vec![Role::Webcache, Role::Webserver], away));
        let roles: [&[Role]; 6] = [
            &[Role::Master, Role::Netview],
            &[Role::Nameserver, Role::Netprobe],
            &[Role::Webcache, Role::Webserver],
            &[Role::Nameserver, Role::Netprobe],
            &[Role::Webcache, Role::Webserver],
            &[Role::Logserver],
        ];
        for (node, roles) in nodes.iter_mut().zip(roles) {
            node.1 = roles.to_vec();
        }
        NetworkStatus { network: "northlight".into(), epoch: Epoch(41), at: clock::now(), nodes }
    }
}

fn nameserver(queries: u64) -> RoleStatus {
    let since = Timestamp(clock::now().0 - 95_000_000);
    let target = |pop: &str, state, load, why: &str| TargetStatus {
        target: TargetId::Pop(PopId::new(pop)),
        state,
        since,
        load,
        why: why.into(),
        seen_by: vec![PopId::new("fra1"), PopId::new("iad1")],
        response: Some(Micros(2300)),
    };
    RoleStatus::Nameserver {
        queries,
        steered: queries,
        dropped: Vec::new(),
        targets: vec![
            target("fra1", TargetState::Degraded, Some(840), "load 0.84, clients are being moved"),
            target("iad1", TargetState::Up, Some(310), ""),
            target("nrt1", TargetState::Down, None, "edge-http: connection refused"),
        ],
    }
}

fn caches(requests: u64, sheet: u64) -> Vec<RoleStatus> {
    let cache = |role, requests, hits| RoleStatus::Cache {
        role,
        requests,
        hits,
        bytes_out: requests * 48_000,
        objects: 1200,
        used: 3 << 30,
        capacity: 48 << 30,
        sheet: Epoch(sheet),
    };
    vec![
        cache(Role::Webcache, requests, requests * 8 / 10),
        cache(Role::Webserver, requests / 5, requests / 8),
    ]
}

fn versions() -> Vec<Version> {
    let version = |epoch, message: &str, ago: i64| Version {
        epoch: Epoch(epoch),
        digest: Digest([u8::try_from(epoch).unwrap(); 32]),
        text: String::new(),
        author: "ada".into(),
        message: message.into(),
        at: Timestamp(clock::now().0 - ago * 60_000_000),
        master: NodeName::new("ctl1.iad1"),
    };
    vec![
        version(41, "static.acme.test: longer TTL", 12),
        version(40, "Tokyo joins <script>alert(1)</script>", 3000),
    ]
}

fn counters(from: i64, to: i64, requests: u64) -> Vec<(CustomerId, Counter)> {
    let now = clock::now().unix_seconds().div_euclid(60);
    let mut rows = Vec::new();
    for minute in from..to.min(now + 1) {
        for (at, (customer, site)) in
            [("acme", "static.acme.test"), ("acme", "img.acme.test"), ("globex", "www.globex.test")]
                .into_iter()
                .enumerate()
        {
            for (where_, pop) in ["iad1", "fra1"].into_iter().enumerate() {
                let wave = ((minute * 7 + i64::try_from(at * 13 + where_ * 5).unwrap()) % 23).abs();
                let base = u64::try_from(400 + wave * 31).unwrap() / u64::try_from(at + 1).unwrap();
                let count = if minute == now { requests } else { base };
                let bad = if minute % 17 == 3 { count / 40 } else { 0 };
                rows.push((
                    CustomerId::new(customer),
                    Counter {
                        minute,
                        site: SiteName::new(site),
                        pop: PopId::new(pop),
                        requests: count,
                        bytes_out: count * 48_000,
                        bytes_in: count * 600,
                        bytes_origin: count * 5_000,
                        hits: count * 91 / 100,
                        hit_bytes: count * 43_000,
                        status: [
                            0,
                            count - count / 12 - bad,
                            count / 20,
                            count / 12 - count / 20,
                            bad,
                        ],
                        queries: count / 9,
                    },
                ));
            }
        }
    }
    rows
}

fn accesses() -> Vec<(CustomerId, NodeName, Record)> {
    let line = |customer: &str, host: &str, path: &str, ago: i64, status, cache, reason| {
        let access = Access {
            ts: Timestamp(clock::now().0 - ago * 1_000_000),
            id: "0191f0a2".into(),
            site: SiteName::new(host),
            client_ip: Some("203.0.113.77".parse().unwrap()),
            method: "GET".into(),
            scheme: "http".into(),
            host: host.into(),
            path: path.into(),
            query: "".into(),
            protocol: "HTTP/1.1".into(),
            status,
            req_bytes: 420,
            resp_bytes: 48_213,
            body_bytes: 47_900,
            duration: Micros(1730),
            ttfb: Micros(400),
            cache,
            reason,
            stored: false,
            age: Some(Seconds(12)),
            ttl: Some(288),
            origin: None,
            origin_bytes: 0,
            aborted: false,
            config: Epoch(41),
        };
        (CustomerId::new(customer), NodeName::new("edge1.iad1"), Record::Access(access))
    };
    use CacheReason::{Expired, HitDisk, HitMemory, NeverSeen};
    vec![
        line("acme", "static.acme.test", "/app.css", 1, 200, CacheResult::HitMemory, HitMemory),
        line("acme", "static.acme.test", "/fonts/a.woff2", 2, 200, CacheResult::HitDisk, HitDisk),
        line(
            "acme",
            "img.acme.test",
            "/<script>alert(1)</script>",
            4,
            404,
            CacheResult::Miss,
            NeverSeen,
        ),
        line("acme", "img.acme.test", "/hero.jpg", 9, 304, CacheResult::Revalidated, Expired),
        line(
            "globex",
            "www.globex.test",
            "/secret-of-globex",
            3,
            200,
            CacheResult::Miss,
            NeverSeen,
        ),
    ]
}

fn decisions() -> Vec<(CustomerId, NodeName, Record)> {
    let now = clock::now();
    let mut rows: Vec<(CustomerId, NodeName, Record)> = (0..12)
        .map(|n| {
            let at = Timestamp(now.0 - i64::try_from(n).unwrap() * 1_700_000);
            let one = decision(0x7f3a_91c2 - n, at);
            (CustomerId::new("acme"), one.ns.clone(), Record::Decision(one))
        })
        .collect();
    let mut foreign = decision(0x0600_d000, Timestamp(now.0 - 2_000_000));
    foreign.site = SiteName::new("www.globex.test");
    foreign.qname = "www.globex.test.".into();
    rows.insert(1, (CustomerId::new("globex"), foreign.ns.clone(), Record::Decision(foreign)));
    rows
}

fn decision(id: u64, ts: Timestamp) -> Decision {
    let score = |rtt: u32, load: u16| Score {
        points: Micros(rtt + u32::from(load) * 12),
        rtt: Micros(rtt),
        rtt_source: RttSource::Measured,
        rtt_age: Some(Seconds(340)),
        rtt_via: None,
        latency: Micros(rtt),
        loss_permille: 0,
        loss: Micros(0),
        load_permille: load,
        load: Micros(u32::from(load) * 12),
        cost: Micros(0),
        penalty: Micros(0),
    };
    let target = |name: &str| name.parse::<TargetId>().unwrap();
    let address: IpAddr = "127.0.0.12".parse().unwrap();
    Decision {
        id,
        ts,
        ns: NodeName::new("ns1.iad1"),
        config: Epoch(41),
        resolver: "198.51.100.53".parse().unwrap(),
        ecs: None,
        client: "198.51.100.0/24".parse().unwrap(),
        qname: "static.acme.test.".into(),
        qtype: 1,
        site: SiteName::new("static.acme.test"),
        policy: "nearest".into(),
        answers: [address].into(),
        ttl: Seconds(20),
        chosen: [target("iad1")].into(),
        because: Because::BestScore,
        margin: Some(Micros(71_400)),
        candidates: [
            Candidate {
                target: target("acme-www/west"),
                removed: None,
                score: Some(score(141_000, 200)),
            },
            Candidate { target: target("fra1"), removed: None, score: Some(score(84_000, 840)) },
            Candidate { target: target("iad1"), removed: None, score: Some(score(8_200, 310)) },
            Candidate {
                target: target("nrt1"),
                removed: Some(Box::new(Removal {
                    reason: Removed::DownProbe,
                    detail: "edge-http: connection refused, 3 in a row".into(),
                    age: Some(Seconds(4)),
                    seen_by: vec![PopId::new("fra1"), PopId::new("iad1")],
                })),
                score: Some(score(160_000, 0)),
            },
        ]
        .into(),
    }
}

fn url_story(host: &str, path: &str) -> UrlStory {
    UrlStory {
        node: NodeName::new("edge1.iad1"),
        tier: "mem".into(),
        site: Some(host.into()),
        key: format!("{host}{path}").into(),
        verdict: "hit".into(),
        reason: CacheReason::HitMemory,
        ttl: Some(288),
        age: Some(12),
        variants: 2,
        not_stored: None,
        checks: vec![("method".into(), "passes".into()), ("stored".into(), "passes".into())],
    }
}

fn arrival() -> Arrival {
    Arrival {
        sender: NodeName::new("edge1.iad1"),
        role: Role::Webcache,
        customer: CustomerId::new("acme"),
        last_seq: 900,
        missing: 0,
        last_at: clock::now(),
        dropped: 0,
        note: "".into(),
    }
}
