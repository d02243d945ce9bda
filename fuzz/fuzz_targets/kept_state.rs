//! State that roles keep over a restart, in its frame and out of it.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::kept_state(octets));
