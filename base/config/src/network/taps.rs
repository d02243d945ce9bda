//! Copies of questions and answers: dnstap for other programs, lines for people.

use std::path::PathBuf;

use popnet_terms::Octets;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_default;

/// Copies of questions and answers for other programs (<https://dnstap.info>), into a file or to a
/// socket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DnsTap {
    /// Into this file, relative to `nameserver/` in the state folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// To the program that listens on this Unix socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
    /// Which messages; both when unset.
    #[serde(skip_serializing_if = "is_default")]
    pub messages: TapMessages,
    /// Share of the exchanges, 0 to 1; all when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<f64>,
    /// When the file is this large another one begins; 64 MiB when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_size: Option<Octets>,
    /// Files that are kept beside the one that is written; 4 when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
}

/// Which messages of an exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TapMessages {
    /// The question and the answer.
    #[default]
    Both,
    /// Questions.
    Queries,
    /// Answers.
    Responses,
}

/// A line for each exchange.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryLog {
    /// Into this file, relative to `nameserver/` in the state folder.
    pub file: PathBuf,
    /// The form of the lines; JSON when unset.
    #[serde(default, skip_serializing_if = "is_default")]
    pub format: LineFormat,
    /// Share of the exchanges, 0 to 1; all when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<f64>,
    /// When the file is this large another one begins; 64 MiB when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<Octets>,
    /// Files that are kept beside the one that is written; 4 when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
}

/// The form of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LineFormat {
    /// A JSON object a line.
    #[default]
    Json,
    /// Words.
    Text,
}

/// A file that ends soon is all beginning.
pub(crate) const TAP_SIZE_MIN: Octets = Octets(64 << 10);
/// Each change of files renames all that are kept.
pub(crate) const TAP_KEEP_MAX: u32 = 1_000;

const SIZE: Octets = Octets(64 << 20);
const KEEP: u32 = 4;

impl DnsTap {
    /// How large the file becomes.
    #[must_use]
    pub fn max_size(&self) -> Octets {
        self.max_size.unwrap_or(SIZE)
    }

    /// How many full files stay.
    #[must_use]
    pub fn keep(&self) -> u32 {
        self.keep.unwrap_or(KEEP)
    }
}

impl QueryLog {
    /// How large the file becomes.
    #[must_use]
    pub fn max_size(&self) -> Octets {
        self.max_size.unwrap_or(SIZE)
    }

    /// How many full files stay.
    #[must_use]
    pub fn keep(&self) -> u32 {
        self.keep.unwrap_or(KEEP)
    }
}
