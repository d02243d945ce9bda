//! What happens to a query before its answer is looked for and after it is found: cookies, lists
//! of who may ask, and how often a prefix is answered.

use std::net::IpAddr;

use popnet_answer::{lookup, udp_limit};
use popnet_dns::{EdnsReply, Envelope, Query, Rcode, Writer};
use popnet_guard::{Class, Verdict, class_of};
use popnet_terms::Timestamp;

use crate::counters::count;
use crate::serve::{Desk, Transport};

/// RFC 8914 4.19: prohibited.
const PROHIBITED: u16 = 18;
/// RFC 8467 4.1: responses are padded to a multiple of this.
const PADDED: u16 = 468;

/// The form of an answer: when it is made, how long it may be, and what its EDNS part brings along.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) now: Timestamp,
    pub(crate) limit: usize,
    pub(crate) envelope: Envelope,
}

/// What is known of a query before its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Met {
    pub(crate) form: Form,
    pub(crate) welcome: Welcome,
    /// The asker has shown that it receives what is sent to its address.
    proven: bool,
}

/// Whether the question is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Welcome {
    Asked,
    /// It has to show a cookie of ours first.
    BadCookie,
    /// Not this asker.
    Prohibited,
}

impl Desk<'_> {
    /// Looks at who asks.
    pub(crate) fn meet(
        &self,
        query: &Query<'_>,
        from: IpAddr,
        transport: Transport,
        now: Timestamp,
    ) -> Met {
        let shield = self.shield;
        let edns = query.edns.unwrap_or_default();
        let (cookie, proven) = match edns.cookie {
            None => (None, false),
            Some(shown) => {
                let secrets = self.shared.secrets.load();
                let ours = secrets.make(shown.client, from, now);
                let proven = secrets.prove(shown, from, now);
                let counters = &self.shared.counters;
                count(match (proven, shown.server) {
                    (true, _) => &counters.cookie_good,
                    (false, Some(_)) => &counters.cookie_bad,
                    (false, None) => &counters.cookie_new,
                });
                (Some(ours), proven)
            }
        };
        let idle = u16::try_from(shield.idle.as_millis() / 100).unwrap_or(u16::MAX);
        let envelope = Envelope {
            cookie,
            keepalive: (edns.keepalive && transport.keeps_alive()).then_some(idle),
            padding: (edns.padding && transport.is_encrypted()).then_some(PADDED),
        };
        let limit = match transport {
            Transport::Udp => udp_limit(query),
            Transport::Tcp | Transport::Tls | Transport::Https | Transport::Quic => {
                usize::from(u16::MAX)
            }
        };
        let is_udp = transport == Transport::Udp;
        let welcome = if is_udp && shield.require_cookie && cookie.is_some() && !proven {
            Welcome::BadCookie
        } else if self.gate().admits(from, query.qname.as_wire()) {
            Welcome::Asked
        } else {
            Welcome::Prohibited
        };
        Met { form: Form { now, limit, envelope }, welcome, proven: proven || !is_udp }
    }

    /// Says why the question is not looked at; gives the answer's length.
    pub(crate) fn turn_away(&self, query: &Query<'_>, met: &Met, out: &mut [u8]) -> usize {
        let counters = &self.shared.counters;
        let (rcode, extended_error) = match met.welcome {
            Welcome::BadCookie => {
                count(&counters.bad_cookie);
                (Rcode::BADCOOKIE, None)
            }
            Welcome::Prohibited | Welcome::Asked => {
                count(&counters.prohibited);
                (Rcode::REFUSED, Some(PROHIBITED))
            }
        };
        let mut writer = start(query, &met.form, extended_error, out);
        writer.rcode(rcode);
        writer.finish()
    }

    /// Looks at how often `from` is answered: gives the length of what goes out in the end.
    /// `query` and what was known of it, or nothing when it could not be read.
    pub(crate) fn limit(
        &self,
        asked: Option<(&Query<'_>, &Met)>,
        from: IpAddr,
        now: Timestamp,
        length: usize,
        out: &mut [u8],
    ) -> usize {
        if length == 0 || asked.is_some_and(|(_, met)| met.proven) {
            return length;
        }
        let Some(rates) = &self.shield.rates else { return length };
        let mut class = class_of(out.get(..length).unwrap_or_default());
        let star = match class {
            Class::Answer(_) => asked.and_then(|(query, _)| self.star(query)),
            Class::NoData(_) | Class::NxDomain(_) | Class::Referral(_) | Class::Error => None,
        };
        if let Some(star) = &star {
            class = Class::Answer(star);
        }
        let counters = &self.shared.counters;
        match (rates.judge(from, &class, now), asked) {
            (Verdict::Send, _) => length,
            (Verdict::Drop, _) => {
                count(&counters.rate_limited);
                0
            }
            (Verdict::Cut, Some((query, met))) => {
                count(&counters.rate_cut);
                let mut writer = start(query, &met.form, None, out);
                writer.truncate(query.question);
                writer.finish()
            }
            // A refusal is as short as a cut answer.
            (Verdict::Cut, None) => {
                count(&counters.rate_cut);
                length
            }
        }
    }

    /// What stands for all answers of one wildcard: its name, and what else the question says.
    /// Whoever makes up names below it gets one answer again and again.
    fn star(&self, query: &Query<'_>) -> Option<Vec<u8>> {
        let name = lookup(self.catalog(), query).star(query.qname.as_wire())?;
        Some([name.as_wire(), query.question.last_chunk::<4>()?].concat())
    }
}

fn start<'b>(
    query: &Query<'_>,
    form: &Form,
    extended_error: Option<u16>,
    out: &'b mut [u8],
) -> Writer<'b> {
    let edns = query.edns.map(|asked| EdnsReply {
        dnssec_ok: asked.dnssec_ok,
        compact_ok: asked.compact_ok,
        extended_error,
        envelope: form.envelope,
        ..EdnsReply::default()
    });
    Writer::start(out, form.limit, query.id, query.flags, query.question, edns)
}
