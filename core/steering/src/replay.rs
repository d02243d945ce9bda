//! The past again: a board as it was at one moment, moved on by the same inputs that moved the
//! first one, says the same (steering model, sections 1 and 10).
//!
//! A name server writes down what its [`Board`] is told, in order, and now and then the whole
//! board. What is not written down are the databases of places: the past is seen with today's.

use std::sync::Arc;

use popnet_config::network::Network;
use popnet_terms::{Micros, PopId, Timestamp};
use popnet_wire::probing::{Binding, Report};
use popnet_wire::rollout::Epoch;
use serde::{Deserialize, Serialize};

use crate::atlas::Atlas;
use crate::bindings::{Bindings, Bound};
use crate::board::Board;
use crate::view::View;

/// What moves a board on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// A configuration came into force.
    Configured {
        /// When.
        at: Timestamp,
        /// Its number; 0 when it was read straight from a file.
        epoch: Epoch,
        /// What it says, as TOML.
        text: Arc<str>,
    },
    /// A probe's report came in.
    Heard {
        /// When.
        at: Timestamp,
        /// What it says.
        report: Report,
    },
    /// The way to a POP's probes was looked at.
    Path {
        /// Which POP's.
        pop: PopId,
        /// The round trip.
        rtt: Micros,
    },
    /// What counts for nothing was dropped.
    Forgot {
        /// When.
        at: Timestamp,
    },
    /// Distances on the globe were learnt anew.
    Fitted {
        /// When.
        at: Timestamp,
    },
    /// The next view was published.
    Viewed {
        /// When.
        at: Timestamp,
    },
    /// Clients were bound.
    Bound {
        /// When.
        at: Timestamp,
        /// To whom.
        rows: Vec<Binding>,
    },
}

impl Input {
    /// When it came; what has no time of its own belongs to what came before it.
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Configured { at, .. }
            | Self::Heard { at, .. }
            | Self::Forgot { at }
            | Self::Fitted { at }
            | Self::Viewed { at }
            | Self::Bound { at, .. } => Some(*at),
            Self::Path { .. } => None,
        }
    }
}

/// Where a replay begins: right after a view was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// When the view was published.
    pub at: Timestamp,
    /// The number of the configuration in force.
    pub epoch: Epoch,
    /// That configuration, as TOML.
    pub text: Arc<str>,
    /// The board, as [`Board::to_octets`] gave it.
    pub board: Vec<u8>,
}

/// Why a replay cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The board does not decode.
    #[error("the kept board is damaged, or of another version of this program")]
    Board,
    /// A configuration of then does not load.
    #[error("the configuration {0} of then does not load: {1}")]
    Configuration(Epoch, String),
}

/// A name server's measurements and bindings as they were.
#[derive(Debug)]
pub struct Replay {
    board: Board,
    bindings: Bindings,
    network: Network,
    epoch: Epoch,
    view: View,
}

impl Replay {
    /// The board of `start`, with clients' places as `atlas` sees them.
    ///
    /// # Errors
    /// When `start` was not written by this version of the program, or is damaged.
    pub fn begin(start: &Start, atlas: Atlas) -> Result<Self, ReplayError> {
        let network = load(start.epoch, &start.text)?;
        let mut board = Board::from_octets(&start.board, &network).ok_or(ReplayError::Board)?;
        board.use_atlas(atlas);
        // The board is as it was after it said this, so that saying it again changes nothing.
        let view = board.view(start.at);
        Ok(Self { board, bindings: Bindings::default(), network, epoch: start.epoch, view })
    }

    /// Goes on by one input.
    ///
    /// # Errors
    /// When a configuration does not load.
    pub fn take(&mut self, input: &Input) -> Result<(), ReplayError> {
        match input {
            Input::Configured { at, epoch, text } => {
                self.network = load(*epoch, text)?;
                self.epoch = *epoch;
                self.board.configure(&self.network, in_force(*epoch), *at);
            }
            Input::Heard { at, report } => {
                self.board.record(report, *at);
            }
            Input::Path { pop, rtt } => self.board.record_path(pop, *rtt),
            Input::Forgot { at } => {
                self.board.forget(*at);
                self.bindings.expire(*at);
            }
            Input::Fitted { at } => self.board.fit_models(*at),
            Input::Viewed { at } => self.view = self.board.view(*at),
            Input::Bound { at, rows } => {
                for row in rows {
                    self.bindings.record(row, *at);
                }
            }
        }
        Ok(())
    }

    /// The view that was published last.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Who was bound.
    #[must_use]
    pub fn bound(&self) -> Bound {
        self.bindings.shown()
    }

    /// The configuration that was in force, and its number.
    #[must_use]
    pub fn configuration(&self) -> (&Network, Epoch) {
        (&self.network, self.epoch)
    }

    /// The board, to be looked at under another configuration.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.board
    }
}

/// The epoch that targets must not be behind of: one straight from a file is nobody's.
#[must_use]
pub fn in_force(epoch: Epoch) -> Option<Epoch> {
    Some(epoch).filter(|epoch| *epoch > Epoch(0))
}

fn load(epoch: Epoch, text: &str) -> Result<Network, ReplayError> {
    match popnet_config::load(text, "popnet.toml") {
        Ok(loaded) => Ok(loaded.network),
        Err(found) => {
            let first = found.first().map(|found| found.message.clone()).unwrap_or_default();
            Err(ReplayError::Configuration(epoch, first))
        }
    }
}
