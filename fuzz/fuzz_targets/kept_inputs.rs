//! What a name server wrote down of its measurements.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::kept_inputs(octets));
