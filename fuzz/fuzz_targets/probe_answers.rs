//! What a probed server answers: a resolver's packet, or a load in JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::probe_answers(octets));
