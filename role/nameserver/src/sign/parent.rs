//! What the servers above a zone show: its DS records, asked for over TCP, where nobody is easily
//! lied to and nothing is truncated.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use popnet_dns::{Name, Rcode, Response, Rtype, build_query, rdata_text};
use popnet_sign::ParentView;
use popnet_terms::Seconds;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;

/// A parent changes rarely, and nothing waits for an hour more.
const EVERY: Duration = Duration::from_secs(3_600);
/// The first look comes sooner: a zone may have waited for a restart.
const FIRST: Duration = Duration::from_secs(2);
/// For one server.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks at the parents of signed zones until `shutdown`.
pub(crate) async fn watch(shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut wait = FIRST;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(wait) => {}
        }
        wait = EVERY;
        for (zone, parents, keys) in shared.signing.watched() {
            tokio::select! {
                () = shutdown.cancelled() => return,
                view = look(&zone, &parents, &keys) => match view {
                    Ok(view) => shared.signing.see(&zone, view),
                    Err(why) => tracing::warn!(%zone, %why, "the parent's DS records are unknown"),
                }
            }
        }
    }
}

/// The DS records of our keys that every server in `parents` shows, and what none of them shows is
/// not there. Servers that differ: the parent is in the middle of a change.
async fn look(zone: &Name, parents: &[SocketAddr], keys: &[Vec<u8>]) -> Result<ParentView, String> {
    let mut common: Option<ParentView> = None;
    for server in parents {
        let asked = timeout(PATIENCE, ask(zone, *server)).await;
        let response = asked
            .map_err(|_| "no answer in time".to_owned())
            .and_then(|response| response.map_err(|error| error.to_string()))
            .map_err(|why| format!("{server}: {why}"))?;
        let view = view_of(&response, zone, keys).map_err(|why| format!("{server}: {why}"))?;
        match &common {
            Some(common) if common.ds != view.ds => {
                return Err(format!("{server} shows others than {}", parents.len() - 1));
            }
            Some(_) => {}
            None => common = Some(view),
        }
    }
    common.ok_or_else(|| "nobody to ask".to_owned())
}

fn view_of(response: &Response, zone: &Name, keys: &[Vec<u8>]) -> Result<ParentView, String> {
    if response.rcode != Rcode::NOERROR {
        return Err(format!("{} for the DS records of {zone}", response.rcode));
    }
    let shown = response.answers.iter().filter(|r| r.rtype == Rtype::DS && r.owner == *zone);
    let shown: Vec<_> = shown.collect();
    let ttl = shown.iter().map(|record| record.ttl).max().unwrap_or(0);
    let is_shown = |ds: &Vec<u8>| {
        let text = rdata_text(Rtype::DS, ds);
        shown.iter().any(|record| record.text.eq_ignore_ascii_case(&text))
    };
    Ok(ParentView {
        ds: keys.iter().filter(|ds| is_shown(ds)).cloned().collect(),
        ttl: Seconds(ttl),
    })
}

async fn ask(zone: &Name, server: SocketAddr) -> std::io::Result<Response> {
    let id = u16::try_from(getrandom::u32().unwrap_or(0) & 0xffff).unwrap_or(0);
    let query = build_query(id, zone, Rtype::DS, None);
    let length = u16::try_from(query.len()).unwrap_or(0);
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(&[&length.to_be_bytes(), query.as_slice()].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    let wrong = |what: String| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
    let response = Response::parse(&answer).map_err(|error| wrong(error.to_string()))?;
    if response.id == id {
        Ok(response)
    } else {
        Err(wrong("another question's answer".to_owned()))
    }
}
