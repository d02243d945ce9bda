//! A role sheet kept on disk.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let _ = popnet_directory::read_sheet(octets);
});
