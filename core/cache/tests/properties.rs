//! Whatever a response says, nothing is stored or reused that RFC 9111 forbids.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use popnet_cache::invalidate::invalidated;
use popnet_cache::key::Key;
use popnet_cache::reuse::{Rule, Verdict, Wish, reuse};
use popnet_cache::serve;
use popnet_cache::storable::{Arrived, Kept, Plan, storable};
use popnet_cache::stored::Stored;
use popnet_cache::validate::freshened;
use popnet_cache::vary::Variant;
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
        delivery: std::sync::Arc::default(),
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

fn arrived<'a>(
    site: &SiteSheet,
    status: u16,
    request: &'a HeaderMap,
    response: &'a HeaderMap,
) -> Arrived<'a> {
    Arrived {
        key: Key::of("http", "a.test", "/", &site.cache),
        request,
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::OK),
        fields: response,
        length: Some(1),
        requested: at(0),
        received: at(0),
        variants: 0,
    }
}

fn plan(site: &SiteSheet, status: u16, request: &HeaderMap, response: &HeaderMap) -> Plan {
    let kept = Kept { site, rule: Rule::of(site, "/") };
    storable(&kept, &arrived(site, status, request, response))
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

    #[test]
    fn age_never_falls_and_s_maxage_comes_first(
        age in 0u32..100,
        (all, shared) in (0u32..300, prop::option::of(1u32..300)),
        times in prop::collection::vec(0i64..400, 2..6),
    ) {
        let site = site(0, 0, 0);
        let shared_text = shared.map_or_else(String::new, |shared| format!(", s-maxage={shared}"));
        let response = fields(&[
            ("cache-control", format!("max-age={all}{shared_text}")),
            ("age", age.to_string()),
            ("etag", "\"a\"".to_owned()),
        ]);
        let kept = stored(plan(&site, 200, &HeaderMap::new(), &response)).expect("it has a tag");
        let mut times = times;
        times.sort_unstable();
        let mut last = 0;
        for later in times {
            let rule = Rule::of(&site, "/");
            let judged = reuse(&Wish::default(), &kept, &site, rule, at(later));
            prop_assert!(judged.age >= last);
            last = judged.age;
            let lifetime = i64::from(shared.unwrap_or(all));
            prop_assert_eq!(judged.ttl, lifetime - i64::from(judged.age));
            prop_assert_eq!(judged.verdict == Verdict::Reuse, judged.ttl > 0);
        }
    }

    #[test]
    fn only_what_is_the_same_in_every_named_field_is_selected(
        names in prop::collection::vec(prop_oneof![Just("x-a"), Just("x-b"), Just("x-c")], 0..4),
        first in prop::collection::vec(prop::option::of("[a-c]{0,2}"), 3),
        second in prop::collection::vec(prop::option::of("[a-c]{0,2}"), 3),
    ) {
        let site = site(0, 0, 60);
        let request = |values: &[Option<String>]| {
            let lines: Vec<_> = ["x-a", "x-b", "x-c"].into_iter().zip(values)
                .filter_map(|(name, value)| Some((name, value.clone()?)))
                .collect();
            fields(&lines)
        };
        let response = fields(&[("vary", names.join(", "))]);
        let (asked, again) = (request(&first), request(&second));
        let kept = stored(plan(&site, 200, &asked, &response)).expect("it is fresh for a minute");
        prop_assert!(kept.selects(&asked));
        let same = names.iter().all(|name| asked.get(*name) == again.get(*name));
        prop_assert_eq!(kept.selects(&again), same);
        let variant: &Variant = &kept.variant;
        prop_assert_eq!(variant.selects(&again), same);
    }

    #[test]
    fn withheld_fields_are_in_no_store_and_come_back_by_no_304(
        word in prop_oneof![Just("private"), Just("no-cache")],
        others in prop::collection::vec(directive(), 0..3),
    ) {
        let site = site(0, 0, 60);
        let said = format!("{word}=\"x-own, X-Other\", {}", others.join(", "));
        let response = fields(&[
            ("cache-control", said),
            ("x-own", "1".to_owned()),
            ("x-other", "2".to_owned()),
            ("x-third", "3".to_owned()),
            ("etag", "\"a\"".to_owned()),
        ]);
        let Some(kept) = stored(plan(&site, 200, &HeaderMap::new(), &response)) else {
            return Ok(());
        };
        if kept.policy.no_cache {
            // Said without field names as well, it means all of the response.
            return Ok(());
        }
        let rules = Kept { site: &site, rule: Rule::of(&site, "/") };
        let news = freshened(&kept, &response, &rules, at(1), at(2));
        for stored in [Some(kept), news].into_iter().flatten() {
            prop_assert!(stored.fields.0.contains_key("x-third"));
            prop_assert!(!stored.fields.0.contains_key("x-own"));
            prop_assert!(!stored.fields.0.contains_key("x-other"));
        }
    }

    #[test]
    fn a_change_takes_away_nothing_of_others(
        method in prop_oneof![Just("POST"), Just("PUT"), Just("DELETE"), Just("ODD"), Just("GET")],
        status in 100u16..600,
        locations in prop::collection::vec(
            "(|/|//|https?://)(|a\\.test|b\\.test|[ -~]{0,8})(|:80|@a\\.test|/[a-z/?#]{0,6})", 2..3),
    ) {
        let site = site(0, 0, 0);
        let key = Key::of("http", "a.test", "/dir/x", &site.cache);
        let response = fields(&[
            ("location", locations[0].clone()),
            ("content-location", locations[1].clone()),
        ]);
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let status = StatusCode::from_u16(status).expect("a status");
        let keys = invalidated(&method, &key, status, &response, &site.cache);
        prop_assert!(keys.iter().all(|key| key.host() == "a.test"), "{keys:?}");
        let changes = method != Method::GET && (200..400).contains(&status.as_u16());
        prop_assert_eq!(keys.contains(&key), changes);
        prop_assert_eq!(keys.is_empty(), !changes);
    }

    #[test]
    fn a_part_gives_the_octets_that_the_whole_would(
        (start, length) in (1u64..50, 1u64..50),
        rest in 0u64..50,
        (from, to) in (0u64..150, 0u64..150),
        form in 0u8..3,
    ) {
        let site = site(0, 0, 60);
        let total = start + length + rest;
        let asking = fields(&[("range", format!("bytes={start}-"))]);
        let told = format!("bytes {start}-{}/{total}", start + length - 1);
        let response = fields(&[("content-range", told)]);
        let arrived = Arrived { length: Some(length), ..arrived(&site, 206, &asking, &response) };
        let kept = Kept { site: &site, rule: Rule::of(&site, "/") };
        let part = stored(storable(&kept, &arrived)).expect("it is kept");
        let range = match form {
            0 => format!("bytes={from}-{to}"),
            1 => format!("bytes={from}-"),
            _ => format!("bytes=-{to}"),
        };
        let request = fields(&[("range", range.clone())]);
        if part.selects(&request) && request != asking {
            let answer = serve::answer(&Method::GET, &request, &part, part.length);
            let octets = answer.octets.expect("content");
            let first = if form == 2 { total.saturating_sub(to) } else { from };
            let last = if form == 0 { to.min(total - 1) } else { total - 1 };
            prop_assert_eq!(octets.start + start, first, "{}", &range);
            prop_assert_eq!(octets.end + start, last + 1, "{}", &range);
            prop_assert!(octets.end <= length);
            let told = format!("bytes {first}-{last}/{total}");
            prop_assert_eq!(&answer.fields["content-range"], &told);
        } else if form == 0 && from <= to {
            let held = start <= from && to.min(total - 1) < start + length && from < total;
            prop_assert!(!held || request == asking, "{} is there", range);
        }
    }
}
