//! A segment of the disk tier, scanned and recovered from.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::disk_segment(octets));
