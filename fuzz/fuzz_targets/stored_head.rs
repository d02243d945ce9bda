//! The head of a response on the disk tier, served from there.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::stored_head(octets));
