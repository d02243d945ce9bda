//! A role sheet kept on disk.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::kept_sheet(octets));
