//! The global configuration: one TOML registry tree, typed, the same on every node that holds it
//! (G2, G3). It carries intent only: no statistics, people, passwords or keys (G4).
//!
//! [`load`] reads a text and reports every mistake at its place; [`render()`] prints mistakes;
//! [`get`], [`set`] and [`unset`] work on one value and keep comments; [`diff()`] compares by
//! meaning; [`digest()`] names a configuration by what it says; [`schema()`] is for editors. What
//! roles ask of a configuration are methods of [`network::Network`].
//!
//! ```
//! let text = "[network]\nname = \"lab\"\nschema = 1\ndomain = \"lab.test\"\n";
//! let loaded = popnet_config::load(text, "popnet.toml").unwrap();
//! assert_eq!(loaded.network.network.domain, "lab.test");
//!
//! let wrong = text.replace("domain", "domian");
//! let mistakes = popnet_config::load(&wrong, "popnet.toml").unwrap_err();
//! assert_eq!(mistakes[0].help.split('?').next(), Some("did you mean \"domain\""));
//! ```

mod check;
mod diagnostic;
mod diff;
mod digest;
mod document;
mod edit;
mod held;
mod names;
mod nearest;
pub mod network;
mod path;
mod reading;
mod render;
mod restart;
mod roster;
mod schema;
mod sheet;
mod tree;

pub use diagnostic::{Diagnostic, Mark, Severity};
pub use diff::{Change, diff};
pub use digest::{canonical, digest};
pub use document::{Loaded, load, load_bytes, lockout};
pub use edit::{EditError, get, set, unset};
pub use held::Held;
pub use path::{PathError, Step, TreePath};
pub use render::render;
pub use restart::{Restart, restarts};
pub use roster::is_below;
pub use schema::{UnknownPath, schema};
