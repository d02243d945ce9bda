#![expect(clippy::unwrap_used, reason = "a test")]
//! A node without configuration: finds its sheet and its services by name, and goes on with what
//! it has when everybody falls silent.

mod support;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use popnet_directory::Directory;
use popnet_runtime::link::{Handler, Peer, ReplySink, serve_tls};
use popnet_runtime::{Authority, Context};
use popnet_terms::{CustomerId, NodeName, OriginId, Seconds, SiteName};
use popnet_wire::control::{Ask, Reply};
use popnet_wire::rollout::{Digest, Epoch};
use popnet_wire::sheet::{CacheRules, Masking, OriginAddress, SetCookie, Sheet, SiteSheet};
use support::{Server, Zone};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(8);

/// A node that holds the configuration: hands out its newest sheet, holds the answer back while
/// the asker has it.
struct Holder(watch::Sender<Sheet>);

impl Handler for Holder {
    async fn answer(&self, peer: Peer, ask: Ask, out: ReplySink) {
        assert_eq!(peer, Peer::Node { hostname: "edge1.fra1.cdn.test".into() });
        let Ask::Sheet(ask) = ask else { panic!("only sheets are asked for: {ask:?}") };
        let mut sheets = self.0.subscribe();
        let wait = Duration::from_millis(ask.wait_ms.into());
        let newer = timeout(wait, sheets.wait_for(|sheet| Some(sheet.epoch) != ask.have)).await;
        let sheet = newer.ok().map(|sheet| Box::new(sheet.unwrap().clone()));
        let _ = out.send(Reply::Sheet(sheet)).await;
    }
}

fn sheet(epoch: u64, nameservers: Vec<SocketAddr>) -> Sheet {
    let origin = |server: &str| OriginAddress {
        id: OriginId { group: "www".into(), server: server.into() },
        host: "127.0.0.1".into(),
        port: 80,
        tls: false,
    };
    let cache = CacheRules {
        default_ttl: Seconds(0),
        max_ttl: Seconds(3600),
        heuristic: false,
        stale_while_revalidate: Seconds(0),
        stale_if_error: Seconds(0),
        obey: Vec::new(),
        query_ignore: Vec::new(),
        query_sort: false,
        vary_limit: 8,
        set_cookie: SetCookie::Bypass,
        tags: Vec::new(),
        max_object: 1 << 30,
    };
    let site = SiteSheet {
        site: SiteName::new("static.acme.test"),
        customer: CustomerId::new("acme"),
        cache,
        paths: Vec::new(),
        origins: vec![origin("west"), origin("east")],
        client_ip: Masking::Full,
        certificate: None,
        delivery: Arc::default(),
    };
    Sheet {
        epoch: Epoch(epoch),
        digest: Digest::default(),
        node: NodeName::new("edge1.fra1"),
        domain: "cdn.test".into(),
        nameservers,
        sites: vec![site],
    }
}

fn context(folder: &Path, authority: &Authority) -> Context {
    Context {
        node: NodeName::new("edge1.fra1"),
        hostname: "edge1.fra1.cdn.test".into(),
        domain: "cdn.test".into(),
        state_dir: folder.to_owned(),
        run_dir: folder.to_owned(),
        identity: authority.identity("edge1.fra1.cdn.test").unwrap(),
        shutdown: CancellationToken::new(),
    }
}

fn zone(holder: SocketAddr) -> Zone {
    let mut zone = Zone { ttl: 1, ..Zone::default() };
    let here: IpAddr = "127.0.0.1".parse().unwrap();
    for host in ["ns1.fra1.cdn.test", "gone.fra1.cdn.test", "edge2.fra1.cdn.test"] {
        zone.addresses.insert(host.into(), here);
    }
    let mut service = |name: &str, targets: &[(u16, u16, &str)]| {
        let targets = targets.iter().map(|(p, port, host)| (*p, *port, (*host).into())).collect();
        zone.services.insert(name.into(), targets);
    };
    // The first holder is not there; the second has another name than its certificate.
    service(
        "config.cdn.test",
        &[
            (0, 9, "gone.fra1.cdn.test"),
            (1, holder.port(), "edge2.fra1.cdn.test"),
            (2, holder.port(), "ns1.fra1.cdn.test"),
        ],
    );
    service("store.fra1.cdn.test", &[(5, 7604, "edge2.fra1.cdn.test")]);
    service("log.acme.cdn.test", &[(5, 7603, "ns1.fra1.cdn.test")]);
    service(
        "static.acme.test.origin.fra1.cdn.test",
        &[(2, 80, "west.www.origins.cdn.test"), (1, 80, "east.www.origins.cdn.test")],
    );
    zone
}

fn first_origin(order: &[OriginAddress]) -> &str {
    order.first().map_or("", |origin| &origin.id.server)
}

async fn epoch(directory: &Directory, wanted: u64) {
    let mut sheets = directory.sheet();
    let wait = sheets.wait_for(|sheet| sheet.as_ref().is_some_and(|s| s.epoch == Epoch(wanted)));
    timeout(PATIENCE, wait).await.expect("the sheet comes in time").unwrap();
}

#[tokio::test]
async fn follows_the_network_and_outlives_its_silence() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::create(&folder.path().join("authority"), "lab").unwrap();
    let context = context(&folder.path().join("state"), &authority);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let holder_at = listener.local_addr().unwrap();
    let holder = Arc::new(Holder(watch::Sender::new(sheet(1, Vec::new()))));
    let holder_ends = CancellationToken::new();
    let identity = authority.identity("ns1.fra1.cdn.test").unwrap();
    let served = serve_tls(listener, &identity, Arc::clone(&holder), holder_ends.clone()).unwrap();
    let server = Server::start(zone(holder_at)).await;

    let ends = CancellationToken::new();
    let directory = Directory::dns(&context, vec![server.at], ends.clone()).unwrap();
    epoch(&directory, 1).await;
    holder.0.send_replace(sheet(2, vec![server.at]));
    epoch(&directory, 2).await;

    let site = directory.sheet().borrow().as_ref().unwrap().sites.first().unwrap().clone();
    assert_eq!(first_origin(&directory.origins(&site).await), "east");
    let stores = directory.stores().await;
    let store = stores.first().unwrap();
    assert_eq!((store.hostname.as_str(), store.addr.port()), ("edge2.fra1.cdn.test", 7604));
    let log = directory.log_server(&CustomerId::new("acme")).await.unwrap();
    assert_eq!(log.addr.port(), 7603);
    assert_eq!(directory.log_server(&CustomerId::new("nobody")).await, None);

    // One question for many at the same time, and none while the answer holds.
    let asked = server.zone.lock().unwrap().asked;
    server.zone.lock().unwrap().ttl = 100;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let many = (0..20).map(|_| {
        let (directory, site) = (Arc::clone(&directory), site.clone());
        tokio::spawn(async move { directory.origins(&site).await })
    });
    for order in many.collect::<Vec<_>>() {
        assert_eq!(first_origin(&order.await.unwrap()), "east");
    }
    assert_eq!(server.zone.lock().unwrap().asked, asked + 1);

    // Everybody falls silent, the node starts again: it has its sheet and the configured order.
    ends.cancel();
    holder_ends.cancel();
    served.wait().await;
    let silent = server.at;
    drop(server);
    drop(directory);
    let directory = Directory::dns(&context, vec![silent], CancellationToken::new()).unwrap();
    assert_eq!(directory.sheet().borrow().as_ref().unwrap().epoch, Epoch(2));
    assert_eq!(first_origin(&directory.origins(&site).await), "west");
    assert_eq!(directory.stores().await, []);
}

#[tokio::test]
async fn a_damaged_or_foreign_sheet_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::create(&folder.path().join("authority"), "lab").unwrap();
    let mut context = context(folder.path(), &authority);
    let kept = folder.path().join("directory").join("sheet");
    std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
    std::fs::write(&kept, b"junk").unwrap();
    let silent = vec![SocketAddr::from(([127, 0, 0, 1], 9))];
    let none = Directory::dns(&context, silent.clone(), CancellationToken::new()).unwrap();
    assert!(none.sheet().borrow().is_none());

    // Somebody else's, left by a restored backup of the wrong machine.
    let octets = popnet_wire::frame::encode(
        popnet_wire::frame::Conversation::Control,
        &sheet(3, Vec::new()),
    );
    let kind = popnet_runtime::files::Kind { name: *b"SHET", version: 1 };
    popnet_runtime::files::write_framed(&kept, kind, &octets).unwrap();
    context.node = NodeName::new("edge9.fra1");
    let none = Directory::dns(&context, silent, CancellationToken::new()).unwrap();
    assert!(none.sheet().borrow().is_none());
}
