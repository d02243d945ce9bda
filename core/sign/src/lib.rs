//! Signatures over zones and over single answers (RFC 4033 to 4035, 5155), and when keys change.
//!
//! - Functions: [`sign_zone`] takes a zone's records and gives them back signed, with as many of
//!   the earlier signatures as still hold; [`sign_set`] signs one RRset, for an answer that is made
//!   when it is asked for; [`nsec_at`] and [`nsec3_at`] make a denial's data.
//! - Value: [`Key`], read from and written as the files that BIND's tools use.
//! - Machine: [`Keyset`] is told the time and what the parent shows, and says which key does what
//!   (RFC 7583, 7344, 8078).
//!
//! Left out: where keys lie, when signing happens, and what is answered. Making a key and an ECDSA
//! signature takes random octets from the system inside the library; nothing else here does.

mod canonical;
mod chain;
mod key;
mod keyset;
mod rrsig;
mod zone;

pub use canonical::{canonical_order, canonical_rdata};
pub use chain::{Denial, hash_of, nsec_at, nsec3_at, nsec3_owner};
pub use key::{Algorithm, Key, KeyError, KeyFiles};
pub use keyset::{DsStage, Keyset, ParentView, Policy, Role, Stage, Step, Tracked};
pub use rrsig::{RrsigHead, SignError, Window, sign_set};
pub use zone::{Duty, Plan, Signed, sign_zone};
