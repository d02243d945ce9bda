//! The octets of a batch, on the wire and on disk: a frame, compressed with zstd as a whole, with
//! zstd's own checksum. What comes in is bounded before anything of its size is allocated.

use std::io::{self, Read, Write};

use popnet_terms::CustomerId;
use popnet_wire::frame::{Conversation, FrameError, decode, encode};
use popnet_wire::logging::{Batch, RECORDS_MAX};
use sha2::{Digest, Sha256};

/// Senders split a batch whose frame would be longer than this.
pub(super) const FRAME_WISHED: usize = 4 << 20;

/// No frame of a batch may be longer: twice what senders make.
const FRAME_LONGEST: usize = 2 * FRAME_WISHED;

/// No compressed batch may be longer: content that does not compress grows a little.
pub const PACKED_MAX: usize = FRAME_LONGEST + (64 << 10);

/// Window that an unpacking needs at most, as a power of two: 8 MiB, what frames of this length
/// can make use of.
const WINDOW_LOG_MAX: u32 = 23;

/// Fast: batches are closed several times a second.
const LEVEL: i32 = 1;

/// Why octets are not a batch.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// zstd says no, or the checksum differs.
    #[error("not a zstd frame that can be read: {0}")]
    Compression(io::Error),
    /// It grows beyond what a batch may have.
    #[error("larger than a batch may be ({FRAME_LONGEST} octets)")]
    TooLong,
    /// The frame is not one.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// More records than [`RECORDS_MAX`], or number 0, which no batch has.
    #[error("a batch that no sender makes")]
    Impossible,
}

/// The octets of `batch`.
///
/// # Errors
/// Only when zstd finds no memory.
pub fn pack(batch: &Batch) -> io::Result<Vec<u8>> {
    compress(&encode(Conversation::Logging, batch))
}

/// A frame, compressed.
pub(super) fn compress(frame: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.write_all(frame)?;
    encoder.finish()
}

/// The batch in `octets`. Takes any octets.
///
/// # Errors
/// Why they are not a batch.
pub fn unpack(octets: &[u8]) -> Result<Batch, UnpackError> {
    let mut decoder =
        zstd::stream::read::Decoder::with_buffer(octets).map_err(UnpackError::Compression)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(UnpackError::Compression)?;
    let mut frame = Vec::new();
    let limit = u64::try_from(FRAME_LONGEST).unwrap_or(u64::MAX);
    decoder.take(limit + 1).read_to_end(&mut frame).map_err(UnpackError::Compression)?;
    if frame.len() > FRAME_LONGEST {
        return Err(UnpackError::TooLong);
    }
    let batch: Batch = decode(Conversation::Logging, &frame)?;
    if batch.records.len() > RECORDS_MAX || batch.id.seq == 0 {
        return Err(UnpackError::Impossible);
    }
    Ok(batch)
}

/// Longest folder name made by writing a customer's name out.
const NAME_MAX: usize = 128;

/// A folder name for a customer: letters, digits, `-` and `_` stand for themselves, every other
/// octet is written `%XX`. No name can leave its folder, and two customers never share one.
#[must_use]
pub fn folder_name(customer: &CustomerId) -> String {
    let mut name = String::new();
    for octet in customer.as_str().bytes() {
        if octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_' {
            name.push(char::from(octet));
        } else {
            name.push_str(&format!("%{octet:02X}"));
        }
    }
    if name.is_empty() {
        return "%".to_owned();
    }
    if name.len() > NAME_MAX {
        let digest = Sha256::digest(customer.as_str().as_bytes());
        return digest.iter().fold("%%".to_owned(), |name, octet| name + &format!("{octet:02x}"));
    }
    name
}

#[cfg(test)]
mod tests {
    use popnet_terms::{Role, Timestamp};
    use popnet_wire::logging::{BatchId, Counter};

    use super::*;

    fn batch() -> Batch {
        let counter = Counter { requests: 3, ..Counter::new(1, "a.test".into(), "fra1".into()) };
        Batch {
            id: BatchId {
                sender: "edge1.fra1".into(),
                role: Role::Webcache,
                customer: "acme".into(),
                seq: 7,
            },
            closed: Timestamp(5),
            counters: vec![counter; 40],
            records: Vec::new(),
            dropped: 0,
        }
    }

    #[test]
    fn whole_or_refused() {
        let octets = pack(&batch()).unwrap();
        assert_eq!(unpack(&octets).unwrap(), batch());
        for cut in 0..octets.len() {
            assert!(unpack(&octets[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..octets.len() {
            let mut bent = octets.clone();
            bent[at] ^= 0x55;
            // A bit of zstd's header may mean nothing here; content never changes unseen.
            if let Ok(other) = unpack(&bent) {
                assert_eq!(other, batch(), "bent at {at}");
            }
        }
        for seed in 0..2_000u32 {
            let junk: Vec<u8> = (0..seed % 300)
                .map(|n| (seed.wrapping_mul(2_654_435_761) >> (n % 24)).to_le_bytes()[0])
                .collect();
            assert!(unpack(&junk).is_err());
        }
    }

    #[test]
    fn a_bomb_does_not_unfold() {
        let bomb = compress(&vec![0u8; 64 << 20]).unwrap();
        assert!(bomb.len() < 64 << 10);
        assert!(matches!(unpack(&bomb), Err(UnpackError::TooLong)));
    }

    #[test]
    fn folder_names_stay_in_their_folder() {
        for (customer, expected) in [
            ("acme", "acme"),
            ("_network", "_network"),
            ("..", "%2E%2E"),
            ("a/b", "a%2Fb"),
            ("%2E", "%252E"),
            ("", "%"),
            ("Zürich", "Z%C3%BCrich"),
        ] {
            assert_eq!(folder_name(&customer.into()), expected);
        }
        let (long, longer) = ("x".repeat(300), "x".repeat(301));
        let (a, b) = (folder_name(&(&*long).into()), folder_name(&(&*longer).into()));
        assert!(a.len() <= NAME_MAX && b.len() <= NAME_MAX && a != b);
    }
}
