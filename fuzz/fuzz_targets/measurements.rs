//! A datagram of a probe or to one, with what follows from it.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::measurements(octets));
