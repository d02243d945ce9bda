//! What `popnet explain dns` and `popnet config plan` are told and tell beyond the decision
//! itself: suppositions, moments, who else might have won, and who would move.

use jiff::civil::Time;
use jiff::tz::TimeZone;
use popnet_terms::{Micros, ScopeBecause, Span, TargetId, Timestamp, TtlBecause};
use popnet_wire::control::Problem;
use popnet_wire::inquiring::{
    Assumed, Assumption, Change, Explanation, Moves, Reasons, Rival, SiteMoves,
};

use super::explain::ms;
use crate::output::table;

/// `fra1=down`, `fra1.load=0.9` and their like.
pub(super) fn assumption(text: &str) -> Result<Assumption, Problem> {
    supposed(text).ok_or_else(|| {
        let what = format!(
            "{text:?} is no assumption: TARGET=down, up, drain or unbound; or TARGET.load=, .shed= \
             or .loss= and a share from 0 to 1, .cost= and a price, .rtt= and a time"
        );
        Problem::new("U0014", what, "--assume fra1=down").with_exit(2)
    })
}

fn supposed(text: &str) -> Option<Assumption> {
    let (left, value) = text.split_once('=')?;
    let word = match value {
        "up" => Some(Assumed::Up),
        "down" => Some(Assumed::Down),
        "drain" => Some(Assumed::Drained),
        "unbound" => Some(Assumed::Unbound),
        _ => None,
    };
    if let Some(what) = word {
        return Some(Assumption { target: left.parse().ok()?, what });
    }
    let (target, term) = left.rsplit_once('.')?;
    let share = || Some(u16::try_from(thousandths(value, 1.0)?).unwrap_or(u16::MAX));
    let what = match term {
        "load" => Assumed::Load(share()?),
        "shed" => Assumed::Shed(share()?),
        "loss" => Assumed::Loss(share()?),
        "cost" => Assumed::Cost(thousandths(value, 1e6)?),
        "rtt" => {
            let span: Span = value.parse().ok()?;
            Assumed::Rtt(Micros(u32::try_from(span.0).ok()?))
        }
        _ => return None,
    };
    Some(Assumption { target: target.parse().ok()?, what })
}

/// A number from 0 to `most`, in thousandths.
fn thousandths(text: &str, most: f64) -> Option<u32> {
    let number: f64 = text.parse().ok()?;
    if !(0.0..=most).contains(&number) {
        return None;
    }
    format!("{:.0}", number * 1_000.0).parse().ok()
}

/// A moment: `2026-11-22T03:07:00Z`, `03:07` (the last one, UTC), or `5m` (so long ago).
pub(super) fn moment(text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    let at = moment_in(text, now).ok_or_else(|| {
        let what = format!(
            "{text:?} is no moment: a date and time, a time of day in UTC, or how long ago"
        );
        Problem::new("U0085", what, "--at 2026-11-22T03:07:00Z   or --at 03:07   or --at 5m")
            .with_exit(2)
    })?;
    if at > now {
        let what = format!("{text} is still to come");
        return Err(Problem::new("U0086", what, "leave --at out to ask about now").with_exit(2));
    }
    Ok(at)
}

fn moment_in(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(Timestamp(at.as_microsecond()));
    }
    if let Ok(ago) = text.parse::<Span>() {
        let ago = i64::try_from(ago.duration().as_micros()).ok()?;
        return Some(Timestamp(now.0.saturating_sub(ago)));
    }
    let time: Time = text.parse().ok()?;
    let today = jiff::Timestamp::from_microsecond(now.0).ok()?.to_zoned(TimeZone::UTC);
    let at = today.date().to_datetime(time).to_zoned(TimeZone::UTC).ok()?;
    let at = if at > today { at.yesterday().ok()?.with().time(time).build().ok()? } else { at };
    Some(Timestamp(at.timestamp().as_microsecond()))
}

/// A moment as people read it.
pub(super) fn when(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_microsecond(at.0).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Why the answer holds as long and for as many as it does, who else might have won, and what is
/// to be known beside.
pub(super) fn beyond(told: &Explanation) -> String {
    let mut text = String::new();
    if let Some(Reasons { ttl, scope, scope_because }) = told.reasons {
        text += &format!("TTL         {ttl}: {}\n", ttl_words(ttl));
        text += &format!("Scope /{scope:<4} {scope_because}: {}\n", scope_words(scope_because));
    }
    text.extend(told.rivals.iter().map(rival_text));
    text.extend(told.notes.iter().map(|note| format!("Note        {note}\n")));
    text
}

fn ttl_words(because: TtlBecause) -> &'static str {
    match because {
        TtlBecause::Settled => "everything that matters is well known",
        TtlBecause::Unsure => "a distance that matters is not well known yet",
        TtlBecause::Shedding => "a target sheds load, and clients have to follow",
        TtlBecause::LastResort => "a last resort is asked for again soon",
        TtlBecause::BindingEnds => "no longer than the client is bound",
    }
}

fn scope_words(because: ScopeBecause) -> &'static str {
    match because {
        ScopeBecause::ByClient => "it holds for the unit that was looked up",
        ScopeBecause::SameForAll => "the choice does not look at the client",
        ScopeBecause::NoSubnet => "the query has no client subnet",
        ScopeBecause::SubnetIgnored => "this resolver's client subnets do not count",
    }
}

fn rival_text(rival: &Rival) -> String {
    let target = &rival.target;
    let Some(change) = &rival.change else {
        return format!(
            "Runner-up   {target} {}; no single change would make it win\n",
            ms(rival.points)
        );
    };
    let points = ms(change.points);
    if change.to.what == Assumed::Up {
        return format!("If {target} were up it would win with {points}.\n");
    }
    let label = if rival.removed.is_some() { "Closest" } else { "Runner-up" };
    let (would, option) = (condition(change, target), option_text(&change.to));
    let own = ms(rival.points);
    format!("{label:<11} {target} {own} would win with {points} if {would}   --assume {option}\n")
}

/// "its load were at most 0.900 (it is 0.940)".
fn condition(change: &Change, rival: &TargetId) -> String {
    let of = &change.to.target;
    let whose = if of == rival { "its".to_owned() } else { format!("{of}'s") };
    let number = |term: &str, to: String, from: Option<String>| {
        let to_value = value_of(change.to.what);
        let bound =
            if change.from.is_some_and(|from| Some(from) < to_value) { "least" } else { "most" };
        let is = from.map(|from| format!(" (it is {from})")).unwrap_or_default();
        format!("{whose} {term} were at {bound} {to}{is}")
    };
    let shares = |term: &str, to: u16| {
        number(term, thousandth_text(to.into()), change.from.map(thousandth_text))
    };
    match change.to.what {
        Assumed::Up => format!("{of} were up"),
        Assumed::Down => format!("{of} were down"),
        Assumed::Drained => format!("{of} were drained"),
        Assumed::Unbound => format!("the client were not bound to {of}"),
        Assumed::Load(to) => shares("load", to),
        Assumed::Shed(to) => shares("shed share", to),
        Assumed::Loss(to) => shares("loss", to),
        Assumed::Cost(to) => number("cost", thousandth_text(to), change.from.map(thousandth_text)),
        Assumed::Rtt(to) => {
            let text = |micros: u32| format!("{} ms", ms(Micros(micros)));
            number("rtt", text(to.0), change.from.map(text))
        }
    }
}

fn value_of(what: Assumed) -> Option<u32> {
    match what {
        Assumed::Up | Assumed::Down | Assumed::Drained | Assumed::Unbound => None,
        Assumed::Load(value) | Assumed::Shed(value) | Assumed::Loss(value) => Some(value.into()),
        Assumed::Cost(value) => Some(value),
        Assumed::Rtt(value) => Some(value.0),
    }
}

/// The supposition as it is typed.
fn option_text(to: &Assumption) -> String {
    let target = &to.target;
    match to.what {
        Assumed::Up => format!("{target}=up"),
        Assumed::Down => format!("{target}=down"),
        Assumed::Drained => format!("{target}=drain"),
        Assumed::Unbound => format!("{target}=unbound"),
        Assumed::Load(value) => format!("{target}.load={}", thousandth_text(value.into())),
        Assumed::Shed(value) => format!("{target}.shed={}", thousandth_text(value.into())),
        Assumed::Loss(value) => format!("{target}.loss={}", thousandth_text(value.into())),
        Assumed::Cost(value) => format!("{target}.cost={}", thousandth_text(value)),
        Assumed::Rtt(value) => format!("{target}.rtt={}us", value.0),
    }
}

fn thousandth_text(value: u32) -> String {
    format!("{}.{:03}", value / 1_000, value % 1_000)
}

/// Who would move, one table for all sites.
pub(super) fn moves_text(moves: &Moves) -> String {
    if moves.sites.iter().all(|site| site.units == 0) {
        return "  who would move is not known: this name server has measured no clients yet\n"
            .into();
    }
    let mut rows = Vec::new();
    let name =
        |target: &Option<TargetId>| target.as_ref().map_or("nobody".into(), ToString::to_string);
    for site in &moves.sites {
        let moved: u32 = site.moves.iter().map(|one| one.units).sum();
        if moved == 0 {
            continue;
        }
        let asked = site.moves.iter().map(|one| one.demand).sum();
        let share = percent(moved.into(), site.units.into());
        rows.push(vec![site.site.to_string(), share, of_demand(asked, site), String::new()]);
        for one in &site.moves {
            let why = one.removed.map_or(one.because.code(), |removed| removed.code());
            let way = format!("{} → {}", name(&one.from), name(&one.to));
            let share = percent(one.units.into(), site.units.into());
            let asked = of_demand(one.demand, site);
            rows.push(vec![format!("  {way}"), share, asked, why.to_owned()]);
        }
    }
    let among = if moves.units < moves.known {
        format!("{} of {} known client networks", moves.units, moves.known)
    } else {
        format!("{} known client networks", moves.units)
    };
    if rows.is_empty() {
        return format!("  nobody would move, of {among}\n");
    }
    rows.insert(0, ["would move", "clients", "demand", "why"].map(String::from).into());
    format!("{}  counted among {among}\n", table(&rows))
}

/// The share of what is asked for; a dash where nobody was heard lately.
fn of_demand(part: u64, site: &SiteMoves) -> String {
    if site.demand == 0 { "-".into() } else { percent(part, site.demand) }
}

fn percent(part: u64, whole: u64) -> String {
    let tenths = part.saturating_mul(1_000) / whole.max(1);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suppositions_are_read_as_they_are_written() {
        let texts = [
            "fra1=down",
            "www/east=up",
            "fra1=drain",
            "fra1=unbound",
            "fra1.load=0.900",
            "fra1.shed=0.050",
            "www/east.loss=0.020",
            "fra1.cost=1.500",
            "fra1.rtt=20000us",
        ];
        for text in texts {
            assert_eq!(option_text(&assumption(text).unwrap()), text);
        }
        assert_eq!(option_text(&assumption("fra1.rtt=20ms").unwrap()), "fra1.rtt=20000us");
        for text in ["fra1", "fra1=", "fra1.load=1.1", "fra1.load=-1", "fra1.load=NaN", "fra1.x=1"]
        {
            assert_eq!(&*assumption(text).unwrap_err().code, "U0014", "{text}");
        }
    }

    #[test]
    fn moments() {
        // 2030-03-17 17:46:40 UTC.
        let now = Timestamp(1_900_000_000_000_000);
        let told = |text: &str| moment(text, now).map(when).map_err(|problem| problem.code);
        assert_eq!(told("2030-03-17T03:07:00Z").unwrap(), "2030-03-17 03:07:00 UTC");
        assert_eq!(told("03:07").unwrap(), "2030-03-17 03:07:00 UTC");
        assert_eq!(told("23:07:05").unwrap(), "2030-03-16 23:07:05 UTC");
        assert_eq!(told("5m").unwrap(), "2030-03-17 17:41:40 UTC");
        assert_eq!(&*told("yesterday").unwrap_err(), "U0085");
        assert_eq!(&*told("2031-03-17T03:07:00Z").unwrap_err(), "U0086");
    }
}
