//! How what was lost on the wire is had again: digests of what was said, and questions for gaps.

use std::rc::Rc;
use std::time::Duration;

use popnet_terms::Timestamp;
use popnet_wire::frame::{Conversation, decode};
use popnet_wire::probing::{Datagram, Digest, Repair};

use super::probing::report_in;
use super::{Event, Twin};
use crate::num::count;
use crate::server::REPAIR;

/// Probes tell this often what they have said.
pub(super) const TELL: Duration = Duration::from_secs(2);

impl Twin<'_> {
    /// A probe site tells every name server what it has said so far.
    pub(super) fn tell(&mut self, n: usize, boot: u64, now: Timestamp) {
        let site = self.sites.get(n).filter(|site| site.boot == boot && site.is_up);
        let Some(site) = site else { return };
        let from = site.pop;
        self.queue.add(now.after(TELL), Event::Tell(n, boot));
        let Some(octets) = site.digest() else { return };
        self.journal.octets(&octets);
        let Ok(Datagram::Digest(digest)) = decode(Conversation::Probing, &octets) else { return };
        let digest = Rc::new(digest);
        self.post_to_all(from, now, |to| Event::Digest(to, Rc::clone(&digest)));
    }

    pub(super) fn digest(&mut self, n: usize, digest: &Digest, now: Timestamp) {
        if let Some(server) = self.servers.get_mut(n).filter(|server| server.is_up) {
            server.digest(digest, now);
        }
    }

    /// A name server asks probes for what did not come.
    pub(super) fn ask_again(&mut self, n: usize, life: u64, now: Timestamp) {
        let server = self.servers.get_mut(n).filter(|server| server.life == life && server.is_up);
        let Some(server) = server else { return };
        let from = server.pop;
        let repairs = server.repairs(now);
        self.queue.add(now.after(REPAIR), Event::AskAgain(n, life));
        for (publisher, octets) in repairs {
            self.journal.octets(&octets);
            let Ok(Datagram::Repair(repair)) = decode(Conversation::Probing, &octets) else {
                continue;
            };
            let repair = Rc::new(repair);
            let site = self.sites.iter().position(|site| site.name == publisher);
            let Some((to, pop)) = site.and_then(|n| Some((n, self.sites.get(n)?.pop))) else {
                continue;
            };
            if !self.connected(from, pop) {
                continue;
            }
            let trip = self.trip(from, pop);
            for at in self.post.arrivals(now, trip) {
                self.queue.add(at, Event::Repair(to, Rc::clone(&repair)));
            }
        }
    }

    /// A probe site says again what a name server has missed.
    pub(super) fn repair(&mut self, n: usize, repair: &Repair, now: Timestamp) {
        let Some(site) = self.sites.get(n).filter(|site| site.is_up) else { return };
        let from = site.pop;
        let told = site.again(repair, now);
        self.journal.note(now, 10, n, count(told.len()));
        let Some(to) = self.servers.iter().position(|server| server.name == repair.asker) else {
            return;
        };
        for octets in told {
            let Some(report) = report_in(&octets).map(Rc::new) else { continue };
            self.post_to(from, to, now, |to| Event::Report(to, Rc::clone(&report)));
        }
    }
}
