//! A zone of a million names: how long it takes, what it keeps. By hand, optimised:
//! `cargo test --release -p popnet-answer --test million -- --ignored --nocapture`.
#![expect(clippy::disallowed_methods, reason = "a measurement")]

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use popnet_answer::Builder;
use popnet_dns::{Name, Rtype, scan_zone};

const NAMES: u32 = 1_000_000;

/// The promise is 100 octets a record.
#[test]
#[ignore = "a measurement"]
fn a_million_names() {
    let mut text = "$TTL 300\n@ SOA ns h 1 3600 600 604800 60\n@ NS ns\n".to_owned();
    for number in 0..NAMES {
        let [_, a, b, c] = number.to_be_bytes();
        writeln!(text, "host{number:07} A 10.{a}.{b}.{c}").unwrap();
    }
    let apex: Name = "example.test".parse().unwrap();
    let begun = Instant::now();
    let mut builder = Builder::sized(apex.clone(), text.len());
    let read = scan_zone(
        &apex,
        Path::new("zone"),
        text.as_bytes(),
        &mut |_| Err(String::new()),
        &mut |r| {
            builder.add(r.owner, r.rtype, r.ttl, r.rdata, r.place);
        },
    );
    read.unwrap();
    let scanned = begun.elapsed();
    let image = builder.finish().unwrap();
    let built = begun.elapsed();
    let octets = image.octets() / image.record_count();
    println!("read {scanned:?}, compiled {built:?}, {octets} octets a record");
    assert!(octets <= 100, "{octets} octets a record");
    assert!(image.set(b"\x0bhost0999999", Rtype::A).is_some());
}
