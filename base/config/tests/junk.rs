//! Whatever the bytes: an answer with a place, never a panic.

use popnet_config::{diff, load_bytes, render};
use proptest::prelude::*;

const SAMPLE: &str = include_str!("../../../examples/network.toml");

/// Loads and does with the result what programs do.
fn survives(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match load_bytes(bytes, "popnet.toml") {
        Ok(loaded) => {
            assert!(!render(&loaded.warnings, &text, "popnet.toml").contains("error["));
            let sheets = loaded.network.nodes().filter_map(|(name, _, _)| {
                loaded.network.sheet(popnet_wire::rollout::Epoch(1), loaded.digest, &name)
            });
            assert!(sheets.count() <= loaded.network.nodes().count());
            assert!(diff(&loaded.network, &loaded.network).is_empty());
            let canonical = popnet_config::canonical(&loaded.network);
            let again = popnet_config::load(&canonical, "canonical")
                .expect("the canonical form of a good configuration is good");
            assert_eq!(again.digest, loaded.digest);
        }
        Err(found) => {
            assert!(!found.is_empty());
            assert!(render(&found, &text, "popnet.toml").contains("error["));
        }
    }
}

#[test]
fn known_junk() {
    for junk in ["", "\0", "[", "[[network]]", "network = 1", "a.b.c = 1", "=", "\"", "\u{feff}"] {
        survives(junk.as_bytes());
    }
    survives(&[0xff, 0xfe, 0x00]);
    survives("[".repeat(5_000).as_bytes());
    survives(format!("a = {}1{}", "[".repeat(5_000), "]".repeat(5_000)).as_bytes());
    survives(format!("{}b = 1", "a.".repeat(5_000)).as_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survives(&bytes);
    }

    /// The sample with a piece of it put in another place: mostly TOML, mostly nonsense.
    #[test]
    fn moved_pieces(from in 0..SAMPLE.len(), length in 0..60usize, to in 0..SAMPLE.len()) {
        let bytes = SAMPLE.as_bytes();
        let piece = &bytes[from..(from + length).min(bytes.len())];
        let mut moved = bytes[..to].to_vec();
        moved.extend_from_slice(piece);
        moved.extend_from_slice(&bytes[(to + length).min(bytes.len())..]);
        survives(&moved);
    }

    /// The sample with one word in place of another: nearly always TOML, often a wrong value.
    #[test]
    fn swapped_words(at in 0..3_000usize, by in 0..3_000usize) {
        let words: Vec<&str> = SAMPLE.split_inclusive([' ', '\n', ',']).collect();
        let (at, by) = (at % words.len(), by % words.len());
        let swap = |(here, word): (usize, &&str)| {
            let word = if here == at { words[by] } else { *word };
            word.to_owned()
        };
        let swapped: String = words.iter().enumerate().map(swap).collect();
        survives(swapped.as_bytes());
    }
}
