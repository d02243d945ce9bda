//! The caching rules of RFC 9111 (with RFC 5861, 8246, 9211 and 9213) as verdicts with reasons.
//!
//! Functions over plain values; the caller tells the time:
//! - [`key`]: the primary key; [`vary`]: the secondary key.
//! - [`storable`]: may this response be stored, and as what?
//! - [`freshness`]: how long is it fresh, how old is it?
//! - [`reuse`]: may this stored response answer this request?
//! - [`validate`]: conditional requests, and what a 304 changes.
//! - [`part`]: parts of content (206).
//! - [`coding`]: which coding of content a request gets, by what [`accepted`] it says.
//! - [`serve`]: the head that answers: 200, 206, 304 or 416.
//! - [`invalidate`]: what an unsafe method takes away; [`purge`]: what a person takes away.
//! - [`eviction`]: what goes when room is needed.
//! - [`status`]: the `Cache-Status` member.
//!
//! Left out on purpose: combining partial content (RFC 9111 3.4); several ranges in one answer.

pub mod accepted;
pub mod coding;
pub mod eviction;
pub mod freshness;
pub mod invalidate;
pub mod key;
pub mod part;
pub mod purge;
pub mod purges;
pub mod reuse;
pub mod serve;
pub mod status;
pub mod storable;
pub mod stored;
pub mod validate;
pub mod vary;

#[cfg(test)]
mod testing;
