//! How far each of a site's targets is from a client: the rungs of the ladder, from what was
//! measured for this very client down to the configured order (steering model, section 5).

use std::cell::OnceCell;

use ipnet::IpNet;
use popnet_config::network::Preset;
use popnet_terms::{Micros, PopId, RttSource, Seconds, TargetId};
use smallvec::SmallVec;

use crate::atlas::Place;
use crate::choice::Client;
use crate::confidence::HALF;
use crate::latency::{AllKnown, Known};
use crate::lineup::{Lineup, Stand};
use crate::rules::{SiteRules, Target};
use crate::view::View;

/// Assumed for everybody while nothing is known.
const DEFAULT_RTT: Micros = Micros(100_000);

/// How far a guess from places is believed, in thousandths: less than half, so that whatever was
/// measured near the client has its say too.
const GLOBE_CONFIDENCE: u16 = 400;

/// How far a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Distance<'a> {
    pub(crate) rtt: Micros,
    pub(crate) spread: Micros,
    pub(crate) loss: u16,
    pub(crate) source: RttSource,
    pub(crate) age: Option<Seconds>,
    /// In thousandths.
    pub(crate) confidence: u16,
    /// Through whom, where no probe at the target itself has spoken: its round trip to the client
    /// and the rest to the target, added up.
    pub(crate) via: Option<&'a PopId>,
    /// What the round trip may be at best. Through somebody else it is known only to lie between
    /// the difference of the two ways and their sum.
    pub(crate) least: Micros,
}

impl Distance<'_> {
    /// Of a target of which nothing is known.
    const UNKNOWN: Self = Self {
        rtt: DEFAULT_RTT,
        spread: Micros(0),
        loss: 0,
        source: RttSource::Default,
        age: None,
        confidence: 0,
        via: None,
        least: DEFAULT_RTT,
    };

    pub(crate) fn certain(rtt: Micros, source: RttSource, age: Option<Seconds>) -> Self {
        Self {
            rtt,
            spread: Micros(0),
            loss: 0,
            source,
            age,
            confidence: 1_000,
            via: None,
            least: rtt,
        }
    }

    /// Measured for this very client, and believed by half at least.
    pub(crate) fn is_sure(&self) -> bool {
        let is_known = matches!(self.source, RttSource::Measured | RttSource::Assumed);
        is_known && self.confidence >= HALF
    }

    /// Whether the probe at `target` itself, a POP, may yet say that it is nearer than `rival`.
    pub(crate) fn may_beat(&self, target: &TargetId, rival: Micros) -> bool {
        self.via.is_some() && matches!(target, TargetId::Pop(_)) && self.least < rival
    }
}

/// The distances of a site's targets.
pub(crate) type Distances<'a> = SmallVec<[Distance<'a>; 8]>;

/// The distances of a site's targets, in their order. A target of which nothing is known counts
/// as far as the farthest: not knowing must not win.
pub(crate) fn distances<'a>(
    view: &'a View,
    rules: &SiteRules,
    lineup: &Lineup,
    client: &Client,
) -> Distances<'a> {
    let around = Around { view, client, exact: OnceCell::new(), near: OnceCell::new() };
    let mut all = Distances::new();
    for (target, stand) in rules.targets.iter().zip(&lineup.stands) {
        let known = around.distance(rules.preset, Goal { target, stand });
        all.push(known.unwrap_or(Distance::UNKNOWN));
    }
    if all.contains(&Distance::UNKNOWN) {
        let farthest = all.iter().map(|distance| distance.rtt).max().unwrap_or(DEFAULT_RTT);
        for distance in all.iter_mut().filter(|distance| **distance == Distance::UNKNOWN) {
            (distance.rtt, distance.least) = (farthest, farthest);
        }
    }
    if !view.ways.is_empty() {
        for (target, distance) in rules.targets.iter().zip(&mut all) {
            *distance = supposed(view, &target.id, *distance);
        }
    }
    all
}

/// `distance`, or what of it is supposed to be otherwise.
fn supposed<'a>(view: &View, target: &TargetId, distance: Distance<'a>) -> Distance<'a> {
    let Some(way) = view.ways.get(target) else { return distance };
    let loss = way.loss.unwrap_or(distance.loss);
    match way.rtt {
        Some(rtt) => Distance { loss, ..Distance::certain(rtt, RttSource::Assumed, None) },
        None => Distance { loss, ..distance },
    }
}

/// A target whose distance is asked for.
#[derive(Clone, Copy)]
struct Goal<'g> {
    target: &'g Target,
    stand: &'g Stand,
}

impl Goal<'_> {
    /// The time to connect from the POP of `known`, and no time from the target itself.
    fn rest(self, view: &View, known: &Known) -> Option<Micros> {
        if self.stand.own == Some(known.pop) {
            return Some(Micros(0));
        }
        Some(self.stand.way(view, self.target, known.pop)?.0)
    }
}

/// What is known around one client.
struct Around<'a, 'c> {
    view: &'a View,
    client: &'c Client,
    exact: OnceCell<AllKnown>,
    near: OnceCell<Near>,
}

/// What those around a client know, each asked when it is needed.
struct Near {
    unit: IpNet,
    place: Option<Place>,
    siblings: OnceCell<AllKnown>,
    in_country: OnceCell<AllKnown>,
    network: OnceCell<AllKnown>,
}

impl Near {
    fn new(view: &View, unit: IpNet) -> Self {
        let (siblings, in_country, network) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Self { unit, place: view.place(unit), siblings, in_country, network }
    }

    fn siblings(&self, view: &View) -> &[Known] {
        let announced = self.place.as_ref().and_then(|place| place.prefix);
        self.siblings.get_or_init(|| view.siblings(self.unit, announced))
    }

    fn in_country(&self, view: &View) -> &[Known] {
        self.in_country.get_or_init(|| match &self.place {
            Some(place) if place.asn != 0 && place.country != [0; 2] => {
                view.network(place.asn, Some(place.country))
            }
            Some(_) | None => AllKnown::new(),
        })
    }

    fn network(&self, view: &View) -> &[Known] {
        self.network.get_or_init(|| match &self.place {
            Some(place) if place.asn != 0 => view.network(place.asn, None),
            Some(_) | None => AllKnown::new(),
        })
    }
}

impl<'a> Around<'a, '_> {
    fn distance(&self, preset: Preset, goal: Goal<'_>) -> Option<Distance<'a>> {
        match (preset, self.client) {
            (Preset::GeoOnly, _) => self.by_place(goal.target),
            (Preset::SumNs, Client::Unit(_)) => self.by_name_server(goal.target),
            (_, Client::Pop(pop)) => self.of_pop(pop, goal.target),
            (_, Client::Unit(unit)) => self.of_unit(*unit, goal),
        }
    }

    /// The first rung of the ladder that is believed by half, else what all of them say together.
    fn of_unit(&self, unit: IpNet, goal: Goal<'_>) -> Option<Distance<'a>> {
        let exact = self.exact.get_or_init(|| self.view.exact(unit));
        let measured = self.through(exact, goal, RttSource::Measured);
        if measured.as_ref().is_some_and(Distance::is_sure) {
            return measured;
        }
        let near = self.near(unit);
        // Looked at one by one: the lower rungs cost more, and are seldom reached.
        let rungs: [&dyn Fn() -> Option<Distance<'a>>; 6] = [
            &|| self.through(near.siblings(self.view), goal, RttSource::SiblingPrefix),
            &|| self.through(near.in_country(self.view), goal, RttSource::AsnCountryMedian),
            &|| self.through(near.network(self.view), goal, RttSource::AsnMedian),
            &|| self.by_estimate(exact, goal),
            &|| self.by_estimate(near.siblings(self.view), goal),
            &|| self.on_the_globe(near.place.as_ref(), goal.target),
        ];
        let mut doubtful: SmallVec<[Distance<'a>; 2]> = measured.into_iter().collect();
        for distance in rungs.iter().filter_map(|rung| rung()) {
            if distance.confidence >= HALF {
                return Some(distance);
            }
            doubtful.push(distance);
        }
        blend(&doubtful)
    }

    fn near(&self, unit: IpNet) -> &Near {
        self.near.get_or_init(|| Near::new(self.view, unit))
    }

    /// `min over p of R(p, client) + R(p, target)`. A POP's own probe speaks for it alone where
    /// it has a word: it has measured the very path that the sum only bounds.
    fn through(&self, known: &[Known], goal: Goal<'_>, source: RttSource) -> Option<Distance<'a>> {
        let own = goal.stand.own.and_then(|own| known.iter().find(|known| known.pop == own));
        if let Some(own) = own.filter(|own| own.confidence >= HALF) {
            return Some(self.distance_of(own, Micros(0), source, goal));
        }
        let sums = known.iter().filter_map(|known| {
            let rest = goal.rest(self.view, known)?;
            Some((known.rtt.0.saturating_add(rest.0), rest, known))
        });
        // Believed values first, then the least sum; names settle the rest.
        let best = sums.min_by_key(|(sum, _, known)| (known.confidence < HALF, *sum, known.pop));
        best.map(|(_, rest, known)| self.distance_of(known, rest, source, goal))
    }

    /// A measured leg to the client and a guessed one to the target.
    fn by_estimate(&self, known: &[Known], goal: Goal<'_>) -> Option<Distance<'a>> {
        let sums = known.iter().filter_map(|known| {
            let rest = goal.target.estimates.get(self.view.pop(known.pop)?)?;
            Some((known.rtt.0.saturating_add(rest.0), rest, known))
        });
        let (_, rest, known) = sums.min_by_key(|(sum, _, known)| (*sum, known.pop))?;
        Some(self.distance_of(known, *rest, RttSource::GeoEstimate, goal))
    }

    /// From a POP of ours: what its probe measures, else the distance on the globe.
    fn of_pop(&self, pop: &PopId, target: &Target) -> Option<Distance<'a>> {
        if let Some((rtt, age)) = self.view.connect(pop, &target.id) {
            return Some(Distance::certain(rtt, RttSource::Measured, Some(age)));
        }
        let rtt = *target.estimates.get(pop)?;
        Some(Distance::certain(rtt, RttSource::GeoEstimate, None))
    }

    /// The globe alone: where the operator's databases see the client, else where the POP nearest
    /// to it is.
    fn by_place(&self, target: &Target) -> Option<Distance<'a>> {
        let place = match self.client {
            Client::Pop(pop) => pop.clone(),
            Client::Unit(unit) => {
                let near = self.near(*unit);
                if let Some(distance) = self.on_the_globe(near.place.as_ref(), target) {
                    return Some(distance);
                }
                let exact = self.exact.get_or_init(|| self.view.exact(*unit));
                let known = if exact.is_empty() { near.siblings(self.view) } else { exact };
                let nearest = known.iter().min_by_key(|known| (known.rtt, known.pop))?;
                self.view.pop(nearest.pop)?.clone()
            }
        };
        let rtt = *target.estimates.get(&place)?;
        Some(Distance::certain(rtt, RttSource::GeoEstimate, None))
    }

    /// From the client's place to the target's.
    fn on_the_globe(&self, place: Option<&Place>, target: &Target) -> Option<Distance<'a>> {
        let (from, to) = (place?.location.as_ref()?, target.location.as_ref()?);
        let rtt = self.view.model(to.region.as_deref()).estimate(from, to);
        let guess = Distance::certain(rtt, RttSource::GeoEstimate, None);
        Some(Distance { confidence: GLOBE_CONFIDENCE, ..guess })
    }

    /// N22 read literally: name server to probe, and probe to target.
    fn by_name_server(&self, target: &Target) -> Option<Distance<'a>> {
        let sums = self.view.to_probes.iter().filter_map(|(pop, rtt)| {
            let (rest, age) = if is_pop(&target.id, pop) {
                (Micros(0), Seconds(0))
            } else {
                self.view.connect(pop, &target.id)?
            };
            Some((rtt.0.saturating_add(rest.0), age, pop))
        });
        let (sum, age, pop) = sums.min()?;
        let via = (!is_pop(&target.id, pop)).then_some(pop);
        let certain = Distance::certain(Micros(sum), RttSource::Measured, Some(age));
        Some(Distance { via, ..certain })
    }

    /// The way from the client to where it is known, and the `rest` of it.
    fn distance_of(
        &self,
        known: &Known,
        rest: Micros,
        source: RttSource,
        goal: Goal<'_>,
    ) -> Distance<'a> {
        let is_own = goal.stand.own == Some(known.pop);
        Distance {
            rtt: Micros(known.rtt.0.saturating_add(rest.0)),
            spread: known.spread,
            loss: known.loss,
            source,
            age: Some(self.view.age(known.at)),
            confidence: known.confidence,
            via: if is_own { None } else { self.view.pop(known.pop) },
            least: Micros(known.rtt.0.abs_diff(rest.0)),
        }
    }
}

/// The mean of several doubtful distances, each counted as far as it is believed. The words are
/// those of the one believed most.
fn blend<'a>(rungs: &[Distance<'a>]) -> Option<Distance<'a>> {
    let most = rungs.iter().max_by_key(|rung| (rung.confidence, std::cmp::Reverse(rung.rtt)))?;
    let weight: u64 = rungs.iter().map(|rung| u64::from(rung.confidence)).sum();
    let sum: u64 =
        rungs.iter().map(|rung| u64::from(rung.rtt.0) * u64::from(rung.confidence)).sum();
    let rtt = sum.checked_div(weight).unwrap_or_else(|| most.rtt.0.into());
    Some(Distance { rtt: Micros(u32::try_from(rtt).unwrap_or(u32::MAX)), ..*most })
}

fn is_pop(target: &TargetId, pop: &PopId) -> bool {
    match target {
        TargetId::Pop(id) => id == pop,
        TargetId::Origin(_) => false,
    }
}
