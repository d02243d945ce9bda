//! Who else might have won, and the smallest single change by which it would have: found by making
//! the same choice again with one value otherwise (steering model, section 10).

use popnet_terms::{Micros, Removed, TargetId};
use popnet_wire::inquiring::{Assumed, Assumption, Change, Rival};
use popnet_wire::logging::{Candidate, Score};

use crate::choice::{Choice, Question};
use crate::choose::choose;
use crate::rules::SiteRules;
use crate::view::View;

/// A round trip beyond this is no change that anybody would look for.
const RTT_MAX: u32 = 10_000_000;

/// Round trips are told in whole milliseconds: scores are compared in them.
const RTT_STEP: u32 = 1_000;

/// Loads, losses and shares, in thousandths.
const WHOLE: u32 = 1_000;

/// A price a million times the unit.
const COST_MAX: u32 = 1_000_000_000;

/// Who else would win `choice`, and by which change: the best of those that are removed and would
/// win if they were not, and the one that would win if the winner were down.
#[must_use]
pub fn rivals(view: &View, rules: &SiteRules, question: &Question, choice: &Choice) -> Vec<Rival> {
    let Some(winner) = choice.targets.first().map(|chosen| chosen.target.clone()) else {
        return Vec::new();
    };
    let contest = Contest { view, rules, question, choice, winner };
    let mut rivals: Vec<Rival> = contest.removed().into_iter().collect();
    let runner = contest.runner_up();
    rivals.extend(runner.filter(|runner| rivals.iter().all(|r| r.target != runner.target)));
    rivals
}

struct Contest<'a> {
    view: &'a View,
    rules: &'a SiteRules,
    question: &'a Question,
    choice: &'a Choice,
    winner: TargetId,
}

impl Contest<'_> {
    /// Of those that are removed and would win if they were not, the one with the fewest points.
    fn removed(&self) -> Option<Rival> {
        let out = self.choice.candidates.iter().filter(|c| c.removed.is_some());
        let would = out.filter_map(|candidate| {
            let change = self.return_of(candidate)?;
            Some((change.points, candidate, change))
        });
        let (_, candidate, change) =
            would.min_by_key(|(points, candidate, _)| (*points, &candidate.target))?;
        Some(rival(candidate, Some(change)))
    }

    /// The change by which `candidate`, which is removed, would be back and win.
    fn return_of(&self, candidate: &Candidate) -> Option<Change> {
        let target = &candidate.target;
        let verdict = self.view.verdict(target);
        let reason = candidate.removed.as_ref()?.reason;
        if reason == Removed::LoadOverLimit {
            let load = verdict.and_then(|verdict| verdict.load).map_or(WHOLE, u32::from);
            return self.search(target, target, Term::Load, load, 0);
        }
        if reason == Removed::Shed {
            let shed = verdict.map_or(WHOLE, |verdict| verdict.shed.into());
            return self.search(target, target, Term::Shed, shed, 0);
        }
        let to = Assumption { target: target.clone(), what: Assumed::Up };
        let points = self.wins(target, &to)?;
        Some(Change { to, from: None, points })
    }

    /// Who would win if the winner were down.
    fn runner_up(&self) -> Option<Rival> {
        let down = Assumption { target: self.winner.clone(), what: Assumed::Down };
        let choice = self.choose(&down);
        let first = choice.targets.first().map(|chosen| &chosen.target)?;
        let runner = self.choice.candidates.iter().find(|c| c.target == *first)?;
        if runner.target == self.winner || runner.removed.is_some() {
            return None;
        }
        let winner = self.choice.candidates.iter().find(|c| c.target == self.winner)?;
        let unbound = Assumption { target: self.winner.clone(), what: Assumed::Unbound };
        let as_unbound = || Some((0, self.told(&runner.target, unbound, None)?));
        let least = self.terms(runner, winner).or_else(as_unbound);
        let as_down = || self.told(&runner.target, down, None);
        Some(rival(runner, least.map(|(_, change)| change).or_else(as_down)))
    }

    /// The term by which least has to change for `runner` to win, its own or the winner's, with
    /// how many whole milliseconds the score changes by it. Of equal ones its own counts, and the
    /// round trip before the rest.
    fn terms(&self, runner: &Candidate, winner: &Candidate) -> Option<(u32, Change)> {
        let (mine, its) = (runner.score.as_ref()?, winner.score.as_ref()?);
        let better = Term::ALL.into_iter().map(|term| (runner, mine, term, 0));
        let worse = Term::ALL.into_iter().map(|term| (winner, its, term, term.limit()));
        let changes = better.chain(worse).filter_map(|(of, score, term, end)| {
            let now = term.of(score, of, self.rules)?;
            let change = self.search(&of.target, &runner.target, term, now, end)?;
            let after = self.score(&of.target, &change.to)?;
            let by = after.points.0.abs_diff(score.points.0);
            Some((by.div_ceil(RTT_STEP), change))
        });
        // Of equal ones the first stays.
        changes.min_by_key(|(by, _)| *by)
    }

    /// The value nearest to `now`, on the way to `end`, with which `rival` wins.
    fn search(
        &self,
        of: &TargetId,
        rival: &TargetId,
        term: Term,
        now: u32,
        end: u32,
    ) -> Option<Change> {
        let step = term.step();
        let as_value = |steps: u32| {
            let by = steps.saturating_mul(step);
            if end < now {
                now.saturating_sub(by).max(end)
            } else {
                now.saturating_add(by).min(end)
            }
        };
        let told = |steps| {
            let to = Assumption { target: of.clone(), what: term.assumed(as_value(steps)) };
            self.told(rival, to, Some(now))
        };
        let (mut short, mut enough) = (0, now.abs_diff(end).div_ceil(step));
        let mut found = (enough > 0).then(|| told(enough)).flatten()?;
        while enough - short > 1 {
            let middle = short + (enough - short) / 2;
            match told(middle) {
                Some(change) => (enough, found) = (middle, change),
                None => short = middle,
            }
        }
        Some(found)
    }

    /// The change to `to`, if `rival` wins by it.
    fn told(&self, rival: &TargetId, to: Assumption, from: Option<u32>) -> Option<Change> {
        let points = self.wins(rival, &to)?;
        Some(Change { to, from, points })
    }

    /// What `rival` scores if it wins where `assumption` holds.
    fn wins(&self, rival: &TargetId, assumption: &Assumption) -> Option<Micros> {
        let choice = self.choose(assumption);
        let is_first = choice.targets.first().is_some_and(|chosen| chosen.target == *rival);
        is_first.then(|| score_of(&choice, rival).map(|score| score.points)).flatten()
    }

    fn score(&self, of: &TargetId, assumption: &Assumption) -> Option<Score> {
        score_of(&self.choose(assumption), of).cloned()
    }

    fn choose(&self, assumption: &Assumption) -> Choice {
        let assumption = std::slice::from_ref(assumption);
        let view = self.view.assuming(assumption);
        let rules = self.rules.assuming(assumption);
        let question = self.question.assuming(assumption);
        choose(&view, &rules, &question)
    }
}

impl Question {
    /// The question of a client that is not bound to where it is supposed not to be.
    #[must_use]
    pub fn assuming(&self, assumptions: &[Assumption]) -> Self {
        let is_off = |bound: &TargetId| {
            assumptions.iter().any(|a| a.what == Assumed::Unbound && a.target == *bound)
        };
        let bound = self.bound.clone().filter(|bound| !is_off(bound));
        Self { bound, ..self.clone() }
    }
}

fn rival(candidate: &Candidate, change: Option<Change>) -> Rival {
    Rival {
        target: candidate.target.clone(),
        points: candidate.score.as_ref().map_or(Micros(0), |score| score.points),
        removed: candidate.removed.as_ref().map(|removal| removal.reason),
        change,
    }
}

fn score_of<'a>(choice: &'a Choice, target: &TargetId) -> Option<&'a Score> {
    choice.candidates.iter().find(|c| c.target == *target)?.score.as_ref()
}

/// A number of a target that a person can picture otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Term {
    Rtt,
    Load,
    Loss,
    Cost,
    Shed,
}

impl Term {
    /// Those that a score is made of.
    const ALL: [Self; 4] = [Self::Rtt, Self::Load, Self::Loss, Self::Cost];

    fn limit(self) -> u32 {
        match self {
            Self::Rtt => RTT_MAX,
            Self::Load | Self::Loss | Self::Shed => WHOLE,
            Self::Cost => COST_MAX,
        }
    }

    fn step(self) -> u32 {
        match self {
            Self::Rtt => RTT_STEP,
            Self::Load | Self::Loss | Self::Cost | Self::Shed => 1,
        }
    }

    fn of(self, score: &Score, candidate: &Candidate, rules: &SiteRules) -> Option<u32> {
        match self {
            Self::Rtt => Some(score.rtt.0),
            Self::Load => Some(score.load_permille.into()),
            Self::Loss => Some(score.loss_permille.into()),
            Self::Cost => {
                rules.targets.iter().find(|known| known.id == candidate.target).map(|t| t.cost)
            }
            Self::Shed => None,
        }
    }

    fn assumed(self, value: u32) -> Assumed {
        let thousandths = || u16::try_from(value).unwrap_or(u16::MAX);
        match self {
            Self::Rtt => Assumed::Rtt(Micros(value)),
            Self::Load => Assumed::Load(thousandths()),
            Self::Loss => Assumed::Loss(thousandths()),
            Self::Cost => Assumed::Cost(value),
            Self::Shed => Assumed::Shed(thousandths()),
        }
    }
}
