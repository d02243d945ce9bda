//! Databases of networks and places for the made world, in the format that operators' databases
//! have (MaxMind DB file format 2.0), so that name servers read them with what reads real ones.

use std::collections::BTreeMap;

/// What goes into a database.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(&'static str),
    Word(String),
    /// In the width that the format prescribes: 16, 32 or 64 bits.
    Short(u16),
    Number(u32),
    Long(u64),
    Degrees(f64),
    Map(Vec<(&'static str, Self)>),
    List(Vec<Self>),
}

/// The marker before the description of a database.
const MARK: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// Nodes of the search tree have two records of 32 bits.
const RECORD_BITS: u16 = 32;

/// The octets between tree and data.
const GAP: u32 = 16;

/// A database called `kind` of IPv4 prefixes of 16 bits.
pub(crate) fn database(kind: &'static str, entries: &BTreeMap<u16, Value>) -> Vec<u8> {
    let (nodes, leaves) = tree(entries.keys().copied());
    let count = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
    let mut data = Vec::new();
    let mut offsets: BTreeMap<u16, u32> = BTreeMap::new();
    for (prefix, value) in entries {
        offsets.insert(*prefix, u32::try_from(data.len()).unwrap_or(u32::MAX));
        write(&mut data, value);
    }
    let mut octets = Vec::with_capacity(nodes.len() * 8 + data.len() + 512);
    for (at, records) in nodes.iter().enumerate() {
        for (side, record) in records.iter().enumerate() {
            let leaf = leaves.get(&(at, side)).and_then(|prefix| offsets.get(prefix));
            let value = match (record, leaf) {
                (_, Some(offset)) => count + GAP + offset,
                (Some(node), None) => *node,
                (None, None) => count,
            };
            octets.extend(value.to_be_bytes());
        }
    }
    octets.extend([0; 16]);
    octets.extend(data);
    octets.extend(MARK);
    let description = Value::Map(vec![
        ("node_count", Value::Number(count)),
        ("record_size", Value::Short(RECORD_BITS)),
        ("ip_version", Value::Short(4)),
        ("database_type", Value::Text(kind)),
        ("languages", Value::List(Vec::new())),
        ("binary_format_major_version", Value::Short(2)),
        ("binary_format_minor_version", Value::Short(0)),
        ("build_epoch", Value::Long(1_800_000_000)),
        ("description", Value::Map(Vec::new())),
    ]);
    write(&mut octets, &description);
    octets
}

/// A node's two records: the next node, where there is one.
type Node = [Option<u32>; 2];

/// The search tree, and at which record of which node each prefix's entry is.
fn tree(prefixes: impl Iterator<Item = u16>) -> (Vec<Node>, BTreeMap<(usize, usize), u16>) {
    let mut nodes: Vec<Node> = vec![[None; 2]];
    let mut leaves = BTreeMap::new();
    for prefix in prefixes {
        let mut at = 0;
        for bit in (1..16).rev() {
            let side = usize::from(prefix >> bit & 1);
            let fresh = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
            let Some(record) = nodes.get_mut(at).and_then(|node| node.get_mut(side)) else { break };
            let next = *record.get_or_insert(fresh);
            if next == fresh {
                nodes.push([None; 2]);
            }
            at = usize::try_from(next).unwrap_or(0);
        }
        leaves.insert((at, usize::from(prefix & 1)), prefix);
    }
    (nodes, leaves)
}

/// Kinds of values, as the format numbers them.
const TEXT: u8 = 2;
const DOUBLE: u8 = 3;
const U16: u8 = 5;
const U32: u8 = 6;
const MAP: u8 = 7;
const U64: u8 = 9;
const LIST: u8 = 11;

fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Text(text) => write_text(out, text),
        Value::Word(text) => write_text(out, text),
        Value::Short(number) => write_number(out, U16, &number.to_be_bytes()),
        Value::Number(number) => write_number(out, U32, &number.to_be_bytes()),
        Value::Long(number) => write_number(out, U64, &number.to_be_bytes()),
        Value::Degrees(degrees) => {
            head(out, DOUBLE, 8);
            out.extend(degrees.to_be_bytes());
        }
        Value::Map(entries) => {
            head(out, MAP, entries.len());
            for (key, value) in entries {
                write_text(out, key);
                write(out, value);
            }
        }
        Value::List(values) => {
            head(out, LIST, values.len());
            values.iter().for_each(|value| write(out, value));
        }
    }
}

/// Without the zeroes in front.
fn write_number(out: &mut Vec<u8>, kind: u8, octets: &[u8]) {
    let some = octets.iter().position(|octet| *octet != 0).unwrap_or(octets.len());
    let octets = octets.get(some..).unwrap_or_default();
    head(out, kind, octets.len());
    out.extend(octets);
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    head(out, TEXT, text.len());
    out.extend(text.as_bytes());
}

/// The control octets of a value: its kind and its size, which here is always below 285.
fn head(out: &mut Vec<u8>, kind: u8, size: usize) {
    let (low, more) = match u8::try_from(size) {
        Ok(size) if size < 29 => (size, None),
        Ok(size) => (29, Some(size - 29)),
        Err(_) => (29, Some(u8::MAX)),
    };
    if kind > 7 {
        out.extend([low, kind - 7]);
    } else {
        out.push(kind << 5 | low);
    }
    out.extend(more);
}

#[cfg(test)]
mod tests {
    use popnet_steering::Atlas;

    use super::*;

    #[test]
    fn name_servers_read_it() {
        let network = |n| Value::Map(vec![("autonomous_system_number", Value::Number(n))]);
        let place = |code: &str, lat, lon| {
            let at = vec![("latitude", Value::Degrees(lat)), ("longitude", Value::Degrees(lon))];
            let country = Value::Map(vec![("iso_code", Value::Word(code.to_owned()))]);
            Value::Map(vec![("country", country), ("location", Value::Map(at))])
        };
        let networks = BTreeMap::from([(0x1400, network(64_500)), (0x1401, network(70_000))]);
        let places = BTreeMap::from([
            (0x1400, place("JP", 35.5, 139.0)),
            (0x1401, place("DE", 50.0, -8.25)),
        ]);
        let networks = database("Twin-ASN", &networks);
        let places = database("Twin-City", &places);
        let atlas = Atlas::read(Some(networks), Some(places)).unwrap();
        let of = |client: &str| atlas.place(client.parse().unwrap());
        let tokyo = of("20.0.7.0/24").unwrap();
        assert_eq!((tokyo.asn, &tokyo.country), (64_500, b"JP"));
        assert_eq!(tokyo.prefix, Some("20.0.0.0/16".parse().unwrap()));
        let there = of("20.1.255.0/24").unwrap();
        assert_eq!(there.location.map(|at| (at.lat, at.lon)), Some((50.0, -8.25)));
        assert_eq!((there.asn, of("20.2.0.0/24")), (70_000, None));
    }
}
