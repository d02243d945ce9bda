//! States as word, shape and colour: never by colour alone.

use popnet_wire::status::TargetState;
use serde::{Serialize, Serializer};

/// A state for a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct State(pub(crate) TargetState);

impl State {
    pub(crate) const UP: Self = Self(TargetState::Up);
    pub(crate) const DOWN: Self = Self(TargetState::Down);
    pub(crate) const UNKNOWN: Self = Self(TargetState::Unknown);
    pub(crate) const BEHIND: Self = Self(TargetState::Behind);

    /// The word, also the name of its colour.
    pub(crate) fn word(self) -> &'static str {
        self.0.word()
    }

    /// Whether it is as it should be.
    pub(crate) fn is_up(self) -> bool {
        self.0 == TargetState::Up
    }

    /// How bad it is: 0 is well.
    pub(crate) fn severity(self) -> u8 {
        match self.0 {
            TargetState::Up => 0,
            TargetState::Draining => 1,
            TargetState::Unknown => 2,
            TargetState::Degraded => 3,
            TargetState::Behind => 4,
            TargetState::Down => 5,
        }
    }

    /// The shape, as the content of a 12 by 12 drawing.
    pub(crate) fn shape(self) -> &'static str {
        match self.0 {
            TargetState::Up => r#"<circle cx="6" cy="6" r="4.5"/>"#,
            TargetState::Degraded => {
                r#"<circle cx="6" cy="6" r="4.2" class="hollow"/><path d="M6 1.5a4.5 4.5 0 0 1 0 9z"/>"#
            }
            TargetState::Down => r#"<path d="M1.5 1.5h9v9h-9z"/>"#,
            TargetState::Draining => r#"<path d="M2.5 1.8l7.5 4.2-7.5 4.2z" class="hollow"/>"#,
            TargetState::Unknown => r#"<circle cx="6" cy="6" r="4.2" class="hollow dashed"/>"#,
            TargetState::Behind => r#"<path d="M2 1.5h8L6 6l4 4.5H2L6 6z"/>"#,
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.word())
    }
}
