//! A zone, a step or a key as it lies on disk.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::kept_zone(octets));
