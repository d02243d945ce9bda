//! A signed message or an update on the DNS port.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::dns_update(octets));
