//! A part of the table on disk. Each part says for itself who its speakers are, so that parts may
//! be written at different times.
//!
//! The second form is packed as it lies in memory. The first had 32 octets a row; it is read, and
//! written no more.

use popnet_terms::NodeName;
use serde::{Deserialize, Serialize};

use super::packed::Packed;
use super::row::{ROW_OCTETS, Row};
use super::settled::{Place, Settled};
use super::speakers::Speakers;

/// In front of the rows of the first form.
#[derive(Debug, Serialize, Deserialize)]
struct RowsHead {
    /// Nodes and their boots; rows name them by place.
    speakers: Vec<(NodeName, u64)>,
    rows: u32,
}

/// In front of the units and rows of the second form.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    /// Nodes, their boots, and the highest numbers of their words; rows name them by place.
    speakers: Vec<(NodeName, u64, u32)>,
    places: Vec<Place>,
    newest: u32,
    units: u32,
    rows: u32,
}

/// Who speaks in a part, by place.
pub(super) type Named = Vec<(NodeName, u64)>;

pub(super) fn write(settled: &Settled, speakers: &Speakers) -> Vec<u8> {
    let (units, rows) = (settled.units(), settled.rows());
    let named = settled.speakers().iter().map(|(number, high)| {
        // A speaker that has rows is known; a nameless one is nobody's when it is read.
        let speaker = speakers.get(*number);
        let (node, boot) =
            speaker.map_or((NodeName::new(""), 0), |known| (known.node.clone(), known.boot));
        (node, boot, *high)
    });
    let head = Head {
        speakers: named.collect(),
        places: settled.places().to_vec(),
        newest: settled.newest(),
        units: u32::try_from(units.len()).unwrap_or(u32::MAX),
        rows: u32::try_from(rows.len()).unwrap_or(u32::MAX),
    };
    let mut octets = postcard::to_allocvec(&head).unwrap_or_default();
    octets.reserve_exact((units.len() + rows.len()) * 8 + settled.place_of().len() * 2);
    octets.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    octets.extend(settled.place_of().iter().flat_map(|place| place.to_le_bytes()));
    octets.extend(rows.iter().flat_map(|row| row.to_octets()));
    octets
}

/// The speakers and the rows that [`write()`] wrote; the rows name speakers by place. Takes any
/// octets: what is not sound is refused as a whole.
pub(super) fn read(octets: &[u8]) -> Option<(Named, Settled)> {
    let (head, rest): (Head, &[u8]) = postcard::take_from_bytes(octets).ok()?;
    let long = |number: u32| usize::try_from(number).ok();
    let (units, rest) = rest.split_at_checked(long(head.units)?.checked_mul(8)?)?;
    let places = if head.places.len() > 1 { long(head.units)?.checked_mul(2)? } else { 0 };
    let (place_of, rows) = rest.split_at_checked(places)?;
    (rows.len() == long(head.rows)?.checked_mul(8)?).then_some(())?;
    let speakers = (0..).zip(&head.speakers).map(|(place, (_, _, high))| (place, *high)).collect();
    let packed = |octets: &[u8; 8]| Packed::from_octets(*octets, head.speakers.len());
    let settled = Settled::from_parts(
        units.as_chunks().0.iter().map(|octets| u64::from_le_bytes(*octets)).collect(),
        place_of.as_chunks().0.iter().map(|octets| u16::from_le_bytes(*octets)).collect(),
        rows.as_chunks().0.iter().map(packed).collect::<Option<_>>()?,
        head.newest,
        speakers,
        head.places,
    )?;
    Some((head.speakers.into_iter().map(|(node, boot, _)| (node, boot)).collect(), settled))
}

/// The speakers and the rows of a part in the first form. Takes any octets; rows that make no sense
/// are left out.
pub(super) fn read_rows(octets: &[u8]) -> Option<(Named, impl Iterator<Item = Row>)> {
    let (head, rest): (RowsHead, &[u8]) = postcard::take_from_bytes(octets).ok()?;
    let (rows, cut) = rest.as_chunks::<ROW_OCTETS>();
    let is_whole = cut.is_empty() && u32::try_from(rows.len()).ok() == Some(head.rows);
    is_whole.then_some(())?;
    Some((head.speakers, rows.iter().filter_map(Row::from_octets)))
}

#[cfg(test)]
mod tests {
    use popnet_terms::{Micros, Timestamp};
    use popnet_wire::probing::{Latency, Method};

    use super::super::row::Key;
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |n: u32, speaker| {
            let finding = Latency {
                client: format!("10.0.{n}.0/24").parse().unwrap(),
                rtt: Some(Micros(1_000 * n)),
                spread: Micros(0),
                loss: 0,
                samples: 3,
                method: Method::Icmp,
            };
            let row = Row::new(&finding, Timestamp(1_900_000_000_000_000), 7, speaker);
            row.on(row.key, (64_500 + n % 2, *b"DE"))
        };
        (0..100).flat_map(|n| [row(n, 0), row(n, 1)]).collect()
    }

    fn speakers() -> Speakers {
        let mut speakers = Speakers::default();
        speakers.add(&NodeName::new("probe1.fra1"), 5);
        speakers.add(&NodeName::new("probe1.iad1"), 6);
        speakers
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let octets = write(&Settled::of(&rows()), &speakers());
        let (named, settled) = read(&octets).unwrap();
        assert_eq!(named[1], (NodeName::new("probe1.iad1"), 6));
        assert!(settled.within(Key::FIRST, Key::LAST).eq(rows()));
        assert_eq!(write(&settled, &speakers()), octets);
        for cut in 0..octets.len() {
            assert!(read(&octets[..cut]).is_none(), "cut at {cut}");
        }
        for at in 0..octets.len() {
            let mut bent = octets.clone();
            bent[at] ^= 0x81;
            if let Some((_, settled)) = read(&bent) {
                assert!(settled.within(Key::FIRST, Key::LAST).count() <= rows().len());
            }
        }
    }

    #[test]
    fn the_first_form_is_still_read() {
        let speakers = vec![(NodeName::new("probe1.fra1"), 5), (NodeName::new("probe1.iad1"), 6)];
        let head = RowsHead { speakers: speakers.clone(), rows: 200 };
        let mut octets = postcard::to_allocvec(&head).unwrap();
        rows().iter().for_each(|row| row.write(&mut octets));
        let (named, read) = read_rows(&octets).unwrap();
        assert_eq!(named, speakers);
        assert!(read.eq(rows()));
        assert!(read_rows(&octets[1..]).is_none() && read_rows(&octets[..99]).is_none());
    }
}
