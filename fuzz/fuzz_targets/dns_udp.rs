//! A datagram to the whole name server.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::dns_udp(octets));
