//! What a site asks for on the way to its clients, apart from caching: who is served at all, and
//! which fields requests and responses have.
//!
//! - [`judge`](judge::judge): may this request be served here?
//! - [`fields`]: what changes in its fields and in those of its answer.
//! - [`Rates`]: how often each client asks.

pub mod cors;
mod describe;
pub mod fields;
pub mod judge;
mod rates;

pub use describe::describe;
pub use rates::{Allowance, Rates};
