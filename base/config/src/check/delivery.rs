//! Delivery: hosts, origins and fields have to be such, and a field may only be changed where that
//! breaks neither HTTP nor what this network says of itself.

use super::{At, Checker};
use crate::names::is_hostname;
use crate::network::{Compress, Cors, Delivery, FieldChanges, PlainHttp};
use crate::path::TreePath;

/// Fields that belong to the connection, to the framing or to this network (RFC 9110 7.6.1, 8.6).
const KEPT: [&str; 21] = [
    "age",
    "alt-svc",
    "cache-status",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "date",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-status",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
];

/// `has_tls`: whether the site can be reached with TLS at all.
pub(super) fn check(
    checker: &mut Checker<'_>,
    delivery: &Delivery,
    has_tls: bool,
    path: &TreePath,
) {
    let tls =
        [("http", delivery.http == Some(PlainHttp::Redirect)), ("hsts", delivery.hsts.is_some())];
    for (key, _) in tls.iter().filter(|(_, set)| *set && !has_tls) {
        let message = format!("{key} is about TLS, which the site does not have");
        let found = checker.error("E0484", message, &path.key(key), At::Value);
        found.help = "add tls = { certificate = \"NAME\" } to the site".into();
    }
    if delivery.rate.is_some_and(|rate| rate.0 == 0) {
        let found = checker.error(
            "E0485",
            "a rate of nothing serves nobody".to_owned(),
            &path.key("rate"),
            At::Value,
        );
        found.help = "such as \"50/s\"; to shut clients out, use deny".into();
    }
    for (at, host) in delivery.referrers.iter().flatten().enumerate() {
        if !is_hostname(host.strip_prefix("*.").unwrap_or(host)) || host.bytes().any(is_upper) {
            let message = format!("{host:?} is not the host of a page");
            let path = path.key("referrers").index(at);
            let found = checker.error("E0486", message, &path, At::Value);
            found.help = "such as \"www.acme.example\" or \"*.acme.example\", in lower case".into();
        }
    }
    if let Some(cors) = &delivery.cors {
        leave(checker, cors, &path.key("cors"));
    }
    if let Some(compress) = &delivery.compress {
        codings(checker, compress, &path.key("compress"));
    }
    changes(checker, &delivery.request_headers, &path.key("request_headers"));
    changes(checker, &delivery.response_headers, &path.key("response_headers"));
}

/// Largest response that may be given codings: it is held in memory once more meanwhile.
const COMPRESS_MAX: u64 = 64 << 20;

fn codings(checker: &mut Checker<'_>, compress: &Compress, path: &TreePath) {
    for (at, name) in compress.types.iter().flatten().enumerate() {
        if !is_types(name) {
            let message = format!("{name:?} is no content type");
            let found = checker.error("E0492", message, &path.key("types").index(at), At::Value);
            found.help = "such as \"text/html\", \"text/*\" or \"*+json\"".into();
        }
    }
    if compress.max.is_some_and(|max| max.0 > COMPRESS_MAX) {
        let message = "a response of more than 64 MiB is given no codings".to_owned();
        let found = checker.error("E0493", message, &path.key("max"), At::Value);
        found.help = "write at most \"64 MiB\"".into();
    } else if let Some(min) = compress.min
        && min.0 > compress.max.unwrap_or(crate::sheet::COMPRESS_MAX).0
    {
        let message = "nothing is as large as min and as small as max".to_owned();
        let found = checker.error("E0494", message, &path.key("min"), At::Value);
        found.help =
            "write a smaller min or a larger max, which is 8 MiB when unset; to compress nothing, \
             write codings = []"
                .into();
    }
}

/// `text/html`, `text/*` or `*+json`: tokens around one slash, or the ending of many types.
fn is_types(name: &str) -> bool {
    if let Some(suffix) = name.strip_prefix("*+") {
        return is_token(suffix) && !suffix.contains('*');
    }
    let Some((kind, rest)) = name.split_once('/') else { return false };
    is_token(kind) && !kind.contains('*') && (rest == "*" || is_token(rest) && !rest.contains('*'))
}

fn leave(checker: &mut Checker<'_>, cors: &Cors, path: &TreePath) {
    let star = cors.origins.iter().any(|origin| origin == "*");
    if star && cors.credentials {
        let message = "leave for everybody with cookies is leave for every page on the web";
        let found = checker.error("E0487", message.to_owned(), &path.key("credentials"), At::Value);
        found.help = "list the origins, or remove credentials".into();
    }
    for (at, origin) in cors.origins.iter().enumerate() {
        if origin != "*" && !is_origin(origin) {
            let message = format!("{origin:?} is not an origin");
            let found = checker.error("E0488", message, &path.key("origins").index(at), At::Value);
            found.help =
                "write scheme, host and port as browsers do: \"https://app.example\"".into();
        }
    }
    let lists = [("methods", &cors.methods), ("headers", &cors.headers), ("expose", &cors.expose)];
    for (key, list) in lists {
        for (at, name) in list.iter().enumerate().filter(|(_, name)| !is_token(name)) {
            let message = format!("{name:?} is not a name that HTTP knows");
            let found = checker.error("E0489", message, &path.key(key).index(at), At::Value);
            found.help = "letters, digits and dashes, such as \"X-Token\" or \"PUT\"".into();
        }
    }
}

fn changes(checker: &mut Checker<'_>, changes: &FieldChanges, path: &TreePath) {
    for (name, value) in &changes.set {
        let path = path.key("set").key(name);
        field(checker, name, &path, At::Key);
        if value.bytes().any(|octet| octet < b' ' && octet != b'\t' || octet == 0x7f) {
            let message = format!("the value of {name} has a character that no field may have");
            let found = checker.error("E0490", message, &path, At::Value);
            found.help = "write it on one line".into();
        }
    }
    for (at, name) in changes.remove.iter().enumerate() {
        field(checker, name, &path.key("remove").index(at), At::Value);
    }
}

fn field(checker: &mut Checker<'_>, name: &str, path: &TreePath, at: At) {
    if !is_token(name) {
        let message = format!("{name:?} is not a field name");
        let found = checker.error("E0489", message, path, at);
        found.help = "letters, digits and dashes, such as \"X-Frame-Options\"".into();
    } else if KEPT.iter().any(|kept| kept.eq_ignore_ascii_case(name))
        || name.to_ascii_lowercase().starts_with("popnet-")
    {
        let message = format!("{name} is not a site's to change");
        let found = checker.error("E0491", message, path, at);
        found.help = "it belongs to the connection, the framing or this network".into();
    }
}

/// Scheme, host and port as browsers write them (RFC 6454 section 6.2).
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest.filter(|_| !text.bytes().any(is_upper)) else { return false };
    let (host, port) = rest.rsplit_once(':').unwrap_or((rest, "1"));
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0) && !port.starts_with('+');
    is_hostname(host) && is_port
}

fn is_upper(octet: u8) -> bool {
    octet.is_ascii_uppercase()
}

/// Whether `name` is a token (RFC 9110 5.6.2).
pub(super) fn is_token(name: &str) -> bool {
    let token = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
    !name.is_empty() && name.bytes().all(token)
}
