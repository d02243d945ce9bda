//! A configuration file; one that is taken also goes to what lives by it.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::configuration(octets));
