//! One HTTP attempt: a new connection, one request, the whole answer, everything within the
//! probe's limit. What the answer is worth is not decided here.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use popnet_http::roots::Trust;
use popnet_probe::{Answer, HttpJob, Outcome};
use popnet_terms::Micros;
use popnet_wire::probing::Cause;
use rustls::pki_types::ServerName;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::connect::{Progress, Wrong, failed, late, micros, open, words_of};

/// Content that is kept and searched.
const CONTENT_MAX: usize = 64 << 10;

/// Content that is read at all: a probe is no download.
const READ_MAX: usize = 16 << 20;

/// Octets of an answer's head.
const HEAD_MAX: usize = 32 << 10;

/// Fields of an answer.
const FIELDS_MAX: usize = 64;

/// The field in which a cache tells by which configuration it serves.
const EPOCH_FIELD: &str = "popnet-epoch";

/// Carries `job` out.
pub async fn attempt(job: &HttpJob, trust: &Trust) -> Outcome {
    let begun = Instant::now();
    let mut progress = Progress::default();
    match timeout(job.timeout, exchange(job, trust, &mut progress)).await {
        Ok(Ok(seen)) => Outcome::Answered(Answer {
            connect: progress.connect.unwrap_or_default(),
            total: micros(begun.elapsed()),
            ..seen
        }),
        Ok(Err(wrong)) => failed(wrong, progress, begun),
        Err(_) => failed(late(job.timeout), progress, begun),
    }
}

async fn exchange(job: &HttpJob, trust: &Trust, progress: &mut Progress) -> Result<Answer, Wrong> {
    let stream = open(&job.address, progress).await?;
    if job.tls { ask(secure(job, trust, stream).await?, job).await } else { ask(stream, job).await }
}

async fn secure(
    job: &HttpJob,
    trust: &Trust,
    stream: TcpStream,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Wrong> {
    let host = host_of(&job.host).to_owned();
    let name = ServerName::try_from(host);
    let name = name.map_err(|_| Wrong::new(Cause::Certificate, "host is no name"))?;
    TlsConnector::from(trust.config()).connect(name, stream).await.map_err(|error| tls(&error))
}

/// `HOST` of `HOST[:PORT]`.
fn host_of(host: &str) -> &str {
    if let Some((inside, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return inside;
    }
    match host.split_once(':') {
        Some((name, port)) if !port.contains(':') => name,
        Some(_) | None => host,
    }
}

fn tls(error: &io::Error) -> Wrong {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => {
            Wrong::new(Cause::Certificate, format!("certificate: {why}"))
        }
        Some(other) => Wrong::new(Cause::Protocol, format!("TLS: {other}")),
        None => Wrong::new(Cause::Refused, format!("TLS: {}", words_of(error))),
    }
}

async fn ask<S>(stream: S, job: &HttpJob) -> Result<Answer, Wrong>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_headers(FIELDS_MAX).max_buf_size(HEAD_MAX);
    let handshake = builder.handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| broken(&error))?;
    // The connection ends with this set, whatever becomes of the attempt.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let request = Request::builder()
        .method(&*job.method)
        .uri(&*job.path)
        .header(header::HOST, &*job.host)
        .header(header::USER_AGENT, "popnet-netprobe")
        .header(header::CONNECTION, "close")
        .body(Empty::new());
    let request =
        request.map_err(|_| Wrong::new(Cause::Protocol, "the configured request is not HTTP"))?;
    let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
    read(response, job).await
}

async fn read(response: Response<Incoming>, job: &HttpJob) -> Result<Answer, Wrong> {
    let (head, mut body) = response.into_parts();
    let told = |name: &str| text(&head.headers, name);
    let mut seen = Answer {
        status: head.status.as_u16(),
        connect: Micros(0),
        total: Micros(0),
        content: Vec::new(),
        digest: None,
        load: job.load_field.as_deref().and_then(told),
        epoch: told(EPOCH_FIELD),
    };
    let mut hash = Sha256::new();
    let mut length = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > READ_MAX {
            let words = format!("content longer than {} MiB", READ_MAX >> 20);
            return Err(Wrong::new(Cause::Content, words));
        }
        if job.digest {
            hash.update(&data);
        }
        let room = CONTENT_MAX.saturating_sub(seen.content.len());
        seen.content.extend(data.iter().take(room));
    }
    seen.digest = job.digest.then(|| hash.finalize().into());
    Ok(seen)
}

fn text(fields: &HeaderMap, name: &str) -> Option<String> {
    fields.get(name)?.to_str().ok().map(str::to_owned)
}

fn broken(error: &hyper::Error) -> Wrong {
    if error.is_incomplete_message() {
        return Wrong::new(Cause::Protocol, "connection closed before the answer was whole");
    }
    if error.is_parse() || error.is_parse_status() || error.is_parse_too_large() {
        return Wrong::new(Cause::Protocol, "the answer is not HTTP");
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                let words = "connection closed before the answer was whole";
                return Wrong::new(Cause::Protocol, words);
            }
            return Wrong::new(Cause::Refused, words_of(error));
        }
        source = cause.source();
    }
    Wrong::new(Cause::Protocol, Arc::<str>::from(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn hosts() {
        for (host, name) in [
            ("www.test", "www.test"),
            ("www.test:8443", "www.test"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(host_of(host), name);
        }
    }
}
