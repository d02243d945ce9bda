//! The primary key of a stored response (RFC 9111 section 2): scheme, host and the path with its
//! query after the site's rules. The port is left out, and the host that goes to the origin has
//! none either, so that one client cannot store an answer made for a port of its choice.

use std::fmt;
use std::sync::Arc;

use popnet_wire::sheet::CacheRules;
use serde::{Deserialize, Serialize};

/// A key, printed as `https://host/path?query`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Key {
    text: Arc<str>,
    host: usize,
    path: usize,
}

/// A text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cache key")]
pub struct NotKey;

impl Key {
    /// The key of a request for `path_and_query` at `host` (lower case, without port).
    #[must_use]
    pub fn of(scheme: &str, host: &str, path_and_query: &str, rules: &CacheRules) -> Self {
        let mut text = String::with_capacity(scheme.len() + host.len() + path_and_query.len() + 4);
        text.push_str(scheme);
        text.push_str("://");
        let host_at = text.len();
        text.push_str(host);
        let path_at = text.len();
        push_path(&mut text, path_and_query, rules);
        Self { text: text.into(), host: host_at, path: path_at }
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.text.get(..self.host.saturating_sub(3)).unwrap_or("")
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &str {
        self.text.get(self.host..self.path).unwrap_or("")
    }

    /// The path and what the rules left of the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.text.get(self.path..).unwrap_or("")
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// The path with its query as the rules leave it: what a key ends with.
#[must_use]
pub fn keyed_path(path_and_query: &str, rules: &CacheRules) -> String {
    let mut text = String::with_capacity(path_and_query.len());
    push_path(&mut text, path_and_query, rules);
    text
}

fn push_path(text: &mut String, path_and_query: &str, rules: &CacheRules) {
    // RFC 9110 4.2.3: an empty path is "/", also before a query; a key must show where it begins.
    if !path_and_query.starts_with('/') && path_and_query != "*" {
        text.push('/');
    }
    let untouched = rules.query_ignore.is_empty() && !rules.query_sort;
    let Some((path, query)) = path_and_query.split_once('?').filter(|_| !untouched) else {
        text.push_str(path_and_query);
        return;
    };
    text.push_str(path);
    let mut kept: Vec<&str> = query
        .split('&')
        .filter(|part| {
            let name = part.split_once('=').map_or(*part, |(name, _)| name);
            !rules.query_ignore.iter().any(|pattern| matches(pattern, name))
        })
        .collect();
    if rules.query_sort {
        // By the whole parameter, so that a stable order results whatever the client's was.
        kept.sort_unstable();
    }
    // A query of which nothing is left is the same resource as no query at all.
    for (place, part) in kept.iter().enumerate() {
        text.push(if place == 0 { '?' } else { '&' });
        text.push_str(part);
    }
}

/// Whether `text` fits `pattern`, whose final `*` matches any rest.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => pattern == text,
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        (*key.text).to_owned()
    }
}

impl TryFrom<String> for Key {
    type Error = NotKey;

    fn try_from(text: String) -> Result<Self, NotKey> {
        let host = text.find("://").ok_or(NotKey)? + 3;
        let rest = text.get(host..).ok_or(NotKey)?;
        let path = host + rest.find('/').or_else(|| rest.find('*')).ok_or(NotKey)?;
        Ok(Self { text: text.into(), host, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rules;

    fn check(ignore: &[&str], sort: bool, url: &str, expected: &str) {
        let mut rules = rules();
        rules.query_ignore = ignore.iter().map(|&text| text.into()).collect();
        rules.query_sort = sort;
        let key = Key::of("http", "a.test", url, &rules);
        assert_eq!(key.path(), expected);
        assert_eq!(key.host(), "a.test");
        assert_eq!(key.scheme(), "http");
        assert_eq!(Key::try_from(String::from(key.clone())), Ok(key));
    }

    #[test]
    fn queries() {
        check(&[], false, "/a?b=2&a=1", "/a?b=2&a=1");
        check(&[], false, "/a?", "/a?");
        check(&[], true, "/a?b=2&a=1", "/a?a=1&b=2");
        check(&["utm_*", "fbclid"], false, "/a?utm_source=x&v=3&fbclid=9", "/a?v=3");
        check(&["utm_*"], false, "/a?utm_source=x", "/a");
        check(&["v"], false, "/a?v&vv=1", "/a?vv=1");
        check(&["v"], true, "", "/");
        check(&[], false, "?a=/b", "/?a=/b");
        check(&[], true, "?b&a", "/?a&b");
        check(&[], false, "*", "*");
        check(&[], false, "*a/b", "/*a/b");
    }

    #[test]
    fn junk_is_no_key() {
        for text in ["", "x", "://", "http://host", "http:/a/b"] {
            assert_eq!(Key::try_from(text.to_owned()), Err(NotKey), "{text}");
        }
    }
}
