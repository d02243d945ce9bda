//! A name server's answer, as a cache's directory reads it, and record data as people see it.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::dns_response(octets));
