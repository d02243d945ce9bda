//! `popnet dig`: ask our name servers as a resolver would, with the reason of the answer.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use popnet_admin::Admin;
use popnet_config::network::Network;
use popnet_directory::lookup;
use popnet_dns::{Name, Rcode, Response, Rtype};
use popnet_terms::{Removed, TargetId};
use popnet_wire::control::Problem;
use popnet_wire::explaining::{DnsStory, ExplainDns};
use popnet_wire::logging::{Candidate, Decision};
use serde_json::json;

use super::explain::{ask_dns, city_resolver, decision_json, ms, no_nameserver, plain_name};
use super::{admin, map, network};
use crate::cli::DigArguments;
use crate::output::{Done, Outcome, Style, print_json};

pub(crate) async fn execute(
    arguments: &DigArguments,
    context: Option<&Path>,
    style: Style,
) -> Outcome {
    let admin = admin(context)?;
    let (_, _, network) = network(&admin).await?;
    let from = arguments.from.as_deref().map(|name| city_resolver(&network, name)).transpose()?;
    let (server, response) = ask(&network, arguments, from).await?;
    let why = why(&admin, &network, arguments, from).await;
    if style.json {
        let because = why.as_ref().ok().and_then(|why| why.decision.as_deref()).map(decision_json);
        print_json(
            "dig/v1",
            &json!({
                "server": server,
                "rcode": response.rcode.to_string(),
                "records": response.answers.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "decision": because,
                "view": why.ok().and_then(|why| why.view),
            }),
        );
        return Ok(Done::WELL);
    }
    for record in &response.answers {
        let behind = record.address().and_then(|address| map::behind(&network, address));
        let target = behind.map(|behind| behind.target.to_string()).unwrap_or_default();
        println!("{}", format!("{record}    {target}").trim_end());
    }
    if response.answers.is_empty() {
        println!("{}   {}", response.rcode, nothing(&response, arguments));
    }
    match why {
        Ok(why) => {
            why.view.iter().for_each(|view| println!("  in view {view}"));
            why.decision.iter().for_each(|decision| println!("  because {}", because(decision)));
        }
        Err(problem) => eprintln!("  the reason is not to be had: {problem}"),
    }
    Ok(Done::WELL)
}

/// What an answer without records means.
fn nothing(response: &Response, arguments: &DigArguments) -> String {
    let DigArguments { name, r#type, .. } = arguments;
    match response.rcode {
        Rcode::NOERROR => format!("{name} exists and has no {type} record", type = r#type),
        Rcode::NXDOMAIN => format!("there is no {name}"),
        Rcode::REFUSED if *r#type == Rtype::AXFR => "zone transfers are not offered".to_owned(),
        Rcode::REFUSED => format!("{name} is in no zone and no site of this network"),
        _ => format!("no answer about {name}"),
    }
}

fn name_of(text: &str) -> Result<Name, Problem> {
    text.parse().map_err(|error| {
        Problem::new(
            "U0025",
            format!("{text:?} is no name: {error}"),
            "popnet dig static.acme.test",
        )
        .with_exit(2)
    })
}

/// The first name server that answers.
async fn ask(
    network: &Network,
    arguments: &DigArguments,
    from: Option<IpAddr>,
) -> Result<(SocketAddr, Response), Problem> {
    let mut tried = Vec::new();
    let name = name_of(&arguments.name)?;
    for server in map::nameservers(network) {
        match lookup::query(server, &name, arguments.r#type, arguments.subnet, from).await {
            Ok(response) => return Ok((server, response)),
            Err(error) => tried.push(error.to_string()),
        }
    }
    if tried.is_empty() {
        return Err(no_nameserver(network, None));
    }
    let what = format!("no name server answers\n  {}", tried.join("\n  "));
    Err(Problem::new("N0050", what, "popnet status"))
}

/// What an answer rests on.
struct Why {
    decision: Option<Box<Decision>>,
    /// The view of the zones that the asker has, when it is not everybody's.
    view: Option<Arc<str>>,
}

async fn why(
    admin: &Admin,
    network: &Network,
    arguments: &DigArguments,
    from: Option<IpAddr>,
) -> Result<Why, Problem> {
    let question = ExplainDns {
        name: plain_name(&arguments.name),
        qtype: arguments.r#type.to_int(),
        resolver: from.unwrap_or(IpAddr::from([127, 0, 0, 1])),
        subnet: arguments.subnet,
        assume: Vec::new(),
    };
    let (_, story, view) = ask_dns(admin, network, None, question).await?;
    let decision = match story {
        DnsStory::Steered(decision) => Some(decision),
        DnsStory::Static(_) | DnsStory::Nothing { .. } => None,
    };
    Ok(Why { decision, view })
}

/// One line: who won with what, who came next, who was out.
fn because(decision: &Decision) -> String {
    let points = |c: &Candidate| c.score.as_ref().map(|score| score.points);
    let mut left: Vec<_> = decision
        .candidates
        .iter()
        .filter(|c| c.removed.is_none())
        .filter_map(|c| Some((points(c)?, &c.target)))
        .collect();
    left.sort();
    let first = decision.chosen.first();
    let winner = left.iter().find(|(_, target)| Some(*target) == first);
    let won = winner.map_or_else(
        || {
            let nothing = decision.chosen.is_empty();
            if nothing { "nothing can be chosen".to_owned() } else { decision.because.to_string() }
        },
        |(points, target)| format!("{target} scores {} ({})", ms(*points), decision.because),
    );
    let next: Vec<String> = left
        .iter()
        .filter(|(_, target)| Some(*target) != first)
        .map(|(points, target)| format!("{target} {}", ms(*points)))
        .collect();
    let out: Vec<String> = decision.candidates.iter().filter_map(out).collect();
    let mut text = won;
    if !next.is_empty() {
        text.push_str(&format!("; next {}", next.join(", ")));
    }
    if !out.is_empty() {
        text.push_str(&format!("; out: {}", out.join(", ")));
    }
    text
}

fn out(candidate: &Candidate) -> Option<String> {
    let reason: Removed = candidate.removed.as_ref()?.reason;
    let target: &TargetId = &candidate.target;
    Some(format!("{target} {reason}"))
}
