//! A TCP connection on which something is said.

use popnet_probe::{Address, Told};
use popnet_wire::probing::Cause;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::connect::{Progress, Wrong, open, words_of};

/// Octets in which the expected text has to be.
const HEARD_MAX: usize = 64 << 10;

/// Says `send` and waits until `expect` has come.
pub(crate) async fn talk(
    at: &Address,
    send: Option<&str>,
    expect: Option<&str>,
    progress: &mut Progress,
) -> Result<Told, Wrong> {
    let mut stream = open(at, progress).await?;
    let lost = |error: std::io::Error| Wrong::new(Cause::Refused, words_of(&error));
    let begun = Instant::now();
    if let Some(text) = send {
        stream.write_all(text.as_bytes()).await.map_err(lost)?;
    }
    let mut content = Vec::new();
    if let Some(text) = expect {
        let wanted = text.as_bytes();
        let has = |content: &[u8]| content.windows(wanted.len().max(1)).any(|part| part == wanted);
        let mut buffer = [0; 4_096];
        while !has(&content) {
            let count = stream.read(&mut buffer).await.map_err(lost)?;
            content.extend(buffer.iter().take(count));
            if count == 0 || content.len() > HEARD_MAX {
                return Err(Wrong::new(Cause::Content, format!("does not say {text:?}")));
            }
        }
        progress.phase("answer", begun);
    }
    Ok(Told { content, ..Told::default() })
}
