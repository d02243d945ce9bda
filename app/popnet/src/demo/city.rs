//! A city's proxy: `curl -x 127.0.0.1:7681 http://…` sees our network as somebody there would.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use popnet_runtime::bind::{self, BindError};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::visit::{Content, Visit, Visitor};

/// Most clients of one city at once; a browser opens six.
const CLIENTS_MAX: usize = 512;

/// Fields that end at each hop (RFC 9110 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Opens the proxy of a city.
///
/// # Errors
/// The address is taken.
pub(crate) fn serve(
    name: &'static str,
    address: SocketAddr,
    visitor: Arc<Visitor>,
) -> Result<tokio::task::JoinHandle<()>, BindError> {
    let listener = bind::tcp(address, false)?;
    Ok(tokio::spawn(async move {
        let opened = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
        match opened {
            Ok(listener) => accept(name, listener, visitor).await,
            Err(error) => tracing::error!(%address, %error, "a city's proxy cannot listen"),
        }
    }))
}

async fn accept(name: &'static str, listener: TcpListener, visitor: Arc<Visitor>) {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { continue };
        let visitor = Arc::clone(&visitor);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let visitor = Arc::clone(&visitor);
                async move { Ok::<_, Infallible>(forward(name, &visitor, request).await) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "a client of a city left");
            }
            drop(place);
        });
    }
}

async fn forward(name: &str, visitor: &Visitor, request: Request<Incoming>) -> Response<Content> {
    if request.method() == Method::CONNECT {
        let text = "The cities of the demo speak plain http only.\n".to_owned();
        return own(StatusCode::METHOD_NOT_ALLOWED, text);
    }
    if request.uri().host().is_none() {
        let text = format!("This is {name}'s proxy: curl -x ADDRESS http://static.acme.test/\n");
        return own(StatusCode::BAD_REQUEST, text);
    }
    let mut request = request.map(BodyExt::boxed);
    strip(request.headers_mut());
    let visit = visitor.fetch(request).await;
    let next_hop = visit.address.map(|address| address.ip().to_string());
    match visit {
        Visit { answer: Ok(response), .. } => {
            let mut response = response.map(BodyExt::boxed);
            strip(response.headers_mut());
            note(response.headers_mut(), name, next_hop.as_deref(), None);
            response
        }
        Visit { answer: Err(why), target, .. } => {
            let target = target.map(|target| format!("{target}: ")).unwrap_or_default();
            let mut response = own(StatusCode::BAD_GATEWAY, format!("{target}{why}\n"));
            note(response.headers_mut(), name, next_hop.as_deref(), Some(&why));
            response
        }
    }
}

fn strip(fields: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        fields.remove(name);
    }
    fields.remove("proxy-connection");
    fields.remove("keep-alive");
}

/// `Proxy-Status` (RFC 9209): which server this city was sent to.
fn note(fields: &mut HeaderMap, name: &str, next_hop: Option<&str>, error: Option<&str>) {
    let mut text = format!("{name}.city");
    if let Some(error) = error {
        let token = if error == "connection refused" {
            "connection_refused"
        } else {
            "proxy_internal_error"
        };
        text.push_str(&format!("; error={token}"));
    }
    if let Some(next_hop) = next_hop {
        text.push_str(&format!("; next-hop=\"{next_hop}\""));
    }
    if let Ok(value) = HeaderValue::from_str(&text) {
        fields.append("proxy-status", value);
    }
}

fn own(status: StatusCode, text: String) -> Response<Content> {
    let content = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed();
    let mut response = Response::new(content);
    *response.status_mut() = status;
    response
}
