//! The messages of a zone transfer that comes in.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::zone_transfer(octets));
