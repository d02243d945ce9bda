//! Asks a primary: for the SOA record, and for the zone (RFC 5936, RFC 1995).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use popnet_dns::{Name, Rtype};
use popnet_transfer::tsig::Checker;
use popnet_transfer::{
    Arrival, Arrived, Incoming, Key, Limits, Progress, Rr, Serial, Soa, Wanted, ask, tsig,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::door::seconds;
use super::tls::{self, Authorities, TlsRule};

/// A primary that is silent for so long does not answer; a datagram is sent twice.
const DATAGRAM_MAX: Duration = Duration::from_secs(2);
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A message of a transfer takes no longer.
const MESSAGE_MAX: Duration = Duration::from_secs(30);
/// Nor a transfer: what drips in is no transfer.
const TRANSFER_MAX: Duration = Duration::from_secs(3_600);

/// Whom to ask, and how.
#[derive(Clone, Debug)]
pub(super) struct Primary {
    pub(super) at: SocketAddr,
    pub(super) key: Option<Arc<Key>>,
    /// Who it must be, and by whose word; `None`: without TLS.
    pub(super) tls: Option<(TlsRule, Option<Arc<Authorities>>)>,
}

/// A connection to a primary.
trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}

impl<P: AsyncRead + AsyncWrite + Send + Unpin> Pipe for P {}

/// A number that nobody guesses.
pub(super) fn random_id() -> u16 {
    let random = getrandom::u32().unwrap_or(0);
    u16::try_from(random & 0xffff).unwrap_or(0)
}

impl Primary {
    fn sign(&self, message: &mut Vec<u8>) -> Option<Checker> {
        self.key.as_ref().map(|key| tsig::sign(message, key, seconds()))
    }

    /// What the primary's SOA record of `apex` says; over UDP, else over TCP. Who is asked over TLS
    /// is asked nothing else without it.
    pub(super) async fn soa(&self, apex: &Name) -> Result<Soa, String> {
        for _ in 0..if self.tls.is_some() { 0 } else { 2 } {
            if let Some(answer) = self.datagram(apex).await? {
                return Ok(answer);
            }
        }
        let id = random_id();
        let mut message = ask(id, apex, Rtype::SOA, None);
        let mut checker = self.sign(&mut message);
        let mut stream = self.connect().await?;
        send(&mut *stream, &message).await.map_err(|error| error.to_string())?;
        let mut answer = receive(&mut *stream).await.map_err(|error| error.to_string())?;
        if let Some(checker) = &mut checker {
            checker.check(&mut answer, seconds()).map_err(|doubt| doubt.to_string())?;
        }
        read_soa(&answer, id, apex)
    }

    /// `None`: no answer, or one that does not fit a datagram.
    async fn datagram(&self, apex: &Name) -> Result<Option<Soa>, String> {
        let id = random_id();
        let mut message = ask(id, apex, Rtype::SOA, None);
        let checker = self.sign(&mut message);
        let text = |error: io::Error| error.to_string();
        let any: SocketAddr =
            if self.at.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).await.map_err(text)?;
        socket.connect(self.at).await.map_err(text)?;
        if socket.send(&message).await.is_err() {
            return Ok(None);
        }
        let mut buffer = vec![0; 4_096];
        let exchange = async {
            loop {
                let length = socket.recv(&mut buffer).await.ok()?;
                let mut answer = buffer.get(..length)?.to_vec();
                let is_ours = Incoming::parse(&answer).is_ok_and(|read| read.id == id);
                if !is_ours {
                    continue;
                }
                if answer.get(2).is_some_and(|bits| bits & 0x02 != 0) {
                    return None;
                }
                let checked = match checker.clone() {
                    Some(mut checker) => checker.check(&mut answer, seconds()),
                    None => Ok(()),
                };
                let said = checked.map_err(|doubt| doubt.to_string());
                return Some(said.and_then(|()| read_soa(&answer, id, apex)));
            }
        };
        timeout(DATAGRAM_MAX, exchange).await.ok().flatten().transpose()
    }

    async fn connect(&self) -> Result<Box<dyn Pipe>, String> {
        let connected = timeout(CONNECT_MAX, TcpStream::connect(self.at)).await;
        let stream = connected.map_err(|_| "no connection within 5 s".to_owned())?;
        let stream = stream.map_err(|error| error.to_string())?;
        let _ = stream.set_nodelay(true);
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some((rule, authorities)) => {
                let secured = tls::connect(self.at, rule, authorities.clone(), stream).await?;
                Ok(Box::new(secured))
            }
        }
    }

    /// Passes `message` on as it is; gives the answer to it as it comes.
    pub(super) async fn pass_on(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let mut stream = self.connect().await?;
        send(&mut *stream, message).await.map_err(|error| error.to_string())?;
        let answer = receive(&mut *stream).await.map_err(|error| error.to_string())?;
        let is_its = answer.get(..2) == message.get(..2)
            && answer.get(2).is_some_and(|bits| bits & 0xf8 == 0xa8);
        if is_its { Ok(answer) } else { Err("an answer to another message".to_owned()) }
    }

    /// Transfers `apex`: what changed since `have`, else all of it.
    pub(super) async fn zone(
        &self,
        apex: &Name,
        have: Option<&Rr>,
        limits: Limits,
    ) -> Result<Arrived, String> {
        if let Some(have) = have {
            match self.transfer(apex, Some(have), limits).await {
                Ok(Arrived::AskWhole) => {}
                Ok(arrived) => return Ok(arrived),
                // RFC 1995 1: what does not know differences is asked for everything.
                Err(why) => {
                    tracing::debug!(zone = %apex, primary = %self.at, %why, "no differences")
                }
            }
        }
        self.transfer(apex, None, limits).await
    }

    async fn transfer(
        &self,
        apex: &Name,
        have: Option<&Rr>,
        limits: Limits,
    ) -> Result<Arrived, String> {
        let transfer = self.transfer_in_time(apex, have, limits);
        let transferred = timeout(TRANSFER_MAX, transfer).await;
        transferred.map_err(|_| "the transfer took more than an hour".to_owned())?
    }

    async fn transfer_in_time(
        &self,
        apex: &Name,
        have: Option<&Rr>,
        limits: Limits,
    ) -> Result<Arrived, String> {
        let serial = have.and_then(|soa| Soa::of(&soa.rdata)).map(|soa| soa.serial);
        let (qtype, wanted) = match serial {
            Some(serial) => (Rtype::IXFR, Wanted::Since(serial)),
            None => (Rtype::AXFR, Wanted::Whole),
        };
        let id = random_id();
        let mut message = ask(id, apex, qtype, have);
        let mut checker = self.sign(&mut message);
        let mut stream = self.connect().await?;
        let text = |error: io::Error| error.to_string();
        send(&mut *stream, &message).await.map_err(text)?;
        let mut arrival = Arrival::new(id, apex.clone(), wanted, limits);
        loop {
            let mut answer = receive(&mut *stream).await.map_err(text)?;
            if let Some(checker) = &mut checker {
                checker.check(&mut answer, seconds()).map_err(|doubt| doubt.to_string())?;
            }
            match arrival.message(&answer).map_err(|trouble| trouble.to_string())? {
                Progress::More => {}
                Progress::Done(arrived) => {
                    if let Some(checker) = &checker {
                        checker.finish().map_err(|doubt| doubt.to_string())?;
                    }
                    return Ok(arrived);
                }
            }
        }
    }
}

fn read_soa(answer: &[u8], id: u16, apex: &Name) -> Result<Soa, String> {
    let read = Incoming::parse(answer).map_err(|error| error.to_string())?;
    if read.id != id || !read.is_response {
        return Err("an answer to another question".to_owned());
    }
    let soa = read.soas().find(|(owner, _)| *owner == apex).map(|(_, soa)| soa);
    soa.ok_or_else(|| match read.rcode {
        0 => "the primary does not have the zone".to_owned(),
        code => format!("the primary answers {}", popnet_dns::Rcode::masked_from_int(code.into())),
    })
}

async fn send(mut stream: &mut dyn Pipe, message: &[u8]) -> io::Result<()> {
    super::door::write(&mut stream, message).await?;
    stream.flush().await
}

async fn receive(stream: &mut dyn Pipe) -> io::Result<Vec<u8>> {
    let read = async {
        let length = stream.read_u16().await?;
        let mut message = vec![0; usize::from(length)];
        stream.read_exact(&mut message).await?;
        Ok(message)
    };
    match timeout(MESSAGE_MAX, read).await {
        Ok(read) => read,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "silent for 30 s")),
    }
}

/// Whether a primary at `theirs` has something that we, at `ours`, have not.
pub(super) fn is_news(theirs: Serial, ours: Option<Serial>) -> bool {
    ours.is_none_or(|ours| theirs.is_after(ours))
}
