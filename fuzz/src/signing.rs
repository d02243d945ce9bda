//! DNSSEC: key files, states of keys, kept signatures, and answers from signed zones.

use std::sync::{Arc, LazyLock};

use popnet_answer::{Catalog, Image, udp_limit};
use popnet_dns::{Parsed, Response, Rtype, ZoneFile, parse_query};
use popnet_nameserver::{parse_signed, read_key_state};
use popnet_sign::{Algorithm, Denial, Duty, Key, Plan, sign_zone};
use popnet_terms::{Seconds, Timestamp};

use super::names::{NETWORK, answer, apex, read};

const NOON: Timestamp = Timestamp(1_700_049_600_000_000);
/// Larger zones only sign longer.
const RECORDS_MAX: usize = 64;

static DUTIES: LazyLock<Vec<Duty>> = LazyLock::new(|| {
    let (key, _) = Key::generate(&apex(), Algorithm::Ed25519, true).expect("a key");
    vec![Duty {
        key: Arc::new(key),
        is_published: true,
        signs_keys: true,
        signs_zone: true,
        is_announced: true,
    }]
});

static CHAINED: LazyLock<Catalog> = LazyLock::new(|| signed(Denial::Nsec));
static HASHED: LazyLock<Catalog> = LazyLock::new(|| signed(Denial::Nsec3));

fn signed(denial: Denial) -> Catalog {
    let zone = read(include_bytes!("example.zone")).expect("the zone is a good one");
    let signed = sign(&zone, denial, None).expect("the zone can be signed");
    let image = Image::build(signed).expect("a signed zone is one");
    Catalog::build(&NETWORK, 42, &[Arc::new(image)])
}

fn sign(zone: &ZoneFile, denial: Denial, before: Option<&ZoneFile>) -> Option<ZoneFile> {
    let plan = Plan {
        duties: &DUTIES,
        denial,
        validity: Seconds(86_400),
        jitter: Seconds(3_600),
        refresh: Seconds(7_200),
        key_ttl: Seconds(3_600),
        now: NOON,
        made: &[],
    };
    sign_zone(zone, &plan, before).ok().map(|signed| signed.zone)
}

/// The first octet says what the others are.
pub fn signing(octets: &[u8]) {
    match octets.split_first() {
        Some((b'k', files)) => {
            let (public, private) = files.split_at(files.iter().position(|o| *o == 0).unwrap_or(0));
            let text = |octets| String::from_utf8_lossy(octets).into_owned();
            let _ = Key::read(&text(public), text(private).trim_start_matches('\0'));
        }
        Some((b'j', state)) => {
            let _ = read_key_state(state);
        }
        Some((b's', kept)) => {
            let Some(kept) = parse_signed(kept) else { return };
            let zone = read(include_bytes!("example.zone")).expect("the zone is a good one");
            let signed = sign(&zone, Denial::Nsec, Some(&kept)).expect("what was kept only helps");
            assert!(Image::build(signed).is_ok());
        }
        Some((b'z', text)) => zone(text),
        Some((b'n', packet)) => packet_to(&CHAINED, packet),
        Some((b'h', packet)) => packet_to(&HASHED, packet),
        Some(_) | None => {}
    }
}

/// A zone that can be served can be signed, twice the same, and served then.
fn zone(text: &[u8]) {
    let Ok(zone) = read(text) else { return };
    if zone.records.len() > RECORDS_MAX || Image::build(zone.clone()).is_err() {
        return;
    }
    for denial in [Denial::Nsec, Denial::Nsec3, Denial::Compact] {
        let Some(signed) = sign(&zone, denial, None) else { continue };
        assert_eq!(sign(&zone, denial, Some(&signed)).as_ref(), Some(&signed));
        let Ok(image) = Image::build(signed) else { continue };
        let catalog = Catalog::build(&NETWORK, 1, &[Arc::new(image)]);
        for record in &zone.records {
            for rtype in [record.rtype, Rtype::A, Rtype::DS] {
                let form = popnet_dns::QueryForm {
                    id: 1,
                    name: &record.owner,
                    qtype: rtype,
                    recursion_desired: false,
                    dnssec_ok: true,
                    nsid: false,
                    subnet: None,
                };
                packet_to(&catalog, &popnet_dns::build_query_form(&form));
            }
        }
    }
}

fn packet_to(catalog: &Catalog, packet: &[u8]) {
    let mut out = [0; 65_535];
    let Parsed::Query(query) = parse_query(packet) else { return };
    for limit in [udp_limit(&query), out.len()] {
        let length = answer(catalog, &query, limit, &mut out);
        assert!(length <= limit);
        let response = Response::parse(out.get(..length).unwrap_or_default());
        assert_eq!(response.expect("our answers can be read").id, query.id);
    }
}
