//! Interim responses (RFC 9110 15.2) on their way past an answer that is not there yet: from the
//! client's side of an exchange to the server's, where they are written before the answer.
//!
//! They go to the one request that was sent on, and nowhere else: not into stores, not to others
//! who wait for the same answer, not to clients of HTTP/1.0, nor of HTTP/2, whose library has no
//! place for them. Left out are 100, which our server says itself when content is wanted, and 101,
//! which nobody asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderMap, Request, StatusCode};
use popnet_field::hop;
use tokio::sync::mpsc;

use crate::server::Output;

/// Interim responses of one request, and octets of the fields of each: what is over is left out,
/// for nobody needs them.
const MOST: usize = 8;
const OCTETS_MAX: usize = 8 << 10;

/// One of them.
#[derive(Debug)]
pub(crate) struct Interim {
    pub(crate) status: StatusCode,
    pub(crate) fields: HeaderMap,
}

/// The end at which they are put in: an extension of a request whose sender reads the other end.
#[derive(Clone, Debug)]
pub struct Ahead {
    interims: mpsc::Sender<Interim>,
    said: Arc<AtomicUsize>,
}

/// Both ends.
pub(crate) fn channel() -> (Ahead, mpsc::Receiver<Interim>) {
    let (interims, said) = mpsc::channel(MOST);
    (Ahead { interims, said: Arc::default() }, said)
}

impl Ahead {
    /// The one that belongs to `request`.
    #[must_use]
    pub fn of<B>(request: &Request<B>) -> Option<Self> {
        request.extensions().get().cloned()
    }

    /// Hands on what the next hop said before its answer.
    pub(crate) fn say(&self, status: StatusCode, fields: &HeaderMap) {
        let goes_on = status.is_informational() && !matches!(status.as_u16(), 100 | 101);
        let octets: usize =
            fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if !goes_on || octets > OCTETS_MAX || self.said.fetch_add(1, Ordering::Relaxed) >= MOST {
            return tracing::debug!(%status, "interim response left out");
        }
        let mut fields = fields.clone();
        hop::strip(&mut fields);
        hop::take_internal(&mut fields);
        // Whoever asked may have left.
        let _ = self.interims.try_send(Interim { status, fields });
    }

    /// Makes what is said before the answer to `request` known to its sender.
    pub(crate) fn listen<B>(request: &mut Request<B>) {
        if let Some(ahead) = Self::of(request) {
            hyper::ext::on_informational(request, move |said| {
                ahead.say(said.status(), said.headers());
            });
        }
    }
}

impl Interim {
    /// Writes it.
    pub(crate) fn write(&self, out: &mut Output) {
        out.begin(self.status, &self.fields);
        out.add(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of `said`, as it is written.
    fn through(said: &[(u16, &[(&'static str, &str)])]) -> String {
        let (ahead, mut told) = channel();
        for (status, lines) in said {
            let mut fields = HeaderMap::new();
            for (name, value) in *lines {
                fields.append(*name, value.parse().unwrap());
            }
            ahead.say(StatusCode::from_u16(*status).unwrap(), &fields);
        }
        let mut out = Output::default();
        while let Ok(interim) = told.try_recv() {
            interim.write(&mut out);
        }
        String::from_utf8(out.into_octets().to_vec()).unwrap()
    }

    #[test]
    fn what_goes_on() {
        let link: &[_] = &[("link", "</a>; rel=preload"), ("connection", "x-a"), ("x-a", "b")];
        let expected = "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n";
        assert_eq!(through(&[(103, link)]), expected);
        let expected = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 \r\n\r\n";
        let own: &[_] = &[("popnet-cache", "x")];
        assert_eq!(
            through(&[(102, own), (100, &[]), (101, &[]), (199, &[]), (200, &[])]),
            expected
        );
        let large = "x".repeat(OCTETS_MAX);
        assert_eq!(through(&[(103, &[("link", &large)])]), "");
        let endless = vec![(102, &[][..]); 10 * MOST];
        assert_eq!(through(&endless).matches("HTTP/1.1 102").count(), MOST);
    }
}
