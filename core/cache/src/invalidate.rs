//! What a successful unsafe request takes away (RFC 9111 4.4).

use http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use popnet_wire::sheet::CacheRules;

use crate::key::Key;

/// The keys whose stored responses are no longer to be reused after `method` on `key` was answered
/// so: the URI itself, and what `Location` and `Content-Location` name on the same host.
#[must_use]
pub fn invalidated(
    method: &Method,
    key: &Key,
    status: StatusCode,
    response: &HeaderMap,
    rules: &CacheRules,
) -> Vec<Key> {
    let done = status.is_success() || status.is_redirection();
    if method.is_safe() || !done {
        return Vec::new();
    }
    let mut keys = vec![key.clone()];
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        if let Some(named) = named(key, response, &name, rules)
            && !keys.contains(&named)
        {
            keys.push(named);
        }
    }
    // A change over https changes what http shows as well, and the other way round.
    let other = if key.scheme() == "https" { "http" } else { "https" };
    let twins: Vec<Key> = keys
        .iter()
        .filter_map(|key| format!("{other}://{}{}", key.host(), key.path()).try_into().ok())
        .collect();
    keys.extend(twins);
    keys
}

/// The key that the field `name` of a response to a request with `key` names on the same host.
pub(crate) fn named(
    key: &Key,
    response: &HeaderMap,
    name: &HeaderName,
    rules: &CacheRules,
) -> Option<Key> {
    resolve(key, response.get(name)?.to_str().ok()?, rules)
}

/// The key that a reference from `base` means; `None` for another host, which this one's answers
/// may not touch.
fn resolve(base: &Key, reference: &str, rules: &CacheRules) -> Option<Key> {
    let reference = reference.split_once('#').map_or(reference, |(whole, _)| whole);
    let path_comes_first = reference.starts_with(['/', '?']);
    if reference.starts_with("//") || (!path_comes_first && reference.contains("://")) {
        let whole = match reference.strip_prefix("//") {
            Some(rest) => format!("{}://{rest}", base.scheme()),
            None => reference.to_owned(),
        };
        let uri: Uri = whole.parse().ok()?;
        let host = popnet_field::authority::Authority::read(uri.authority()?.as_str())?.host;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let own = host == base.host();
        return own.then(|| Key::of(uri.scheme_str().unwrap_or(""), &host, path, rules));
    }
    if reference.starts_with('/') {
        return Some(Key::of(base.scheme(), base.host(), reference, rules));
    }
    // A relative reference replaces what follows the last slash of the path.
    let path = base.path().split_once('?').map_or(base.path(), |(path, _)| path);
    if reference.starts_with('?') {
        return Some(Key::of(base.scheme(), base.host(), &format!("{path}{reference}"), rules));
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    Some(Key::of(base.scheme(), base.host(), &format!("{folder}/{reference}"), rules))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{fields, rules};

    fn check(method: &str, status: u16, lines: &str, expected: &[&str]) {
        let rules = rules();
        let key = Key::of("http", "a.test", "/dir/x?q", &rules);
        let keys = invalidated(
            &Method::from_bytes(method.as_bytes()).unwrap(),
            &key,
            StatusCode::from_u16(status).unwrap(),
            &fields(lines),
            &rules,
        );
        let plain: Vec<_> =
            keys.iter().map(Key::as_str).filter(|text| text.starts_with("http:")).collect();
        assert_eq!(plain, expected, "{method} {status} {lines}");
    }

    #[test]
    fn section_4_4() {
        check("POST", 200, "", &["http://a.test/dir/x?q"]);
        check("DELETE", 204, "", &["http://a.test/dir/x?q"]);
        check("POST", 500, "", &[]);
        check("GET", 200, "location: /y", &[]);
        check("POST", 303, "location: /y", &["http://a.test/dir/x?q", "http://a.test/y"]);
        check("PUT", 201, "location: y#z", &["http://a.test/dir/x?q", "http://a.test/dir/y"]);
        let own = "content-location: http://a.test:80/y";
        check("PUT", 200, own, &["http://a.test/dir/x?q", "http://a.test/y"]);
        check("PUT", 200, "location: http://b.test/y", &["http://a.test/dir/x?q"]);
        check("PUT", 200, "location: //a.test/y", &["http://a.test/dir/x?q", "http://a.test/y"]);
        check("PUT", 200, "location: http://", &["http://a.test/dir/x?q"]);
        let own = "location: /y?next=http://b.test/";
        let found = ["http://a.test/dir/x?q", "http://a.test/y?next=http://b.test/"];
        check("PUT", 200, own, &found);
        let query = ["http://a.test/dir/x?q", "http://a.test/dir/x?z"];
        check("PUT", 200, "location: ?z", &query);
    }
}
