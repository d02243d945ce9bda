//! A scenario of a simulation, as somebody wrote it.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::scenario(octets));
