//! `popnet explain`: why a resolver gets a server, why a URL is cached or not.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use popnet_admin::Admin;
use popnet_config::network::{Network, SiteKind};
use popnet_dns::Rtype;
use popnet_terms::{Because, Micros, NodeName, OriginId, PopId, Role, TargetId};
use popnet_wire::asking::{Answer, Question, Scope, What};
use popnet_wire::control::Problem;
use popnet_wire::explaining::{DnsStory, ExplainDns, ExplainUrl, UrlStory};
use popnet_wire::inquiring::{Assumption, Explanation, Inquiry};
use popnet_wire::logging::{Candidate, Decision, Record, Score};
use serde_json::json;

use super::purge::{site_of, split};
use super::suppose::{assumption, beyond, moment, when};
use super::{admin, network, parsed};
use crate::cli::{ExplainCommand, ExplainDnsArguments};
use crate::output::{Done, Outcome, Style, print_json, table};

pub(crate) async fn execute(
    command: ExplainCommand,
    context: Option<&Path>,
    style: Style,
) -> Outcome {
    let admin = admin(context)?;
    let (_, _, network) = network(&admin).await?;
    match command {
        ExplainCommand::Dns(arguments) => dns(&admin, &network, arguments, style).await,
        ExplainCommand::Url { url, pop, headers } => {
            explain_url(&admin, &network, &url, pop, &headers, style).await
        }
        ExplainCommand::Decision { id } => decision(&admin, &network, &id, style).await,
    }
}

async fn dns(
    admin: &Admin,
    network: &Network,
    arguments: ExplainDnsArguments,
    style: Style,
) -> Outcome {
    let resolver = resolver(network, arguments.resolver, arguments.from.as_deref())?;
    let assume = arguments.assume.iter().map(|text| assumption(text));
    let draft = match &arguments.config {
        Some(which) => Some(configuration(admin, which, style).await?),
        None => None,
    };
    let now = popnet_runtime::clock::now();
    let inquiry = Inquiry {
        name: plain_name(&arguments.name),
        qtype: arguments.r#type.to_int(),
        resolver,
        subnet: arguments.subnet,
        assume: assume.collect::<Result<_, _>>()?,
        at: arguments.at.as_deref().map(|text| moment(text, now)).transpose()?,
        config: draft.as_ref().map(|(text, _)| text.clone()),
    };
    // A target of the past may be gone by now.
    if inquiry.at.is_none() {
        let tried = draft.as_ref().map(|(_, tried)| tried);
        known_targets(tried.unwrap_or(network), &inquiry.assume)?;
    }
    let (ns, told) = inquire(admin, network, arguments.ns.as_ref(), &inquiry).await?;
    if style.json {
        print_json("explain.dns/v1", &explanation_json(&ns, &told));
        return Ok(Done::WELL);
    }
    told.view.iter().for_each(|view| println!("View        {view}"));
    match &told.story {
        DnsStory::Steered(decision) => {
            let then = inquiry.at.map(when);
            let tried = arguments.config.as_deref().map(|which| match which.parse::<u64>() {
                Ok(number) => format!(" as it would be under v{number}"),
                Err(_) => format!(" as it would be under {which}"),
            });
            print!("{}", head(decision, then, &tried.unwrap_or_default()));
            print!("{}{}", funnel(decision), beyond(&told));
        }
        DnsStory::Static(records) => {
            println!("Answer      records of a zone at {ns}; nothing is chosen");
            records.iter().for_each(|record| println!("            {record}"));
        }
        DnsStory::Nothing { rcode, why } => println!("Answer      {rcode}: {why}"),
    }
    Ok(Done::WELL)
}

/// A name as the name servers' questions carry it: lower case, and a dot at the end only where it
/// is all there is.
pub(super) fn plain_name(name: &str) -> Arc<str> {
    let lower = name.trim().to_ascii_lowercase();
    match lower.trim_end_matches('.') {
        "" if !lower.is_empty() => ".".into(),
        plain => plain.into(),
    }
}

/// A what-if about something that is not there would change nothing, and say so to nobody.
fn known_targets(network: &Network, assume: &[Assumption]) -> Result<(), Problem> {
    let origin = |id: &OriginId| {
        network
            .origin_groups
            .get(&id.group)
            .is_some_and(|group| group.servers.contains_key(&*id.server))
    };
    for Assumption { target, .. } in assume {
        let known = match target {
            TargetId::Pop(pop) => network.pops.contains_key(pop),
            TargetId::Origin(id) => origin(id),
        };
        if !known {
            let pops: Vec<&str> = network.pops.keys().map(PopId::as_str).collect();
            let what = format!(
                "no POP or server is called {target}; POPs: {}; servers are GROUP/SERVER",
                pops.join(", ")
            );
            return Err(Problem::new("U0029", what, "--assume fra1=down").with_exit(3));
        }
    }
    Ok(())
}

fn explanation_json(ns: &NodeName, told: &Explanation) -> serde_json::Value {
    let mut value = story_json(ns, &told.story);
    if let Some(fields) = value.as_object_mut() {
        told.view.iter().for_each(|view| drop(fields.insert("view".into(), json!(view))));
        fields.insert("measured_at".into(), json!(told.at));
        fields.insert("reasons".into(), json!(told.reasons));
        fields.insert("rivals".into(), json!(told.rivals));
        fields.insert("notes".into(), json!(told.notes));
    }
    value
}

fn story_json(ns: &NodeName, story: &DnsStory) -> serde_json::Value {
    match story {
        DnsStory::Steered(decision) => {
            json!({ "ns": ns, "kind": "steered", "decision": decision_json(decision) })
        }
        DnsStory::Static(records) => json!({ "ns": ns, "kind": "static", "records": records }),
        DnsStory::Nothing { rcode, why } => {
            json!({ "ns": ns, "kind": "nothing", "rcode": rcode, "why": why })
        }
    }
}

/// A decision with its id as people type it: JSON's numbers are too short for it.
pub(super) fn decision_json(decision: &Decision) -> serde_json::Value {
    let mut value = json!(decision);
    if let Some(fields) = value.as_object_mut() {
        let id = (decision.id != 0).then(|| id_text(decision.id));
        fields.insert("id".into(), id.into());
        fields.insert("qtype".into(), Rtype::from_int(decision.qtype).to_string().into());
    }
    value
}

/// Who asks: an address, a city of the `[simulate]` table, or this machine.
pub(super) fn resolver(
    network: &Network,
    given: Option<IpAddr>,
    city: Option<&str>,
) -> Result<IpAddr, Problem> {
    match (given, city) {
        (Some(address), _) => Ok(address),
        (None, Some(name)) => city_resolver(network, name),
        (None, None) => Ok(IpAddr::from([127, 0, 0, 1])),
    }
}

/// Where the resolver of city `name` asks from.
pub(super) fn city_resolver(network: &Network, name: &str) -> Result<IpAddr, Problem> {
    let cities = network.simulate.as_ref().map(|table| &table.cities);
    let found = cities.and_then(|cities| cities.get(&name.to_ascii_lowercase()));
    found.and_then(|city| city.clients.first()).map(ipnet::IpNet::addr).ok_or_else(|| {
        let known: Vec<&str> =
            cities.map(|cities| cities.keys().map(String::as_str).collect()).unwrap_or_default();
        let what = if known.is_empty() {
            "this network simulates no cities; name a resolver's address".to_owned()
        } else {
            format!("no city is called {name:?}; cities: {}", known.join(", "))
        };
        let next = known.first().map_or("--resolver ADDRESS".to_owned(), |c| format!("--from {c}"));
        Problem::new("U0021", what, next).with_exit(3)
    })
}

/// The first name server that answers, or the one asked for.
pub(super) async fn ask_dns(
    admin: &Admin,
    network: &Network,
    only: Option<&NodeName>,
    question: ExplainDns,
) -> Result<(NodeName, DnsStory, Option<Arc<str>>), Problem> {
    let mut last = no_nameserver(network, only);
    for (node, _, of) in network.nodes() {
        if !of.runs(Role::Nameserver) || only.is_some_and(|only| *only != node) {
            continue;
        }
        match admin.explain_dns(&node, question.clone()).await {
            Ok((story, view)) => return Ok((node, story, view)),
            Err(problem) => last = problem,
        }
    }
    Err(last)
}

/// The first name server that can tell, or the one asked for.
async fn inquire(
    admin: &Admin,
    network: &Network,
    only: Option<&NodeName>,
    inquiry: &Inquiry,
) -> Result<(NodeName, Explanation), Problem> {
    let mut last = no_nameserver(network, only);
    for (node, _, of) in network.nodes() {
        if !of.runs(Role::Nameserver) || only.is_some_and(|only| *only != node) {
            continue;
        }
        match admin.inquire(&node, inquiry.clone()).await {
            Ok(told) => return Ok((node, told)),
            Err(problem) => last = problem,
        }
    }
    Err(last)
}

/// A kept version by its number, or a file that is not in force yet.
async fn configuration(
    admin: &Admin,
    which: &str,
    style: Style,
) -> Result<(String, Network), Problem> {
    let Ok(number) = which.trim_start_matches('v').parse() else {
        let (text, loaded) = super::config::read(Path::new(which), style)?;
        return Ok((text, loaded.network));
    };
    let version = super::config::one_version(admin, Some(number)).await?;
    let network = parsed(&version)?;
    Ok((version.text, network))
}

pub(super) fn no_nameserver(network: &Network, only: Option<&NodeName>) -> Problem {
    let all: Vec<String> = network
        .nodes()
        .filter(|(_, _, node)| node.runs(Role::Nameserver))
        .map(|(name, _, _)| name.to_string())
        .collect();
    match (only, all.first()) {
        (Some(only), Some(first)) => {
            let what = format!("{only} is no name server; name servers: {}", all.join(", "));
            Problem::new("N0044", what, format!("--ns {first}")).with_exit(3)
        }
        _ => Problem::new("N0043", "this network has no name server", "popnet config show"),
    }
}

async fn decision(admin: &Admin, network: &Network, id: &str, style: Style) -> Outcome {
    let number = u64::from_str_radix(id.trim_start_matches("d-"), 16).map_err(|_| {
        Problem::new(
            "U0015",
            format!("{id:?} is no decision id"),
            "popnet explain decision d-7f3a91c2",
        )
        .with_exit(2)
    })?;
    let question = Question { scope: Scope::Network, what: What::Decision { id: number } };
    for (node, _, of) in network.nodes() {
        if !of.runs(Role::Logserver) {
            continue;
        }
        if let Answer::Records(records) = admin.question(&node, question.clone()).await? {
            for (_, _, record) in records {
                if let Record::Decision(decision) = record {
                    if style.json {
                        print_json("explain.decision/v1", &decision_json(&decision));
                    } else {
                        print!("{}", tell(&decision));
                    }
                    return Ok(Done::WELL);
                }
            }
        }
    }
    let what = format!("no log server knows decision {id}");
    Err(Problem::new("N0021", what, "popnet explain dns NAME --resolver ADDRESS").with_exit(3))
}

/// A decision as people read it.
fn tell(decision: &Decision) -> String {
    format!("{}{}{}", head(decision, None, ""), funnel(decision), would_win(decision))
}

/// What was asked and answered, at `then` where it is not of now.
fn head(decision: &Decision, then: Option<String>, tried: &str) -> String {
    let answers: Vec<String> = decision.answers.iter().map(ToString::to_string).collect();
    let chosen: Vec<String> = decision.chosen.iter().map(ToString::to_string).collect();
    let mut text = if answers.is_empty() {
        "Answer      no record of this type: see below what stood in the way\n".to_owned()
    } else {
        let (answers, chosen) = (answers.join(" "), chosen.join(" "));
        let (ttl, because) = (decision.ttl.0, decision.because);
        format!("Answer      {answers} ({chosen}), TTL {ttl}   {because}\n")
    };
    let policy = if decision.policy.is_empty() { "fastest" } else { &*decision.policy };
    text.push_str(&format!(
        "Asked       {} {} from {}{}\nDecided     {} by {}, config {}{tried}, policy {policy}, client {}\n",
        decision.qname,
        Rtype::from_int(decision.qtype),
        decision.resolver,
        decision.ecs.map(|ecs| format!(", client subnet {ecs}")).unwrap_or_default(),
        then.unwrap_or_else(|| id_text(decision.id)),
        decision.ns,
        decision.config,
        decision.client,
    ));
    text
}

/// Every candidate: who was removed and why, and what the others score.
fn funnel(decision: &Decision) -> String {
    let all: Vec<String> = decision.candidates.iter().map(|c| c.target.to_string()).collect();
    let mut text = format!("Candidates  {}\n", all.join(" "));
    text.push_str(&removed_text(&decision.candidates));
    text.push_str(&scores_text(&decision.candidates));
    text
}

/// The id as users see it; explanations of now have none.
pub(super) fn id_text(id: u64) -> String {
    if id == 0 { "now".to_owned() } else { format!("d-{id:08x}") }
}

fn removed_text(candidates: &[Candidate]) -> String {
    let mut label = "Removed";
    let mut text = String::new();
    for candidate in candidates {
        let Some(removal) = &candidate.removed else { continue };
        let seen: Vec<&str> = removal.seen_by.iter().map(PopId::as_str).collect();
        let age = removal.age.map(|age| format!(", {} s ago", age.0)).unwrap_or_default();
        let by = if seen.is_empty() {
            String::new()
        } else {
            format!(", seen by {}", seen.join(" and "))
        };
        text.push_str(&format!(
            "{label:<11} {:<15} {:<20} {}{age}{by}\n",
            candidate.target, removal.reason, removal.detail
        ));
        label = "";
    }
    text
}

fn scores_text(candidates: &[Candidate]) -> String {
    let mut scored: Vec<(&TargetId, &Score)> = candidates
        .iter()
        .filter(|c| c.removed.is_none())
        .filter_map(|c| Some((&c.target, c.score.as_ref()?)))
        .collect();
    scored.sort_by_key(|(target, score)| (score.points, (*target).clone()));
    if scored.is_empty() {
        return String::new();
    }
    let has_bias = scored.iter().any(|(_, score)| score.bias() != 0);
    let terms = ["Scored", "rtt ms", "+loss", "+load", "+cost", "+penalty"];
    let rest = has_bias.then_some("-bias").into_iter().chain(["points", "rtt from"]);
    let mut rows = vec![terms.into_iter().chain(rest).map(String::from).collect::<Vec<_>>()];
    for (target, score) in scored {
        let age = score.rtt_age.map(|age| format!(" {} s ago", age.0)).unwrap_or_default();
        let via = score.rtt_via.as_ref().map(|pop| format!(" via {pop}")).unwrap_or_default();
        let mut row = vec![
            target.to_string(),
            ms(score.latency),
            ms(score.loss),
            ms(score.load),
            ms(score.cost),
            ms(score.penalty),
        ];
        row.extend(has_bias.then(|| bias(score)));
        row.extend([ms(score.points), format!("{}{via}{age}", score.rtt_source)]);
        rows.push(row);
    }
    // The heading begins where the other labels do.
    let table = table(&rows).replacen("  Scored", "Scored  ", 1);
    format!("{table}{:12}lowest points win; all in milliseconds\n", "")
}

pub(super) fn ms(value: Micros) -> String {
    format!("{:.1}", value.as_millis_f64())
}

fn bias(score: &Score) -> String {
    let bias = score.bias();
    let size = u32::try_from(bias.unsigned_abs()).map_or_else(|_| "∞".into(), |us| ms(Micros(us)));
    if bias < 0 { format!("-{size}") } else { size }
}

/// "If nrt1 were up it would win with 15.2": the removed candidate that would beat the winner.
fn would_win(decision: &Decision) -> String {
    let points = |candidate: &Candidate| candidate.score.as_ref().map(|score| score.points);
    let best = decision
        .candidates
        .iter()
        .filter(|c| decision.chosen.first() == Some(&c.target))
        .find_map(points);
    let loser = decision
        .candidates
        .iter()
        .filter(|c| c.removed.is_some())
        .filter_map(|c| Some((points(c)?, &c.target)))
        .min();
    match (loser, best) {
        (Some((points, target)), Some(best)) if points < best => {
            format!("If {target} were up it would win with {}.\n", ms(points))
        }
        _ => match decision.margin {
            Some(margin) if decision.because == Because::BestScore => {
                format!("Closest     the next best is {} ms behind\n", ms(margin))
            }
            _ => String::new(),
        },
    }
}

async fn explain_url(
    admin: &Admin,
    network: &Network,
    url: &str,
    pop: Option<PopId>,
    headers: &[String],
    style: Style,
) -> Outcome {
    let (host, path) = split(url)?;
    let site = site_of(&host, network)?;
    if network.sites.get(&site).is_some_and(|rules| rules.kind == SiteKind::Direct) {
        let what =
            format!("{site} is a direct site: its visitors go to the customer's own servers");
        return Err(Problem::new("U0031", what, format!("popnet explain dns {host}")).with_exit(3));
    }
    let fields = headers.iter().map(|text| field(text)).collect::<Result<Vec<_>, _>>()?;
    let scheme = url.split_once("://").map_or("http", |(scheme, _)| scheme);
    let question =
        ExplainUrl { scheme: scheme.into(), host: host.into(), path: path.into(), fields };
    let mut told = Vec::new();
    let mut silent = Vec::new();
    for (node, at, of) in network.nodes() {
        let caches = of.runs(Role::Webcache) || of.runs(Role::Webserver);
        if !caches || pop.as_ref().is_some_and(|pop| pop != at) {
            continue;
        }
        match admin.explain_url(&node, question.clone()).await {
            Ok(stories) => told.extend(stories),
            Err(problem) => {
                let own = format!("{node}: ");
                let why = problem.what.strip_prefix(&own).unwrap_or(&problem.what).to_owned();
                silent.push((node, why));
            }
        }
    }
    if told.is_empty() && silent.is_empty() {
        let what = pop.map_or("no POP caches".into(), |pop| format!("{pop} has no cache"));
        return Err(Problem::new("U0016", what, "popnet status").with_exit(3));
    }
    if told.is_empty() {
        let list: Vec<String> = silent.iter().map(|(node, why)| format!("{node}: {why}")).collect();
        let what = format!("no cache answers\n  {}", list.join("\n  "));
        return Err(Problem::new("N0028", what, "popnet status"));
    }
    if style.json {
        let silent: Vec<_> =
            silent.iter().map(|(node, why)| json!({ "node": node, "why": why })).collect();
        let tiers: Vec<_> = told.iter().map(tier_json).collect();
        print_json("explain.url/v1", &json!({ "url": url, "tiers": tiers, "silent": silent }));
        return Ok(Done::WELL);
    }
    told.iter().for_each(|story| print!("{}", url_text(story)));
    silent.iter().for_each(|(node, why)| println!("{node:<12} no answer: {why}"));
    Ok(Done::WELL)
}

fn field(text: &str) -> Result<(Arc<str>, Arc<str>), Problem> {
    match text.split_once(':') {
        Some((name, value)) => Ok((name.trim().to_ascii_lowercase().into(), value.trim().into())),
        None => {
            let what = format!("{text:?} is no request field");
            Err(Problem::new("U0017", what, "-H 'accept-encoding: gzip'").with_exit(2))
        }
    }
}

fn tier_json(story: &UrlStory) -> serde_json::Value {
    let mut value = json!(story);
    if let Some(fields) = value.as_object_mut() {
        let check =
            |(what, result): &(Arc<str>, Arc<str>)| json!({ "what": what, "result": result });
        fields.insert("checks".into(), story.checks.iter().map(check).collect());
    }
    value
}

fn url_text(story: &UrlStory) -> String {
    let state = match (story.ttl, story.age) {
        (Some(ttl), Some(age)) if ttl >= 0 => format!("stored, age {age} s, fresh for {ttl} s"),
        (Some(ttl), Some(age)) => format!("stored, age {age} s, stale since {} s", -ttl),
        _ => "not stored".to_owned(),
    };
    let variants = match story.variants {
        0 => String::new(),
        1 => ", 1 variant".to_owned(),
        many => format!(", {many} variants"),
    };
    let mut text = format!(
        "{} {:<4}  {} {}   {state}{variants}\n",
        story.node, story.tier, story.verdict, story.reason
    );
    for (what, result) in &story.checks {
        text.push_str(&format!("  {what:<9} {result}\n"));
    }
    if let Some(reason) = story.not_stored {
        text.push_str(&format!("  last time it was not stored: {reason}\n"));
    }
    text
}
