//! What protects a name server: who is answered, how often, and who stays connected.
//!
//! - Tables: [`Access`] is a list of prefixes, [`Gate`] who may ask for which zone.
//! - Functions: [`class_of`] says what kind of answer some octets are, [`Front::read`] who a proxy
//!   says is behind it.
//! - Machines: [`Secrets`] makes and checks server cookies, [`Rates`] counts answers to a prefix,
//!   [`Crowd`] says which connection ends when there is no room for one more.
//!
//! Nothing here knows what is answered, or owns a socket.

mod access;
mod class;
mod cookie;
mod crowd;
mod front;
mod rate;

pub use access::{Access, Gate};
pub use class::{Class, class_of};
pub use cookie::{ROTATE, Secret, Secrets};
pub use crowd::{Crowd, Entered};
pub use front::{Front, HEAD_MAX as FRONT_MAX};
pub use rate::{Limits, Rates, Verdict};
