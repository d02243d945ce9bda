//! Steered answers: one line each for lists.

use std::net::IpAddr;

use popnet_terms::{CustomerId, client_unit};
use popnet_wire::logging::Decision;
use serde::Serialize;

use super::format::{self, Moment};
use super::words;
use crate::pulse::DecisionRow;
use crate::users::UserRole;

/// One decision in a list.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DecisionLine {
    pub(crate) id: String,
    pub(crate) at: Moment,
    pub(crate) customer: CustomerId,
    pub(crate) name: String,
    pub(crate) qtype: String,
    pub(crate) resolver: String,
    pub(crate) client: String,
    /// Targets, best first.
    pub(crate) chosen: Vec<String>,
    pub(crate) answers: Vec<IpAddr>,
    pub(crate) because: &'static str,
    pub(crate) because_words: &'static str,
    /// To the next best.
    pub(crate) margin_ms: Option<f64>,
    #[serde(skip)]
    pub(crate) margin: String,
    pub(crate) removed: usize,
    pub(crate) config: String,
}

impl DecisionLine {
    pub(crate) fn of(row: &DecisionRow, eyes: &UserRole) -> Self {
        let decision = &row.decision;
        Self {
            id: print_id(decision.id),
            at: Moment(decision.ts),
            customer: row.customer.clone(),
            name: decision.qname.trim_end_matches('.').to_owned(),
            qtype: words::qtype(decision.qtype),
            resolver: address(decision.resolver, eyes),
            client: decision.client.to_string(),
            chosen: decision.chosen.iter().map(ToString::to_string).collect(),
            answers: decision.answers.to_vec(),
            because: decision.because.code(),
            because_words: words::because(decision.because),
            // A margin is a difference of scores, and scores hold loads and costs.
            margin_ms: decision.margin.filter(|_| sees_scores(eyes)).map(|by| by.as_millis_f64()),
            margin: decision
                .margin
                .filter(|_| sees_scores(eyes))
                .map_or_else(String::new, format::millis),
            removed: count_removed(decision),
            config: decision.config.to_string(),
        }
    }

    pub(crate) fn chosen_text(&self) -> String {
        self.chosen.join(", ")
    }

    pub(crate) fn answers_text(&self) -> String {
        self.answers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

fn count_removed(decision: &Decision) -> usize {
    decision.candidates.iter().filter(|candidate| candidate.removed.is_some()).count()
}

/// Customers see no loads, costs or the scores made of them.
pub(crate) fn sees_scores(eyes: &UserRole) -> bool {
    eyes.customer().is_none()
}

/// An address as `eyes` may see it.
pub(crate) fn address(address: IpAddr, eyes: &UserRole) -> String {
    if eyes.sees_masked() { client_unit(address).to_string() } else { address.to_string() }
}

/// `d-7f3a91c2`.
pub(crate) fn print_id(id: u64) -> String {
    format!("d-{id:08x}")
}

/// The number of a decision as printed, or without its first letter.
pub(crate) fn parse_id(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.strip_prefix("d-").unwrap_or(text);
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::{parse_id, print_id};

    #[test]
    fn ids_print_as_they_read() {
        for id in [0, 0x7f3a_91c2, u64::MAX] {
            assert_eq!(parse_id(&print_id(id)), Some(id));
        }
        assert_eq!(print_id(0x7f3a_91c2), "d-7f3a91c2");
        assert_eq!(parse_id("d-<b>"), None);
        assert_eq!(parse_id(""), None);
    }
}
