//! `popnet probe run`: one attempt from here, with what took how long.

use std::net::IpAddr;
use std::time::Duration;

use popnet_config::network::{LatencyMethod, Probe, ProbeKind};
use popnet_http::roots::Trust;
use popnet_netprobe::attempt::{Surroundings, once};
use popnet_netprobe::{Progress, resolver};
use popnet_probe::{Address, JobId, MeasureJob, Turns};
use popnet_terms::Micros;
use popnet_wire::control::Problem;
use popnet_wire::probing::Cause;
use serde_json::json;

use crate::cli::{ProbeCommand, ProbeRunArguments};
use crate::output::{Done, Outcome, Style, print_json};

pub(crate) async fn execute(command: &ProbeCommand, style: Style) -> Outcome {
    match command {
        ProbeCommand::Run(arguments) => run(arguments, style).await,
    }
}

async fn run(arguments: &ProbeRunArguments, style: Style) -> Outcome {
    let probe = probe(arguments)?;
    if probe.kind == ProbeKind::Latency {
        return burst(&probe, &arguments.target, style).await;
    }
    let address = Address::parse(&arguments.target, probe.kind.usual_port(arguments.tls));
    let shown = address.to_string();
    let lacking = || misfit("this kind of probe needs its table");
    let mut attempt = popnet_probe::once(&probe, address, arguments.tls).ok_or_else(lacking)?;
    let base_dir = std::env::current_dir().unwrap_or_default();
    let around = Surroundings { trust: Trust::load(&base_dir), base_dir };
    let mut progress = Progress::default();
    let outcome = once(&attempt.action(), &around, &mut progress).await.ok_or_else(lacking)?;
    let (checked, total) = attempt.judge(&outcome);
    let passed = checked.cause == Cause::Passed;
    if style.json {
        let phases: Vec<_> = progress
            .phases()
            .iter()
            .map(|(name, time)| json!({ "phase": name, "us": time.0 }))
            .collect();
        let body = json!({
            "kind": arguments.kind,
            "target": shown,
            "passed": passed,
            "cause": checked.cause,
            "words": &*checked.words,
            "load": checked.load.map(|load| f64::from(load) / 1_000.0),
            "phases": phases,
            "total_us": total.0,
        });
        print_json("probe/v1", &body);
    } else {
        for (name, time) in progress.phases() {
            println!("  {name:<10} {:>10}", milliseconds(*time));
        }
        println!("  {:<10} {:>10}", "total", milliseconds(total));
        if let Some(load) = checked.load {
            println!("  {:<10} {:>10.3}", "load", f64::from(load) / 1_000.0);
        }
        if passed {
            println!("{} {shown} passed", arguments.kind);
        } else {
            println!("{} {shown} failed: {}", arguments.kind, checked.words);
        }
    }
    Ok(if passed { Done::WELL } else { Done::FOUND_PROBLEMS })
}

/// A burst towards a resolver, by the configured methods in turn.
async fn burst(probe: &Probe, target: &str, style: Style) -> Outcome {
    let resolver: IpAddr = target.parse().map_err(|_| misfit("a resolver is an address"))?;
    let methods = if probe.methods.is_empty() {
        use LatencyMethod::{DnsQuery, Icmp, Tcp53, Trace};
        vec![DnsQuery, Icmp, Tcp53, Trace]
    } else {
        probe.methods.clone()
    };
    let job = MeasureJob {
        id: JobId(0),
        resolver,
        methods,
        samples: probe.samples.unwrap_or(3).clamp(1, 10),
        timeout: probe.timeout.map_or(Duration::from_secs(1), |timeout| timeout.duration()),
        // By hand there is no network whose name would say anything.
        asked: None,
    };
    let burst =
        resolver::measure(&job, probe.port.unwrap_or(resolver::PORT), Turns::default()).await;
    if style.json {
        let rtts: Vec<_> = burst.rtts.iter().map(|rtt| rtt.map(|rtt| rtt.0)).collect();
        print_json(
            "probe/v1",
            &json!({ "target": target, "method": burst.method, "rtts_us": rtts }),
        );
    } else {
        for rtt in &burst.rtts {
            println!("  {}", rtt.map_or_else(|| "lost".to_owned(), milliseconds));
        }
        match burst.method {
            Some(method) => println!("latency {target} by {method:?}"),
            None => println!("latency {target} failed: nobody answers"),
        }
    }
    Ok(if burst.method.is_some() { Done::WELL } else { Done::FOUND_PROBLEMS })
}

/// The probe as the configuration would have it.
fn probe(arguments: &ProbeRunArguments) -> Result<Probe, Problem> {
    let mut text = format!("kind = {:?}\n", arguments.kind);
    for line in &arguments.with {
        let (key, value) = line.split_once('=').ok_or_else(|| misfit("--with KEY=VALUE"))?;
        let (key, value) = (key.trim(), value.trim());
        // A text may be written without its quotation marks.
        let as_written = format!("{key} = {value}\n");
        let quoted = || format!("{key} = {}\n", json!(value));
        let is_toml = as_written.parse::<toml_edit::DocumentMut>().is_ok();
        text.push_str(&if is_toml { as_written } else { quoted() });
    }
    let lacks = |key: &str| !arguments.with.iter().any(|line| line.trim_start().starts_with(key));
    if let Some(path) = &arguments.path {
        let table = if arguments.kind == "http" { "request" } else { &arguments.kind };
        text.push_str(&format!("{table}.path = {}\n", json!(path)));
        if arguments.kind == "stream" && lacks("stream.format") {
            let format = match path.rsplit('.').next() {
                Some("m3u8") => "hls",
                Some("mpd") => "dash",
                Some(_) | None => "endless",
            };
            text.push_str(&format!("stream.format = {format:?}\n"));
        }
    }
    if lacks("timeout") && arguments.kind != "latency" {
        text.push_str("timeout = \"10s\"\n");
    }
    toml_edit::de::from_str(&text).map_err(|error| misfit(error.message()))
}

fn milliseconds(time: Micros) -> String {
    format!("{:.3} ms", f64::from(time.0) / 1_000.0)
}

fn misfit(what: &str) -> Problem {
    let next = "popnet probe run http www.example.com --path /health   (docs/operate/probes.md)";
    Problem::new("U0080", what.trim(), next).with_exit(2)
}
