//! A configuration file.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let _ = popnet_config::load_bytes(octets, "popnet.toml");
});
