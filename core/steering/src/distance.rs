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
use crate::latency::Known;
use crate::rules::{SiteRules, Target};
use crate::view::View;

/// Assumed for everybody while nothing is known.
const DEFAULT_RTT: Micros = Micros(100_000);

/// How far a guess from places is believed, in thousandths: less than half, so that whatever was
/// measured near the client has its say too.
const GLOBE_CONFIDENCE: u16 = 400;

/// How far a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Distance {
    pub(crate) rtt: Micros,
    pub(crate) spread: Micros,
    pub(crate) loss: u16,
    pub(crate) source: RttSource,
    pub(crate) age: Option<Seconds>,
    /// In thousandths.
    pub(crate) confidence: u16,
    /// Through whom, where no probe at the target itself has spoken: its round trip to the client
    /// and the rest to the target, added up.
    pub(crate) via: Option<PopId>,
    /// What the round trip may be at best. Through somebody else it is known only to lie between
    /// the difference of the two ways and their sum.
    pub(crate) least: Micros,
}

impl Distance {
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

/// The distances of a site's targets, in their order. A target of which nothing is known counts
/// as far as the farthest: not knowing must not win.
pub(crate) fn distances(view: &View, rules: &SiteRules, client: &Client) -> Vec<Distance> {
    let around = Around::new(view, client);
    let known: Vec<Option<Distance>> =
        rules.targets.iter().map(|target| around.distance(rules.preset, target)).collect();
    let farthest = known.iter().flatten().map(|distance| distance.rtt).max();
    let rtt = farthest.unwrap_or(DEFAULT_RTT).max(DEFAULT_RTT);
    let default = Distance { confidence: 0, ..Distance::certain(rtt, RttSource::Default, None) };
    let known = known.into_iter().map(|distance| distance.unwrap_or_else(|| default.clone()));
    let known = rules.targets.iter().zip(known);
    known.map(|(target, distance)| supposed(view, &target.id, distance)).collect()
}

/// `distance`, or what of it is supposed to be otherwise.
fn supposed(view: &View, target: &TargetId, distance: Distance) -> Distance {
    let Some(way) = view.ways.get(target) else { return distance };
    let loss = way.loss.unwrap_or(distance.loss);
    match way.rtt {
        Some(rtt) => Distance { loss, ..Distance::certain(rtt, RttSource::Assumed, None) },
        None => Distance { loss, ..distance },
    }
}

/// What is known around one client.
struct Around<'a> {
    view: &'a View,
    client: &'a Client,
    exact: OnceCell<Vec<Known>>,
    near: OnceCell<Near>,
}

/// What those around a client know, each asked when it is needed.
struct Near {
    unit: IpNet,
    place: Option<Place>,
    siblings: OnceCell<Vec<Known>>,
    in_country: OnceCell<Vec<Known>>,
    network: OnceCell<Vec<Known>>,
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
            Some(_) | None => Vec::new(),
        })
    }

    fn network(&self, view: &View) -> &[Known] {
        self.network.get_or_init(|| match &self.place {
            Some(place) if place.asn != 0 => view.network(place.asn, None),
            Some(_) | None => Vec::new(),
        })
    }
}

impl<'a> Around<'a> {
    fn new(view: &'a View, client: &'a Client) -> Self {
        Self { view, client, exact: OnceCell::new(), near: OnceCell::new() }
    }

    fn distance(&self, preset: Preset, target: &Target) -> Option<Distance> {
        match (preset, self.client) {
            (Preset::GeoOnly, _) => self.by_place(target),
            (Preset::SumNs, Client::Unit(_)) => self.by_name_server(target),
            (_, Client::Pop(pop)) => self.of_pop(pop, target),
            (_, Client::Unit(unit)) => self.of_unit(*unit, target),
        }
    }

    /// The first rung of the ladder that is believed by half, else what all of them say together.
    fn of_unit(&self, unit: IpNet, target: &Target) -> Option<Distance> {
        let exact = self.exact.get_or_init(|| self.view.exact(unit));
        let measured = self.through(exact, target, RttSource::Measured);
        if measured.as_ref().is_some_and(Distance::is_sure) {
            return measured;
        }
        let near = self.near(unit);
        // Looked at one by one: the lower rungs cost more, and are seldom reached.
        let rungs: [&dyn Fn() -> Option<Distance>; 6] = [
            &|| self.through(near.siblings(self.view), target, RttSource::SiblingPrefix),
            &|| self.through(near.in_country(self.view), target, RttSource::AsnCountryMedian),
            &|| self.through(near.network(self.view), target, RttSource::AsnMedian),
            &|| self.by_estimate(exact, target),
            &|| self.by_estimate(near.siblings(self.view), target),
            &|| self.on_the_globe(near.place.as_ref(), target),
        ];
        let mut doubtful: SmallVec<[Distance; 2]> = measured.into_iter().collect();
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
    fn through(&self, known: &[Known], target: &Target, source: RttSource) -> Option<Distance> {
        let own = known.iter().find(|known| is_pop(&target.id, &known.pop));
        if let Some(own) = own.filter(|own| own.confidence >= HALF) {
            return Some(self.distance_of(own, Micros(0), source, target));
        }
        let sums = known.iter().filter_map(|known| {
            let rest = if is_pop(&target.id, &known.pop) {
                Micros(0)
            } else {
                self.view.connect(&known.pop, &target.id)?.0
            };
            Some((known.rtt.0.saturating_add(rest.0), rest, known))
        });
        // Believed values first, then the least sum; names settle the rest.
        let best =
            sums.min_by_key(|(sum, _, known)| (known.confidence < HALF, *sum, known.pop.clone()));
        best.map(|(_, rest, known)| self.distance_of(known, rest, source, target))
    }

    /// A measured leg to the client and a guessed one to the target.
    fn by_estimate(&self, known: &[Known], target: &Target) -> Option<Distance> {
        let sums = known.iter().filter_map(|known| {
            let rest = target.estimates.get(&known.pop)?;
            Some((known.rtt.0.saturating_add(rest.0), rest, known))
        });
        let (_, rest, known) = sums.min_by_key(|(sum, _, known)| (*sum, known.pop.clone()))?;
        Some(self.distance_of(known, *rest, RttSource::GeoEstimate, target))
    }

    /// From a POP of ours: what its probe measures, else the distance on the globe.
    fn of_pop(&self, pop: &PopId, target: &Target) -> Option<Distance> {
        if let Some((rtt, age)) = self.view.connect(pop, &target.id) {
            return Some(Distance::certain(rtt, RttSource::Measured, Some(age)));
        }
        let rtt = *target.estimates.get(pop)?;
        Some(Distance::certain(rtt, RttSource::GeoEstimate, None))
    }

    /// The globe alone: where the operator's databases see the client, else where the POP nearest
    /// to it is.
    fn by_place(&self, target: &Target) -> Option<Distance> {
        let place = match self.client {
            Client::Pop(pop) => pop.clone(),
            Client::Unit(unit) => {
                let near = self.near(*unit);
                if let Some(distance) = self.on_the_globe(near.place.as_ref(), target) {
                    return Some(distance);
                }
                let exact = self.exact.get_or_init(|| self.view.exact(*unit));
                let known = if exact.is_empty() { near.siblings(self.view) } else { exact };
                known.iter().min_by_key(|known| (known.rtt, known.pop.clone()))?.pop.clone()
            }
        };
        let rtt = *target.estimates.get(&place)?;
        Some(Distance::certain(rtt, RttSource::GeoEstimate, None))
    }

    /// From the client's place to the target's.
    fn on_the_globe(&self, place: Option<&Place>, target: &Target) -> Option<Distance> {
        let (from, to) = (place?.location.as_ref()?, target.location.as_ref()?);
        let rtt = self.view.model(to.region.as_deref()).estimate(from, to);
        let guess = Distance::certain(rtt, RttSource::GeoEstimate, None);
        Some(Distance { confidence: GLOBE_CONFIDENCE, ..guess })
    }

    /// N22 read literally: name server to probe, and probe to target.
    fn by_name_server(&self, target: &Target) -> Option<Distance> {
        let sums = self.view.to_probes.iter().filter_map(|(pop, rtt)| {
            let (rest, age) = if is_pop(&target.id, pop) {
                (Micros(0), Seconds(0))
            } else {
                self.view.connect(pop, &target.id)?
            };
            Some((rtt.0.saturating_add(rest.0), age, pop))
        });
        let (sum, age, pop) = sums.min()?;
        let via = (!is_pop(&target.id, pop)).then(|| pop.clone());
        let certain = Distance::certain(Micros(sum), RttSource::Measured, Some(age));
        Some(Distance { via, ..certain })
    }

    /// The way from the client to where it is known, and the `rest` of it.
    fn distance_of(
        &self,
        known: &Known,
        rest: Micros,
        source: RttSource,
        target: &Target,
    ) -> Distance {
        Distance {
            rtt: Micros(known.rtt.0.saturating_add(rest.0)),
            spread: known.spread,
            loss: known.loss,
            source,
            age: Some(self.view.age(known.at)),
            confidence: known.confidence,
            via: (!is_pop(&target.id, &known.pop)).then(|| known.pop.clone()),
            least: Micros(known.rtt.0.abs_diff(rest.0)),
        }
    }
}

/// The mean of several doubtful distances, each counted as far as it is believed. The words are
/// those of the one believed most.
fn blend(rungs: &[Distance]) -> Option<Distance> {
    let most = rungs.iter().max_by_key(|rung| (rung.confidence, std::cmp::Reverse(rung.rtt)))?;
    let weight: u64 = rungs.iter().map(|rung| u64::from(rung.confidence)).sum();
    let sum: u64 =
        rungs.iter().map(|rung| u64::from(rung.rtt.0) * u64::from(rung.confidence)).sum();
    let rtt = sum.checked_div(weight).unwrap_or_else(|| most.rtt.0.into());
    Some(Distance { rtt: Micros(u32::try_from(rtt).unwrap_or(u32::MAX)), ..most.clone() })
}

fn is_pop(target: &TargetId, pop: &PopId) -> bool {
    match target {
        TargetId::Pop(id) => id == pop,
        TargetId::Origin(_) => false,
    }
}
