//! Server cookies (RFC 7873) in the form that RFC 9018 gives them: a client that shows one has
//! received a packet at its address.

use std::net::IpAddr;
use std::time::Duration;

use domain::base::Serial;
use domain::base::opt::cookie::{ClientCookie, ServerCookie, StandardServerCookie};
use popnet_dns::Cookie;
use popnet_terms::Timestamp;

/// How long a secret makes cookies. RFC 7873 7.1 recommends a day, with room for what is late.
pub const ROTATE: Duration = Duration::from_hours(26);

/// RFC 9018 4.3: a cookie is good for an hour, and clocks may differ by five minutes.
const AGE_MAX: u32 = 3_600;
const AHEAD_MAX: u32 = 300;

/// What cookies are made with.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub [u8; 16]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// The secret that makes cookies, and the one before it, whose cookies are still good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    /// Makes cookies.
    pub current: Secret,
    /// Since when.
    pub since: Timestamp,
    /// Made cookies before.
    pub previous: Option<Secret>,
}

impl Secrets {
    /// Nothing but `secret`, from `now` on.
    #[must_use]
    pub fn new(secret: Secret, now: Timestamp) -> Self {
        Self { current: secret, since: now, previous: None }
    }

    /// Whether it is time for another secret.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        // A clock that was set back by years would otherwise keep the secret for as long.
        now.since(self.since) >= ROTATE || self.since.since(now) >= ROTATE
    }

    /// The secrets after `next` has taken over.
    #[must_use]
    pub fn rotated(self, next: Secret, now: Timestamp) -> Self {
        Self { current: next, since: now, previous: Some(self.current) }
    }

    /// Whether `cookie` is one that we gave to `address`: then it has received a packet of ours.
    #[must_use]
    pub fn prove(&self, cookie: Cookie, address: IpAddr, now: Timestamp) -> bool {
        let Some(shown) = cookie.server else { return false };
        let [version, r0, r1, r2, t0, t1, t2, t3, ..] = shown;
        let made = u32::from_be_bytes([t0, t1, t2, t3]);
        if [version, r0, r1, r2] != [1, 0, 0, 0] || !is_fresh(made, seconds(now)) {
            return false;
        }
        let mut known = [Some(&self.current), self.previous.as_ref()].into_iter().flatten();
        known.any(|secret| equal(&server_part(cookie.client, address, made, secret), &shown))
    }

    /// The whole cookie for an answer to `client` at `address`.
    #[must_use]
    pub fn make(&self, client: [u8; 8], address: IpAddr, now: Timestamp) -> [u8; 24] {
        let mut whole = [0; 24];
        let server = server_part(client, address, seconds(now), &self.current);
        for (octet, from) in whole.iter_mut().zip(client.into_iter().chain(server)) {
            *octet = from;
        }
        whole
    }
}

/// Seconds as cookies count them: modulo 2^32.
fn seconds(now: Timestamp) -> u32 {
    u32::try_from(now.unix_seconds() & 0xffff_ffff).unwrap_or(0)
}

/// Compared as serial numbers (RFC 1982), as RFC 9018 4.3 wants.
fn is_fresh(made: u32, now: u32) -> bool {
    now.wrapping_sub(made) <= AGE_MAX || made.wrapping_sub(now) <= AHEAD_MAX
}

fn server_part(client: [u8; 8], address: IpAddr, made: u32, secret: &Secret) -> [u8; 16] {
    let made = Serial::from(made);
    let address = address.to_canonical();
    let cookie =
        StandardServerCookie::calculate(ClientCookie::from(client), made, address, &secret.0);
    let cookie = ServerCookie::from(cookie);
    cookie.as_ref().first_chunk().copied().unwrap_or_default()
}

/// Without telling by its time where they differ.
fn equal(one: &[u8; 16], other: &[u8; 16]) -> bool {
    one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 1_559_731_985_000_000;

    fn secrets() -> Secrets {
        let secret = [
            0xe5, 0xe9, 0x73, 0xe5, 0xa6, 0xb2, 0xa4, 0x3f, 0x48, 0xe7, 0xdc, 0x84, 0x9e, 0x37,
            0xbf, 0xcf,
        ];
        Secrets::new(Secret(secret), Timestamp(DAY))
    }

    fn shown(whole: [u8; 24]) -> Cookie {
        let client = *whole.first_chunk().unwrap();
        Cookie { client, server: Some(*whole.last_chunk().unwrap()) }
    }

    #[test]
    fn the_vector_of_rfc_9018_a_1() {
        let client = [0x24, 0x64, 0xc4, 0xab, 0xcf, 0x10, 0xc9, 0x57];
        let whole = secrets().make(client, "198.51.100.100".parse().unwrap(), Timestamp(DAY));
        let text: String = whole.iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(text, "2464c4abcf10c957010000005cf79f111f8130c3eee29480");
    }

    #[test]
    fn good_for_one_client_at_one_address_for_an_hour() {
        let secrets = secrets();
        let (here, there) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let whole = secrets.make([7; 8], here, Timestamp(DAY));
        let proves = |cookie, address, seconds: i64| {
            secrets.prove(cookie, address, Timestamp(DAY + seconds * 1_000_000))
        };
        assert!(proves(shown(whole), here, 0));
        assert!(proves(shown(whole), here, 3_600));
        assert!(proves(shown(whole), here, -300));
        assert!(proves(shown(whole), "::ffff:192.0.2.1".parse().unwrap(), 0));
        assert!(!proves(shown(whole), here, 3_601));
        assert!(!proves(shown(whole), here, -301));
        assert!(!proves(shown(whole), there, 0));
        assert!(!proves(Cookie { client: [7; 8], server: None }, here, 0));
        for at in 0..24 {
            let mut other = whole;
            other[at] ^= 1;
            assert!(!proves(shown(other), here, 0), "octet {at}");
        }
    }

    #[test]
    fn one_secret_back() {
        let first = secrets();
        let here = "2001:db8::1".parse().unwrap();
        let now = Timestamp(DAY);
        let whole = first.make([1; 8], here, now);
        assert!(!first.is_due(now) && first.is_due(now.after(ROTATE)));
        let second = first.rotated(Secret([1; 16]), now);
        assert!(second.prove(shown(whole), here, now));
        let third = second.rotated(Secret([2; 16]), now);
        assert!(!third.prove(shown(whole), here, now));
    }
}
