//! One request and its answer (RFC 9114 4.1).

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use quinn::{RecvStream, SendStream};
use tokio::time::timeout;

use super::code::{Broken, Code};
use super::content::Pump;
use super::frame::{self, DATA, HEADERS, on_request};
use super::head;
use super::qpack::{self, Most, Refused};
use super::reader::Reader;
use crate::body::Body;
use crate::interim::{self, Interim};
use crate::measure::may_have_content;
use crate::server::{Client, Limits, Service};

/// What an exchange needs of its connection.
pub(super) struct Exchange<S> {
    pub(super) service: Arc<S>,
    pub(super) limits: Limits,
    pub(super) client: Client,
}

/// What a request stream begins with.
struct Arrived {
    asked: head::Asked,
    /// The length of the first frame of content.
    begun: Option<u64>,
    /// Nothing comes after the head.
    ended: bool,
}

impl<S: Service> Exchange<S> {
    /// Reads, answers, and waits until the client has everything.
    ///
    /// # Errors
    /// What has to end because of it; the stream has been reset already.
    pub(super) async fn run(self, send: SendStream, receive: RecvStream) -> Result<(), Broken> {
        let stopped = send.stopped();
        let mut out = Out { send, limits: self.limits };
        let done = {
            let mut exchanging = pin!(self.exchange(&mut out, receive));
            let mut stopped = pin!(stopped);
            tokio::select! {
                done = &mut exchanging => done,
                // Nobody waits for the answer any more: its reader of a fill leaves with us.
                _ = &mut stopped => Err(Broken::Stream(Code::RequestCancelled)),
            }
        };
        match done {
            Ok(()) => {
                let _ = out.send.finish();
                let arriving = out.send.stopped();
                match timeout(self.limits.stall, arriving).await {
                    Ok(Ok(None)) => Ok(()),
                    _ => Err(Broken::Stream(Code::RequestCancelled)),
                }
            }
            Err(broken) => {
                let _ = out.send.reset(broken.code().into());
                Err(broken)
            }
        }
    }

    async fn exchange(&self, out: &mut Out, receive: RecvStream) -> Result<(), Broken> {
        let mut reader = Reader::new(receive, Some(self.limits.stall));
        let arriving = timeout(self.limits.head, self.arrive(&mut reader));
        let late = Err(Broken::Stream(Code::RequestIncomplete));
        let arrived = arriving.await.unwrap_or(late);
        let Arrived { asked, begun, ended } = match arrived {
            Ok(Some(arrived)) => arrived,
            Err(broken) => {
                reader.stop(broken.code());
                return Err(broken);
            }
            Ok(None) => {
                let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                return out.frame(HEADERS, head::response(status, &HeaderMap::new()).into()).await;
            }
        };
        let bare = *asked.head.method() == Method::HEAD;
        if ended {
            let request = asked.head.map(|()| Body::empty());
            return self.respond(request, bare, out).await;
        }
        let (pump, body) = Pump::new(reader, self.most(), asked.length, begun);
        let request = asked.head.map(|()| body);
        let answering = self.respond(request, bare, out);
        let (mut answering, mut pumping) = (pin!(answering), pin!(pump.run()));
        tokio::select! {
            biased;
            pumped = &mut pumping => pumped?,
            answered = &mut answering => return answered,
        }
        answering.await
    }

    /// Reads the head, and on to the first frame of content where the head does not say whether
    /// there is any: an empty request is worth more to a cache than one that may have content.
    /// `None`: the head is too long.
    async fn arrive(&self, reader: &mut Reader) -> Result<Option<Arrived>, Broken> {
        let incomplete = Broken::Stream(Code::RequestIncomplete);
        let length = loop {
            match reader.frame().await?.ok_or(incomplete)? {
                (HEADERS, length) => break length,
                (DATA, _) => return Err(Broken::Connection(Code::FrameUnexpected)),
                (kind, length) => {
                    on_request(kind).map_err(Broken::Connection)?;
                    reader.skip(length).await?;
                }
            }
        };
        // Packed it is never longer than plain, but for a few octets of framing.
        if length > u64::try_from(self.limits.head_octets).unwrap_or(u64::MAX) {
            return Ok(None);
        }
        let section = reader.all(length).await?;
        let fields = match qpack::read(&section, self.most()) {
            Ok(fields) => fields,
            Err(Refused::TooLong) => return Ok(None),
            Err(Refused::Unreadable) => return Err(Broken::Connection(Code::Decompression)),
        };
        let asked = head::request(fields).ok_or(Broken::Stream(Code::Message))?;
        if asked.length.is_some_and(|length| length > 0) {
            return Ok(Some(Arrived { asked, begun: None, ended: false }));
        }
        loop {
            match reader.frame().await? {
                None => return Ok(Some(Arrived { asked, begun: None, ended: true })),
                Some((DATA, length)) => {
                    let begun = Some(length);
                    return Ok(Some(Arrived { asked, begun, ended: false }));
                }
                Some((kind, length)) => {
                    on_request(kind).map_err(Broken::Connection)?;
                    reader.skip(length).await?;
                }
            }
        }
    }

    /// Has the request answered, and sends what is said before the answer (RFC 9114 4.1) and it.
    async fn respond(
        &self,
        mut request: Request<Body>,
        bare: bool,
        out: &mut Out,
    ) -> Result<(), Broken> {
        let (ahead, mut said) = interim::channel();
        request.extensions_mut().insert(ahead);
        let mut answer = pin!(Arc::clone(&self.service).answer(self.client, request));
        let response = loop {
            tokio::select! {
                Some(interim) = said.recv() => out.interim(&interim).await?,
                response = &mut answer => break response,
            }
        };
        while let Ok(interim) = said.try_recv() {
            out.interim(&interim).await?;
        }
        out.response(response, bare).await
    }

    fn most(&self) -> Most {
        Most { octets: self.limits.head_octets, fields: self.limits.fields }
    }
}

/// The answer's direction.
struct Out {
    send: SendStream,
    limits: Limits,
}

impl Out {
    async fn interim(&mut self, interim: &Interim) -> Result<(), Broken> {
        self.frame(HEADERS, head::response(interim.status, &interim.fields).into()).await
    }

    async fn response(&mut self, response: Response<Body>, bare: bool) -> Result<(), Broken> {
        let (mut head, mut body) = response.into_parts();
        if bare {
            // A server may leave it out of an answer to HEAD (RFC 9110 8.6), and clients are about
            // that hold it against the content that does not come.
            head.headers.remove(header::CONTENT_LENGTH);
        }
        self.frame(HEADERS, head::response(head.status, &head.headers).into()).await?;
        if bare || !may_have_content(head.status) {
            return Ok(());
        }
        loop {
            let next =
                std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context));
            let Some(piece) = next.await else { return Ok(()) };
            // Only a reset tells a cut answer from a whole one (RFC 9114 4.1.1).
            let piece = piece.map_err(|_| Broken::Stream(Code::Internal))?;
            match piece.into_data() {
                Ok(octets) if octets.is_empty() => {}
                Ok(octets) => self.frame(DATA, octets).await?,
                Err(piece) => {
                    if let Ok(fields) = piece.into_trailers() {
                        return self.frame(HEADERS, head::trailers(&fields).into()).await;
                    }
                }
            }
        }
    }

    /// Sends a frame; a client that takes none of it for too long is left.
    async fn frame(&mut self, kind: u64, content: Bytes) -> Result<(), Broken> {
        let mut begin = Vec::with_capacity(16);
        frame::put_number(&mut begin, kind);
        frame::put_number(&mut begin, u64::try_from(content.len()).unwrap_or(u64::MAX));
        self.write(begin.into()).await?;
        self.write(content).await
    }

    async fn write(&mut self, octets: Bytes) -> Result<(), Broken> {
        let mut left = [octets];
        while !left.iter().all(Bytes::is_empty) {
            let writing = timeout(self.limits.stall, self.send.write_chunks(&mut left));
            let written = writing.await.map_err(|_| Broken::Stream(Code::RequestCancelled))?;
            written.map_err(|_| Broken::Gone)?;
        }
        Ok(())
    }
}
