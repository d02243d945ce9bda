//! A stub DNS client: one question to one server, over UDP, over TCP where the answer is cut.
//!
//! Each attempt has its own socket, and so its own random port, beside a random number and the
//! question itself: an answer that differs in any of them is not looked at.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use popnet_dns::{Class, Name, QueryForm, Response, Rtype, build_query_form};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

/// One UDP attempt. Our own name servers answer in microseconds; the rest is the way there.
pub const ATTEMPT: Duration = Duration::from_millis(800);

/// UDP attempts for one question.
pub const ATTEMPTS: u32 = 2;

/// A question over TCP, connection included.
pub const TCP_MAX: Duration = Duration::from_secs(3);

/// What may arrive in a datagram. We announce less; a server that sends more is still read.
const DATAGRAM_MAX: usize = 4096;

/// Foreign datagrams that one attempt looks at before it gives up: a flood is not waited out.
const FOREIGN_MAX: usize = 64;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// Nobody answered in time.
    #[error("{0} does not answer")]
    Silent(SocketAddr),
    /// Nobody is there, or there is no way.
    #[error("{server}: {source}")]
    Unreachable {
        /// Who was asked.
        server: SocketAddr,
        /// What the machine says.
        source: io::Error,
    },
    /// What came is no answer to the question.
    #[error("{0} answers with something else")]
    Foreign(SocketAddr),
}

/// Asks `server` for `name`. `local` is the address to ask from, `subnet` the client network to
/// speak for (RFC 7871).
///
/// # Errors
/// Says why there is no answer. An answer with an error code is an answer.
pub async fn query(
    server: SocketAddr,
    name: &Name,
    qtype: Rtype,
    subnet: Option<IpNet>,
    local: Option<IpAddr>,
) -> Result<Response, LookupError> {
    let form = QueryForm {
        id: 0,
        name,
        qtype,
        recursion_desired: false,
        dnssec_ok: false,
        nsid: false,
        subnet,
    };
    query_form(server, &form, local).await
}

/// The same with every detail of the question; its number is drawn here.
///
/// # Errors
/// As [`query`].
pub async fn query_form(
    server: SocketAddr,
    form: &QueryForm<'_>,
    local: Option<IpAddr>,
) -> Result<Response, LookupError> {
    let mut last = LookupError::Silent(server);
    for _ in 0..ATTEMPTS {
        match over_udp(server, form, local).await {
            Ok(response) if response.truncated => return query_tcp(server, form, local).await,
            Ok(response) => return Ok(response),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The same over TCP from the start.
///
/// # Errors
/// As [`query`].
pub async fn query_tcp(
    server: SocketAddr,
    form: &QueryForm<'_>,
    local: Option<IpAddr>,
) -> Result<Response, LookupError> {
    let (id, octets) = numbered(form);
    let exchange = async {
        let mut stream = connect(server, local).await?;
        let length = u16::try_from(octets.len()).map_err(io::Error::other)?;
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend_from_slice(&octets);
        stream.write_all(&framed).await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        io::Result::Ok(answer)
    };
    let answer = timeout_at(Instant::now() + TCP_MAX, exchange)
        .await
        .map_err(|_| LookupError::Silent(server))?
        .map_err(|source| LookupError::Unreachable { server, source })?;
    read_answer(id, form, &answer).ok_or(LookupError::Foreign(server))
}

async fn over_udp(
    server: SocketAddr,
    form: &QueryForm<'_>,
    local: Option<IpAddr>,
) -> Result<Response, LookupError> {
    let (id, octets) = numbered(form);
    let until = Instant::now() + ATTEMPT;
    let unreachable = |source| LookupError::Unreachable { server, source };
    let socket = UdpSocket::bind((from(server, local), 0)).await.map_err(unreachable)?;
    socket.connect(server).await.map_err(unreachable)?;
    socket.send(&octets).await.map_err(unreachable)?;
    let mut buffer = vec![0; DATAGRAM_MAX];
    for _ in 0..FOREIGN_MAX {
        let length = timeout_at(until, socket.recv(&mut buffer))
            .await
            .map_err(|_| LookupError::Silent(server))?
            .map_err(unreachable)?;
        let answer = buffer.get(..length).unwrap_or_default();
        if let Some(response) = read_answer(id, form, answer) {
            return Ok(response);
        }
    }
    Err(LookupError::Foreign(server))
}

fn numbered(form: &QueryForm<'_>) -> (u16, Vec<u8>) {
    let mut id = [0; 2];
    // Without randomness the port alone must do.
    let _ = getrandom::fill(&mut id);
    let id = u16::from_be_bytes(id);
    (id, build_query_form(&QueryForm { id, ..form.clone() }))
}

fn from(server: SocketAddr, local: Option<IpAddr>) -> IpAddr {
    local.filter(|local| local.is_ipv4() == server.is_ipv4()).unwrap_or(if server.is_ipv4() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    })
}

async fn connect(server: SocketAddr, local: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if local.is_some() {
        socket.bind(SocketAddr::new(from(server, local), 0))?;
    }
    socket.connect(server).await
}

/// The response in `octets`, if it answers this question. Takes any octets.
#[must_use]
pub fn read_answer(id: u16, form: &QueryForm<'_>, octets: &[u8]) -> Option<Response> {
    let response = Response::parse(octets).ok()?;
    let answers = match &response.question {
        Some(question) => {
            question.name == *form.name
                && question.qtype == form.qtype
                && question.qclass == Class::IN
        }
        // A server that could not read the question may leave it out with its error code.
        None => response.answers.is_empty(),
    };
    (response.id == id && answers).then_some(response)
}
