//! A packet on the DNS port, read only.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::dns_query(octets));
