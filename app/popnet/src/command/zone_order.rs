//! `popnet zone status|transfer|notify|freeze|thaw`: orders to the name servers about one zone.

use std::path::Path;
use std::sync::Arc;

use popnet_terms::{NodeName, Role, Timestamp};
use popnet_wire::control::Problem;
use popnet_wire::zoning::{ZoneAsk, ZoneOrder, ZoneSource, ZoneStanding};
use serde_json::{Value, json};

use super::explain::{no_nameserver, plain_name};
use super::{admin, network};
use crate::cli::ZoneOrderArguments;
use crate::output::{Done, Outcome, Style, print_json, table};

/// The exit code of a name server that does not serve the zone, or for which the order makes no
/// sense.
const NOT_HERE: u8 = 3;

/// How a zone stands at a name server: for everybody, or in a view.
struct Carried {
    node: NodeName,
    view: Option<Arc<str>>,
    standing: ZoneStanding,
}

pub(crate) async fn execute(
    order: ZoneOrder,
    arguments: &ZoneOrderArguments,
    context: Option<&Path>,
    style: Style,
) -> Outcome {
    let admin = admin(context)?;
    let (_, _, network) = network(&admin).await?;
    let only = arguments.ns.as_ref();
    let zone = plain_name(&arguments.zone).to_string();
    let mut carried: Vec<Carried> = Vec::new();
    let (mut not_here, mut failed) = (None, None);
    for (node, _, of) in network.nodes() {
        if !of.runs(Role::Nameserver) || only.is_some_and(|only| *only != node) {
            continue;
        }
        let ask = ZoneAsk { zone: zone.clone(), order };
        match admin.zone(&node, ask).await {
            Ok(standings) => {
                carried.extend(standings.into_iter().map(|(view, standing)| Carried {
                    node: node.clone(),
                    view,
                    standing,
                }));
            }
            Err(problem) if problem.exit == NOT_HERE => not_here = Some(problem),
            Err(problem) => {
                if !style.json {
                    eprintln!("! {node}   {}", problem.what);
                }
                failed = Some(problem);
            }
        }
    }
    if carried.is_empty() {
        let last = failed.or(not_here);
        return Err(last.unwrap_or_else(|| no_nameserver(&network, only)));
    }
    if style.json {
        let all: Vec<Value> = carried.iter().map(in_json).collect();
        print_json("zone.order/v1", &json!({ "zone": zone, "name_servers": all }));
    } else {
        let head = ["NAME SERVER", "SERIAL", "FROM", "UPDATES", "SECONDARIES", "LOOKS AGAIN"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(carried.iter().map(row));
        print!("{}", table(&rows));
        for Carried { node, standing, .. } in &carried {
            if let ZoneSource::Primaries { trouble: Some(why), .. } = &standing.source {
                println!("! {node}   no primary could be asked: {why}");
            }
        }
    }
    failed.map_or(Ok(Done::WELL), |problem: Problem| Err(problem))
}

fn row(Carried { node, view, standing }: &Carried) -> Vec<String> {
    let serial = match standing.serial {
        Some(serial) if standing.is_signed => format!("{serial} signed"),
        Some(serial) => serial.to_string(),
        None => "SERVFAIL".to_owned(),
    };
    let (from, next) = match &standing.source {
        ZoneSource::File | ZoneSource::Updates => ("file".to_owned(), String::new()),
        ZoneSource::Listing => ("catalog".to_owned(), String::new()),
        ZoneSource::Primaries { primaries, next, .. } => {
            (primaries.join(" "), next.map(moment).unwrap_or_default())
        }
    };
    let updates = match &standing.source {
        _ if standing.is_frozen => "frozen",
        ZoneSource::Updates => "taken",
        ZoneSource::File | ZoneSource::Primaries { .. } | ZoneSource::Listing => "",
    };
    let place = match view {
        Some(view) => format!("{node} (view {view})"),
        None => node.to_string(),
    };
    vec![place, serial, from, updates.into(), standing.secondaries.join(" "), next]
}

fn in_json(Carried { node, view, standing }: &Carried) -> Value {
    let source = match &standing.source {
        ZoneSource::File => json!({ "kind": "file" }),
        ZoneSource::Updates => json!({ "kind": "updates" }),
        ZoneSource::Listing => json!({ "kind": "catalog" }),
        ZoneSource::Primaries { primaries, confirmed, next, expires, trouble } => json!({
            "kind": "primaries",
            "primaries": primaries,
            "confirmed": confirmed.map(moment),
            "next": next.map(moment),
            "expires": expires.map(moment),
            "trouble": trouble,
        }),
    };
    json!({
        "node": node,
        "view": view,
        "serial": standing.serial,
        "signed": standing.is_signed,
        "frozen": standing.is_frozen,
        "source": source,
        "secondaries": standing.secondaries,
    })
}

fn moment(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.unix_seconds()).unwrap_or_default().to_string()
}
