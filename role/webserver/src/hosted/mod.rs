//! Hosted content: a site whose origin is a folder of this node.
//!
//! A folder is asked like any origin and its answers are cached like any other's. A published
//! folder has its content in the release that `.current` names (`popnet publish`); any other is
//! served as it lies there. There are no listings, nothing whose name begins with a dot is served
//! but `/.well-known/`, and no link leads out of the folder: the kernel itself looks (openat2).

mod file;
mod path;

use std::path::Path;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use popnet_field::condition::{self, Met};
use popnet_field::date;
use popnet_field::etag::Tags;
use popnet_field::range::{Asked, ContentRange, Part};
use popnet_http::body::Body;
use popnet_http::failure::{Failure, FailureKind};
use popnet_runtime::clock;
use popnet_terms::OriginGroupId;
use popnet_tier::{content, page};
use popnet_wire::purging::file_tag;
use popnet_wire::sheet::OriginAddress;

use self::file::{Found, HostedFile, NotFound};
use self::path::Wanted;

const SURROGATE_KEY: header::HeaderName = header::HeaderName::from_static("surrogate-key");

/// Whether `origin` is a folder.
pub(crate) fn is_folder(origin: &OriginAddress) -> bool {
    origin.host.starts_with('/')
}

/// Answers `request` from the folder that `origin` is.
pub(crate) async fn answer(
    origin: &OriginAddress,
    request: &Request<()>,
) -> Result<Response<Body>, Failure> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = page(StatusCode::METHOD_NOT_ALLOWED, "A folder is only read.");
        let allow = HeaderValue::from_static("GET, HEAD");
        refused.headers_mut().insert(header::ALLOW, allow);
        return Ok(refused);
    }
    let Some(wanted) = path::wanted(request.uri().path()) else { return Ok(nothing()) };
    match open(Path::new(&*origin.host), &wanted).await {
        Ok(Found::File(file)) => {
            let fields = describe(&origin.id.group, &wanted, &file);
            send(request, fields, file).await
        }
        Ok(Found::Folder) => Ok(with_slash(request)),
        Err(NotFound::Nothing) => Ok(nothing()),
        Err(NotFound::Forbidden) => {
            Ok(page(StatusCode::FORBIDDEN, "The server may not read this file."))
        }
        Err(NotFound::NoFolder(why)) => Err(failed(FailureKind::NoServer, &why)),
        Err(NotFound::Broken(why)) => Err(failed(FailureKind::Internal, &why)),
    }
}

async fn open(folder: &Path, wanted: &Wanted) -> Result<Found, NotFound> {
    let (folder, path, slash) = (folder.to_owned(), wanted.file(), wanted.is_folder);
    tokio::task::spawn_blocking(move || file::open(&folder, &path, slash))
        .await
        .unwrap_or_else(|error| Err(NotFound::Broken(error.to_string())))
}

/// What may be told of a failure: not where the folder lies.
fn failed(kind: FailureKind, why: &str) -> Failure {
    Failure::new(kind, "directory", why)
}

fn nothing() -> Response<Body> {
    page(StatusCode::NOT_FOUND, "There is no such file.")
}

/// Relative links of a folder's page work only below its name with a slash.
fn with_slash(request: &Request<()>) -> Response<Body> {
    let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
    let Ok(place) = HeaderValue::try_from(format!("{}/{query}", request.uri().path())) else {
        return nothing();
    };
    let mut moved = page(StatusCode::MOVED_PERMANENTLY, "A folder's name ends with a slash.");
    moved.headers_mut().insert(header::LOCATION, place);
    moved
}

async fn send(
    request: &Request<()>,
    fields: HeaderMap,
    file: HostedFile,
) -> Result<Response<Body>, Failure> {
    let asked = request.headers();
    let length = file.length;
    if !is_still(asked, &fields, file.modified) {
        return Ok(page(StatusCode::PRECONDITION_FAILED, "The file is no longer the one meant."));
    }
    if condition::evaluate(asked, &fields, file.modified) == Met::NotModified {
        return Ok(headed(StatusCode::NOT_MODIFIED, fields, Body::empty()));
    }
    let is_get = *request.method() == Method::GET;
    match part(asked, &fields, length).filter(|_| is_get) {
        Some(Part::Octets(octets)) => {
            let mut fields = fields;
            say_range(
                &mut fields,
                &ContentRange { part: Some(octets.clone()), length: Some(length) },
            );
            fields.insert(header::CONTENT_LENGTH, HeaderValue::from(octets.end - octets.start));
            let body = content::of(file, octets).await;
            Ok(headed(StatusCode::PARTIAL_CONTENT, fields, body.map_err(|e| broken(&e))?))
        }
        Some(Part::Unsatisfiable) => {
            let mut refused = page(StatusCode::RANGE_NOT_SATISFIABLE, "The file ends before that.");
            let said = ContentRange { part: None, length: Some(length) };
            say_range(refused.headers_mut(), &said);
            Ok(refused)
        }
        None => {
            let mut fields = fields;
            fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            let body = match is_get {
                true => content::of(file, 0..length).await.map_err(|e| broken(&e))?,
                false => Body::empty(),
            };
            Ok(headed(StatusCode::OK, fields, body))
        }
    }
}

fn broken(error: &popnet_tier::shelf::ShelfError) -> Failure {
    failed(FailureKind::Internal, &error.to_string())
}

fn headed(status: StatusCode, fields: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}

/// What is said of a file with every answer that is about its content.
fn describe(group: &OriginGroupId, wanted: &Wanted, file: &HostedFile) -> HeaderMap {
    let mut fields = HeaderMap::new();
    let now = clock::now().unix_seconds();
    let mut put = |name, text: String| {
        if let Ok(value) = HeaderValue::try_from(text) {
            fields.insert(name, value);
        }
    };
    put(header::CONTENT_TYPE, content_type(wanted));
    put(header::ETAG, file.tag(now));
    // RFC 9110 8.8.2.1: never later than the answer itself.
    put(header::LAST_MODIFIED, date::print(file.modified.min(now)));
    put(header::DATE, date::print(now));
    put(header::ACCEPT_RANGES, "bytes".to_owned());
    // What `popnet publish` purges by.
    put(SURROGATE_KEY, file_tag(group, &wanted.file()));
    fields
}

/// By the name's ending; text is taken for UTF-8, which everything else today writes.
fn content_type(wanted: &Wanted) -> String {
    let guess = mime_guess::from_path(wanted.file()).first_raw();
    match guess.unwrap_or("application/octet-stream") {
        text if text.starts_with("text/") => format!("{text}; charset=utf-8"),
        other => other.to_owned(),
    }
}

/// RFC 9110 13.1.1 and 13.1.4: the conditions that only an origin can judge.
fn is_still(asked: &HeaderMap, fields: &HeaderMap, modified: i64) -> bool {
    if asked.contains_key(header::IF_MATCH) {
        let lines = asked.get_all(header::IF_MATCH).iter().map(|value| value.as_bytes());
        return match Tags::read(lines) {
            Tags::Any => true,
            Tags::These(tags) => condition::tag_of(fields)
                .is_some_and(|own| tags.iter().any(|tag| tag.equals_strongly(&own))),
        };
    }
    date::of(asked, &header::IF_UNMODIFIED_SINCE).is_none_or(|since| modified <= since)
}

fn part(asked: &HeaderMap, fields: &HeaderMap, length: u64) -> Option<Part> {
    let mut lines = asked.get_all(header::RANGE).iter();
    let range = Asked::read(lines.next()?.to_str().ok()?)?;
    (lines.next().is_none() && condition::range_applies(asked, fields))
        .then(|| range.within(length))
}

fn say_range(fields: &mut HeaderMap, said: &ContentRange) {
    if let Ok(value) = HeaderValue::try_from(said.print()) {
        fields.insert(header::CONTENT_RANGE, value);
    }
}
