//! One server asked everything, over UDP and TCP, without popnet's own DNS code.

use std::io::{self, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use super::answer::Answer;
use super::questions::Question;

/// A loaded machine may be slow; a lost datagram on loopback is rare.
const WAIT: Duration = Duration::from_secs(2);
const TRIES: usize = 4;

/// Asks all questions, one after another.
pub(crate) fn ask_all(port: u16, questions: &[Question]) -> Vec<Answer> {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect(("127.0.0.1", port)).unwrap();
    udp.set_read_timeout(Some(WAIT)).unwrap();
    let mut tcp = None;
    (0u16..)
        .zip(questions)
        .map(|(id, question)| {
            let query = question.query(id);
            let octets = if question.tcp {
                over_tcp(&mut tcp, port, &query)
            } else {
                over_udp(&udp, &query)
            };
            let octets = octets.unwrap_or_else(|error| panic!("port {port}: {question}: {error}"));
            Answer::read(&octets, &question.section())
                .unwrap_or_else(|error| panic!("port {port}: {question}: {error}"))
        })
        .collect()
}

fn over_udp(socket: &UdpSocket, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut buffer = [0; 65_535];
    let mut last = io::Error::other("no try");
    for _ in 0..TRIES {
        socket.send(query)?;
        loop {
            match socket.recv(&mut buffer) {
                // A late answer to an earlier question has another number.
                Ok(length) if length >= 12 && buffer[..2] == query[..2] => {
                    return Ok(buffer[..length].to_vec());
                }
                Ok(_) => {}
                Err(error) => {
                    last = error;
                    break;
                }
            }
        }
    }
    Err(last)
}

fn over_tcp(kept: &mut Option<TcpStream>, port: u16, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut last = io::Error::other("no try");
    for _ in 0..TRIES {
        let stream = match kept.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(("127.0.0.1", port))?;
                stream.set_read_timeout(Some(WAIT))?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        match exchange(stream, query) {
            Ok((octets, stream)) => {
                *kept = Some(stream);
                return Ok(octets);
            }
            // Servers end connections when they have served enough.
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn exchange(mut stream: TcpStream, query: &[u8]) -> io::Result<(Vec<u8>, TcpStream)> {
    let length = u16::try_from(query.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length, query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut octets = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut octets)?;
    Ok((octets, stream))
}
