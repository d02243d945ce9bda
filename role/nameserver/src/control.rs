//! The role's own socket: how it is, and why an answer is what it is.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use popnet_dns::{Parsed, Response, Rtype, build_query, parse_query};
use popnet_runtime::clock;
use popnet_runtime::link::{Handler, Peer, ReplySink};
use popnet_terms::Role;
use popnet_wire::control::{Ask, Problem, Reply};
use popnet_wire::explaining::{DnsStory, ExplainDns};
use popnet_wire::status::RoleStatus;

use crate::notes::Notes;
use crate::serve::{Desk, Explained};
use crate::shared::Shared;
use crate::transfer::orders;

/// Answers what the node's configuration daemon hands on.
pub(crate) struct Control {
    shared: Arc<Shared>,
}

impl Control {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn status(&self) -> RoleStatus {
        let counters = &self.shared.counters;
        RoleStatus::Nameserver {
            queries: counters.queries.load(Ordering::Relaxed),
            steered: counters.steered.load(Ordering::Relaxed),
            dropped: counters.dropped(),
            targets: self.shared.view.load().status(),
        }
    }

    fn explain(&self, ask: &ExplainDns) -> Result<Reply, Problem> {
        let name = ask.name.parse().map_err(|error: popnet_dns::NameError| {
            Problem::new("N0041", error.to_string(), "popnet explain dns HOSTNAME").with_exit(2)
        })?;
        let packet = build_query(0, &name, Rtype::from_int(ask.qtype), ask.subnet);
        let Parsed::Query(query) = parse_query(&packet) else {
            let what = format!("type {} cannot be asked for", ask.qtype);
            return Err(Problem::new("N0042", what, "").with_exit(2));
        };
        let table = self.shared.table.load_full();
        let view = self.shared.view.load_full();
        let view = if ask.assume.is_empty() { view } else { view.assuming(&ask.assume).into() };
        let shield = self.shared.shield.load();
        let desk = Desk::new(&self.shared, &table, &view, &shield).facing(ask.resolver, None);
        let notes = Notes::at(clock::now());
        let story = match desk.explain(&query, ask.resolver, &notes) {
            Explained::Decision(decision) => DnsStory::Steered(decision),
            Explained::Prohibited => DnsStory::Nothing {
                rcode: "REFUSED".into(),
                why: "the asker is in no allow_query list for this name".into(),
            },
            Explained::Silence => {
                DnsStory::Nothing { rcode: "SERVFAIL".into(), why: "no answer".into() }
            }
            Explained::Octets(outcome, octets) => {
                let response = Response::parse(&octets).ok();
                let records = response.map(|response| response.answers).unwrap_or_default();
                let (rcode, why) = outcome.words();
                if records.is_empty() {
                    DnsStory::Nothing { rcode: rcode.into(), why: why.into() }
                } else {
                    DnsStory::Static(records.iter().map(ToString::to_string).collect())
                }
            }
        };
        Ok(match desk.view_name().cloned() {
            Some(view) => Reply::DnsInView { view, story },
            None => Reply::Dns(story),
        })
    }
}

impl Handler for Control {
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other ask is for others")]
    async fn answer(&self, _peer: Peer, ask: Ask, out: ReplySink) {
        let reply = match ask {
            Ask::RoleStatus => Reply::Role(self.status()),
            Ask::ExplainDns(ask) => self.explain(&ask).unwrap_or_else(Reply::Problem),
            Ask::Zone(ask) => {
                orders::carry_out(&self.shared, &ask).await.unwrap_or_else(Reply::Problem)
            }
            _ => Reply::Problem(Problem::not_mine(Role::Nameserver)),
        };
        let _ = out.send(reply).await;
    }
}
