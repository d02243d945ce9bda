//! Whatever a response says, nothing is stored or reused that RFC 9111 forbids.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use popnet_cache::key::Key;
use popnet_cache::reuse::{Rule, Verdict, Wish, reuse};
use popnet_cache::storable::{Arrived, Kept, Plan, storable};
use popnet_cache::stored::Stored;
use popnet_cache::validate::freshened;
use popnet_terms::{Seconds, Timestamp};
use popnet_wire::sheet::{CacheRules, Masking, SetCookie, SiteSheet};
use proptest::prelude::*;

fn site(swr: u32, sie: u32, default_ttl: u32) -> SiteSheet {
    SiteSheet {
        site: "a.test".into(),
        customer: "acme".into(),
        cache: CacheRules {
            default_ttl: Seconds(default_ttl),
            max_ttl: Seconds(86_400),
            heuristic: true,
            stale_while_revalidate: Seconds(swr),
            stale_if_error: Seconds(sie),
            obey: vec!["cache-control".into()],
            query_ignore: Vec::new(),
            query_sort: false,
            vary_limit: 8,
            set_cookie: SetCookie::Bypass,
            tags: vec!["surrogate-key".into()],
            max_object: 1 << 30,
        },
        paths: Vec::new(),
        origins: Vec::new(),
        client_ip: Masking::Full,
        certificate: None,
    }
}

fn directive() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("no-store".to_owned()),
        Just("no-cache".to_owned()),
        Just("private".to_owned()),
        Just("public".to_owned()),
        Just("must-revalidate".to_owned()),
        Just("proxy-revalidate".to_owned()),
        Just("max-stale".to_owned()),
        (0u32..200).prop_map(|n| format!("max-age={n}")),
        (0u32..200).prop_map(|n| format!("s-maxage={n}")),
        (0u32..200).prop_map(|n| format!("min-fresh={n}")),
        (0u32..200).prop_map(|n| format!("stale-while-revalidate={n}")),
        (0u32..200).prop_map(|n| format!("stale-if-error={n}")),
        "[ -~]{0,12}",
    ]
}

fn fields(lines: &[(&'static str, String)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in lines {
        if let Ok(value) = HeaderValue::try_from(value) {
            fields.append(HeaderName::from_static(name), value);
        }
    }
    fields
}

fn at(second: i64) -> Timestamp {
    Timestamp((1_700_000_000 + second) * 1_000_000)
}

fn plan(site: &SiteSheet, status: u16, request: &HeaderMap, response: &HeaderMap) -> Plan {
    storable(
        &Kept { site, rule: Rule::of(site, "/") },
        &Arrived {
            key: Key::of("http", "a.test", "/", &site.cache),
            request,
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::OK),
            fields: response,
            length: Some(1),
            requested: at(0),
            received: at(0),
            variants: 0,
        },
    )
}

fn stored(plan: Plan) -> Option<Stored> {
    match plan {
        Plan::Store(stored) => Some(*stored),
        Plan::Pass(_) => None,
    }
}

proptest! {
    #[test]
    fn never_against_the_rules(
        said in prop::collection::vec(directive(), 0..5),
        wished in prop::collection::vec(directive(), 0..3),
        status in prop_oneof![Just(200u16), Just(404), Just(302), Just(206), Just(503)],
        authorised in any::<bool>(),
        age in 0u32..200,
        later in 0i64..400,
        rules in (0u32..50, 0u32..50, 0u32..50),
    ) {
        let site = site(rules.0, rules.1, rules.2);
        let said = said.join(", ");
        let mut request = vec![("cache-control", wished.join(", "))];
        if authorised {
            request.push(("authorization", "Basic x".to_owned()));
        }
        let request = fields(&request);
        let response = fields(&[
            ("cache-control", said.clone()),
            ("age", age.to_string()),
            ("etag", "\"a\"".to_owned()),
        ]);
        let Some(kept) = stored(plan(&site, status, &request, &response)) else { return Ok(()) };
        let has = |word: &str| {
            said.split(',').any(|one| one.trim().split('=').next().unwrap_or("").eq_ignore_ascii_case(word))
        };
        prop_assert!(!has("no-store") && status != 206);
        prop_assert!(!authorised || has("public") || has("s-maxage") || has("must-revalidate"));

        let judged = reuse(&Wish::of(&request), &kept, &site, Rule::of(&site, "/"), at(later));
        let rigid = has("must-revalidate") || has("proxy-revalidate") || has("s-maxage");
        match judged.verdict {
            Verdict::Reuse => {
                prop_assert!(!kept.policy.no_cache);
                prop_assert!(judged.ttl > 0 || !rigid);
            }
            Verdict::ReuseWhileValidating => prop_assert!(!rigid && !kept.policy.no_cache),
            Verdict::Validate { on_error, .. } => prop_assert!(!on_error || !rigid),
        }
        prop_assert!(i64::from(judged.age) >= i64::from(age) + later);
    }

    #[test]
    fn written_down_and_read_again(
        lines in prop::collection::vec(("[a-z]{1,8}", "[ -~]{0,20}"), 0..8),
    ) {
        let site = site(0, 0, 60);
        let mut response = HeaderMap::new();
        for (name, value) in &lines {
            let field = (HeaderName::try_from(name), HeaderValue::try_from(value));
            if let (Ok(name), Ok(value)) = field {
                response.append(name, value);
            }
        }
        if let Some(kept) = stored(plan(&site, 200, &HeaderMap::new(), &response)) {
            let octets = postcard::to_stdvec(&kept).expect("a stored response can be written");
            let _ = freshened(&kept, &response, &Kept { site: &site, rule: Rule::of(&site, "/") }, at(1), at(2));
            prop_assert_eq!(postcard::from_bytes::<Stored>(&octets).expect("and read"), kept);
        }
    }

    #[test]
    fn junk_from_disk_is_no_stored_response(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = postcard::from_bytes::<Stored>(&octets);
    }
}
