//! HTTP field values: cache control, dates, validators, ranges, structured fields.
//!
//! Everything here reads what strangers wrote: nothing panics, and what does not parse is `None` or
//! its careful meaning (RFC 9111 4.2.1: invalid freshness information counts as stale). Nothing
//! here decides anything about caching.

pub mod authority;
pub mod cache_control;
pub mod chain;
pub mod condition;
pub mod date;
pub mod etag;
pub mod hop;
pub mod list;
pub mod path;
pub mod range;
pub mod report;

/// Gives `octets` to every parser here. For fuzzing: whatever comes, nothing may panic.
pub fn read_anything(octets: &[u8]) {
    let _ = cache_control::CacheControl::read([octets]);
    let _ = cache_control::CacheControl::read_targeted([octets]);
    let _ = etag::Tags::read([octets]);
    let _ = list::names([octets]);
    let _ = list::members(octets).count();
    let text = String::from_utf8_lossy(octets);
    let _ = date::read(&text);
    let _ = range::Asked::read(&text).map(|asked| asked.within(1_000));
    let _ = range::ContentRange::read(&text);
    let _ = authority::Authority::read(&text);
    let _ = path::resolved(&text);
}

#[cfg(test)]
mod tests {
    #[test]
    fn junk() {
        let samples: &[&[u8]] = &[
            b"",
            b"\"",
            b"\"\\",
            b"=,=;=",
            b"max-age=\"",
            b"max-age=99999999999999999999999999",
            b"W/",
            b"W/\"",
            b"bytes=-",
            b"bytes=18446744073709551616-",
            b"bytes 0-0/",
            b"[::1",
            b"host:99999",
            b"\xff\xfe\x00",
            b"Sun, 06 Nov 1994 08:49:37 GMT",
            b"no-cache=\"a, \\\"b\", private=\"",
        ];
        for sample in samples {
            super::read_anything(sample);
        }
        // Every pair of octets, which covers each parser's first branches.
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                super::read_anything(&[first, second]);
            }
        }
    }
}
