//! What an SNMP agent answers.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::snmp_reply(octets));
