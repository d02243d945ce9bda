//! Values for tests.

use popnet_terms::{CustomerId, NodeName, OriginId, Seconds, SiteName};
use popnet_wire::rollout::{Digest, Epoch};
use popnet_wire::sheet::{CacheRules, Masking, OriginAddress, SetCookie, Sheet, SiteSheet};

pub(crate) fn sheet(epoch: u64) -> Sheet {
    Sheet {
        epoch: Epoch(epoch),
        digest: Digest([0; 32]),
        node: NodeName::new("edge1.fra1"),
        domain: "cdn.test".into(),
        nameservers: Vec::new(),
        sites: vec![site()],
    }
}

pub(crate) fn site() -> SiteSheet {
    let origin = |server: &str| OriginAddress {
        id: OriginId { group: "www".into(), server: server.into() },
        host: "127.0.0.1".into(),
        port: 80,
        tls: false,
    };
    SiteSheet {
        site: SiteName::new("static.acme.test"),
        customer: CustomerId::new("acme"),
        cache: CacheRules {
            default_ttl: Seconds(0),
            max_ttl: Seconds(3600),
            heuristic: false,
            stale_while_revalidate: Seconds(0),
            stale_if_error: Seconds(0),
            obey: vec!["Cache-Control".into()],
            query_ignore: Vec::new(),
            query_sort: false,
            vary_limit: 8,
            set_cookie: SetCookie::Bypass,
            tags: Vec::new(),
            max_object: 1 << 30,
        },
        paths: Vec::new(),
        origins: vec![origin("a"), origin("b"), origin("c")],
        client_ip: Masking::Full,
        certificate: None,
        delivery: std::sync::Arc::default(),
    }
}
