//! What a second window tells the demo: one JSON line there, JSON lines back.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use popnet_runtime::socket_path::SocketPath;
use popnet_terms::PopId;
use popnet_wire::control::Problem;
use serde::{Deserialize, Serialize};

use super::{DIR, folder};
use crate::output::{Done, Outcome, Style, print_json};
use crate::place::Place;

/// An order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "do")]
pub(crate) enum Order {
    /// Kill a POP's process the hard way.
    Kill { pop: PopId },
    /// Start it again.
    Start { pop: PopId },
    /// Move it away.
    Slow { pop: PopId, ms: u32 },
    /// Pretend its load.
    Load { pop: PopId, load: f64 },
    /// Undo all of that.
    Reset,
    /// Stop the demo.
    Down,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// In words.
    pub(crate) text: String,
    /// Why it did not work, when it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<Problem>,
}

/// Longest order line; a real one has some sixty octets.
pub(crate) const LINE_MAX: u64 = 4_096;

/// How long a demo may take to stop: its nodes get five seconds to end by themselves.
const END_MAX: Duration = Duration::from_secs(10);

/// Sends an order to the demo in `dir` and prints its report.
pub(super) fn send(dir: &Path, order: &Order, style: Style) -> Outcome {
    let socket = Place::find(Some(dir))
        .ok()
        .and_then(|place| place.demo())
        .unwrap_or_else(|| dir.join("demo.sock"));
    let mut stream = SocketPath::of(&socket)
        .and_then(|socket| UnixStream::connect(socket.path()))
        .map_err(|error| no_demo(dir, &error))?;
    let broke = |error: &dyn std::fmt::Display| {
        let what = format!("the demo in {} did not answer: {error}", dir.display());
        Problem::new("D0005", what, "popnet status")
    };
    let mut line = serde_json::to_string(order).map_err(|error| broke(&error))?;
    line.push('\n');
    stream.write_all(line.as_bytes()).map_err(|error| broke(&error))?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(|error| broke(&error))?;
    let report: Report =
        serde_json::from_str(&answer).map_err(|_| broke(&"it ended before that"))?;
    if let Some(problem) = report.problem {
        return Err(problem);
    }
    if matches!(order, Order::Down) && !within(END_MAX, || folder::is_free(dir)) {
        let what = format!("the demo in {} is still stopping after {END_MAX:?}", dir.display());
        return Err(Problem::new("D0010", what, "popnet demo down").with_exit(7));
    }
    if style.json {
        print_json("demo/v1", &report);
    } else {
        println!("{}", report.text);
    }
    Ok(Done::WELL)
}

/// Whether `check` comes true in time.
fn within(limit: Duration, check: impl Fn() -> bool) -> bool {
    let end = Instant::now() + limit;
    while !check() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

fn no_demo(dir: &Path, error: &std::io::Error) -> Problem {
    let gone = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused);
    let why = if gone { String::new() } else { format!(": {error}") };
    let what = format!("no demo runs in {}{why}", dir.display());
    let usual = dir == Path::new(DIR);
    let next = if usual {
        "popnet demo   (or --dir DIR, when it runs elsewhere)".to_owned()
    } else {
        format!("popnet demo --dir {}", dir.display())
    };
    Problem::new("D0004", what, next).with_exit(3)
}
