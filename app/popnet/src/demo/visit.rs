//! A visitor of our network: asks its name servers, connects to what they name, and waits as long
//! as the simulated distance takes.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, Uri, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use popnet_config::network::Network;
use popnet_directory::lookup;
use popnet_dns::{Name, Response as DnsResponse, Rtype};
use popnet_runtime::publish::Published;
use popnet_terms::TargetId;
use tokio::net::TcpStream;

use crate::command::map;

/// A visitor gives up on a connection after this long.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// Names remembered; a visitor of the demo asks for two.
const NAMES_MAX: usize = 256;

/// Content of a request on its way.
pub(crate) type Content = BoxBody<Bytes, hyper::Error>;

/// No content.
pub(crate) fn no_content() -> Content {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// Somebody who asks our name servers from one address.
pub(crate) struct Visitor {
    network: Arc<Published<Network>>,
    /// Where its resolver asks from; any address of this machine when `None`.
    resolver: Option<IpAddr>,
    names: Mutex<HashMap<String, (Vec<IpAddr>, Instant)>>,
}

/// What came of a visit.
pub(crate) struct Visit {
    /// Where it went.
    pub(crate) address: Option<SocketAddr>,
    /// What that is.
    pub(crate) target: Option<TargetId>,
    /// The answer, or why there is none.
    pub(crate) answer: Result<Response<Incoming>, String>,
}

impl Visit {
    /// A visit that did not get anywhere.
    pub(crate) fn failed(why: String) -> Self {
        Self { address: None, target: None, answer: Err(why) }
    }
}

impl Visitor {
    /// A visitor of `network`, which does not change while it lives.
    pub(crate) fn new(network: Network, resolver: Option<IpAddr>) -> Self {
        Self::following(Arc::new(Published::new(Arc::new(network))), resolver)
    }

    /// A visitor who notices when the network changes.
    pub(crate) fn following(network: Arc<Published<Network>>, resolver: Option<IpAddr>) -> Self {
        Self { network, resolver, names: Mutex::default() }
    }

    /// Sends `request` (with a whole URL) to the server that the name servers choose.
    pub(crate) async fn fetch(&self, request: Request<Content>) -> Visit {
        let Some(host) = request.uri().host().map(str::to_ascii_lowercase) else {
            return Visit::failed("the URL names no host".into());
        };
        let address = match self.address(&host).await {
            Ok(address) => address,
            Err(why) => return Visit::failed(why),
        };
        let network = self.network.load();
        let port = request.uri().port_u16().unwrap_or(80);
        let behind = map::behind(&network, address);
        let socket = behind.as_ref().map_or(SocketAddr::new(address, port), |b| b.http);
        let target = behind.map(|behind| behind.target);
        self.travel(&network, target.as_ref()).await;
        let answer = send(socket, request).await;
        if answer.is_err() {
            // A client asks again for another address when one does not answer.
            self.forget(&host);
        }
        Visit { address: Some(socket), target, answer }
    }

    async fn travel(&self, network: &Network, target: Option<&TargetId>) {
        let simulated = network.simulate.as_ref().zip(self.resolver).zip(target);
        let rtt = simulated.and_then(|((table, from), to)| table.rtt(from, &to.to_string()));
        if let Some(rtt) = rtt {
            tokio::time::sleep(rtt.duration()).await;
        }
    }

    /// The best address of `host`, kept for as long as the answer allows.
    async fn address(&self, host: &str) -> Result<IpAddr, String> {
        if let Ok(literal) = host.trim_matches(['[', ']']).parse() {
            return Ok(literal);
        }
        if let Some(address) = self.remembered(host) {
            return Ok(address);
        }
        let name: Name = host.parse().map_err(|error| format!("{host:?} is no name: {error}"))?;
        let servers = map::nameservers(&self.network.load());
        let mut tried = Vec::new();
        for server in servers {
            match lookup::query(server, &name, Rtype::A, None, self.resolver).await {
                Ok(response) => return self.keep(host, &response),
                Err(error) => tried.push(error.to_string()),
            }
        }
        Err(format!("no name server answers: {}", tried.join("; ")))
    }

    fn keep(&self, host: &str, response: &DnsResponse) -> Result<IpAddr, String> {
        let addresses: Vec<IpAddr> = response.addresses().collect();
        let Some(first) = addresses.first().copied() else {
            return Err(format!("{host}: {}", response.rcode));
        };
        let ttl = Duration::from_secs(response.ttl().unwrap_or(0).into());
        let until = Instant::now() + ttl;
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= NAMES_MAX {
            names.clear();
        }
        names.insert(host.to_owned(), (addresses, until));
        Ok(first)
    }

    fn remembered(&self, host: &str) -> Option<IpAddr> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let (addresses, until) = names.get(host)?;
        (Instant::now() < *until).then(|| addresses.first().copied()).flatten()
    }

    fn forget(&self, host: &str) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(host);
    }
}

/// One request over a connection of its own.
async fn send(
    address: SocketAddr,
    mut request: Request<Content>,
) -> Result<Response<Incoming>, String> {
    let words = |error: std::io::Error| {
        let refused = error.kind() == std::io::ErrorKind::ConnectionRefused;
        if refused { "connection refused".to_owned() } else { error.to_string() }
    };
    let connected = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(address)).await;
    let stream = connected.map_err(|_| "no connection in time".to_owned())?.map_err(words)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        // A broken connection shows in the response's content too.
        drop(connection.await);
    });
    let host = request.uri().authority().map(|authority| authority.as_str().to_owned());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let path: Uri = path.parse().map_err(|error| format!("bad path: {error}"))?;
    if let Some(host) = host
        && let Ok(value) = host.parse()
    {
        request.headers_mut().insert(header::HOST, value);
    }
    *request.uri_mut() = path;
    sender.send_request(request).await.map_err(|error| error.to_string())
}
