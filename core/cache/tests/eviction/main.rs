//! Hit ratios of the queues beside what else is known, on traces that are made up by stated
//! parameters. `UPDATE=1 cargo test -p popnet-cache --test eviction` writes the page.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test; its numbers are small"
)]

mod policies;
mod traces;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use traces::{Kind, OBJECTS, REQUESTS, trace};

const KINDS: [Kind; 7] = {
    let plain = Kind { name: "", skew: 0.9, moves: None, scans: None, once: 0, sizes: false };
    [
        Kind { name: "Zipf 0.7", skew: 0.7, ..plain },
        Kind { name: "Zipf 0.9", ..plain },
        Kind { name: "Zipf 1.1", skew: 1.1, ..plain },
        Kind { name: "Zipf 0.9, a favourite changes every 50 requests", moves: Some(50), ..plain },
        Kind { name: "Zipf 0.9, a crawler every 50,000", scans: Some(50_000), ..plain },
        Kind { name: "Zipf 0.9, half asked for once", once: 50, ..plain },
        Kind { name: "Zipf 0.9, 1 KiB to 4 MiB", sizes: true, ..plain },
    ]
};
/// Room for so many of a hundred octets.
const ROOMS: [u64; 2] = [1, 10];
/// Points that ours may be behind the best of LRU, SIEVE and S3-FIFO. The aim is W-TinyLFU too, which
/// the page shows to be further ahead in three rows.
const BEHIND: f64 = 1.0;

#[test]
fn beside_the_best() {
    let mut page = format!(
        "# Hit ratios\n\n\
         Requests of a hundred that find their object in memory, by what goes when room is needed. {REQUESTS} requests\n\
         for {OBJECTS} objects of 10 KiB, made up by what the first column says; room is a share of these objects' octets.\n\
         Made by `UPDATE=1 cargo test -p popnet-cache --test eviction`, where the other policies are written down as their\n\
         papers describe them (W-TinyLFU with exact counts in place of its sketch). popnet's is S3-FIFO counted by octets.\n\n\
         | requests | room % | {} | behind the best |\n| --- | ---: |{} ---: |\n",
        policies::NAMES.join(" | "),
        " ---: |".repeat(policies::NAMES.len())
    );
    let mut far_behind = Vec::new();
    for kind in &KINDS {
        let (asked, footprint) = trace(kind);
        for room in ROOMS {
            let space = footprint / 100 * room;
            let ratios = policies::all(space).map(|mut policy| {
                let hits =
                    asked.iter().filter(|ask| ask.octets <= space && policy.ask(**ask)).count();
                100.0 * hits as f64 / asked.len() as f64
            });
            let best = ratios.into_iter().fold(0.0, f64::max);
            let behind = best - ratios[0];
            let cells = ratios.map(|ratio| format!("{ratio:.1}")).join(" | ");
            writeln!(page, "| {} | {room} | {cells} | {behind:.1} |", kind.name).unwrap();
            let queues = ratios[1..4].iter().copied().fold(0.0, f64::max);
            if queues - ratios[0] > BEHIND {
                far_behind.push(format!("{} at {room} %", kind.name));
            }
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks/eviction.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &page).unwrap();
    }
    assert!(far_behind.is_empty(), "{far_behind:?}\n{page}");
    assert_eq!(fs::read_to_string(&file).unwrap(), page, "UPDATE=1 writes it");
}
