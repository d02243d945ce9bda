//! Control messages and their frames on a stream. What is read must come out again as it was.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::wire(octets));
