//! What a client of HTTP/3 says.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::http3(octets));
