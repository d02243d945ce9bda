//! A program that listens on a Unix socket and speaks Frame Streams. A reader that takes nothing
//! for too long is left, and called again.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use popnet_dns::Control;

/// Octets that are collected before they are sent.
const AHEAD: usize = 64 << 10;
/// A program on the same machine that is well answers a greeting sooner.
const PATIENCE: Duration = Duration::from_secs(1);

/// The reader, and what it is told next.
#[derive(Debug)]
pub(super) struct Stream {
    path: PathBuf,
    socket: Option<UnixStream>,
    ahead: Vec<u8>,
}

impl Stream {
    /// The reader at `path`. Calls nobody yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, socket: None, ahead: Vec::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds whole frames.
    pub(super) fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        self.ahead.extend_from_slice(octets);
        if self.ahead.len() >= AHEAD { self.flush() } else { Ok(()) }
    }

    /// Sends what was added.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let sent = self.send();
        self.ahead.clear();
        if sent.is_err() {
            self.socket = None;
        }
        sent
    }

    fn send(&mut self) -> io::Result<()> {
        if self.socket.as_mut().is_some_and(|socket| has_left(socket).unwrap_or(true)) {
            self.socket = None;
        }
        let socket = match &mut self.socket {
            Some(socket) => socket,
            None => self.socket.insert(greet(&self.path)?),
        };
        socket.write_all(&self.ahead)
    }

    /// Takes leave.
    pub(super) fn close(&mut self) -> io::Result<()> {
        let Some(mut socket) = self.socket.take() else { return Ok(()) };
        say(&mut socket, Control::Stop)?;
        hear(&mut socket, Control::Finish)
    }
}

/// Calls the reader, and hears that it takes dnstap.
fn greet(path: &Path) -> io::Result<UnixStream> {
    let mut socket = UnixStream::connect(path)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    say(&mut socket, Control::Ready)?;
    hear(&mut socket, Control::Accept)?;
    say(&mut socket, Control::Start)?;
    Ok(socket)
}

/// Whether the reader is gone. Until it is told to finish it says nothing.
fn has_left(socket: &mut UnixStream) -> io::Result<bool> {
    socket.set_nonblocking(true)?;
    let read = socket.read(&mut [0]);
    socket.set_nonblocking(false)?;
    Ok(!read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock))
}

fn say(socket: &mut UnixStream, control: Control) -> io::Result<()> {
    let mut frame = Vec::new();
    control.write(&mut frame);
    socket.write_all(&frame)
}

/// Waits for `control`, and for nothing else.
fn hear(socket: &mut UnixStream, control: Control) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    let (mut heard, mut piece) = (Vec::new(), [0; 256]);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = match socket.read(&mut piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        heard.extend_from_slice(piece.get(..length).unwrap_or_default());
        // Bounded: a frame that is too long is an error as soon as its head is there.
        match Control::read(&heard).map_err(io::Error::other)? {
            None => {}
            Some((said, _)) if said == control => return Ok(()),
            Some((said, _)) => {
                let what = format!("the reader said {said:?} in place of {control:?}");
                return Err(io::Error::other(what));
            }
        }
    }
}
