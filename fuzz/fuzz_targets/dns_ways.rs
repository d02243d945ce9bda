//! What stands around a DNS message on its way.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::dns_ways(octets));
