//! A part of the table on disk: who speaks, then the rows as they lie in memory. Each part says
//! for itself who its speakers are, so that parts may be written at different times.

use popnet_terms::NodeName;
use serde::{Deserialize, Serialize};

use super::part::Part;
use super::row::{ROW_OCTETS, Row};
use super::speakers::Speakers;

/// In front of the rows.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    /// Nodes and their boots; rows name them by place.
    speakers: Vec<(NodeName, u64)>,
    rows: u32,
}

pub(super) fn write(part: &Part, speakers: &Speakers) -> Vec<u8> {
    let mut numbers: Vec<u16> = part.rows().map(|row| row.speaker).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.retain(|number| speakers.get(*number).is_some());
    let named = numbers.iter().filter_map(|number| speakers.get(*number));
    let place = |number| u16::try_from(numbers.binary_search(&number).ok()?).ok();
    let rows: Vec<Row> =
        part.rows().filter_map(|row| Some(row.said_by(place(row.speaker)?))).collect();
    let head = Head {
        speakers: named.map(|speaker| (speaker.node.clone(), speaker.boot)).collect(),
        rows: u32::try_from(rows.len()).unwrap_or(u32::MAX),
    };
    let mut octets = postcard::to_allocvec(&head).unwrap_or_default();
    octets.reserve(rows.len() * ROW_OCTETS);
    for row in rows {
        row.write(&mut octets);
    }
    octets
}

/// The speakers and the rows that [`write()`] wrote. Takes any octets; rows that make no sense are
/// left out.
pub(super) fn read(octets: &[u8]) -> Option<(Vec<(NodeName, u64)>, impl Iterator<Item = Row>)> {
    let (head, rest): (Head, &[u8]) = postcard::take_from_bytes(octets).ok()?;
    let (rows, cut) = rest.as_chunks::<ROW_OCTETS>();
    let is_whole = cut.is_empty() && u32::try_from(rows.len()).ok() == Some(head.rows);
    is_whole.then_some(())?;
    Some((head.speakers, rows.iter().filter_map(Row::from_octets)))
}
