//! A zone file.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let apex = "example.test".parse().expect("a name");
    let _ = popnet_dns::read_zone(&apex, "zone".as_ref(), octets, &mut |_| Err("no includes".to_owned()));
});
