//! A small HTTP/1.1 client: one connection a request, exactly the octets the test wants.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than any answer takes.
const WAIT: Duration = Duration::from_secs(8);

#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    pub(crate) cookie: Option<String>,
}

#[derive(Clone)]
pub(crate) struct Asked {
    method: &'static str,
    path: String,
    body: String,
    fields: Vec<(String, String)>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Asked {
    pub(crate) fn get(path: &str) -> Self {
        Self { method: "GET", path: path.to_owned(), body: String::new(), fields: Vec::new() }
    }

    pub(crate) fn post(path: &str, body: &str) -> Self {
        let form = ("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned());
        Self { method: "POST", path: path.to_owned(), body: body.to_owned(), fields: vec![form] }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn cookie(&self) -> String {
        self.field("set-cookie").split(';').next().unwrap().to_owned()
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, cookie: None }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Asked::get(path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask(Asked::post(path, body)).await
    }

    pub(crate) async fn ask(&self, asked: Asked) -> Answer {
        let mut stream = self.send(&asked).await;
        let mut octets = Vec::new();
        timeout(WAIT, stream.read_to_end(&mut octets)).await.unwrap().unwrap();
        let text = String::from_utf8_lossy(&octets).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        parse(head, body)
    }

    /// The head only: streams never end.
    pub(crate) async fn head_of(&self, path: &str) -> Answer {
        let mut stream = self.send(&Asked::get(path)).await;
        let text = until(&mut stream, &mut String::new(), "\r\n\r\n").await;
        parse(&text, "")
    }

    /// Events as they come.
    pub(crate) async fn events(&self, path: &str) -> Events {
        let mut stream = self.send(&Asked::get(path)).await;
        let mut rest = String::new();
        let head = until(&mut stream, &mut rest, "\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
        Events { stream, rest }
    }

    async fn send(&self, asked: &Asked) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut head = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", asked.method, asked.path);
        let named = asked.fields.iter().any(|(name, _)| name == "host");
        if !named {
            head.push_str(&format!("host: {}\r\n", self.address));
        }
        if let Some(cookie) = &self.cookie {
            head.push_str(&format!("cookie: other=1; {cookie}\r\n"));
        }
        for (name, value) in &asked.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n{}", asked.body.len(), asked.body));
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }
}

pub(crate) struct Events {
    stream: TcpStream,
    rest: String,
}

impl Events {
    pub(crate) async fn next(&mut self) -> String {
        until(&mut self.stream, &mut self.rest, "\n\n").await
    }
}

async fn until(stream: &mut TcpStream, rest: &mut String, mark: &str) -> String {
    let read = async {
        loop {
            if let Some((part, more)) = rest.clone().split_once(mark) {
                *rest = more.to_owned();
                return part.to_owned();
            }
            let mut octets = [0; 4096];
            let count = stream.read(&mut octets).await.unwrap();
            assert!(count > 0, "the stream ended: {rest}");
            rest.push_str(&String::from_utf8_lossy(&octets[..count]));
        }
    };
    timeout(WAIT, read).await.expect("no event in time")
}

fn parse(head: &str, body: &str) -> Answer {
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let fields = lines.filter_map(|line| line.split_once(": "));
    let fields: Vec<(String, String)> =
        fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let chunked =
        fields.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let text = if chunked { unchunk(body) } else { body.to_owned() };
    Answer { status, fields, text }
}

fn unchunk(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || rest.len() < size {
            break;
        }
        text.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    text
}
