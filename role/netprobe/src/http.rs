//! One HTTP attempt: a new connection, one request, the whole answer, everything within the
//! probe's limit. What the answer is worth is not decided here.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

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
use rustls::pki_types::{CertificateDer, ServerName};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::connect::{Progress, Wrong, failed, late, micros, open, words_of};

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
    timed(job, trust, &mut Progress::default()).await
}

/// Carries `job` out, and notes what takes how long.
pub(crate) async fn timed(job: &HttpJob, trust: &Trust, progress: &mut Progress) -> Outcome {
    let begun = Instant::now();
    match timeout(job.timeout, exchange(job, trust, None, progress)).await {
        Ok(Ok((seen, _))) => Outcome::Answered(Answer {
            connect: progress.connect.unwrap_or_default(),
            total: micros(begun.elapsed()),
            ..seen
        }),
        Ok(Err(wrong)) => failed(wrong, progress, begun),
        Err(_) => failed(late(job.timeout), progress, begun),
    }
}

/// How content came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flow {
    /// Octets.
    pub(crate) length: usize,
    /// From the end of the head to the last octet.
    pub(crate) time: Duration,
}

/// One request and its answer. With `listen` the content is heard for so long at most, and need
/// not end.
pub(crate) async fn exchange(
    job: &HttpJob,
    trust: &Trust,
    listen: Option<Duration>,
    progress: &mut Progress,
) -> Result<(Answer, Flow), Wrong> {
    let stream = open(&job.address, progress).await?;
    if !job.tls {
        return ask(stream, job, listen, progress).await;
    }
    let begun = Instant::now();
    let stream = secure(job, trust, stream).await?;
    progress.phase("tls", begun);
    let (_, session) = stream.get_ref();
    if let Some((wanted, certificate)) =
        job.certificate_days.zip(session.peer_certificates().and_then(|chain| chain.first()))
    {
        lasting(certificate, wanted)?;
    }
    ask(stream, job, listen, progress).await
}

/// Whether a certificate, which has been verified, is good for `wanted` days more.
fn lasting(certificate: &CertificateDer<'_>, wanted: u16) -> Result<(), Wrong> {
    let (_, certificate) = X509Certificate::from_der(certificate)
        .map_err(|_| Wrong::new(Cause::Certificate, "certificate: not readable"))?;
    let end = certificate.validity().not_after.timestamp();
    let left = end.saturating_sub(popnet_runtime::clock::now().unix_seconds()) / 86_400;
    if left >= i64::from(wanted) {
        return Ok(());
    }
    let words = format!("certificate ends in {left} days, {wanted} wanted");
    Err(Wrong::new(Cause::Certificate, words))
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

async fn ask<S>(
    stream: S,
    job: &HttpJob,
    listen: Option<Duration>,
    progress: &mut Progress,
) -> Result<(Answer, Flow), Wrong>
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
    let begun = Instant::now();
    let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
    progress.phase("head", begun);
    let begun = Instant::now();
    let read = read(response, job, listen).await;
    progress.phase("content", begun);
    read
}

async fn read(
    response: Response<Incoming>,
    job: &HttpJob,
    listen: Option<Duration>,
) -> Result<(Answer, Flow), Wrong> {
    let begun = Instant::now();
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
    let mut flow = Flow::default();
    loop {
        let frame = match listen {
            Some(listen) => match timeout_at(begun + listen, body.frame()).await {
                Ok(frame) => frame,
                // Silence at the end counts: the media has to come all the time.
                Err(_) => {
                    flow.time = begun.elapsed();
                    break;
                }
            },
            None => body.frame().await,
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| broken(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        let start = flow.length;
        flow.length = flow.length.saturating_add(data.len());
        flow.time = begun.elapsed();
        if flow.length > READ_MAX {
            if listen.is_some() {
                break;
            }
            let words = format!("content longer than {} MiB", READ_MAX >> 20);
            return Err(Wrong::new(Cause::Content, words));
        }
        if let Some(range) = job.digest {
            hash.update(within(&data, start, range));
        }
        let room = job.keep.saturating_sub(seen.content.len());
        seen.content.extend(data.iter().take(room));
    }
    seen.digest = job.digest.map(|_| hash.finalize().into());
    Ok((seen, flow))
}

/// The part of `data`, which stands at `start`, that is between the first and the last octet of
/// `range`.
pub(crate) fn within(data: &[u8], start: usize, range: (u64, u64)) -> &[u8] {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).saturating_sub(start);
    let end = place(range.1.saturating_add(1)).min(data.len());
    data.get(place(range.0)..end).unwrap_or_default()
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
    use super::{host_of, within};

    #[test]
    fn parts_of_content() {
        for (start, range, part) in [
            (0, (0, u64::MAX), "abcd"),
            (0, (1, 2), "bc"),
            (10, (0, 11), "ab"),
            (10, (13, 99), "d"),
            (10, (0, 9), ""),
            (10, (14, 20), ""),
        ] {
            assert_eq!(within(b"abcd", start, range), part.as_bytes(), "{start} {range:?}");
        }
    }

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
