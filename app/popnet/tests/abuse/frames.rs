//! HTTP/2 by hand: frames that no client would send.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::edge::Edge;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The first octet of its field section: 0x88 is status 200.
    Answered(u8),
    /// RST_STREAM with this code.
    Reset(u32),
    /// GOAWAY with this code.
    Ended(u32),
    /// The connection ended without a word.
    Closed,
    /// Nothing came for a while.
    Silence,
}

/// A connection of HTTP/2 over TLS.
pub(crate) struct Http2 {
    stream: StreamOwned<ClientConnection, TcpStream>,
    input: Vec<u8>,
}

/// A frame: type, flags, stream, content.
pub(crate) type Frame = (u8, u8, u32, Vec<u8>);

impl Http2 {
    pub(crate) fn open(edge: &Edge) -> Self {
        let mut connection = Self::silent(edge);
        connection.send(&frame(SETTINGS, 0, 0, &[]));
        connection
    }

    /// With the preface said, and no settings.
    pub(crate) fn silent(edge: &Edge) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(edge.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = "a.test".try_into().unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", edge.https)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(3))).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut opened = Self { stream: StreamOwned::new(connection, stream), input: Vec::new() };
        opened.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        opened
    }

    /// Sends `octets`; whether the other side still took them.
    pub(crate) fn send(&mut self, octets: &[u8]) -> bool {
        self.stream.write_all(octets).and_then(|()| self.stream.flush()).is_ok()
    }

    /// The next frame, or what stands in its place.
    pub(crate) fn next(&mut self) -> Result<Frame, Fate> {
        let head = self.take(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        let content = self.take(usize::try_from(length).unwrap())?;
        if head[3] == SETTINGS && head[4] & 1 == 0 {
            self.send(&frame(SETTINGS, 1, 0, &[]));
        }
        Ok((head[3], head[4], stream, content))
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>, Fate> {
        let mut buffer = [0; 16 << 10];
        while self.input.len() < count {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(Fate::Closed),
                Ok(read) => self.input.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return Err(Fate::Silence);
                }
                Err(_) => return Err(Fate::Closed),
            }
        }
        Ok(self.input.drain(..count).collect())
    }

    /// Reads on until the fate of `stream` is known.
    pub(crate) fn fate(&mut self, stream: u32) -> Fate {
        loop {
            let (kind, _, of, content) = match self.next() {
                Ok(frame) => frame,
                Err(fate) => return fate,
            };
            let code = |at: usize| u32::from_be_bytes(content[at..at + 4].try_into().unwrap());
            match kind {
                HEADERS if of == stream => {
                    // A change of the table's size may stand before the first field.
                    let first = content.iter().find(|octet| **octet & 0xe0 != 0x20);
                    return Fate::Answered(first.copied().unwrap_or_default());
                }
                RST_STREAM if of == stream => return Fate::Reset(code(0)),
                GOAWAY => return Fate::Ended(code(4)),
                _ => {}
            }
        }
    }

    /// Sends one request with `fields` and, where there is one, content; its fate.
    pub(crate) fn ask(
        &mut self,
        stream: u32,
        fields: &[(&str, &str)],
        data: Option<&[u8]>,
    ) -> Fate {
        let end = if data.is_none() { END_STREAM } else { 0 };
        self.send(&frame(HEADERS, END_HEADERS | end, stream, &section(fields)));
        if let Some(data) = data {
            self.send(&frame(DATA, END_STREAM, stream, data));
        }
        self.fate(stream)
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    let mut made = vec![length[1], length[2], length[3], kind, flags];
    made.extend_from_slice(&stream.to_be_bytes());
    made.extend_from_slice(content);
    made
}

/// Fields as they are: no index, no Huffman code (RFC 7541 6.2.2).
pub(crate) fn section(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut made = Vec::new();
    for (name, value) in fields {
        made.push(0);
        for text in [name, value] {
            length(&mut made, text.len());
            made.extend_from_slice(text.as_bytes());
        }
    }
    made
}

/// RFC 7541 5.1, with seven bits in the first octet.
fn length(made: &mut Vec<u8>, mut length: usize) {
    if length < 127 {
        return made.push(u8::try_from(length).unwrap());
    }
    made.push(127);
    length -= 127;
    while length >= 128 {
        made.push(u8::try_from(length % 128).unwrap() | 128);
        length /= 128;
    }
    made.push(u8::try_from(length).unwrap());
}

/// The pseudo-fields of a request for `path`.
pub(crate) const fn request<'a>(method: &'a str, path: &'a str) -> [(&'a str, &'a str); 4] {
    [(":method", method), (":scheme", "https"), (":authority", "a.test"), (":path", path)]
}
