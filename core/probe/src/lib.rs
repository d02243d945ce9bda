//! When to probe what, and what the outcomes mean.
//!
//! A machine: [`Prober`] is told the configuration, outcomes, wishes and the time, and says what
//! to do next as [`Action`]s, which its role carries out. It owns no socket and no clock.
//!
//! - Service probes (P1–P4, P7, P8, P12): spread over their interval, judged by what is expected,
//!   up and down after so many in a row.
//! - Latency probes (N14, N15, P10, P11, P14): only on a name server's wish, merged, and never
//!   more often than politeness allows.
//! - Lab networks: the `[simulate]` table stands in for distances and loads that do not exist.
//!
//! Results are reported when a state changes, soon after each attempt, and all together every ten
//! seconds, so that a lost datagram heals. Nothing is stored (P15).

mod action;
mod attempt;
mod check;
mod estimate;
mod ftp;
mod health;
mod judge;
mod machine;
pub mod manifest;
mod page;
mod plan;
mod politeness;
mod price;
mod prober;
mod publish;
mod relief;
mod report;
mod ring;
mod shed;
mod simulate;
mod toll;
mod traffic;
mod turns;
mod watch;
mod wishes;

pub use action::{
    Action, Address, Answer, Burst, Change, Failure, HttpJob, JobId, MeasureJob, Outcome, TcpJob,
};
pub use attempt::{Attempt, Task, Told};
pub use check::{Checked, check, load_in};
pub use ftp::{FtpLine, LINE_MAX, LINES_MAX, extended_port, ftp_code, ftp_line, passive_port};
pub use health::{HealthMachine, Limits, Transition};
pub use judge::plugin_output;
pub use machine::Gauges;
pub use page::page;
pub use plan::{Once, once};
pub use prober::{Prober, Tallies};
pub use publish::Level;
pub use report::pack;
pub use ring::Ring;
pub use shed::{ShedRules, Shedder, gain_bound};
pub use turns::{GAP, Turns};
