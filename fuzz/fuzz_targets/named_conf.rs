//! A `named.conf`; one that is taken comes to a configuration of ours.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::named_conf(octets));
