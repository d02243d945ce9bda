//! How a target may be used for one client: the verdict on it as the client's region sees it, its
//! load, and whether the client is among those that it asks to send elsewhere (steering model,
//! sections 4 and 6).

use std::sync::Arc;

use popnet_config::network::LastResort;
use popnet_terms::{Because, Removed};
use popnet_wire::logging::Removal;

use crate::choice::{Client, Question};
use crate::rank::shed_draw;
use crate::rules::{SiteRules, Target};
use crate::view::{Standing, Verdict, View};

/// How a candidate may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Healthy.
    Fit,
    /// Takes part with a penalty, or alone as a last resort.
    Unknown,
    /// Healthy, but it asks to send this client elsewhere.
    Shed,
    /// Up, but too loaded: before anything that is not up.
    Overloaded,
    /// Up, but serves by an older configuration.
    Behind,
    /// Up, but an operator empties it.
    Draining,
    /// Held back for flapping: before what is down.
    Damped,
    /// Only when everything is named.
    Down,
    /// Never: it has no address that is asked for.
    Unaddressable,
}

/// Who asks, as far as it matters to how targets stand.
pub(crate) struct Asker<'a> {
    rules: &'a SiteRules,
    question: &'a Question,
    /// The client's place on the hash's circle.
    draw: u64,
    region: Option<Arc<str>>,
}

impl<'a> Asker<'a> {
    pub(crate) fn new(
        view: &View,
        rules: &'a SiteRules,
        question: &'a Question,
        draw: u64,
    ) -> Self {
        let differs = |target: &Target| {
            view.verdict(&target.id).is_some_and(|verdict| !verdict.regions.is_empty())
        };
        // Where every region sees the same there is no need to know the client's.
        let differs = rules.targets.iter().any(differs);
        let region = if differs { region(view, rules, &question.client) } else { None };
        Self { rules, question, draw, region }
    }

    /// How `verdict` stands here.
    pub(crate) fn standing(&self, verdict: &Verdict) -> Standing {
        verdict.standing_in(self.region.as_deref())
    }

    /// How `target` may be used, and why it is removed where it is.
    pub(crate) fn classify(
        &self,
        target: &Target,
        verdict: Option<&Verdict>,
    ) -> (Class, Option<Removal>) {
        let Some(verdict) = verdict else { return (Class::Unknown, None) };
        let removal = |reason: Removed, detail: Arc<str>| {
            Some(Removal { reason, detail, age: verdict.age, seen_by: verdict.seen_by.clone() })
        };
        let standing = self.standing(verdict);
        let configured = |usual: Removed| match &self.region {
            Some(region) if standing != verdict.standing => {
                removal(usual, format!("as the probes in {region} see it").into())
            }
            Some(_) | None => removal(verdict.reason.unwrap_or(usual), verdict.why.clone()),
        };
        match standing {
            Standing::Down => (Class::Down, configured(Removed::DownProbe)),
            Standing::Damped => (Class::Damped, configured(Removed::Damped)),
            Standing::Draining => (Class::Draining, configured(Removed::Drained)),
            Standing::Behind => (Class::Behind, configured(Removed::ConfigBehind)),
            Standing::Unknown => (Class::Unknown, None),
            Standing::Up | Standing::Unwatched => match self.excess(target, verdict) {
                Some((class, reason, detail)) => (class, removal(reason, detail)),
                None => (Class::Fit, None),
            },
        }
    }

    /// What is too much at a healthy target. One that says how much it sheds is obeyed to that
    /// share; one that says nothing is left alone while it is over the hard limit. A bound client
    /// moves above the hard limit only.
    fn excess(&self, target: &Target, verdict: &Verdict) -> Option<(Class, Removed, Arc<str>)> {
        let hard = self.rules.load_hard;
        let over = verdict.load.filter(|load| *load > hard);
        if !verdict.is_kept {
            let load = over?;
            let detail = format!("load {}, limit {}", share(load), share(hard));
            return Some((Class::Overloaded, Removed::LoadOverLimit, detail.into()));
        }
        // A POP tries origins one after the other: it is told of all.
        let Client::Unit(_) = self.question.client else { return None };
        let is_bound = self.question.bound.as_ref() == Some(&target.id);
        let draw = shed_draw(self.draw, target);
        if draw >= verdict.shed || (is_bound && over.is_none()) {
            return None;
        }
        let detail = format!(
            "sheds {}.{:03}, the client's hash is 0.{draw:03}",
            verdict.shed / 1_000,
            verdict.shed % 1_000
        );
        Some((Class::Shed, Removed::Shed, detail.into()))
    }
}

/// The region of the POP itself, or of the POP that has measured the client nearest.
fn region(view: &View, rules: &SiteRules, client: &Client) -> Option<Arc<str>> {
    match client {
        Client::Pop(pop) => rules.regions.get(pop).cloned(),
        Client::Unit(unit) => {
            let known = view.exact(*unit);
            let near = known.iter().min_by_key(|known| (known.rtt, &known.pop))?;
            rules.regions.get(&near.pop).cloned()
        }
    }
}

fn share(thousandths: u16) -> String {
    format!("{}.{:02}", thousandths / 1_000, thousandths % 1_000 / 10)
}

/// Which classes the answer is chosen from, and why these where nothing is fit; `None` where
/// nothing at all is left to name. A target that is up in any way comes before every one that is
/// not known, and that before those that are down (steering model, section 11).
pub(crate) fn resort(
    rules: &SiteRules,
    has: impl Fn(Class) -> bool,
) -> Option<(&'static [Class], Option<Because>)> {
    if has(Class::Fit) {
        return Some((&[Class::Fit, Class::Unknown], None));
    }
    // Whoever is fit sheds this client: there is more demand than room. The clients that nobody
    // wants grow from none to all as the shares that are shed do, so nothing jumps.
    if has(Class::Shed) {
        return Some((&[Class::Shed], Some(Because::BrownOut)));
    }
    let up: [(Class, &'static [Class]); 3] = [
        (Class::Overloaded, &[Class::Overloaded]),
        (Class::Behind, &[Class::Behind]),
        (Class::Draining, &[Class::Draining]),
    ];
    if let Some((_, classes)) = up.into_iter().find(|(class, _)| has(*class)) {
        return Some((classes, Some(Because::FallbackAnyUp)));
    }
    for step in &rules.last_resort {
        let (classes, because): (&'static [Class], Because) = match step {
            LastResort::Unknown => (&[Class::Unknown], Because::FallbackAnyUp),
            LastResort::Damped => (&[Class::Damped], Because::FallbackDamped),
            LastResort::All => {
                (&[Class::Unknown, Class::Damped, Class::Down], Because::FallbackAll)
            }
            LastResort::Static => return None,
            // Sites have no backup.
            LastResort::Backup => continue,
        };
        if classes.iter().any(|class| has(*class)) {
            return Some((classes, Some(because)));
        }
    }
    None
}
