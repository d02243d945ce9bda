//! Dates (RFC 9110 5.6.7) as whole seconds since 1970.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads any of the three forms, names in any case (RFC 9111 4.2); `None` for anything else. The
/// name of the day says nothing that the date does not: a wrong one is passed over.
#[must_use]
pub fn read(text: &str) -> Option<i64> {
    let time = httpdate::parse_http_date(text).ok().or_else(|| {
        let cased = in_usual_case(text);
        httpdate::parse_http_date(&cased).ok().or_else(|| on_another_day(&cased))
    })?;
    // The library reads dates of 1970 and later only, so the subtraction cannot fail.
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

const DAYS: [[&str; 2]; 7] = [
    ["Sun", "Sunday"],
    ["Mon", "Monday"],
    ["Tue", "Tuesday"],
    ["Wed", "Wednesday"],
    ["Thu", "Thursday"],
    ["Fri", "Friday"],
    ["Sat", "Saturday"],
];

/// The date in `text` under the name of the day that it was.
fn on_another_day(text: &str) -> Option<SystemTime> {
    let end = text.find(|character: char| !character.is_ascii_alphabetic())?;
    let (day, rest) = text.split_at_checked(end)?;
    let form = (0..2).find(|form| DAYS.iter().any(|day_of| day_of.get(*form) == Some(&day)))?;
    let days = DAYS.iter().filter_map(|names| names.get(form));
    days.filter_map(|day| httpdate::parse_http_date(&format!("{day}{rest}")).ok()).next()
}

/// Names of days and months as the library knows them: `Sun`, `Nov`, `GMT`.
fn in_usual_case(text: &str) -> String {
    let mut inside = false;
    let cased: String = text
        .chars()
        .map(|character| {
            let cased = if inside {
                character.to_ascii_lowercase()
            } else {
                character.to_ascii_uppercase()
            };
            inside = character.is_ascii_alphabetic();
            cased
        })
        .collect();
    match cased.strip_suffix(" Gmt") {
        Some(start) => format!("{start} GMT"),
        None => cased,
    }
}

/// Prints the preferred form; times before 1970 or after 9999 print as the nearest that exists.
#[must_use]
pub fn print(unix_seconds: i64) -> String {
    const LAST: u64 = 253_402_300_799;
    let seconds = u64::try_from(unix_seconds).unwrap_or(0).min(LAST);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// The date in the only line of a field; `None` where there are several (which cannot all be
/// right) or where it is no date.
#[must_use]
pub fn of(fields: &http::HeaderMap, name: &http::HeaderName) -> Option<i64> {
    let mut lines = fields.get_all(name).iter();
    let line = lines.next()?;
    if lines.next().is_some() {
        return None;
    }
    read(line.to_str().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "sun, 06 nOV 1994 08:49:37 gmt",
            "SUNDAY, 06-NOV-94 08:49:37 GMT",
            "Thu, 06 Nov 1994 08:49:37 GMT",
            "friday, 06-Nov-94 08:49:37 GMT",
            "Mon Nov  6 08:49:37 1994",
        ] {
            assert_eq!(read(text), Some(784_111_777), "{text}");
        }
        assert_eq!(print(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        for text in [
            "",
            "0",
            "-1",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 36 Nov 1994 08:49:37 GMT",
            "Day, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06 Nov 1994 08:49:37 GMT",
            ", 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(print(i64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(print(-5), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
