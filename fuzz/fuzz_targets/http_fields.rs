//! HTTP field values.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    popnet_field::read_anything(octets);
});
