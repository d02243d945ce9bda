//! A client's connection in HTTP/1.1. Whatever we take for a request another parser must take for
//! the same one: where two see different requests in the same octets, one client can put words
//! into another's mouth.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use popnet_http::body::Body;
use popnet_http::h3;
use popnet_http::server::{Client, Limits, Service, converse};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What was asked for: method, target, and the content where all of it came.
type Asked = (String, String, Option<Vec<u8>>);

#[derive(Default)]
struct Witness(Mutex<Vec<Asked>>);

impl Witness {
    fn saw<B>(&self, request: &Request<B>, content: Option<Vec<u8>>) {
        let asked = (request.method().to_string(), request.uri().to_string(), content);
        self.0.lock().expect("nobody panics with it").push(asked);
    }

    fn told(&self) -> Vec<Asked> {
        std::mem::take(&mut self.0.lock().expect("nobody panics with it"))
    }
}

impl Service for Witness {
    async fn answer(self: Arc<Self>, _client: Client, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let content = body.collect(1 << 20).await.ok().map(|octets| octets.to_vec());
        self.saw(&Request::from_parts(head, ()), content);
        Response::new(Body::whole("ok"))
    }
}

/// A client that sends `left` so many octets at a time, then no more, and takes everything.
struct Wire {
    left: Vec<u8>,
    at: usize,
    step: usize,
    answers: Vec<u8>,
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let end = self.left.len().min(self.at + self.step.min(buffer.remaining()));
        buffer.put_slice(self.left.get(self.at..end).unwrap_or_default());
        self.at = end;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.answers.extend_from_slice(octets);
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

thread_local! {
    static RUNTIME: RefCell<tokio::runtime::Runtime> = RefCell::new(
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime"),
    );
}

/// Requests as they arrive. The first octet says in what pieces.
pub fn http_requests(octets: &[u8]) {
    let Some((first, rest)) = octets.split_first() else { return };
    let step = if *first == 0 { rest.len().max(1) } else { usize::from(*first) };
    let wire = || Wire { left: rest.to_vec(), at: 0, step, answers: Vec::new() };
    let (ours, theirs) = RUNTIME.with_borrow(|runtime| {
        runtime.block_on(async {
            let witness = Arc::<Witness>::default();
            let client = Client { address: None, tls: false, draining: false };
            let _ = converse(wire(), client, &Limits::default(), &witness).await;
            let ours = witness.told();
            let seen = Arc::clone(&witness);
            let answer = service_fn(move |request: Request<hyper::body::Incoming>| {
                let seen = Arc::clone(&seen);
                async move {
                    let (head, body) = request.into_parts();
                    let content = body.collect().await.ok().map(|all| all.to_bytes().to_vec());
                    seen.saw(&Request::from_parts(head, ()), content);
                    Ok::<_, std::convert::Infallible>(Response::new(Body::whole("ok")))
                }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .half_close(true)
                .max_headers(128)
                .serve_connection(TokioIo::new(wire()), answer)
                .await;
            (ours, witness.told())
        })
    });
    for (own, other) in ours.iter().zip(&theirs) {
        assert_eq!((&own.0, &own.1), (&other.0, &other.1), "another request");
        if let (Some(content), Some(same)) = (&own.2, &other.2) {
            assert!(content == same, "other content");
        }
    }
    assert!(ours.len() <= theirs.len(), "a request that nobody else sees: {ours:?}");
}

/// What a client of HTTP/3 says. The first octet chooses: a field section, or the kind of a frame
/// on its control stream, which is read as instructions, too.
pub fn http3(octets: &[u8]) {
    let Some((kind, rest)) = octets.split_first() else { return };
    if *kind != 1 {
        let _ = h3::controls(u64::from(*kind), rest);
        let _ = h3::instructs(rest);
        return;
    }
    let limits = Limits::default();
    let Some(request) = h3::request(rest, &limits) else { return };
    let fields = request.headers();
    let octets: usize = fields.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    assert!(octets <= limits.head_octets && fields.len() <= limits.fields, "over the limits");
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
        assert!(!fields.contains_key(name), "{name} went through");
    }
    for (name, value) in fields {
        let bare = value.as_bytes().trim_ascii().len() == value.len();
        assert!(bare && !value.as_bytes().contains(&b'\n'), "{name}: {value:?}");
    }
    // Whoever reads the target again sees the same one.
    let uri = request.uri();
    let again: http::Uri = uri.to_string().parse().expect("it is one");
    assert!(again == *uri, "{uri} is read as {again}");
    assert!(uri.authority().is_some() || fields.contains_key("host"), "nobody's");
}
