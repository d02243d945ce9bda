//! One HTTP caching tier: answers from its shelf or from the next tier.
//!
//! The rules are `popnet_cache`'s; here they are carried out. [`Tier::serve`] is the one way in. A
//! WebCache gives it a shelf in memory and its POP's disk tier as [`upstream::Upstream`]; a
//! WebServer a shelf on disk and the origins.
//!
//! What a reader may rely on:
//! - Simultaneous requests for what is not stored make one fetch, and all of them get its octets as
//!   they arrive. The fetch goes on when its first client leaves.
//! - What is not to be stored releases those who wait to fetches of their own.
//! - Content that ends early is stored nowhere and breaks the connections that it was sent over.
//! - After [`Tier::purge`] has returned, no answer begins with what was purged.
//!
//! Between tiers, fields named `popnet-*` carry what the outer tier logs: [`inside`].

mod absence;
mod coding;
pub mod content;
pub mod control;
mod delivery;
mod dress;
mod explain;
mod fill;
mod flight;
pub mod inside;
mod mission;
pub mod outcome;
mod posted;
mod purge;
pub mod shelf;
pub mod sites;
mod tier;
pub mod upstream;

pub use delivery::delivery_of;
pub use dress::page;
pub use outcome::{Answer, Outcome};
pub use tier::{Ask, Settings, Tier};
