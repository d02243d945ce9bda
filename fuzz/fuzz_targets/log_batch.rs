//! Log batches on the wire and on disk, and their acknowledgements.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::log_batch(octets));
