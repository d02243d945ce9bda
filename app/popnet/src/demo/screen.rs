//! What the demo shows when it is ready.

use std::time::Duration;

use serde_json::json;

use super::DIR;
use super::network::{CITIES, DNS_PORT, HTTP_PORT, POPS, Plan};
use crate::output::{Style, print_json};

/// What is known when everything runs.
pub(super) struct Ready<'a> {
    /// The addresses.
    pub(super) plan: Plan,
    /// The folder.
    pub(super) dir: &'a str,
    /// Process ids of the POPs, in order.
    pub(super) pids: Vec<Option<u32>>,
    /// Process id of the control node.
    pub(super) control: Option<u32>,
    /// Token of the link that logs in once.
    pub(super) token: &'a str,
    /// Time it took.
    pub(super) took: Duration,
}

/// Prints it.
pub(super) fn show(ready: &Ready<'_>, style: Style) {
    if style.json {
        print_json(
            "demo.ready/v1",
            &json!({
                "dir": ready.dir,
                "pops": POPS.iter().zip(&ready.pids).map(|(pop, pid)| json!({
                    "pop": pop.key, "address": ready.plan.pop(pop), "pid": pid })).collect::<Vec<_>>(),
                "control": { "address": ready.plan.control(), "pid": ready.control },
                "cities": CITIES.iter().map(|city| json!({
                    "city": city.key, "proxy": ready.plan.proxy(city), "resolver": ready.plan.resolver(city) })).collect::<Vec<_>>(),
                "netview": format!("http://{}/login?once={}", ready.plan.netview(), ready.token),
                "ready_s": ready.took.as_secs_f64(),
            }),
        );
    } else {
        print!("{}", text(ready));
    }
}

fn text(ready: &Ready<'_>) -> String {
    let plan = ready.plan;
    let version = env!("CARGO_PKG_VERSION");
    let pid = |pid: Option<u32>| pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
    let mut text = format!(
        "popnet {version} · demo network \"lab\" · no root, nothing outside {}{}\n\n",
        if ready.dir.starts_with('/') { "" } else { "./" },
        ready.dir.trim_start_matches("./")
    );
    text.push_str(&format!(
        "  origins   acme-origin {}   globex-east {}   globex-west {}\n",
        plan.acme(),
        plan.globex_east(),
        plan.globex_west()
    ));
    let mut label = "POPs";
    for (pop, process) in POPS.iter().zip(&ready.pids) {
        let dns = if pop.nameserver { format!("dns :{DNS_PORT}") } else { String::new() };
        text.push_str(&format!(
            "  {label:<9} {} {:<10} {:<12} pid {:<7} {dns:<11} http :{HTTP_PORT}\n",
            pop.key,
            pop.title,
            plan.pop(pop).to_string(),
            pid(*process)
        ));
        label = "";
    }
    text.push_str(&format!(
        "  control   master, logs, NetView {:<11} pid {}\n  ready in {:.1} s\n\n",
        plan.control().to_string(),
        pid(ready.control),
        ready.took.as_secs_f64()
    ));
    text.push_str(&format!(
        "  NetView        http://{}/login?once={}   (link works once; user admin)\n",
        plan.netview(),
        ready.token
    ));
    let mut label = "Surf as";
    for city in &CITIES {
        text.push_str(&format!(
            "  {label:<7} {:<10} curl -x {} http://static.acme.test/hello.txt\n",
            city.title,
            plan.proxy(city)
        ));
        label = "";
    }
    text.push_str(&format!(
        "  Distances between the cities are simulated; everything else is the real program.\n  \
         Ctrl-C stops it. Go on in a second window: {} status\n",
        again(ready.dir)
    ));
    text
}

/// How to call this program about this demo: as it was called, which need not be by a name that
/// the shell finds.
fn again(dir: &str) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "popnet".to_owned());
    let plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    match dir {
        DIR => program,
        _ if dir.chars().all(plain) => format!("{program} --context {dir}"),
        _ => format!("{program} --context '{dir}'"),
    }
}
