//! What became of each statement.

use std::fmt;

use crate::places::Place;

/// What became of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It is in the new configuration.
    Taken,
    /// It has no meaning here, or says what is so anyway.
    Unneeded,
    /// It is not in the new configuration, and a person has to decide.
    Left,
    /// Nobody knows what it means.
    Unknown,
}

impl Kind {
    /// In one word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Unneeded => "unneeded",
            Self::Left => "left",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a person has something to do.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Left | Self::Unknown)
    }
}

/// What became of one statement, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What became of it.
    pub kind: Kind,
    /// Where it stands.
    pub place: Place,
    /// The statement, in short; never a secret.
    pub what: String,
    /// Why, or what it is now.
    pub why: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {:<8}  {}: {}", self.place, self.kind.word(), self.what, self.why)
    }
}
