//! What stands around a DNS message on its way: a proxy's head, frames, paths, and kept secrets.

use popnet_dns::Control;
use popnet_guard::{Front, class_of};
use popnet_nameserver::{
    message_in_path, message_in_stream, parse_cookie_secrets, parse_shared_cookie_secrets,
};
use popnet_terms::Timestamp;

/// The first octets of a connection, of a stream, and of a request; the octets of a file.
pub fn dns_ways(octets: &[u8]) {
    if let Front::Whole(length, _) = Front::read(octets) {
        // A head is whole as soon as its last octet is there, and not before.
        let cut = octets.get(..length - 1).expect("a head has octets");
        assert_eq!(Front::read(cut), Front::More);
    }
    if let Ok(Some((control, length))) = Control::read(octets) {
        // A frame is whole as soon as its last octet is there, and read again as it is written.
        let cut = octets.get(..length - 1).expect("a frame has octets");
        assert_eq!(Control::read(cut), Ok(None));
        let mut written = Vec::new();
        control.write(&mut written);
        assert_eq!(Control::read(&written), Ok(Some((control, written.len()))));
    }
    let _ = class_of(octets);
    if let Some(message) = message_in_stream(octets) {
        assert_eq!(message.len() + 2, octets.len());
    }
    if let Ok(text) = std::str::from_utf8(octets) {
        let _ = message_in_path(text);
    }
    let _ = parse_cookie_secrets(octets);
    let _ = parse_shared_cookie_secrets(octets, Timestamp(0));
}
