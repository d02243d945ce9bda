//! `popnet zone`: zone files checked, and zones shown as they stand in a file or are served.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use popnet_directory::lookup;
use popnet_dns::{
    Mistake, Name, Rcode, Response, Rtype, ZoneFile, build_query, rdata_text, read_zone,
};
use popnet_wire::control::Problem;
use popnet_wire::zoning::ZoneOrder;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::zone_order::execute as order;
use super::{admin, map, network, zone_sign};
use crate::cli::{ZoneCommand, ZoneShowArguments};
use crate::output::{Done, Outcome, Style, print_json};

/// No zone file is longer.
const FILE_MAX: u64 = 1 << 30;

/// A whole zone to be shown: longer ones are for transfers.
const TRANSFER_MAX: Duration = Duration::from_secs(60);
/// Records of a zone to be shown.
const RECORDS_MAX: usize = 10_000_000;
/// One question a connection: any number does.
const TRANSFER_ID: u16 = 1;

/// What a name is asked for when nobody says which type: what zones usually hold.
const USUAL: [Rtype; 16] = [
    Rtype::SOA,
    Rtype::NS,
    Rtype::CNAME,
    Rtype::DNAME,
    Rtype::A,
    Rtype::AAAA,
    Rtype::MX,
    Rtype::TXT,
    Rtype::SRV,
    Rtype::CAA,
    Rtype::HTTPS,
    Rtype::SVCB,
    Rtype::PTR,
    Rtype::NAPTR,
    Rtype::TLSA,
    Rtype::DS,
];

pub(crate) async fn execute(
    command: &ZoneCommand,
    context: Option<&Path>,
    style: Style,
) -> Outcome {
    match command {
        ZoneCommand::Check { file, name } => check(file, name.as_deref(), style),
        ZoneCommand::Show(arguments) => show(arguments, context, style).await,
        ZoneCommand::Sign(arguments) => zone_sign::sign(arguments, style),
        ZoneCommand::Keys(arguments) => zone_sign::keys(arguments, style),
        ZoneCommand::Status(arguments) => order(ZoneOrder::Status, arguments, context, style).await,
        ZoneCommand::Transfer(arguments) => {
            order(ZoneOrder::Transfer, arguments, context, style).await
        }
        ZoneCommand::Notify(arguments) => order(ZoneOrder::Notify, arguments, context, style).await,
        ZoneCommand::Freeze(arguments) => order(ZoneOrder::Freeze, arguments, context, style).await,
        ZoneCommand::Thaw(arguments) => order(ZoneOrder::Thaw, arguments, context, style).await,
    }
}

/// The zone's name: as said, else the file's name without `.zone` or `db.`.
pub(super) fn apex_of(file: &Path, said: Option<&str>) -> Result<Name, Problem> {
    let of_file = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let of_file = of_file.strip_suffix(".zone").or(of_file.strip_prefix("db."));
    let Some(text) = said.or(of_file) else {
        let what = format!("{} does not say which zone it is", file.display());
        let next = format!("popnet zone check {} --name ZONE", file.display());
        return Err(Problem::new("U0043", what, next).with_exit(2));
    };
    name_of(text)
}

fn text_of(path: &Path) -> Result<Vec<u8>, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > FILE_MAX {
        return Err(format!("{length} octets; the limit is {FILE_MAX}"));
    }
    std::fs::read(path).map_err(|error| error.to_string())
}

/// A zone file with everything that it includes.
pub(super) fn read(file: &Path, apex: &Name) -> Result<Result<ZoneFile, Vec<Mistake>>, Problem> {
    let text = text_of(file).map_err(|why| {
        let what = format!("{}: {why}", file.display());
        Problem::new("U0045", what, "popnet zone check FILE")
    })?;
    Ok(read_zone(apex, file, &text, &mut |path| text_of(path)))
}

fn check(file: &Path, name: Option<&str>, style: Style) -> Outcome {
    let apex = apex_of(file, name)?;
    let (zone, mistakes) = match read(file, &apex)? {
        Ok(zone) => (Some(zone), Vec::new()),
        Err(mistakes) => (None, mistakes),
    };
    if style.json {
        let found: Vec<_> = mistakes.iter().map(mistake_json).collect();
        print_json(
            "zone.check/v1",
            &json!({
                "zone": apex.to_host(),
                "valid": zone.is_some(),
                "records": zone.as_ref().map(|zone| zone.records.len()),
                "serial": zone.as_ref().and_then(serial),
                "mistakes": found,
            }),
        );
    } else if let Some(zone) = &zone {
        let serial = serial(zone).map_or_else(|| "?".to_owned(), |serial| serial.to_string());
        println!("zone {}: {} records, serial {serial}", apex.to_host(), zone.records.len());
    } else {
        mistakes.iter().for_each(|mistake| println!("{mistake}"));
    }
    Ok(if mistakes.is_empty() { Done::WELL } else { Done::FOUND_PROBLEMS })
}

fn mistake_json(mistake: &Mistake) -> serde_json::Value {
    json!({
        "file": mistake.file,
        "line": mistake.line,
        "column": mistake.column,
        "message": mistake.what,
    })
}

/// The SOA's serial (RFC 1035 3.3.13): five numbers end its data, this is the first.
fn serial(zone: &ZoneFile) -> Option<u32> {
    let soa = zone.records.iter().find(|record| record.rtype == Rtype::SOA)?;
    let numbers = soa.rdata.last_chunk::<20>()?;
    numbers.first_chunk::<4>().map(|octets| u32::from_be_bytes(*octets))
}

/// One record to be shown.
struct Line {
    owner: Name,
    ttl: u32,
    rtype: Rtype,
    data: String,
}

async fn show(arguments: &ZoneShowArguments, context: Option<&Path>, style: Style) -> Outcome {
    let apex = name_of(&arguments.zone)?;
    let owner = arguments.name.as_deref().map(|text| owner_of(text, &apex)).transpose()?;
    let (from, lines) = match &arguments.file {
        Some(file) => {
            (file.display().to_string(), from_file(file, &apex, owner.as_ref(), arguments)?)
        }
        None => {
            let server = match arguments.server {
                Some(server) => server,
                None => first_server(context).await?,
            };
            let lines = match &owner {
                Some(owner) => from_name(server, owner, arguments.r#type).await?,
                None => transferred(server, &apex).await?,
            };
            (server.to_string(), lines)
        }
    };
    if lines.is_empty() {
        let what = match &owner {
            Some(owner) => format!("{from} has no such records of {}", owner.to_host()),
            None => format!("{from} has no zone {}", apex.to_host()),
        };
        return Err(Problem::new("U0046", what, "popnet zone show ZONE").with_exit(3));
    }
    if style.json {
        let records: Vec<_> = lines
            .iter()
            .map(|line| {
                json!({
                    "name": line.owner.to_host(),
                    "ttl": line.ttl,
                    "type": line.rtype.to_string(),
                    "data": line.data,
                })
            })
            .collect();
        print_json(
            "zone.show/v1",
            &json!({ "zone": apex.to_host(), "from": from, "records": records }),
        );
    } else {
        for line in &lines {
            println!("{}\t{}\tIN\t{}\t{}", line.owner, line.ttl, line.rtype, line.data);
        }
    }
    Ok(Done::WELL)
}

/// A name that somebody typed.
pub(super) fn name_of(text: &str) -> Result<Name, Problem> {
    text.parse().map_err(|error| {
        let what = format!("{text:?} is no name: {error}");
        Problem::new("U0044", what, "a name such as example.test").with_exit(2)
    })
}

/// A zone file that was to be used and has mistakes.
pub(super) fn broken(file: &Path, apex: &Name, mistakes: &[Mistake]) -> Problem {
    let all: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
    let next = format!("popnet zone check {} --name {}", file.display(), apex.to_host());
    Problem::new("U0047", all.join("\n"), next)
}

/// A name as zone files have it: relative to the zone unless it ends with a dot or lies in it.
fn owner_of(text: &str, apex: &Name) -> Result<Name, Problem> {
    if text == "@" {
        return Ok(apex.clone());
    }
    let whole = name_of(text)?;
    if text.ends_with('.') || whole.is_within(apex) {
        return Ok(whole);
    }
    name_of(&format!("{text}.{apex}"))
}

fn from_file(
    file: &Path,
    apex: &Name,
    owner: Option<&Name>,
    arguments: &ZoneShowArguments,
) -> Result<Vec<Line>, Problem> {
    let zone = read(file, apex)?.map_err(|mistakes| broken(file, apex, &mistakes))?;
    let wanted = |rtype| arguments.r#type.is_none_or(|wanted| wanted == rtype);
    let records = zone
        .records
        .into_iter()
        .filter(|record| owner.is_none_or(|owner| *owner == record.owner) && wanted(record.rtype));
    Ok(records
        .map(|record| Line {
            data: rdata_text(record.rtype, &record.rdata),
            owner: record.owner,
            ttl: record.ttl,
            rtype: record.rtype,
        })
        .collect())
}

/// The first name server of the network in force.
async fn first_server(context: Option<&Path>) -> Result<SocketAddr, Problem> {
    let (_, _, network) = network(&admin(context)?).await?;
    map::nameservers(&network).into_iter().next().ok_or_else(|| {
        let what = "the network has no name server";
        Problem::new("N0022", what, "popnet zone show ZONE --server ADDRESS:PORT")
    })
}

fn silent(error: &lookup::LookupError) -> Problem {
    Problem::new("N0022", error.to_string(), "popnet status")
}

/// What a server says of one name.
async fn from_name(
    server: SocketAddr,
    owner: &Name,
    rtype: Option<Rtype>,
) -> Result<Vec<Line>, Problem> {
    let types = rtype.map_or_else(|| USUAL.to_vec(), |rtype| vec![rtype]);
    let mut lines = Vec::new();
    for rtype in types {
        let asked = lookup::query(server, owner, rtype, None, None).await;
        let response = asked.map_err(|error| silent(&error))?;
        refused(&response, owner)?;
        let own = response.answers.iter().filter(|record| record.owner == *owner);
        let known: Vec<Line> = own.filter(|record| record.rtype == rtype).map(line).collect();
        lines.extend(known);
    }
    Ok(lines)
}

fn line(record: &popnet_dns::Record) -> Line {
    Line {
        owner: record.owner.clone(),
        ttl: record.ttl,
        rtype: record.rtype,
        data: record.text.clone(),
    }
}

fn refused(response: &Response, name: &Name) -> Result<(), Problem> {
    if matches!(response.rcode, Rcode::NOERROR | Rcode::NXDOMAIN) {
        return Ok(());
    }
    let what = format!("the server says {} to {}", response.rcode, name.to_host());
    let next = "popnet zone show ZONE --file FILE, or a name of a zone that it serves";
    Err(Problem::new("U0048", what, next))
}

/// The whole zone, transferred (RFC 5936): it begins and ends with its SOA.
async fn transferred(server: SocketAddr, apex: &Name) -> Result<Vec<Line>, Problem> {
    let read = timeout(TRANSFER_MAX, transfer(server, apex)).await;
    read.unwrap_or_else(|_| Err(silent(&lookup::LookupError::Silent(server))))
}

async fn transfer(server: SocketAddr, apex: &Name) -> Result<Vec<Line>, Problem> {
    let unreachable = |source| silent(&lookup::LookupError::Unreachable { server, source });
    let query = build_query(TRANSFER_ID, apex, Rtype::AXFR, None);
    let mut framed = u16::try_from(query.len()).unwrap_or(0).to_be_bytes().to_vec();
    framed.extend_from_slice(&query);
    let mut stream = TcpStream::connect(server).await.map_err(unreachable)?;
    stream.write_all(&framed).await.map_err(unreachable)?;
    let (mut lines, mut ends) = (Vec::new(), 0);
    while ends < 2 && lines.len() < RECORDS_MAX {
        let length = stream.read_u16().await.map_err(unreachable)?;
        let mut message = vec![0; usize::from(length)];
        stream.read_exact(&mut message).await.map_err(unreachable)?;
        let foreign = |_| silent(&lookup::LookupError::Foreign(server));
        let response = Response::parse(&message).map_err(foreign)?;
        if response.rcode != Rcode::NOERROR || response.answers.is_empty() {
            let what = format!("{server} does not transfer {}: {}", apex.to_host(), response.rcode);
            let next = format!("popnet zone show {} NAME   asks for one name", apex.to_host());
            return Err(Problem::new("U0048", what, next).with_exit(4));
        }
        for record in &response.answers {
            ends += usize::from(record.rtype == Rtype::SOA);
            // The SOA at the end is the one at the beginning.
            if ends < 2 {
                lines.push(line(record));
            }
        }
    }
    Ok(lines)
}
