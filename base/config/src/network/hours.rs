//! Hours of a week, in UTC: `daily 06:00-18:00`, `mon-fri 22:00-02:00`, `sat 00:00-24:00`.

use thiserror::Error;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: u32 = 1_440;
const WEEK: u32 = 7 * DAY;

/// Spans of a week, in minutes since Monday 00:00 UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hours {
    /// Each from its first minute to before its last; in order, and none touches another. One
    /// that passes the end of the week is two.
    spans: Vec<(u32, u32)>,
}

/// A text that names no hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not hours of a week: write DAYS HH:MM-HH:MM, such as \"mon-fri 06:00-18:00\"")]
pub struct NotHours;

impl Hours {
    /// Every span that `texts` name. A span that ends before it begins ends on the next day.
    ///
    /// # Errors
    /// The place of the first text that names none.
    pub fn read(texts: &[String]) -> Result<Self, (usize, NotHours)> {
        let mut spans = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            spans.extend(parse(text).ok_or((at, NotHours))?);
        }
        spans.sort_unstable();
        let mut joined: Vec<(u32, u32)> = Vec::new();
        for (from, to) in spans {
            match joined.last_mut() {
                Some((_, end)) if from <= *end => *end = to.max(*end),
                Some(_) | None => joined.push((from, to)),
            }
        }
        Ok(Self { spans: joined })
    }

    /// Whether `second`, of Unix time, is within.
    #[must_use]
    pub fn has(&self, second: i64) -> bool {
        let (minute, _) = week(second);
        self.spans.iter().any(|(from, to)| (*from..*to).contains(&minute))
    }

    /// Seconds from `second`, of Unix time, until they begin or end; `None`: never.
    #[must_use]
    pub fn next_change(&self, second: i64) -> Option<u32> {
        let (minute, past) = week(second);
        let is_edge = |at: u32| at != 0 && at != WEEK || !self.passes_the_week();
        let edges = self.spans.iter().flat_map(|(from, to)| [*from, *to]);
        let ahead = edges.filter(|at| is_edge(*at)).map(|at| (at + WEEK - minute - 1) % WEEK + 1);
        ahead.min().map(|minutes| (minutes * 60).saturating_sub(past))
    }

    /// Whether Sunday's last minute and Monday's first are both within: then midnight between
    /// them changes nothing.
    fn passes_the_week(&self) -> bool {
        let first = self.spans.first().is_some_and(|(from, _)| *from == 0);
        first && self.spans.last().is_some_and(|(_, to)| *to == WEEK)
    }
}

/// The minute of the week, and the seconds of it that are past. The epoch was a Thursday.
fn week(second: i64) -> (u32, u32) {
    let at = (second + 3 * i64::from(DAY) * 60).rem_euclid(i64::from(WEEK) * 60);
    let at = u32::try_from(at).unwrap_or(0);
    (at / 60, at % 60)
}

fn parse(text: &str) -> Option<Vec<(u32, u32)>> {
    let (days, times) = text.split_once(' ')?;
    let (from, to) = times.split_once('-')?;
    let (from, to) = (minute(from)?, minute(to)?);
    if from == to || from == DAY {
        return None;
    }
    let length = if to > from { to - from } else { to + DAY - from };
    let mut spans = Vec::new();
    for day in days_of(days)? {
        let start = day * DAY + from;
        let end = start + length;
        spans.push((start, end.min(WEEK)));
        if end > WEEK {
            spans.push((0, end - WEEK));
        }
    }
    Some(spans)
}

fn days_of(text: &str) -> Option<Vec<u32>> {
    let place = |name: &str| {
        let found = DAYS.iter().position(|day| *day == name)?;
        u32::try_from(found).ok()
    };
    match text.split_once('-') {
        _ if text == "daily" => Some((0..7).collect()),
        None => Some(vec![place(text)?]),
        Some((first, last)) => {
            let (first, last) = (place(first)?, place(last)?);
            let count = (last + 7 - first) % 7;
            Some((0..=count).map(|step| (first + step) % 7).collect())
        }
    }
}

fn minute(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    let two = |part: &str| part.len() == 2 && part.bytes().all(|octet| octet.is_ascii_digit());
    if !two(hour) || !two(minute) {
        return None;
    }
    let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
    let at = hour * 60 + minute;
    (minute < 60 && at <= DAY).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday 2024-01-01 00:00 UTC.
    const MONDAY: i64 = 1_704_067_200;

    fn hours(texts: &[&str]) -> Hours {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Hours::read(&texts).unwrap()
    }

    fn at(day: i64, hour: i64) -> i64 {
        MONDAY + day * 86_400 + hour * 3_600
    }

    #[test]
    fn days_and_nights() {
        let office = hours(&["mon-fri 06:00-18:00"]);
        assert!(office.has(at(0, 6)) && office.has(at(4, 17)) && office.has(at(-3, 17)));
        assert!(!office.has(at(0, 5)) && !office.has(at(0, 18)) && !office.has(at(5, 12)));
        assert_eq!(office.next_change(at(0, 6)), Some(12 * 3_600));
        assert_eq!(office.next_change(at(0, 6) - 1), Some(1));
        assert_eq!(office.next_change(at(4, 18) + 90), Some(60 * 3_600 - 90));
        let night = hours(&["sun 22:00-02:00"]);
        assert!(night.has(at(6, 23)) && night.has(at(7, 1)) && !night.has(at(7, 2)));
        assert_eq!(night.next_change(at(6, 23)), Some(3 * 3_600), "midnight changes nothing");
        let both = hours(&["sat-mon 00:00-24:00", "mon 12:00-24:00"]);
        assert!(both.has(at(0, 13)) && both.has(at(5, 0)) && !both.has(at(1, 0)));
        let always = hours(&["daily 00:00-24:00"]);
        assert_eq!((always.has(at(2, 3)), always.next_change(at(2, 3))), (true, None));
    }

    #[test]
    fn what_is_no_hours() {
        for text in [
            "",
            "mon",
            "mon 6:00-18:00",
            "mon 06:00-06:00",
            "mon 24:00-06:00",
            "mon 06:00-24:01",
            "mon 06:60-07:00",
            "Mon 06:00-18:00",
            "mon-xyz 06:00-18:00",
            "mon  06:00-18:00",
            "daily 06:00",
            "mon +6:00-18:00",
        ] {
            assert_eq!(Hours::read(&[text.to_owned()]), Err((0, NotHours)), "{text}");
        }
    }
}
