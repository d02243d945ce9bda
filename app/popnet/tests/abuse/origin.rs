//! An origin that writes down what reaches it, and a client that sends what it is told to.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::text;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// First line and fields.
    pub(crate) head: String,
    pub(crate) content: Vec<u8>,
}

impl Seen {
    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

/// The value of the first field called `name` in a head.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

type Script = dyn Fn(&Seen) -> Vec<u8> + Send + Sync;

/// A server whose connections stay open: what is smuggled past the cache becomes a request here.
pub(crate) struct Origin {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Origin {
    /// Answers with what `script` says, whole responses.
    pub(crate) fn start(script: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let (script, told): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&seen));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (script, told) = (Arc::clone(&script), Arc::clone(&told));
                std::thread::spawn(move || converse(stream, &*script, &told));
            }
        });
        Self { port, seen }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests for `path` came.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| seen.path() == path).count()
    }
}

/// A response that may be kept for a minute.
pub(crate) fn kept(fields: &str, content: impl AsRef<[u8]>) -> Vec<u8> {
    response(&format!("cache-control: max-age=60\r\n{fields}"), content)
}

/// A response with `fields`, each with its end of line.
pub(crate) fn response(fields: &str, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{fields}\r\n", content.len());
    [head.as_bytes(), content].concat()
}

fn converse(mut stream: TcpStream, script: &Script, told: &Mutex<Vec<Seen>>) -> Option<()> {
    let mut input = Vec::new();
    loop {
        let end = until(&mut stream, &mut input, |input| ends(input, b"\r\n\r\n"))?;
        let head = text(&input[..end]);
        input.drain(..end);
        let length = match field(&head, "transfer-encoding") {
            Some(_) => until(&mut stream, &mut input, |input| ends(input, b"0\r\n\r\n"))?,
            None => {
                let length = field(&head, "content-length").map_or(0, |text| text.parse().unwrap());
                until(&mut stream, &mut input, |input| (input.len() >= length).then_some(length))?
            }
        };
        let seen = Seen { head, content: input.drain(..length).collect() };
        told.lock().unwrap().push(seen.clone());
        stream.write_all(&script(&seen)).ok()?;
    }
}

/// Where `mark` ends.
fn ends(input: &[u8], mark: &[u8]) -> Option<usize> {
    input.windows(mark.len()).position(|window| window == mark).map(|at| at + mark.len())
}

/// Reads until `found` finds something.
fn until(
    stream: &mut TcpStream,
    input: &mut Vec<u8>,
    found: impl Fn(&[u8]) -> Option<usize>,
) -> Option<usize> {
    let mut buffer = [0; 16 << 10];
    loop {
        if let Some(at) = found(input) {
            return Some(at);
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => input.extend_from_slice(&buffer[..count]),
        }
    }
}

/// All that comes back for `octets` on a connection of its own, until it ends or rests.
pub(crate) fn say(port: u16, octets: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(1_500))).unwrap();
    // A server that refuses what it sees may close before it has seen all.
    let _ = stream.write_all(octets);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    text(&answer)
}

/// The answer to a plain GET of `path` with `fields`, each with its end of line.
pub(crate) fn get(port: u16, path: &str, fields: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{fields}\r\n");
    say(port, head.as_bytes())
}

/// What follows the head of an answer.
pub(crate) fn content(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, content)| content)
}
