//! The same zones and the same questions to BIND, NSD, Knot and popnet. Every difference between
//! popnet and one of them is explained by a rule with its reason (`rules.rs`), or fails the test.
//!
//! Zones and questions come from a seed: `POPNET_DIFFERENTIAL_SEED=N` tries others, and
//! `POPNET_DIFFERENTIAL_QUESTIONS=N` more. A failing run prints how to ask each server again.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

mod answer;
mod client;
mod questions;
mod rules;
mod servers;
mod zones;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use answer::Answer;
use questions::Question;
use rules::Verdict;
use servers::{Lab, Peer};

/// Differences of a kind that are printed in full: the first ones tell most.
const SHOWN: usize = 1;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn four_servers_say_the_same() {
    let seed = number("POPNET_DIFFERENTIAL_SEED", 2_026);
    let many = usize::try_from(number("POPNET_DIFFERENTIAL_QUESTIONS", 6_000)).unwrap();
    let zones = zones::all(seed);
    let questions = questions::all(&zones, seed, many);
    assert!(questions.len() >= many / 2, "only {} questions", questions.len());
    let lab = Lab::start(&zones);
    let answers: BTreeMap<Peer, Vec<Answer>> = std::thread::scope(|scope| {
        let asking: Vec<_> = lab
            .ports()
            .map(|(peer, port)| {
                let questions = &questions;
                (peer, scope.spawn(move || client::ask_all(port, questions)))
            })
            .collect();
        asking
            .into_iter()
            .map(|(peer, thread)| (peer, thread.join().unwrap_or_else(|_| panic!("{peer:?}"))))
            .collect()
    });
    let ours = &answers[&Peer::Popnet];
    let mut used: BTreeMap<(&str, Peer), usize> = BTreeMap::new();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let (mut unexplained, mut text) = (0, String::new());
    for (peer, theirs) in answers.iter().filter(|(peer, _)| **peer != Peer::Popnet) {
        for (at, question) in questions.iter().enumerate() {
            match rules::judge(*peer, question, &ours[at], &theirs[at]) {
                Verdict::Same => {}
                Verdict::Explained(names) => {
                    names.into_iter().for_each(|name| *used.entry((name, *peer)).or_default() += 1);
                }
                Verdict::Unexplained => {
                    unexplained += 1;
                    let kind = format!("{peer:?}: {}", ours[at].difference(&theirs[at]));
                    let seen = kinds.entry(kind).or_insert(0);
                    *seen += 1;
                    if *seen <= SHOWN {
                        show(&mut text, &lab, question, at, &answers);
                    }
                }
            }
        }
    }
    for ((name, peer), count) in &used {
        eprintln!("{count:>6} × {peer:?}: {name}");
    }
    eprintln!("{} questions, {unexplained} unexplained differences, seed {seed}", questions.len());
    assert!(unexplained == 0, "{kinds:#?}\n{unexplained} differences without a reason\n{text}");
    // A rule that explains nothing has outlived its reason.
    for rule in rules::RULES {
        let says = used.keys().any(|(name, _)| *name == rule.name);
        assert!(says || seed != 2_026, "rule without use: {}", rule.name);
    }
}

fn show(
    text: &mut String,
    lab: &Lab,
    question: &Question,
    at: usize,
    answers: &BTreeMap<Peer, Vec<Answer>>,
) {
    writeln!(text, "\n{question}").unwrap();
    for (peer, port) in lab.ports() {
        writeln!(text, "── {peer:?}  {}\n{}", question.dig(port), answers[&peer][at]).unwrap();
    }
}
