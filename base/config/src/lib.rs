//! The global configuration: one TOML registry tree, typed, the same on every node that holds it
//! (G2, G3). It carries intent only: no statistics, people, passwords or keys (G4).

mod held;
pub mod network;

pub use held::Held;
