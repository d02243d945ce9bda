//! One burst towards a resolver (P10, P14): how long a packet takes there and back, and how many
//! are lost. Any answer will do; its content is of no interest.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use popnet_config::network::LatencyMethod;
use popnet_dns::{Name, Rtype, build_query};
use popnet_probe::{Burst, GAP, MeasureJob, Turns};
use popnet_runtime::clock;
use popnet_terms::Micros;
use popnet_wire::probing::Method;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout, timeout_at};

use crate::connect::micros;
use crate::icmp;
use crate::trace::last_hop;

/// Where resolvers listen.
pub const PORT: u16 = 53;

/// Carries `job` out on `port`. Methods are tried in order until one is answered; each begins when
/// it is this probe's turn. A trace is the exception that may last longer than a turn: all of its
/// packets but the last end on the way.
pub async fn measure(job: &MeasureJob, port: u16, turns: Turns) -> Burst {
    let to = SocketAddr::new(job.resolver, port);
    let mut silent = Burst { method: None, rtts: Vec::new() };
    for method in &job.methods {
        sleep(turns.wait(job.resolver, clock::now())).await;
        let pace = Pace::new(turns);
        let (named, rtts) = match method {
            LatencyMethod::DnsQuery => (Method::DnsQuery, queries(to, job, pace).await),
            LatencyMethod::Tcp53 => (Method::Tcp53, openings(to, job, pace).await),
            LatencyMethod::Icmp => (Method::Icmp, echoes(to.ip(), job, pace).await),
            // A lower bound: the way goes on behind the last hop that answers.
            LatencyMethod::Trace => {
                let last = last_hop(to.ip()).await;
                (Method::Trace, last.map(|hop| Some(hop.rtt)).into_iter().collect())
            }
        };
        if rtts.iter().any(Option::is_some) {
            return Burst { method: Some(named), rtts };
        }
        if !rtts.is_empty() {
            silent.rtts = rtts;
        }
    }
    silent
}

async fn queries(to: SocketAddr, job: &MeasureJob, mut pace: Pace) -> Vec<Option<Micros>> {
    let mut rtts = Vec::new();
    let socket = match connected(to).await {
        Ok(socket) => socket,
        Err(error) => {
            tracing::debug!(%error, "no socket towards a resolver");
            return vec![None; usize::from(job.samples)];
        }
    };
    // An error of the configuration that its checks have found: the root's servers will do.
    let ours = job.asked.as_deref().and_then(|name| name.parse::<Name>().ok());
    let (name, rtype) = ours.map_or((Name::root(), Rtype::NS), |name| (name, Rtype::TXT));
    for _ in 0..job.samples {
        if !pace.may_send().await {
            break;
        }
        rtts.push(query(&socket, &name, rtype, job.timeout).await);
    }
    rtts
}

/// The moments at which packets of one burst may leave.
struct Pace {
    gaps: Interval,
    /// The end of the turn.
    until: Option<Instant>,
}

impl Pace {
    fn new(turns: Turns) -> Self {
        let mut gaps = interval(GAP);
        gaps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { gaps, until: turns.slot().map(|slot| Instant::now() + slot) }
    }

    /// Waits for the next moment; `false` when the turn is over.
    async fn may_send(&mut self) -> bool {
        self.gaps.tick().await;
        self.until.is_none_or(|until| Instant::now() < until)
    }
}

async fn echoes(to: IpAddr, job: &MeasureJob, mut pace: Pace) -> Vec<Option<Micros>> {
    let socket = match icmp::socket(to) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::debug!(%error, "no right to ICMP");
            return Vec::new();
        }
    };
    let mut rtts = Vec::new();
    for number in 0..job.samples {
        if !pace.may_send().await {
            break;
        }
        rtts.push(icmp::echo(&socket, to, number, job.timeout).await.ok().flatten());
    }
    rtts
}

pub(crate) async fn connected(to: SocketAddr) -> io::Result<UdpSocket> {
    let from: IpAddr = match to.ip() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(from, 0)).await?;
    // Connected: the system hands us this resolver's packets alone.
    socket.connect(to).await?;
    Ok(socket)
}

/// Asks without recursion, so that nobody has work with it; a server that refuses also answers.
async fn query(socket: &UdpSocket, name: &Name, rtype: Rtype, limit: Duration) -> Option<Micros> {
    let mut octets = [0; 2];
    getrandom::fill(&mut octets).ok()?;
    let id = u16::from_be_bytes(octets);
    let packet = build_query(id, name, rtype, None);
    let begun = Instant::now();
    socket.send(&packet).await.ok()?;
    let mut buffer = [0; 1_500];
    loop {
        // A refusal by ICMP is no answer of the resolver.
        let received = timeout_at(begun + limit, socket.recv(&mut buffer)).await.ok()?.ok()?;
        if buffer.get(..received).is_some_and(|octets| answers(octets, id)) {
            return Some(micros(begun.elapsed()).max(Micros(1)));
        }
    }
}

/// Whether `octets` are a DNS response to the query with this id.
#[must_use]
pub fn answers(octets: &[u8], id: u16) -> bool {
    match octets {
        [first, second, flags, rest @ ..] => {
            u16::from_be_bytes([*first, *second]) == id && flags & 0x80 != 0 && rest.len() >= 9
        }
        _ => false,
    }
}

async fn openings(to: SocketAddr, job: &MeasureJob, mut pace: Pace) -> Vec<Option<Micros>> {
    let mut rtts = Vec::new();
    for _ in 0..job.samples {
        if !pace.may_send().await {
            break;
        }
        let begun = Instant::now();
        let opened = timeout(job.timeout, TcpStream::connect(to)).await;
        let answered = match opened {
            Ok(Ok(_)) => true,
            // A reset came all the way from there and back as well.
            Ok(Err(error)) => error.kind() == io::ErrorKind::ConnectionRefused,
            Err(_) => false,
        };
        rtts.push(answered.then(|| micros(begun.elapsed()).max(Micros(1))));
    }
    rtts
}
