//! The figures that a simulation gives.

use serde::{Deserialize, Serialize};

macro_rules! figures {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $unit:literal, $words:literal;)*) => {
        /// A figure.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub enum Figure { $($(#[$doc])* #[serde(rename = $name)] $variant,)* }

        impl Figure {
            /// Every figure, in the order of the report.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name in scenarios.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Its unit; empty for shares and counts.
            #[must_use]
            pub fn unit(self) -> &'static str {
                match self { $(Self::$variant => $unit,)* }
            }

            /// What it says.
            #[must_use]
            pub fn words(self) -> &'static str {
                match self { $(Self::$variant => $words,)* }
            }
        }
    };
}

figures! {
    /// Share of first answers within 25 ms of the best target.
    FirstAnswerNear = "first-answer-near", "",
        "first answers to resolvers never seen before, within 25 ms of the best POP";
    /// From a first query until measured data is in use.
    MeasuredInUse = "measured-in-use", "s",
        "from a resolver's first query until its answers rest on measurements, 95th percentile";
    /// Mean round trip.
    MeanLatency = "mean-latency", "ms", "mean round trip of all clients to their POP, by demand";
    /// Against the bound of an all-knowing chooser.
    OverBest = "over-best", "",
        "mean round trip above what an all-knowing chooser could reach at equal load limits";
    /// Against the globe.
    UnderGlobe = "under-globe", "",
        "mean round trip below that of the nearest POP on the globe";
    /// Against turns.
    UnderTurns = "under-turns", "", "mean round trip below that of all POPs in turn";
    /// Highest load beyond the step.
    Overshoot = "overshoot", "",
        "load on the other side of the target after it was first reached, as a share of capacity";
    /// Other POPs.
    SpillOver = "spill-over", "",
        "highest load of the POPs that took the clients over, above the target load";
    /// Settling time.
    SettledPeriods = "settled-periods", "periods",
        "control periods until the load stays within 5 points of the target";
    /// Swing afterwards.
    Swing = "swing", "", "highest less lowest load in the last third, as a share of capacity";
    /// Agreement.
    Agreement = "agreement", "",
        "pairs of site and client for which all name servers say the same, mean over the time";
    /// Spread of changes.
    AgreeAfterChange = "agree-after-change", "s",
        "from the first name server's change of a verdict to the last's, 99th percentile";
    /// Answers that name a dead POP.
    NamedDead = "named-dead", "answers",
        "answers that name a POP dead for more than two probe intervals";
    /// Living POPs called down.
    WronglyDown = "wrongly-down", "verdicts",
        "living POPs that a name server calls down, counted once a second";
    /// Time to fail open.
    FailOpen = "fail-open", "intervals",
        "probe intervals from the death of all POPs until every answer is a last resort";
    /// Empty answers.
    Empty = "empty-answers", "answers", "answers that name nobody";
    /// Verdicts that changed.
    VerdictChanges = "verdict-changes", "changes", "verdicts on POPs that changed after the warm-up";
    /// Changes of POP without cause.
    Moved = "moved", "", "clients that got another POP when they asked again, as a share of answers";
    /// Saved money.
    BillSaving = "bill-saving", "", "transit bill below the baseline's, as a share of it";
    /// Its price.
    LatencyLoss = "latency-loss", "ms", "mean round trip above the baseline's";
    /// Load.
    HighestLoad = "highest-load", "", "highest load of any POP after the warm-up";
}

impl Figure {
    /// Whether it compares with a baseline.
    #[must_use]
    pub fn needs_baseline(self) -> bool {
        matches!(self, Self::BillSaving | Self::LatencyLoss)
    }
}

/// A figure's value and what was expected of it.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Which.
    pub figure: Figure,
    /// `None`: there was nothing to measure.
    pub value: Option<f64>,
    /// It may be this at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// It has to be this at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// Whether it is as expected; `None`: nothing was expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed: Option<bool>,
}
