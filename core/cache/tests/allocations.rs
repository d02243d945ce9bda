//! What each hit asks about codings allocates nothing.

use http::{HeaderMap, HeaderValue, header};
use popnet_cache::accepted::Accepted;
use popnet_wire::delivery::Coding;

#[test]
fn what_a_client_takes_is_read_in_place() {
    let cases = [
        ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
        ("gzip;q=1.0, br;q=0.125 , *;q=0", Some(Coding::Gzip)),
        ("identity", None),
        ("\"odd, gzip;level=9", None),
    ];
    let mut fields = HeaderMap::new();
    for (line, expected) in cases {
        fields.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(line));
        let mut best = None;
        let counted = allocation_counter::measure(|| {
            let lines = fields.get_all(header::ACCEPT_ENCODING).iter();
            best = Accepted::read(lines.map(HeaderValue::as_bytes)).best(&Coding::ALL);
        });
        assert_eq!(best, expected, "{line}");
        assert_eq!(counted.count_total, 0, "{line}");
    }
}
