//! A packet on the DNS port.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let _ = popnet_dns::parse_query(octets);
});
