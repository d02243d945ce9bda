//! What one connection showed of the way to its client.

use crate::Micros;

/// What a connection showed by its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trip {
    /// The shortest round trip: the way, without the queues that the connection filled itself.
    pub least: Micros,
    /// The smoothed one (RFC 6298 2): not below the shortest.
    pub smoothed: Micros,
    /// Segments sent.
    pub sent: u32,
    /// Those among them that were sent again.
    pub again: u32,
}
