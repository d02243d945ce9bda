//! Key files, states of keys, kept signatures, zones signed, and packets answered from signed ones.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::signing(octets));
