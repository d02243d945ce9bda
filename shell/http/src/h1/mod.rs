//! One client's connection in HTTP/1.1 (RFC 9112): requests one after the other, their content as
//! it is asked for, their answers as they come.
//!
//! Written here and not taken from a library because it is the way of a hit: what is at hand is
//! answered with one read and one write, without a task, a timer or a field map
//! ([`Service::at_once`]); and because a request that two parsers
//! read in two ways has to be refused, not repaired.

mod arriving;
mod content;
mod head;
mod output;
mod response;

use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use self::arriving::Intake;
use self::content::{Broken, Content, Next};
pub use self::head::Head;
use self::head::{FIELDS_MAX, Length, Refused, Scan};
pub use self::output::Output;
use self::response::{Framed, write_head};
use crate::body::Body;
use crate::failure::{Failure, FailureKind};
use crate::interim;
use crate::measure::Framing;
use crate::server::{Client, Limits, Service};
use crate::stall::Stall;

/// Octets read at once: between requests, and of content.
const READ: usize = 4 << 10;
const READ_CONTENT: usize = 32 << 10;

/// Octets of further requests that are taken in while one is being answered.
const AHEAD: usize = 16 << 10;

/// What of content that nobody wanted is read and dropped to keep the connection, or to let the
/// answer arrive before it ends (RFC 9112 9.6).
const DROPPED: usize = 256 << 10;
const DROPPING: Duration = Duration::from_secs(1);

/// A client's connection.
pub(crate) struct Connection<'a, T, S> {
    stream: T,
    client: Client,
    limits: &'a Limits,
    service: Arc<S>,
    /// Set when the server takes no more requests.
    draining: &'a AtomicBool,
    /// The client sends no more. It may still wait for answers: one that has left altogether is
    /// noticed when something is written to it (RFC 9112 9.6).
    is_half: bool,
    input: BytesMut,
    output: Output,
    /// Limits on waiting for a head, and for content.
    idle: Stall,
    silent: Stall,
}

/// What waiting for a head came to.
enum Arrived {
    /// A whole head of so many octets.
    Head(usize),
    Refused(Refused),
    /// The client is done, or the server.
    Nothing,
}

/// What became of a head.
enum Begun {
    /// It has its answer.
    Answered,
    Request(Box<Request<()>>, Option<Length>, bool),
}

/// The content of the request that is being answered.
struct Inlet {
    content: Option<(Content, Intake)>,
    /// The client waits for "100 Continue".
    expects: bool,
    /// Nobody reads it any more.
    unwanted: bool,
    /// Its framing is broken, or it broke off: no further request can be told from it.
    broken: bool,
}

impl<'a, T, S> Connection<'a, T, S>
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service,
{
    pub(crate) fn new(
        stream: T,
        client: Client,
        limits: &'a Limits,
        service: Arc<S>,
        draining: &'a AtomicBool,
    ) -> Self {
        let (idle, silent) = (Stall::new(limits.head), Stall::new(limits.stall));
        let (input, output) = (BytesMut::new(), Output::default());
        let is_half = false;
        Self { stream, client, limits, service, draining, is_half, input, output, idle, silent }
    }

    /// Answers requests until one side has enough.
    pub(crate) async fn run(&mut self) -> io::Result<()> {
        loop {
            let begun = match self.head().await? {
                Arrived::Head(end) => self.begin(end),
                Arrived::Refused(refused) => Err(refused),
                Arrived::Nothing => return self.stream.shutdown().await,
            };
            match begun {
                Ok(Begun::Answered) => {}
                Ok(Begun::Request(request, length, expects)) => {
                    if !self.exchange(*request, length, expects).await? {
                        return self.part().await;
                    }
                }
                Err(refused) => return self.refuse(refused).await,
            }
        }
    }

    /// Waits for the next head, after what is on its way out has left.
    async fn head(&mut self) -> io::Result<Arrived> {
        let mut scan = Scan::default();
        self.idle.moved();
        poll_fn(|context| self.poll_head(&mut scan, context)).await
    }

    fn poll_head(
        &mut self,
        scan: &mut Scan,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Arrived>> {
        let fields = self.limits.fields.min(FIELDS_MAX);
        loop {
            // RFC 9112 2.2: empty lines before a request are passed over.
            while scan.is_at_start() && self.input.starts_with(b"\r\n") {
                self.input.advance(2);
            }
            match scan.find(&self.input, self.limits.head_octets, fields) {
                // What is asked together is answered together, as long as there is room.
                Ok(Some(end)) if !self.output.is_full() => {
                    return Poll::Ready(Ok(Arrived::Head(end)));
                }
                Ok(_) => {}
                Err(refused) => return Poll::Ready(Ok(Arrived::Refused(refused))),
            }
            if !self.output.is_empty() {
                ready!(self.output.poll_write(&mut self.stream, context))?;
                ready!(Pin::new(&mut self.stream).poll_flush(context))?;
                *scan = Scan::default();
                continue;
            }
            if self.input.is_empty() && self.draining.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(Arrived::Nothing));
            }
            match self.poll_fill(READ, context) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(Arrived::Nothing)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if !self.idle.poll_over(context) => return Poll::Pending,
                Poll::Pending if self.input.is_empty() => {
                    return Poll::Ready(Ok(Arrived::Nothing));
                }
                Poll::Pending => {
                    let status = StatusCode::REQUEST_TIMEOUT;
                    let what = "The request's head did not arrive in time.";
                    return Poll::Ready(Ok(Arrived::Refused(Refused { status, what })));
                }
            }
        }
    }

    fn poll_fill(&mut self, most: usize, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.capacity() - self.input.len() < most / 4 {
            self.input.reserve(most);
        }
        let read = std::pin::pin!(self.stream.read_buf(&mut self.input));
        read.poll(context)
    }

    /// Takes a head of `end` octets off the input and, if it can be, answers it at once.
    fn begin(&mut self, end: usize) -> Result<Begun, Refused> {
        let mut room = [MaybeUninit::uninit(); FIELDS_MAX];
        let head = Head::read(self.input.get(..end).unwrap_or_default(), &mut room)?;
        let is_plain = head.is_plain() && !self.draining.load(Ordering::Relaxed);
        if is_plain && self.service.at_once(self.client, &head, &mut self.output) {
            self.input.advance(end);
            return Ok(Begun::Answered);
        }
        head.check_host()?;
        let (length, expects) = (head.length()?, head.expects_continue()?);
        let request = Box::new(head.to_request()?);
        self.input.advance(end);
        Ok(Begun::Request(request, length, expects))
    }

    /// One request and its answer; whether the connection goes on.
    async fn exchange(
        &mut self,
        request: Request<()>,
        length: Option<Length>,
        expects: bool,
    ) -> io::Result<bool> {
        let draining = self.draining.load(Ordering::Relaxed);
        let framing = Framing::of(&request, draining);
        let (body, content) = match length {
            None => (Body::empty(), None),
            Some(length) => {
                let (arriving, intake) = arriving::content(length);
                (Body::stream(arriving), Some((Content::new(length), intake)))
            }
        };
        let mut inlet = Inlet { content, expects, unwanted: false, broken: false };
        let client = Client { draining, ..self.client };
        let mut request = request.map(|()| body);
        let (ahead, mut said) = interim::channel();
        if framing.version == Version::HTTP_11 {
            // RFC 9110 15.2: never to a client of HTTP/1.0.
            request.extensions_mut().insert(ahead);
        }
        let mut answer = Box::pin(Arc::clone(&self.service).answer(client, request));
        let response = poll_fn(|context| {
            let polled = answer.as_mut().poll(context);
            while let Poll::Ready(Some(interim)) = said.poll_recv(context) {
                interim.write(&mut self.output);
            }
            match polled {
                Poll::Ready(response) => Poll::Ready(Ok(response)),
                Poll::Pending => self.poll_aside(&mut inlet, true, context).map(Err),
            }
        });
        let response = response.await?;
        drop(answer);
        let goes_on = self.respond(response, &framing, &mut inlet).await?;
        Ok(goes_on && !inlet.broken && self.finish(inlet).await)
    }

    /// What goes on beside the answer: content is passed on, and further requests wait. Ready only
    /// when the exchange cannot go on.
    fn poll_aside(
        &mut self,
        inlet: &mut Inlet,
        is_before: bool,
        context: &mut Context<'_>,
    ) -> Poll<io::Error> {
        loop {
            if is_before && !self.output.is_empty() {
                match self.output.poll_write(&mut self.stream, context) {
                    Poll::Ready(Ok(())) => {
                        if let Poll::Ready(Err(error)) =
                            Pin::new(&mut self.stream).poll_flush(context)
                        {
                            return Poll::Ready(error);
                        }
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(error),
                    Poll::Pending => {}
                }
            }
            let Some((content, intake)) = &mut inlet.content else {
                if self.is_half || self.input.len() >= AHEAD {
                    return Poll::Pending;
                }
                match ready!(self.poll_fill(READ, context)) {
                    Ok(0) => {
                        self.is_half = true;
                        return Poll::Pending;
                    }
                    Ok(_) => continue,
                    Err(error) => return Poll::Ready(error),
                }
            };
            if inlet.unwanted {
                return Poll::Pending;
            }
            ready!(intake.poll_asked(context));
            if inlet.expects && is_before {
                inlet.expects = false;
                if self.input.is_empty() {
                    self.output.add(b"HTTP/1.1 100 Continue\r\n\r\n");
                    continue;
                }
            }
            if ready!(intake.pieces.poll_reserve(context)).is_err() {
                inlet.unwanted = true;
                return Poll::Pending;
            }
            let next = ready!(poll_piece(
                content,
                &mut self.stream,
                &mut self.input,
                &mut self.silent,
                context
            ));
            let piece = match next {
                Ok(None) => {
                    inlet.content = None;
                    continue;
                }
                Ok(Some(octets)) => Ok(octets),
                Err((kind, what)) => Err(Failure::new(kind, "client", what)),
            };
            let failed = piece.is_err();
            if intake.pieces.send_item(piece).is_err() {
                inlet.unwanted = true;
            }
            if failed {
                (inlet.content, inlet.broken) = (None, true);
            }
        }
    }

    /// Writes a response; whether the connection may go on after it.
    async fn respond(
        &mut self,
        response: Response<Body>,
        framing: &Framing,
        inlet: &mut Inlet,
    ) -> io::Result<bool> {
        let (mut parts, body) = response.into_parts();
        let framed = Framed::of(&parts, &body, framing);
        let closes = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"close");
        let close = framing.close
            || inlet.broken
            || framed == Framed::UntilClose
            || parts.headers.get(header::CONNECTION).is_some_and(closes);
        if !close && framing.version == Version::HTTP_10 {
            // Else such a client takes the end of the connection for the end of the content.
            let stays = HeaderValue::from_static("keep-alive");
            parts.headers.insert(header::CONNECTION, stays);
        }
        write_head(&mut self.output, &parts, framed, close);
        let mut sending =
            Sending { body, framed, over: framed == Framed::Without, is_short: false };
        poll_fn(|context| self.poll_send(&mut sending, inlet, context)).await?;
        Ok(!close)
    }

    fn poll_send(
        &mut self,
        sending: &mut Sending,
        inlet: &mut Inlet,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let filled = sending.poll_into(&mut self.output, context);
            match self.output.poll_write(&mut self.stream, context) {
                // Breaking off is how the client learns that this is not all.
                Poll::Ready(Ok(())) if sending.is_short => {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
                }
                Poll::Ready(Ok(())) if sending.over => {
                    return Pin::new(&mut self.stream).poll_flush(context);
                }
                // It stopped because there was no room, and there is now.
                Poll::Ready(Ok(())) if filled.is_ready() => {}
                Poll::Ready(Ok(())) => {
                    if let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_flush(context)
                    {
                        return Poll::Ready(Err(error));
                    }
                    return self.poll_aside(inlet, false, context).map(Err);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return self.poll_aside(inlet, false, context).map(Err),
            }
        }
    }

    /// Reads what is left of a request's content; whether the next request can be found behind it.
    async fn finish(&mut self, inlet: Inlet) -> bool {
        let Some((mut content, _)) = inlet.content else { return true };
        if inlet.expects && self.input.is_empty() {
            // It may come or not.
            return content.is_over();
        }
        let mut dropped = 0;
        let dropping = async {
            while dropped < DROPPED {
                match content.next(&mut self.input) {
                    Ok(Next::Over) => return true,
                    Ok(Next::Octets(octets)) => dropped += octets.len(),
                    Ok(Next::Wanting) => {
                        self.input.reserve(READ);
                        if !matches!(self.stream.read_buf(&mut self.input).await, Ok(1..)) {
                            return false;
                        }
                    }
                    Err(_) => return false,
                }
            }
            false
        };
        tokio::time::timeout(DROPPING, dropping).await.unwrap_or(false)
    }

    /// Says why, and ends.
    async fn refuse(&mut self, refused: Refused) -> io::Result<()> {
        let Refused { status, what } = refused;
        tracing::debug!(%status, what, "refused");
        let said = status.canonical_reason().unwrap_or("");
        let text = format!("{} {said}\n{what}\n", status.as_u16());
        let mut response = Response::new(());
        *response.status_mut() = status;
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        let length = Framed::Length(u64::try_from(text.len()).unwrap_or(u64::MAX));
        write_head(&mut self.output, &response.into_parts().0, length, true);
        self.output.push(Bytes::from(text));
        poll_fn(|context| self.output.poll_write(&mut self.stream, context)).await?;
        self.part().await
    }

    /// Ends a connection on which more may be on its way: what arrives after the end would be
    /// answered with a reset, and the reset could overtake the answer (RFC 9112 9.6).
    async fn part(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let mut dropped = 0;
        let dropping = async {
            while dropped < DROPPED {
                self.input.clear();
                self.input.reserve(READ);
                match self.stream.read_buf(&mut self.input).await {
                    Ok(octets @ 1..) => dropped += octets,
                    Ok(0) | Err(_) => return,
                }
            }
        };
        let _ = tokio::time::timeout(DROPPING, dropping).await;
        Ok(())
    }
}

/// The next octets of `content`, `None` at its end.
fn poll_piece<T: AsyncRead + Unpin>(
    content: &mut Content,
    stream: &mut T,
    input: &mut BytesMut,
    silent: &mut Stall,
    context: &mut Context<'_>,
) -> Poll<Result<Option<Bytes>, (FailureKind, &'static str)>> {
    loop {
        match content.next(input) {
            Ok(Next::Octets(octets)) => {
                silent.moved();
                return Poll::Ready(Ok(Some(octets)));
            }
            Ok(Next::Over) => return Poll::Ready(Ok(None)),
            Ok(Next::Wanting) => {}
            Err(Broken(what)) => return Poll::Ready(Err((FailureKind::Incomplete, what))),
        }
        input.reserve(READ_CONTENT);
        let failed = match std::pin::pin!(stream.read_buf(input)).poll(context) {
            Poll::Ready(Ok(1..)) => continue,
            Poll::Ready(Ok(0)) => (FailureKind::Incomplete, "content ended early"),
            Poll::Ready(Err(_)) => (FailureKind::Incomplete, "the connection broke off"),
            Poll::Pending if silent.poll_over(context) => {
                (FailureKind::ReadTimeout, "stalled in the middle of the content")
            }
            Poll::Pending => return Poll::Pending,
        };
        return Poll::Ready(Err(failed));
    }
}

/// A response's content on its way.
struct Sending {
    body: Body,
    framed: Framed,
    /// Nothing more comes.
    over: bool,
    /// It is not what its head has announced.
    is_short: bool,
}

impl Sending {
    /// Moves content into `output`; ready when that is full or all has been moved.
    fn poll_into(&mut self, output: &mut Output, context: &mut Context<'_>) -> Poll<()> {
        while !self.over && !output.is_full() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    if let Ok(octets) = frame.into_data()
                        && !octets.is_empty()
                    {
                        self.put(octets, output);
                    }
                }
                Some(Err(failure)) => {
                    tracing::debug!(%failure, "content");
                    (self.over, self.is_short) = (true, true);
                }
                None => {
                    self.over = true;
                    match self.framed {
                        Framed::Length(left) => self.is_short = left > 0,
                        Framed::Chunked => output.add(b"0\r\n\r\n"),
                        Framed::Without | Framed::UntilClose => {}
                    }
                }
            }
        }
        Poll::Ready(())
    }

    fn put(&mut self, octets: Bytes, output: &mut Output) {
        match &mut self.framed {
            Framed::Length(left) => match left.checked_sub(octets.len() as u64) {
                Some(rest) => {
                    *left = rest;
                    output.push(octets);
                }
                // More than was announced would be taken for the next response.
                None => (self.over, self.is_short) = (true, true),
            },
            Framed::Chunked => {
                output.add(format!("{:x}\r\n", octets.len()).as_bytes());
                output.push(octets);
                output.add(b"\r\n");
            }
            Framed::Without | Framed::UntilClose => output.push(octets),
        }
    }
}
