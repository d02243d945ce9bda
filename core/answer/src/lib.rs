//! What an authoritative server says to a question.
//!
//! - Tables: [`Image`] is one zone, compiled; [`Catalog`] is zones, sites and the network's own
//!   names. Neither is ever changed; a zone is replaced by [`Catalog::with`].
//! - Functions: [`lookup()`] finds what a question leads to (RFC 1034 4.3.2, wildcards by RFC 4592,
//!   negative answers by RFC 2308, DNAME by RFC 6672); [`respond()`] writes it down, with what
//!   steering chose where the name is steered.
//!
//! - Signatures and denials that stand in an image are shown to who asks for them (RFC 4035 3.1);
//!   what is made for one answer is signed through [`Sign`].
//!
//! Left out: making signatures, zone transfers and updates themselves. ANY gets the minimal
//! answer of RFC 8482. Who is chosen for a steered name is not known here.

mod build;
mod catalog;
mod compact;
mod hints;
mod image;
mod lookup;
mod network;
mod proof;
mod respond;
mod table;

pub use catalog::{Catalog, SiteIndex, Zone};
pub use image::{Builder, Denial, Entry, Flaw, Image, ImageRecord, Records, RrSet, Sets, Standing};
pub use lookup::{Lookup, Outcome, Spot, lookup};
pub use proof::{Made, Sign};
pub use respond::{Filling, Reply, Service, refuse, respond, respond_signed, udp_limit};
