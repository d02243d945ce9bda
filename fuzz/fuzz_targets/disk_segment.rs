//! A segment of the disk tier.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let _ = popnet_store::segment::scan(octets);
});
