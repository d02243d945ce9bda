//! A network of one log server and one sending node, in a folder of its own.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use popnet_config::Held;
use popnet_runtime::link::Link;
use popnet_runtime::ship::{Locate, Shipper};
use popnet_runtime::{Authority, Context, Identity, Running};
use popnet_terms::{CustomerId, Role, Timestamp};
use popnet_wire::asking::{Answer, Arrival, Question, Scope, What};
use popnet_wire::control::{Ask, Reply};
use popnet_wire::logging::{Access, Batch, BatchId, CacheResult, Counter, Decision, Event, Record};
use popnet_wire::rollout::{Digest, Epoch};
use popnet_wire::status::RoleStatus;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) const LOG: &str = "log1.fra1";
pub(crate) const EDGE: &str = "edge1.fra1";

/// The network's folder and port.
pub(crate) struct Lab {
    pub(crate) dir: PathBuf,
    pub(crate) address: SocketAddr,
    _folder: Option<tempfile::TempDir>,
}

/// A log server inside the test.
pub(crate) struct Server {
    pub(crate) shutdown: CancellationToken,
    pub(crate) config: watch::Sender<Arc<Held>>,
    running: Running,
}

impl Server {
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.running.wait().await;
    }
}

impl Lab {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().to_owned();
        let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let authority = Authority::create(&dir.join("authority"), "lab").unwrap();
        for node in [LOG, EDGE, "edge2.fra1"] {
            authority.issue(&hostname(node), &dir.join("identity").join(node)).unwrap();
        }
        std::fs::write(dir.join("address"), address.to_string()).unwrap();
        Self { dir, address, _folder: Some(folder) }
    }

    /// The lab that another process of this test has made.
    pub(crate) fn at(dir: &Path) -> Self {
        let address = std::fs::read_to_string(dir.join("address")).unwrap().parse().unwrap();
        Self { dir: dir.to_owned(), address, _folder: None }
    }

    pub(crate) fn identity(&self, node: &str) -> Identity {
        Identity::load(&self.dir.join("identity").join(node)).unwrap()
    }

    pub(crate) fn context(&self, node: &str) -> Context {
        let run_dir = self.dir.join("run").join(node);
        std::fs::create_dir_all(&run_dir).unwrap();
        Context {
            node: node.into(),
            hostname: hostname(node),
            domain: "cdn.test".into(),
            state_dir: self.dir.join("state").join(node),
            run_dir,
            identity: Arc::new(self.identity(node)),
            shutdown: CancellationToken::new(),
        }
    }

    pub(crate) fn held(&self, customers: &[&str]) -> Arc<Held> {
        let mut text = format!(
            r#"
[network]
name = "lab"
schema = 1
domain = "cdn.test"
[pops.fra1.nodes.edge1]
roles = ["webcache"]
address = ["127.0.0.1"]
[pops.fra1.nodes.edge2]
roles = ["webcache"]
address = ["127.0.0.2"]
[pops.fra1.nodes.log1]
roles = ["logserver"]
address = ["127.0.0.3"]
listen = {{ logs = ["{}"] }}
[logs]
default = ["log1.fra1"]
[customers.elsewhere]
logs = {{ servers = ["edge2.fra1"] }}
"#,
            self.address
        );
        for customer in customers {
            text.push_str(&format!("[customers.{customer}]\ntitle = \"{customer}\"\n"));
        }
        // Not `load`: this network has a log server that is none, on purpose.
        let network = toml_edit::de::from_str(&text).unwrap();
        Arc::new(Held {
            epoch: Epoch(1),
            digest: Digest([0; 32]),
            network,
            base_dir: self.dir.clone(),
        })
    }

    pub(crate) async fn server(&self) -> Server {
        let context = self.context(LOG);
        let (config, receiver) = watch::channel(self.held(&["acme", "globex"]));
        let shutdown = context.shutdown.clone();
        let running = popnet_logserver::start(context, receiver).await.unwrap();
        Server { shutdown, config, running }
    }

    pub(crate) fn locate(&self) -> Locate {
        let place = (self.address, hostname(LOG));
        Arc::new(move |_| {
            let place = place.clone();
            Box::pin(async move { Some(place) })
        })
    }

    pub(crate) fn shipper(&self, locate: Locate) -> Shipper {
        Shipper::start(&self.context(EDGE), Role::Webcache, "fra1".into(), locate, 64 << 20)
            .unwrap()
    }

    pub(crate) fn spool(&self, customer: &str) -> PathBuf {
        self.context(EDGE).role_dir(Role::Webcache).join("spool").join(customer)
    }

    pub(crate) async fn try_ask(&self, ask: &Ask) -> Option<Reply> {
        let socket = self.context(LOG).role_socket(Role::Logserver);
        Link::local(&socket).await.ok()?.ask_one(ask).await.ok()
    }

    pub(crate) async fn question(&self, scope: Scope, what: What) -> Answer {
        match self.try_ask(&Ask::Question(Question { scope, what })).await {
            Some(Reply::Answer(answer)) => answer,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn counters(&self, scope: Scope) -> Vec<(CustomerId, Counter)> {
        let what = What::Counters { from: 0, to: i64::MAX, site: None };
        let Answer::Counters(rows) = self.question(scope, what).await else {
            panic!("counters answer counters")
        };
        rows
    }

    /// Requests and octets sent of one customer.
    pub(crate) async fn sums(&self, customer: &str) -> (u64, u64) {
        let rows = self.counters(Scope::Customer(customer.into())).await;
        rows.iter().fold((0, 0), |sum, (_, row)| (sum.0 + row.requests, sum.1 + row.bytes_out))
    }

    pub(crate) async fn arrivals(&self) -> Vec<Arrival> {
        let whole = self.question(Scope::Network, What::Completeness).await;
        let Answer::Completeness(arrivals) = whole else { panic!("completeness answers itself") };
        arrivals
    }

    pub(crate) async fn dropped(&self, reason: &str) -> u64 {
        match self.try_ask(&Ask::RoleStatus).await {
            Some(Reply::Role(RoleStatus::Logserver { dropped, .. })) => {
                dropped.iter().find(|(of, _)| &**of == reason).map_or(0, |(_, count)| *count)
            }
            other => panic!("{other:?}"),
        }
    }

    /// The numbers of every batch in the customer's raw files.
    pub(crate) fn raw_numbers(&self, customer: &str) -> Vec<u64> {
        let number = |packed: &Vec<u8>| popnet_runtime::ship::unpack(packed).unwrap().id.seq;
        self.raw_entries(customer).iter().map(number).collect()
    }

    /// Every batch in the customer's raw files.
    pub(crate) fn raw_entries(&self, customer: &str) -> Vec<Vec<u8>> {
        let folder = self.context(LOG).role_dir(Role::Logserver).join("raw").join(customer);
        let mut entries = Vec::new();
        for day in std::fs::read_dir(folder).unwrap() {
            for file in std::fs::read_dir(day.unwrap().path()).unwrap() {
                let octets = std::fs::read(file.unwrap().path()).unwrap();
                entries.extend(popnet_logserver::entries(&octets));
            }
        }
        entries
    }
}

/// An hour before the first call: records of this age are kept.
fn hour_ago() -> i64 {
    static BASE: OnceLock<i64> = OnceLock::new();
    *BASE.get_or_init(|| popnet_runtime::clock::now().0 - 3_600_000_000)
}

pub(crate) fn hostname(node: &str) -> String {
    format!("{node}.cdn.test")
}

/// Waits until `done`, at most `at_most`.
pub(crate) async fn until(at_most: Duration, what: &str, mut done: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !done().await {
        assert!(start.elapsed() < at_most, "not within {at_most:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn batch(sender: &str, customer: &str, seq: u64, requests: u64) -> Batch {
    let counter = Counter {
        requests,
        bytes_out: requests * 100,
        ..Counter::new(hour_ago() / 60_000_000, "www.acme.test".into(), "fra1".into())
    };
    Batch {
        id: BatchId { sender: sender.into(), role: Role::Webcache, customer: customer.into(), seq },
        closed: Timestamp(hour_ago() + i64::try_from(seq).unwrap()),
        counters: vec![counter],
        records: vec![access(i64::try_from(seq).unwrap())],
        dropped: 0,
    }
}

pub(crate) fn access(at: i64) -> Record {
    Record::Access(Access {
        ts: Timestamp(hour_ago() + at),
        id: format!("r{at}").into(),
        site: "www.acme.test".into(),
        client_ip: Some("192.0.2.1".parse().unwrap()),
        method: "GET".into(),
        scheme: "http".into(),
        host: "www.acme.test".into(),
        path: "/a/b".into(),
        query: "".into(),
        protocol: "HTTP/1.1".into(),
        status: 200,
        req_bytes: 120,
        resp_bytes: 1_200,
        body_bytes: 1_000,
        duration: popnet_terms::Micros(900),
        ttfb: popnet_terms::Micros(300),
        cache: CacheResult::HitMemory,
        reason: popnet_terms::CacheReason::HitMemory,
        stored: false,
        age: None,
        ttl: None,
        origin: None,
        origin_bytes: 0,
        aborted: false,
        config: Epoch(1),
    })
}

pub(crate) fn decision(at: i64, id: u64) -> Record {
    Record::Decision(Decision {
        id,
        ts: Timestamp(hour_ago() + at),
        ns: "ns1.fra1".into(),
        config: Epoch(1),
        resolver: "192.0.2.53".parse().unwrap(),
        ecs: None,
        client: "192.0.2.0/24".parse().unwrap(),
        qname: "www.acme.test".into(),
        qtype: 1,
        site: "www.acme.test".into(),
        policy: "".into(),
        answers: Vec::new().into(),
        ttl: popnet_terms::Seconds(20),
        chosen: Vec::new().into(),
        because: popnet_terms::Because::BestScore,
        margin: None,
        candidates: Vec::new().into(),
    })
}

pub(crate) fn event(at: i64) -> Record {
    Record::Event(Event {
        ts: Timestamp(hour_ago() + at),
        kind: "origin".into(),
        subject: "www.acme.test".into(),
        from: "up".into(),
        to: "down".into(),
        reason: "refused".into(),
    })
}
