//! "Why?", "why then?" and "what if?": the code that answers queries, on what was or might be.

use std::sync::Arc;

use popnet_config::network::Network;
use popnet_dns::{Parsed, Query, Response, Rtype, build_query, parse_query};
use popnet_runtime::clock;
use popnet_steering::{Board, Bound, Client, Question, View, in_force, rivals};
use popnet_terms::{ScopeBecause, SiteName, Timestamp};
use popnet_wire::control::Problem;
use popnet_wire::explaining::{DnsStory, ExplainDns};
use popnet_wire::inquiring::{
    ASSUMPTIONS_MAX, Assumed, Assumption, Explanation, Inquiry, Reasons, Rival,
};
use popnet_wire::rollout::Epoch;

use crate::notes::Notes;
use crate::serve::{Desk, Explained};
use crate::shared::Shared;
use crate::steer::{Story, family_of};
use crate::table::Table;

/// Between two views there is a second; without one for so long, nobody wrote.
const SILENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// What an explanation rests on.
struct Basis {
    table: Arc<Table>,
    view: Arc<View>,
    /// Who was bound then; `None`: who is bound now.
    bound: Option<(Bound, Timestamp)>,
    notes: Vec<Arc<str>>,
}

/// Answers a question about now, without conditions save for who is up and who is down.
/// Says in which view of zones the asker is.
pub(crate) fn explain(
    shared: &Shared,
    ask: &ExplainDns,
) -> Result<(Option<Arc<str>>, DnsStory), Problem> {
    let assume = ask.assume.iter().map(|(target, up)| Assumption {
        target: target.clone(),
        what: if *up { Assumed::Up } else { Assumed::Down },
    });
    let inquiry = Inquiry {
        name: Arc::clone(&ask.name),
        qtype: ask.qtype,
        resolver: ask.resolver,
        subnet: ask.subnet,
        assume: assume.collect(),
        at: None,
        config: None,
    };
    let packet = packet_of(&inquiry)?;
    let query = query_in(&packet, inquiry.qtype)?;
    let basis = Basis::now(shared).assuming(&inquiry.assume);
    Ok(basis.explain(shared, &inquiry, &query, |story, notes| {
        let table = &basis.table;
        DnsStory::Steered(Box::new(story.tell(shared, table, 0, notes.now)))
    }))
}

/// POPs of which it is said what a byte more costs: as many as a person reads.
const TOLLS_MAX: usize = 24;

/// Answers a question about any time and under any conditions. Others wait meanwhile.
pub(crate) async fn inquire(
    shared: &Arc<Shared>,
    inquiry: Box<Inquiry>,
) -> Result<Explanation, Problem> {
    if inquiry.assume.len() > ASSUMPTIONS_MAX {
        let what = format!(
            "{} assumptions in one question; at most {ASSUMPTIONS_MAX} are looked at",
            inquiry.assume.len()
        );
        return Err(Problem::new("N0062", what, "ask with fewer of them").with_exit(2));
    }
    let turn = shared.archive.turn().await;
    let now = shared.archive.board().await;
    let shared = Arc::clone(shared);
    let told = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let basis = Basis::of(&shared, &inquiry, now)?.assuming(&inquiry.assume);
        basis.tell(&shared, &inquiry)
    });
    told.await.unwrap_or_else(|_| {
        Err(Problem::new("N0063", "a mistake in the program: the explanation broke off", ""))
    })
}

impl Basis {
    fn now(shared: &Shared) -> Self {
        let (table, view) = (shared.table.load_full(), shared.view.load_full());
        Self { table, view, bound: None, notes: Vec::new() }
    }

    /// What `inquiry` is about. `board` is the one of now.
    fn of(shared: &Shared, inquiry: &Inquiry, board: Option<Board>) -> Result<Self, Problem> {
        let draft = inquiry.config.as_deref().map(parsed).transpose()?;
        let mut basis = match inquiry.at {
            Some(at) => Self::then(shared, at, draft.as_ref())?,
            None => Self::now(shared),
        };
        if let (Some(network), None) = (&draft, inquiry.at) {
            let board = board.ok_or_else(no_board)?;
            let (at, epoch) = (basis.view.at, basis.table.epoch);
            basis.view = Arc::new(under(board, network, epoch, at));
            basis.table = Arc::new(basis.table.beside(network, epoch));
        }
        Ok(basis)
    }

    /// What was at `at`, under the configuration of then or under `draft`.
    fn then(shared: &Shared, at: Timestamp, draft: Option<&Network>) -> Result<Self, Problem> {
        let replay = shared.archive.replay(at, &shared.view.load())?;
        let (network, epoch) = replay.configuration();
        let view = match draft {
            Some(draft) => under(replay.board().clone(), draft, epoch, replay.view().at),
            None => replay.view().clone(),
        };
        let table = shared.table.load().beside(draft.unwrap_or(network), epoch);
        let mut notes: Vec<Arc<str>> =
            vec!["zones' own records and clients' places are those of now".into()];
        let silent = at.since(view.at);
        if silent > SILENCE {
            let silent = silent.as_secs();
            notes.push(
                format!("this name server measured nothing in the {silent} s before that").into(),
            );
        }
        let bound = Some((replay.bound(), at));
        Ok(Self { table: Arc::new(table), view: Arc::new(view), bound, notes })
    }

    fn assuming(mut self, assumptions: &[Assumption]) -> Self {
        if assumptions.is_empty() {
            return self;
        }
        self.view = Arc::new(self.view.assuming(assumptions));
        if assumptions.iter().any(|assumption| matches!(assumption.what, Assumed::Cost(_))) {
            self.table = Arc::new(self.table.assuming(assumptions));
        }
        self
    }

    /// The whole story, with what would change it.
    fn tell(&self, shared: &Shared, inquiry: &Inquiry) -> Result<Explanation, Problem> {
        let packet = packet_of(inquiry)?;
        let query = query_in(&packet, inquiry.qtype)?;
        let (mut reasons, mut others) = (None, Vec::new());
        let (seen_in, story) = self.explain(shared, inquiry, &query, |story, notes| {
            reasons = Some(reasons_of(story));
            others = self.rivals(shared, inquiry, story);
            let now = inquiry.at.unwrap_or(notes.now);
            DnsStory::Steered(Box::new(story.tell(shared, &self.table, 0, now)))
        });
        let (at, mut notes) = (self.view.at, self.notes.clone());
        if matches!(story, DnsStory::Steered(_)) {
            let tolls = self.view.verdicts().filter_map(|(id, verdict)| Some((id, verdict.toll?)));
            notes.extend(tolls.take(TOLLS_MAX).map(|(id, toll)| format!("{id}: {toll}").into()));
        }
        Ok(Explanation { story, view: seen_in, at, reasons, rivals: others, notes })
    }

    fn explain(
        &self,
        shared: &Shared,
        inquiry: &Inquiry,
        query: &Query<'_>,
        steered: impl FnOnce(&Story<'_>, &Notes) -> DnsStory,
    ) -> (Option<Arc<str>>, DnsStory) {
        let shield = shared.shield.load();
        let (table, view) = (&self.table, &*self.view);
        let desk = Desk::new(shared, table, view, &shield).facing(inquiry.resolver, None);
        let notes = Notes::at(clock::now());
        let held = |site: &SiteName, client| self.held(shared, inquiry, site, client);
        let story = match desk.explain(query, inquiry.resolver, &held, &notes) {
            Explained::Choice(story) => steered(&story, &notes),
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
        (desk.view_name().cloned(), story)
    }

    /// Whom a client is bound to, unless it is supposed not to be.
    fn held(
        &self,
        shared: &Shared,
        inquiry: &Inquiry,
        site: &SiteName,
        client: ipnet::IpNet,
    ) -> Option<popnet_steering::Held> {
        let held = match &self.bound {
            Some((bound, at)) => bound.get(site, client, *at),
            None => shared.book.get(site, client),
        }?;
        let is_off = |assumption: &Assumption| {
            assumption.what == Assumed::Unbound && assumption.target == held.target
        };
        (!inquiry.assume.iter().any(is_off)).then_some(held)
    }

    fn rivals(&self, shared: &Shared, inquiry: &Inquiry, story: &Story<'_>) -> Vec<Rival> {
        // A POP that looks for an origin gets all of them.
        if std::ptr::eq(story.rules, &*story.site.fetched) {
            return Vec::new();
        }
        let client = story.asker.bound(story.rules);
        let held = client.and_then(|client| {
            self.held(shared, inquiry, &story.site.name, client).map(|held| held.target)
        });
        let question = Question {
            client: Client::Unit(story.unit),
            family: family_of(story.query.qtype),
            bound: held,
        };
        rivals(&self.view, story.rules, &question, &story.steered.choice)
    }
}

/// `board` under another configuration: that is not newer than what its targets serve by.
pub(crate) fn under(mut board: Board, network: &Network, epoch: Epoch, at: Timestamp) -> View {
    board.configure(network, in_force(epoch), at);
    board.view(at)
}

pub(crate) fn parsed(text: &str) -> Result<Network, Problem> {
    match popnet_config::load(text, "popnet.toml") {
        Ok(loaded) => Ok(loaded.network),
        Err(found) => {
            let what = popnet_config::render(&found, text, "popnet.toml");
            Err(Problem::new("N0064", what, "popnet config validate FILE").with_exit(2))
        }
    }
}

pub(crate) fn no_board() -> Problem {
    let what = "this name server has just started, or is about to end: it has no measurements";
    Problem::new("N0065", what, "try again in a second")
}

fn packet_of(inquiry: &Inquiry) -> Result<Vec<u8>, Problem> {
    let name = inquiry.name.parse().map_err(|error: popnet_dns::NameError| {
        Problem::new("N0041", error.to_string(), "popnet explain dns HOSTNAME").with_exit(2)
    })?;
    Ok(build_query(0, &name, Rtype::from_int(inquiry.qtype), inquiry.subnet))
}

fn query_in(packet: &[u8], qtype: u16) -> Result<Query<'_>, Problem> {
    match parse_query(packet) {
        Parsed::Query(query) => Ok(query),
        Parsed::Refuse(_) | Parsed::Drop(_) => {
            let what = format!("type {qtype} cannot be asked for");
            Err(Problem::new("N0042", what, "").with_exit(2))
        }
    }
}

fn reasons_of(story: &Story<'_>) -> Reasons {
    let choice = &story.steered.choice;
    let (scope, scope_because) = if story.asker.subnet.is_none() {
        (0, ScopeBecause::NoSubnet)
    } else if story.asker.is_by_subnet(story.rules) {
        (choice.scope, choice.scope_because)
    } else {
        (0, ScopeBecause::SubnetIgnored)
    };
    Reasons { ttl: choice.ttl_because, scope, scope_because }
}
