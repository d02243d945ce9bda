//! One DNS query over UDP to a server that is ours to probe.

use popnet_dns::{Name, Rtype, build_query};
use popnet_probe::{Address, Told};
use popnet_wire::probing::Cause;
use tokio::time::Instant;

use crate::connect::{Progress, Wrong, resolve, words_of};
use crate::resolver::{answers, connected};

/// Asks `at` for `name`.
pub(crate) async fn ask(
    at: &Address,
    name: &str,
    rtype: &str,
    progress: &mut Progress,
) -> Result<Told, Wrong> {
    let wrong = |words: &str| Wrong::new(Cause::Protocol, words);
    let name: Name = name.parse().map_err(|_| wrong("the configured name is none"))?;
    let rtype: Rtype = rtype.parse().map_err(|_| wrong("the configured type is none"))?;
    let found = resolve(at).await?;
    let to = *found.first().ok_or_else(|| Wrong::new(Cause::Refused, "name has no address"))?;
    let lost = |error: std::io::Error| Wrong::new(Cause::Refused, words_of(&error));
    let socket = connected(to).await.map_err(lost)?;
    let mut octets = [0; 2];
    getrandom::fill(&mut octets).map_err(|_| wrong("no random number"))?;
    let id = u16::from_be_bytes(octets);
    let begun = Instant::now();
    socket.send(&build_query(id, &name, rtype, None)).await.map_err(lost)?;
    let mut buffer = [0; 4_096];
    loop {
        let count = socket.recv(&mut buffer).await.map_err(lost)?;
        let heard = buffer.get(..count).unwrap_or_default();
        if answers(heard, id) {
            progress.phase("answer", begun);
            return Ok(Told { content: heard.to_vec(), ..Told::default() });
        }
    }
}
