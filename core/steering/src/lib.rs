//! Whom an answer names, and why.
//!
//! A decision is a function of three immutable values: the [`View`] (what is measured), the
//! site's [`SiteRules`] (what is configured) and the [`Question`] (who asks). It has no clock, no
//! chance and no memory: the same values give the same [`Choice`] on every name server.
//!
//! - Writer's side: [`Board::record`] takes probe reports in any order; [`Board::view`] makes the
//!   next [`View`], which costs little and is published whole.
//! - Reader's side: [`choose()`] goes through the stages addressable → healthy → measured → scored
//!   → tie → answer set → last resort, and keeps for each loser the reason (N2, N3, N5, N6).
//! - [`Lineup`] keeps what of a choice is the same for all who ask under one view.
//! - [`Rules::compile`] turns the configuration into integers once a version.

mod addresses;
mod assess;
mod assume;
mod atlas;
mod bindings;
mod board;
mod choice;
mod choose;
mod confidence;
mod demand;
mod digest;
mod distance;
mod geo;
mod guard;
mod health;
mod latency;
mod limits;
mod lineup;
mod lossy;
mod plan;
mod prices;
mod rank;
mod replay;
mod rival;
mod rules;
mod score;
mod sheds;
mod standing;
mod view;

pub use atlas::{Atlas, AtlasError, Place};
pub use bindings::{Bindings, Bound, Held, ROWS_MAX, Took};
pub use board::{Board, Recorded};
pub use choice::{Choice, Chosen, Client, Family, Pick, Question};
pub use choose::choose;
pub use demand::Demand;
pub use digest::{Ledger, Missing};
pub use lineup::Lineup;
pub use replay::{Input, Replay, ReplayError, Start, in_force};
pub use rival::rivals;
pub use rules::{Rules, SiteRules, Target, TargetNode};
pub use view::{GuardHold, Standing, Toll, TollBecause, Verdict, View};
