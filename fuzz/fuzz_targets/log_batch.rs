//! Log batches on the wire and on disk, and their acknowledgements.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let _ = popnet_runtime::ship::unpack(octets);
    let _ = popnet_runtime::ship::unseal(octets);
    let _ = popnet_runtime::ship::decode_ack(octets);
    let _ = popnet_logserver::entries(octets);
});
