//! A zone file: one that is taken is also served, each of its names.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::zone_file(octets));
