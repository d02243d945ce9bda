//! Samples cut into datagrams.

use popnet_wire::frame::{Conversation, encode};
use popnet_wire::probing::{DATAGRAM_MAX, Datagram, Report, Sample};

/// Cuts `samples` into lists that each fit one datagram together with `head`, a report without
/// samples. A sample that fits into no datagram is left out; none of ours is so long.
#[must_use]
pub fn pack(head: &Report, samples: Vec<Sample>) -> Vec<Vec<Sample>> {
    let empty = Report { samples: Vec::new(), ..head.clone() };
    // The number of samples takes up to two octets where the empty report has one; the sequence
    // number may need more than the head's.
    let overhead = encode(Conversation::Probing, &Datagram::Report(empty)).len() + 10;
    let room = DATAGRAM_MAX.saturating_sub(overhead);
    let mut datagrams: Vec<Vec<Sample>> = Vec::new();
    let mut left = 0;
    for sample in samples {
        let length = encode(Conversation::Probing, &sample).len() - 2;
        if length > room {
            continue;
        }
        match datagrams.last_mut() {
            Some(last) if length <= left => {
                last.push(sample);
                left -= length;
            }
            Some(_) | None => {
                datagrams.push(vec![sample]);
                left = room - length;
            }
        }
    }
    datagrams
}

#[cfg(test)]
mod tests {
    use popnet_terms::{Micros, NodeName, ProbeId, Timestamp};
    use popnet_wire::probing::{Cause, Finding, Health, Service, Subject};
    use popnet_wire::rollout::Epoch;

    use super::*;

    #[test]
    fn every_datagram_fits_and_nothing_is_lost() {
        let head = Report {
            publisher: NodeName::new("probe1.frankfurt1"),
            boot: u64::MAX,
            seq: 1,
            epoch: Epoch(u64::MAX),
            sent: Timestamp(i64::MAX),
            samples: Vec::new(),
        };
        let samples: Vec<Sample> = (0..100_usize)
            .map(|n| {
                let service = Service {
                    probe: ProbeId::new("edge-http"),
                    subject: Subject::Node(NodeName::new(&format!("edge{n}.frankfurt1"))),
                    health: Health::Up,
                    cause: Cause::Passed,
                    detail: "x".repeat(n).into(),
                    streak: u16::MAX,
                    connect: Micros(u32::MAX),
                    total: Micros(u32::MAX),
                    load: Some(1_000),
                    epoch: Some(Epoch(u64::MAX)),
                };
                Sample { at: Timestamp(i64::MAX), finding: Finding::Service(service) }
            })
            .collect();
        let packed = pack(&head, samples.clone());
        assert!(packed.len() > 5);
        for samples in &packed {
            let seq = u64::MAX;
            let report = Report { samples: samples.clone(), seq, ..head.clone() };
            let octets = encode(Conversation::Probing, &Datagram::Report(report));
            assert!(octets.len() <= DATAGRAM_MAX, "{}", octets.len());
        }
        assert_eq!(packed.concat(), samples);
    }
}
