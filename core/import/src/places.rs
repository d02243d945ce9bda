//! Where something stands.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use popnet_dns::Mistake;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Arc<Path>,
    /// Its line, from 1.
    pub line: u32,
    /// Its column in characters, from 1.
    pub column: u32,
}

impl Place {
    /// Something that cannot be read, here.
    pub(crate) fn wrong(&self, what: impl Into<String>) -> Mistake {
        Mistake {
            file: self.file.to_path_buf(),
            line: self.line,
            column: self.column,
            what: what.into(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}
