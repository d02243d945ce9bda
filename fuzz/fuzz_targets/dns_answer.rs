//! A packet on the DNS port, answered: every answer must be a response that others can read.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::dns_answer(octets));
