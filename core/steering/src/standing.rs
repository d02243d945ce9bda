//! How a target may be used for one client: the verdict on it as the client's region sees it, its
//! load, and whether the client is among those that it asks to send elsewhere (steering model,
//! sections 4 and 6).

use std::sync::Arc;

use popnet_config::network::LastResort;
use popnet_terms::{Because, Removed, Timestamp};
use popnet_wire::logging::Removal;

use crate::choice::{Client, Question};
use crate::limits::Whereabouts;
use crate::lineup::Lineup;
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
    /// Healthy, but no more of it is ours: only when everything is named.
    Reserved,
    /// Not up for the client's region, but for the world: before what is not known.
    Global,
    /// Waits until nothing else is well.
    Backup,
    /// Never: it has no address that is asked for.
    Unaddressable,
    /// Never: the configuration keeps it from this client, or from everybody now.
    Barred,
}

/// Who asks, as far as it matters to how targets stand.
pub(crate) struct Asker<'a> {
    rules: &'a SiteRules,
    question: &'a Question,
    /// The client's place on the hash's circle.
    draw: u64,
    region: Option<Arc<str>>,
    /// `None` for a POP of ours, and where it matters to no target.
    place: Option<Whereabouts>,
    now: Timestamp,
}

impl<'a> Asker<'a> {
    pub(crate) fn new(
        view: &View,
        rules: &'a SiteRules,
        lineup: &Lineup,
        question: &'a Question,
        draw: u64,
    ) -> Self {
        // Where every region sees the same there is no need to know the client's.
        let (differs, is_by_place) = (lineup.tells_regions_apart, lineup.is_by_place);
        let known = (differs || is_by_place).then(|| region(view, rules, &question.client));
        let known = known.flatten();
        let place = match question.client {
            Client::Unit(unit) if is_by_place => {
                let country = view.place(unit).map_or([0; 2], |place| place.country);
                Some(Whereabouts { country, region: known.clone() })
            }
            Client::Unit(_) => Some(Whereabouts::default()),
            Client::Pop(_) => None,
        };
        let region = known.filter(|_| differs);
        Self { rules, question, draw, region, place, now: view.at }
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
    ) -> (Class, Option<Box<Removal>>) {
        if let Some((reason, detail)) = target.limits.bars(self.place.as_ref(), self.now) {
            return (Class::Barred, Some(configured(reason, detail)));
        }
        let (class, removal) = self.by_health(target, verdict);
        if target.is_backup && matches!(class, Class::Fit | Class::Unknown) {
            let detail = "the site's backup".into();
            return (Class::Backup, Some(configured(Removed::Standby, detail)));
        }
        (class, removal)
    }

    fn by_health(
        &self,
        target: &Target,
        verdict: Option<&Verdict>,
    ) -> (Class, Option<Box<Removal>>) {
        let Some(verdict) = verdict else { return (Class::Unknown, None) };
        let removal = |reason: Removed, detail: Arc<str>| {
            let (age, seen_by) = (verdict.age, verdict.seen_by.clone());
            Some(Box::new(Removal { reason, detail, age, seen_by }))
        };
        let standing = self.standing(verdict);
        let because = |usual: Removed| match &self.region {
            Some(region) if standing != verdict.standing => {
                removal(usual, format!("as the probes in {region} see it").into())
            }
            Some(_) | None => removal(verdict.reason.unwrap_or(usual), verdict.why.clone()),
        };
        match standing {
            Standing::Down if matches!(verdict.standing, Standing::Up | Standing::Unwatched) => {
                (Class::Global, because(Removed::DownProbe))
            }
            Standing::Down => (Class::Down, because(Removed::DownProbe)),
            Standing::Damped => (Class::Damped, because(Removed::Damped)),
            Standing::Draining => (Class::Draining, because(Removed::Drained)),
            Standing::Behind => (Class::Behind, because(Removed::ConfigBehind)),
            Standing::Unknown => (Class::Unknown, None),
            Standing::Up | Standing::Unwatched => match self.excess(target, verdict) {
                Some((class, reason, detail)) => (class, removal(reason, detail)),
                None => (Class::Fit, None),
            },
        }
    }

    /// Whether the client is among those whom `target` does not get for its reserve; in words. A
    /// POP that fetches content is not: it has nowhere else to go.
    fn spent(&self, target: &Target, verdict: &Verdict) -> Option<Arc<str>> {
        let Client::Unit(_) = self.question.client else { return None };
        let (kept, load) = (withheld(target, verdict), verdict.load?);
        let reserve = target.reserve?;
        (shed_draw(self.draw, target) < kept)
            .then(|| format!("load {}, reserve {}", share(load), share(reserve)).into())
    }

    /// What is too much at a healthy target. One that says how much it sheds is obeyed to that
    /// share; one that says nothing is left alone while it is over the hard limit. A bound client
    /// moves above the hard limit only.
    fn excess(&self, target: &Target, verdict: &Verdict) -> Option<(Class, Removed, Arc<str>)> {
        if let Some(detail) = self.spent(target, verdict) {
            return Some((Class::Reserved, Removed::ReserveSpent, detail));
        }
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

/// A removal by the configuration alone.
fn configured(reason: Removed, detail: Arc<str>) -> Box<Removal> {
    Box::new(Removal { reason, detail, age: None, seen_by: Vec::new() })
}

/// The share of clients, in thousandths, that a target does not get whose `reserve` is nearly
/// used up: nobody is kept away below four fifths of it and everybody from the whole of it, so
/// that no step makes all of them swing.
pub(crate) fn withheld(target: &Target, verdict: &Verdict) -> u16 {
    let (Some(reserve), Some(load)) = (target.reserve, verdict.load) else { return 0 };
    let (reserve, load) = (u32::from(reserve), u32::from(load));
    if load >= reserve {
        return 1_000;
    }
    let free = reserve - reserve / 5;
    let share = load.saturating_sub(free) * 1_000 / (reserve / 5).max(1);
    u16::try_from(share).unwrap_or(1_000).min(1_000)
}

/// The region of the POP itself, or of the POP that has measured the client nearest.
fn region(view: &View, rules: &SiteRules, client: &Client) -> Option<Arc<str>> {
    match client {
        Client::Pop(pop) => rules.regions.get(pop).cloned(),
        Client::Unit(unit) => {
            let known = view.exact(*unit);
            let near = known.iter().min_by_key(|known| (known.rtt, known.pop))?;
            rules.regions.get(view.pop(near.pop)?).cloned()
        }
    }
}

fn share(thousandths: u16) -> String {
    format!("{}.{:02}", thousandths / 1_000, thousandths % 1_000 / 10)
}

/// Which classes the answer is chosen from, and why these where nothing is fit; else what is
/// said where nothing at all is left to name. A target that is up in any way comes before every
/// one that is not known, and that before those that are down (steering model, section 11).
pub(crate) fn resort(
    rules: &SiteRules,
    has: impl Fn(Class) -> bool,
) -> Result<(&'static [Class], Option<Because>), Because> {
    if has(Class::Fit) {
        return Ok((&[Class::Fit, Class::Unknown], None));
    }
    // Whoever is fit sheds this client: there is more demand than room. The clients that nobody
    // wants grow from none to all as the shares that are shed do, so nothing jumps.
    if has(Class::Shed) {
        return Ok((&[Class::Shed], Some(Because::BrownOut)));
    }
    let up: [(Class, &'static [Class]); 3] = [
        (Class::Overloaded, &[Class::Overloaded]),
        (Class::Behind, &[Class::Behind]),
        (Class::Draining, &[Class::Draining]),
    ];
    if let Some((_, classes)) = up.into_iter().find(|(class, _)| has(*class)) {
        return Ok((classes, Some(Because::FallbackAnyUp)));
    }
    if has(Class::Global) {
        return Ok((&[Class::Global], Some(Because::FallbackGlobal)));
    }
    for step in &rules.last_resort {
        let (classes, because): (&'static [Class], Because) = match step {
            LastResort::Unknown => (&[Class::Unknown], Because::FallbackAnyUp),
            LastResort::Damped => (&[Class::Damped], Because::FallbackDamped),
            LastResort::All => {
                let all = &[Class::Unknown, Class::Damped, Class::Reserved, Class::Down];
                (all, Because::FallbackAll)
            }
            LastResort::Static => return Err(Because::StaticRecord),
            LastResort::Empty => return Err(Because::LeftEmpty),
            LastResort::Refuse => return Err(Because::LeftRefused),
            LastResort::Backup => (&[Class::Backup], Because::FallbackBackup),
        };
        if classes.iter().any(|class| has(*class)) {
            return Ok((classes, Some(because)));
        }
    }
    Err(Because::StaticRecord)
}
