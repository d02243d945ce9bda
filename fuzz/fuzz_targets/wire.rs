//! Control messages and measurements.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    use popnet_wire::frame::{Conversation, decode};
    let _ = decode::<popnet_wire::control::Ask>(Conversation::Control, octets);
    let _ = decode::<popnet_wire::control::Reply>(Conversation::Control, octets);
    let _ = decode::<popnet_wire::probing::Datagram>(Conversation::Probing, octets);
});
