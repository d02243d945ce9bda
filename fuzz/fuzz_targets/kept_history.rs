//! A file of a zone's last differences.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::kept_history(octets));
