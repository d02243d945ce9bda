//! One file by FTP, in passive mode: log in, ask for a port, fetch, say goodbye (P4).

use popnet_probe::{
    Address, FtpLine, LINE_MAX, LINES_MAX, Told, extended_port, ftp_code, ftp_line, passive_port,
};
use popnet_wire::probing::Cause;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::connect::{Progress, Wrong, open, words_of};
use crate::http::within;

/// What of a file is kept and searched.
const CONTENT_MAX: usize = 64 << 10;

/// What of a file is read at all.
const READ_MAX: usize = 16 << 20;

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) user: &'a str,
    pub(crate) secret: &'a str,
    pub(crate) path: &'a str,
    pub(crate) digest: Option<(u64, u64)>,
}

/// Fetches the file.
pub(crate) async fn fetch(
    at: &Address,
    wish: &Wish<'_>,
    progress: &mut Progress,
) -> Result<Told, Wrong> {
    let stream = open(at, progress).await?;
    let peer = stream.peer_addr().map_err(|error| lost(&error))?;
    let mut talk = Talk { stream: BufReader::with_capacity(LINE_MAX, stream) };
    let begun = Instant::now();
    talk.expect(&[220]).await?;
    if talk.ask(&format!("USER {}", wish.user), &[230, 331]).await?.0 == 331 {
        talk.ask(&format!("PASS {}", wish.secret), &[230, 202]).await?;
    }
    talk.ask("TYPE I", &[200]).await?;
    progress.phase("login", begun);
    let begun = Instant::now();
    let port = match talk.ask("EPSV", &[229]).await {
        Ok((_, text)) => extended_port(&text),
        // Servers before 1998, and those that were told to be like them.
        Err(wrong) if wrong.cause == Cause::Status => {
            passive_port(&talk.ask("PASV", &[227]).await?.1)
        }
        Err(wrong) => return Err(wrong),
    };
    let port = port.ok_or_else(|| Wrong::new(Cause::Protocol, "offers no port"))?;
    // To the same machine, whatever address it offers.
    let aside = Address { host: peer.ip().to_string().into(), port };
    let mut data = open(&aside, progress).await?;
    talk.ask(&format!("RETR {}", wish.path), &[125, 150]).await?;
    let (content, digest) = read(&mut data, wish.digest).await?;
    drop(data);
    let (code, _) = talk.reply().await?;
    progress.phase("file", begun);
    // Whether it hears the goodbye is of no interest.
    let _ = talk.stream.get_mut().write_all(b"QUIT\r\n").await;
    Ok(Told { code, content, digest, ..Told::default() })
}

async fn read(
    data: &mut TcpStream,
    range: Option<(u64, u64)>,
) -> Result<(Vec<u8>, Option<[u8; 32]>), Wrong> {
    let (mut content, mut hash, mut length) = (Vec::new(), Sha256::new(), 0_usize);
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = data.read(&mut buffer).await.map_err(|error| lost(&error))?;
        let part = buffer.get(..count).unwrap_or_default();
        if part.is_empty() {
            break;
        }
        if let Some(range) = range {
            hash.update(within(part, length, range));
        }
        length = length.saturating_add(count);
        if length > READ_MAX {
            let words = format!("file longer than {} MiB", READ_MAX >> 20);
            return Err(Wrong::new(Cause::Content, words));
        }
        let room = CONTENT_MAX.saturating_sub(content.len());
        content.extend(part.iter().take(room));
    }
    Ok((content, range.map(|_| hash.finalize().into())))
}

fn lost(error: &std::io::Error) -> Wrong {
    Wrong::new(Cause::Refused, words_of(error))
}

/// The control connection.
struct Talk {
    stream: BufReader<TcpStream>,
}

impl Talk {
    async fn ask(&mut self, line: &str, good: &[u16]) -> Result<(u16, String), Wrong> {
        let text = format!("{line}\r\n");
        self.stream.get_mut().write_all(text.as_bytes()).await.map_err(|error| lost(&error))?;
        self.expect(good).await
    }

    async fn expect(&mut self, good: &[u16]) -> Result<(u16, String), Wrong> {
        let (code, text) = self.reply().await?;
        if good.contains(&code) {
            return Ok((code, text));
        }
        let shown: String = text.chars().filter(|sign| !sign.is_control()).take(60).collect();
        Err(Wrong::new(Cause::Status, format!("reply {code} {shown}")))
    }

    /// One reply, of however many lines.
    async fn reply(&mut self) -> Result<(u16, String), Wrong> {
        let foreign = || Wrong::new(Cause::Protocol, "the answer is not FTP");
        let mut open = None;
        for _ in 0..LINES_MAX {
            let line = self.line().await?;
            match ftp_line(&line, open) {
                FtpLine::Last(code, text) => return Ok((code, text.to_owned())),
                FtpLine::More => open = open.or_else(|| ftp_code(&line)),
                FtpLine::Foreign => return Err(foreign()),
            }
        }
        Err(foreign())
    }

    async fn line(&mut self) -> Result<Vec<u8>, Wrong> {
        let mut line = Vec::new();
        let limit = u64::try_from(LINE_MAX).unwrap_or(1_024);
        let mut bounded = (&mut self.stream).take(limit);
        bounded.read_until(b'\n', &mut line).await.map_err(|error| lost(&error))?;
        if line.pop() != Some(b'\n') {
            let words = "connection closed, or a line too long, before the reply was whole";
            return Err(Wrong::new(Cause::Protocol, words));
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(line)
    }
}
