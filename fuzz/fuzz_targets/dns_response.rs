//! A name server's answer, as a cache's directory reads it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let _ = popnet_dns::Response::parse(octets);
});
