//! The way of most requests: a plain GET for something in memory that is fresh. It is answered
//! where it is read, without a task, a field map or a wait; whatever is not as plain as that goes
//! the long way, which would give the same answer.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderValue;
use popnet_cache::accepted::Accepted;
use popnet_cache::coding::fitness;
use popnet_cache::key::Key;
use popnet_cache::reuse::{Rule, Verdict, Wish, reuse};
use popnet_cache::stored::Stored;
use popnet_cache::vary::Variant;
use popnet_delivery::fields::change_response;
use popnet_field::authority::Authority;
use popnet_http::measure::head_octets;
use popnet_http::server::{Client, Head, Output};
use popnet_runtime::clock;
use popnet_terms::CacheReason;
use popnet_tier::Outcome;
use popnet_tier::shelf::Shelf as _;
use popnet_wire::delivery::{Compression, Delivery};
use popnet_wire::logging::CacheResult;
use popnet_wire::rollout::Epoch;

use crate::delivery;
use crate::ledger::{Asked, Ledger};
use crate::memory::{AtHand, Wanted};
use crate::serve::Front;

/// Octets of content that are answered with at once. What is larger is counted as it leaves.
const CONTENT_MAX: u64 = 64 << 10;

/// Fields by which a variant may be selected here: those that nobody on the long way changes.
const AS_THEY_CAME: [&str; 5] =
    ["accept", "accept-encoding", "accept-language", "origin", "user-agent"];

/// What a plain request asks for.
struct Plain<'a> {
    host: String,
    target: &'a str,
}

impl<'a> Plain<'a> {
    /// `None` for a request with anything in it that could make its answer another one.
    fn of(head: &Head<'a>) -> Option<Self> {
        if head.method != "GET" || !head.target.starts_with('/') {
            return None;
        }
        let mut host = None;
        for field in head.fields {
            match field.name.len() {
                4 if field.name.eq_ignore_ascii_case("host") => {
                    let text = std::str::from_utf8(field.value).ok()?;
                    if host.replace(text).is_some() {
                        return None;
                    }
                }
                _ if changes_the_answer(field.name) => return None,
                _ => {}
            }
        }
        Some(Self { host: Authority::read(host?)?.host, target: head.target })
    }

    fn path_and_query(&self) -> (&'a str, &'a str) {
        self.target.split_once('?').unwrap_or((self.target, ""))
    }
}

/// Conditions, ranges, wishes about caches, the way that a request has come, and a change of
/// protocol.
fn changes_the_answer(name: &str) -> bool {
    const NAMES: [&str; 5] = ["cache-control", "pragma", "range", "via", "upgrade"];
    NAMES.iter().any(|other| name.eq_ignore_ascii_case(other))
        || name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("if-"))
}

impl Front {
    pub(crate) fn answer_at_once(
        &self,
        client: Client,
        head: &Head<'_>,
        out: &mut Output,
    ) -> Option<()> {
        let begun = Instant::now();
        let plain = Plain::of(head)?;
        let (path, query) = plain.path_and_query();
        let sites = self.sites.load();
        let site = sites.of_host(&plain.host)?;
        let rule = Rule::of(site, path);
        if rule.bypass {
            return None;
        }
        let delivery = delivery::fixed(site, path, client.tls)?;
        let scheme = if client.tls { "https" } else { "http" };
        let key = Key::of(scheme, &plain.host, plain.target, &site.cache);
        let found = self.at_hand(head, &key, sites.epoch, delivery)?;
        let now = clock::now();
        let judged = reuse(&Wish::default(), &found.stored, site, rule, now);
        if judged.verdict != Verdict::Reuse {
            return None;
        }
        if let Some(coding) = found.to_make {
            self.tier.shelf().code(found.id, coding);
        }
        let common = self.common(&found, sites.epoch, (delivery, client.tls))?;
        let id = self.names.next(now);
        let status = self.tier.hit_status(judged.ttl);
        let mut own =
            format!("age: {}\r\ncache-status: {status}\r\nx-request-id: {id}\r\n", judged.age);
        if let Some(Ok(other)) = self.alternative_for(client).map(HeaderValue::to_str) {
            let _ = write!(own, "alt-svc: {other}\r\n");
        }
        own.push_str("\r\n");
        out.add(&common);
        out.add(own.as_bytes());
        let length = found.content.iter().map(|piece| piece.len() as u64).sum();
        found.content.into_iter().for_each(|piece| out.push(piece));
        let asked = Asked {
            method: head.method,
            scheme,
            host: &plain.host,
            path,
            query,
            protocol: "HTTP/1.1",
        };
        let address: Option<IpAddr> = client.address.map(|address| address.ip());
        let address = address.and_then(|address| site.client_ip.apply(address));
        let mut access = Ledger::open(&asked, id, address, begun, head_octets(head));
        access.site = site.site.clone();
        access.config = sites.epoch;
        access.status = found.stored.status;
        let mut outcome = Outcome::new(CacheResult::HitMemory, CacheReason::HitMemory);
        (outcome.age, outcome.ttl) = (Some(judged.age), Some(judged.ttl));
        let ledger = Ledger::new(
            self.shipper.clone(),
            Arc::clone(&self.totals),
            site.customer.clone(),
            access,
            &outcome,
            begun,
            (common.len() + own.len()) as u64,
            Arc::<AtomicU64>::default(),
        );
        ledger.close(length, true);
        Some(())
    }

    /// What answers `head`, if it is in memory, in the coding that the client likes most.
    fn at_hand(
        &self,
        head: &Head<'_>,
        key: &Key,
        epoch: Epoch,
        delivery: &Delivery,
    ) -> Option<AtHand> {
        let lines =
            |name: &str| AS_THEY_CAME.contains(&name).then(|| head.all(name).collect::<Vec<_>>());
        let compress = delivery.compress.as_ref();
        let best =
            |rules: &Compression| Accepted::read(head.all("accept-encoding")).best(&rules.codings);
        let wanted = Wanted {
            most: CONTENT_MAX,
            epoch,
            coding: compress.and_then(best),
            selects: |variant: &Variant| variant.selects_by(lines),
            fits: |stored: &Stored| fitness(stored, compress).is_ok(),
        };
        self.tier.shelf().at_hand(key, &wanted)
    }

    /// The octets that all hits on what was found begin with, under the rules of `epoch`, which are
    /// `delivery`.
    fn common(
        &self,
        found: &AtHand,
        epoch: Epoch,
        (delivery, tls): (&Delivery, bool),
    ) -> Option<Bytes> {
        if let Some(head) = &found.head {
            return Some(head.clone());
        }
        let length = found.content.iter().map(|piece| piece.len() as u64).sum();
        let varies = fitness(&found.stored, delivery.compress.as_ref()).is_ok();
        let coding = (found.coding, varies);
        let (status, mut fields) = self.tier.common(&found.stored, length, coding)?;
        popnet_field::hop::take_internal(&mut fields);
        change_response(delivery, tls, None, &mut fields);
        let mut out = Output::default();
        out.begin(status, &fields);
        let head = out.into_octets();
        self.tier.shelf().keep_head(found, (epoch, varies), &head);
        Some(head)
    }
}
