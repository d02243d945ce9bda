//! Messages signed with a shared key (RFC 8945), one by one and in the sequences of transfers.
//!
//! Written here over the tree's own HMAC: the `domain` crate's part for it answers a wrong
//! signature with another code than BADSIG and signs its BADTIME answers over eight octets of time
//! where RFC 8945 5.2.3 has six. Shortened signatures are refused whatever their length.

use std::sync::Arc;

use domain::base::iana::{Class, Rtype};
use domain::base::message::Message;
use domain::base::name::{ParsedName, ToName};
use domain::rdata::tsig::Tsig;
use popnet_dns::{Name, Rcode};

use crate::key::{Key, Keys};

/// How far clocks may be apart, in seconds (RFC 8945 10).
const FUDGE: u16 = 300;

/// A sender may leave so many messages of a sequence unsigned (RFC 8945 5.3.1).
const UNSIGNED_MAX: usize = 99;

/// Octets that a signature adds to a message at most: two names of 255, the fixed parts, a MAC of
/// 64 and six more.
pub const ROOM: usize = 255 + 10 + 13 + 16 + 64 + 6;

const HEADER: usize = 12;
const BADSIG: u16 = 16;
const BADKEY: u16 = 17;
const BADTIME: u16 = 18;
const BADTRUNC: u16 = 22;

/// A signature as it stands at the end of a message.
struct Found {
    /// Where its record begins.
    start: usize,
    name: Name,
    algorithm: Name,
    time: u64,
    fudge: u16,
    mac: Vec<u8>,
    original_id: u16,
    error: u16,
    other: Vec<u8>,
}

/// What of a signature is signed with the message.
struct Stamp<'a> {
    time: u64,
    fudge: u16,
    error: u16,
    other: &'a [u8],
}

/// The message cannot be read as far as its signature, or has one at the wrong place.
struct Misplaced;

/// Finds the signature of `message`, which must be its last record.
fn find(message: &[u8]) -> Result<Option<Found>, Misplaced> {
    let parsed = Message::from_slice(message).map_err(|_| Misplaced)?;
    let mut additional = parsed.additional().map_err(|_| Misplaced)?;
    loop {
        let start = additional.pos();
        let Some(record) = additional.next() else { return Ok(None) };
        let record = record.map_err(|_| Misplaced)?;
        if record.rtype() != Rtype::TSIG {
            continue;
        }
        type Parsed<'a> = Tsig<&'a [u8], ParsedName<&'a [u8]>>;
        let record = record.into_record::<Parsed<'_>>().ok().flatten().ok_or(Misplaced)?;
        let is_last = additional.next().is_none();
        if !is_last || record.class() != Class::ANY || record.ttl().as_secs() != 0 {
            return Err(Misplaced);
        }
        let data = record.data();
        let own =
            |name: &ParsedName<&[u8]>| Name::from_wire(name.to_vec().as_slice()).ok_or(Misplaced);
        return Ok(Some(Found {
            start,
            name: own(record.owner())?,
            algorithm: own(data.algorithm())?,
            time: u64::from(data.time_signed()),
            fudge: data.fudge(),
            mac: data.mac().to_vec(),
            original_id: data.original_id(),
            error: data.error().to_int(),
            other: data.other().to_vec(),
        }));
    }
}

/// Whether `message` ends with a signature, right or wrong, or cannot be read as far as that.
pub(crate) fn is_signed(message: &[u8]) -> bool {
    !matches!(find(message), Ok(None))
}

impl Found {
    fn stamp(&self) -> Stamp<'_> {
        Stamp { time: self.time, fudge: self.fudge, error: self.error, other: &self.other }
    }

    /// Takes the signature out of the message it was found in.
    fn strip(&self, message: &mut Vec<u8>) {
        message.truncate(self.start);
        let more = additional(message).saturating_sub(1);
        set_additional(message, more);
        if let Some(id) = message.get_mut(..2) {
            id.copy_from_slice(&self.original_id.to_be_bytes());
        }
    }
}

fn additional(message: &[u8]) -> u16 {
    match message.get(10..HEADER) {
        Some([high, low]) => u16::from_be_bytes([*high, *low]),
        _ => 0,
    }
}

fn set_additional(message: &mut [u8], count: u16) {
    if let Some(place) = message.get_mut(10..HEADER) {
        place.copy_from_slice(&count.to_be_bytes());
    }
}

/// The 48 bits of a time.
fn time48(time: u64) -> [u8; 6] {
    let [_, _, rest @ ..] = time.to_be_bytes();
    rest
}

impl Stamp<'_> {
    /// RFC 8945 4.3.3.
    fn variables(&self, key: &Key) -> Vec<u8> {
        let mut out = key.name().as_wire().to_vec();
        out.extend_from_slice(&Class::ANY.to_int().to_be_bytes());
        out.extend_from_slice(&0u32.to_be_bytes());
        out.extend_from_slice(key.algorithm().wire());
        out.extend_from_slice(&self.timers());
        out.extend_from_slice(&self.error.to_be_bytes());
        out.extend_from_slice(&u16::try_from(self.other.len()).unwrap_or(0).to_be_bytes());
        out.extend_from_slice(self.other);
        out
    }

    /// RFC 8945 5.3.1: what messages of a sequence after the first sign.
    fn timers(&self) -> Vec<u8> {
        let mut out = time48(self.time).to_vec();
        out.extend_from_slice(&self.fudge.to_be_bytes());
        out
    }

    /// Puts a signature behind `message`.
    fn append(&self, message: &mut Vec<u8>, name: &[u8], algorithm: &[u8], mac: &[u8]) {
        let id = message.first_chunk::<2>().copied().unwrap_or_default();
        let mut data = algorithm.to_vec();
        data.extend_from_slice(&self.timers());
        data.extend_from_slice(&u16::try_from(mac.len()).unwrap_or(0).to_be_bytes());
        data.extend_from_slice(mac);
        data.extend_from_slice(&id);
        data.extend_from_slice(&self.error.to_be_bytes());
        data.extend_from_slice(&u16::try_from(self.other.len()).unwrap_or(0).to_be_bytes());
        data.extend_from_slice(self.other);
        message.extend_from_slice(name);
        message.extend_from_slice(&Rtype::TSIG.to_int().to_be_bytes());
        message.extend_from_slice(&Class::ANY.to_int().to_be_bytes());
        message.extend_from_slice(&0u32.to_be_bytes());
        message.extend_from_slice(&u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
        message.extend_from_slice(&data);
        let more = additional(message).saturating_add(1);
        set_additional(message, more);
    }
}

/// A signature with its length in front, as the next one signs it.
fn prior(mac: &[u8]) -> Vec<u8> {
    let mut out = u16::try_from(mac.len()).unwrap_or(0).to_be_bytes().to_vec();
    out.extend_from_slice(mac);
    out
}

/// The head of a message with the number it was signed with, and without its signature.
fn original(message: &[u8], found: &Found) -> Vec<u8> {
    let mut octets = message.get(..found.start).unwrap_or_default().to_vec();
    if let Some(id) = octets.get_mut(..2) {
        id.copy_from_slice(&found.original_id.to_be_bytes());
    }
    let more = additional(&octets).saturating_sub(1);
    set_additional(&mut octets, more);
    octets
}

/// Why a signed request is not taken.
#[derive(Clone, Debug)]
pub struct Rejection {
    code: Rcode,
    error: u16,
    name: Name,
    algorithm: Name,
    time: u64,
    fudge: u16,
    /// To sign the answer with, where the client can check it: only to a wrong time.
    signed: Option<(Arc<Key>, Vec<u8>, u64)>,
}

impl Rejection {
    fn malformed() -> Self {
        let (name, algorithm) = (Name::root(), Name::root());
        Self { code: Rcode::FORMERR, error: 0, name, algorithm, time: 0, fudge: 0, signed: None }
    }

    fn of(found: &Found, error: u16) -> Self {
        Self {
            code: Rcode::NOTAUTH,
            error,
            name: found.name.clone(),
            algorithm: found.algorithm.clone(),
            time: found.time,
            fudge: found.fudge,
            signed: None,
        }
    }

    /// Whether the key is none of ours, and nothing else is wrong: it may be another server's.
    #[must_use]
    pub fn is_unknown_key(&self) -> bool {
        self.error == BADKEY
    }

    /// The word of the error (RFC 8945 8).
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.error {
            BADSIG => "BADSIG",
            BADKEY => "BADKEY",
            BADTIME => "BADTIME",
            BADTRUNC => "BADTRUNC",
            _ => "FORMERR",
        }
    }

    /// The answer to `request` (RFC 8945 5.2): unsigned, save for a wrong time.
    #[must_use]
    pub fn reply(&self, request: &[u8]) -> Vec<u8> {
        let mut message = crate::ask::reply(request, self.code);
        if self.code == Rcode::FORMERR {
            return message;
        }
        let (name, algorithm) = (self.name.as_wire(), self.algorithm.as_wire());
        let stamp = Stamp { time: self.time, fudge: self.fudge, error: self.error, other: &[] };
        match &self.signed {
            None => stamp.append(&mut message, name, algorithm, &[]),
            Some((key, mac, now)) => {
                let other = time48(*now);
                let stamp = Stamp { other: &other, ..stamp };
                let mac = key.sign(&[&prior(mac), &message, &stamp.variables(key)]);
                stamp.append(&mut message, name, algorithm, &mac);
            }
        }
        message
    }
}

/// Signs the answers to one request.
#[derive(Clone, Debug)]
pub struct Signer {
    key: Arc<Key>,
    mac: Vec<u8>,
    is_first: bool,
}

impl Signer {
    /// The key that signed the request.
    #[must_use]
    pub fn key(&self) -> &Name {
        self.key.name()
    }

    /// Signs the next answer.
    pub fn sign(&mut self, message: &mut Vec<u8>, now: u64) {
        let stamp = Stamp { time: now, fudge: FUDGE, error: 0, other: &[] };
        let tail = if self.is_first { stamp.variables(&self.key) } else { stamp.timers() };
        self.is_first = false;
        self.mac = self.key.sign(&[&prior(&self.mac), message, &tail]);
        let (name, algorithm) = (self.key.name().as_wire(), self.key.algorithm().wire());
        stamp.append(message, name, algorithm, &self.mac);
    }
}

/// Checks the signature of a request and takes it out; `None`: it has none. `now` is in seconds
/// since 1970.
///
/// # Errors
/// With what the request is to be refused (RFC 8945 5.2, in its order).
pub fn check(
    message: &mut Vec<u8>,
    keys: &Keys,
    now: u64,
) -> Result<Option<Signer>, Box<Rejection>> {
    let found = match find(message) {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(None),
        Err(Misplaced) => return Err(Box::new(Rejection::malformed())),
    };
    let refuse = |error| Err(Box::new(Rejection::of(&found, error)));
    let known = keys.get(&found.name);
    let Some(key) = known.filter(|key| key.algorithm().wire() == found.algorithm.as_wire()) else {
        return refuse(BADKEY);
    };
    let whole = key.algorithm().octets();
    if found.mac.len() > whole || found.mac.len() < (whole / 2).max(10) {
        // RFC 8945 5.2.2.1.
        return Err(Box::new(Rejection::malformed()));
    }
    if found.mac.len() < whole {
        return refuse(BADTRUNC);
    }
    let octets = original(message, &found);
    if !key.verify(&[&octets, &found.stamp().variables(key)], &found.mac) {
        return refuse(BADSIG);
    }
    if now.abs_diff(found.time) > u64::from(found.fudge) {
        let signed = Some((Arc::clone(key), found.mac.clone(), now));
        return Err(Box::new(Rejection { signed, ..Rejection::of(&found, BADTIME) }));
    }
    let signer = Signer { key: Arc::clone(key), mac: found.mac.clone(), is_first: true };
    found.strip(message);
    Ok(Some(signer))
}

/// Why an answer is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// No signature where one must be.
    #[error("the answer is not signed with key {0}")]
    Unsigned(String),
    /// Another key, or a signature that does not fit.
    #[error("the signature of the answer does not fit key {0}")]
    Wrong(String),
    /// Too long ago, or in the future.
    #[error("the answer was signed {0} s away from our time: look at both clocks")]
    Time(u64),
    /// The other side did not take our signature.
    #[error("the server refuses our signature: {0}")]
    Refused(&'static str),
}

/// Checks the answers to one signed request.
#[derive(Clone, Debug)]
pub struct Checker {
    key: Arc<Key>,
    mac: Vec<u8>,
    is_first: bool,
    /// Messages since the last signed one, which the next signature covers.
    pending: Vec<u8>,
    unsigned: usize,
}

/// Signs a request; what comes back checks the answers.
pub fn sign(message: &mut Vec<u8>, key: &Arc<Key>, now: u64) -> Checker {
    let stamp = Stamp { time: now, fudge: FUDGE, error: 0, other: &[] };
    let mac = key.sign(&[message, &stamp.variables(key)]);
    stamp.append(message, key.name().as_wire(), key.algorithm().wire(), &mac);
    let key = Arc::clone(key);
    Checker { key, mac, is_first: true, pending: Vec::new(), unsigned: 0 }
}

impl Checker {
    /// Checks the next message and takes its signature out.
    ///
    /// # Errors
    /// Why it is not believed; then none of the answer is.
    pub fn check(&mut self, message: &mut Vec<u8>, now: u64) -> Result<(), Doubt> {
        let name = || self.key.name().to_host();
        let found = find(message).map_err(|Misplaced| Doubt::Wrong(name()))?;
        let Some(found) = found else {
            if self.is_first || self.unsigned >= UNSIGNED_MAX {
                return Err(Doubt::Unsigned(name()));
            }
            self.unsigned += 1;
            self.pending.extend_from_slice(message);
            return Ok(());
        };
        match found.error {
            BADSIG => return Err(Doubt::Refused("BADSIG, the secrets differ")),
            BADKEY => return Err(Doubt::Refused("BADKEY, it does not know the key")),
            BADTRUNC => return Err(Doubt::Refused("BADTRUNC")),
            _ => {}
        }
        let is_ours = found.name == *self.key.name()
            && found.algorithm.as_wire() == self.key.algorithm().wire();
        let octets = original(message, &found);
        let stamp = found.stamp();
        let tail = if self.is_first { stamp.variables(&self.key) } else { stamp.timers() };
        let parts: [&[u8]; 4] = [&prior(&self.mac), &self.pending, &octets, &tail];
        if !is_ours || !self.key.verify(&parts, &found.mac) {
            return Err(Doubt::Wrong(name()));
        }
        if found.error == BADTIME {
            return Err(Doubt::Refused("BADTIME, the clocks differ"));
        }
        let apart = now.abs_diff(found.time);
        if apart > u64::from(found.fudge) {
            return Err(Doubt::Time(apart));
        }
        self.mac.clone_from(&found.mac);
        self.is_first = false;
        self.pending.clear();
        self.unsigned = 0;
        found.strip(message);
        Ok(())
    }

    /// To be asked after the last message.
    ///
    /// # Errors
    /// The last message must be signed (RFC 8945 5.3.1).
    pub fn finish(&self) -> Result<(), Doubt> {
        if self.is_first || self.unsigned > 0 {
            return Err(Doubt::Unsigned(self.key.name().to_host()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;
    use crate::testing::name;
    use popnet_dns::build_query;

    const NOW: u64 = 1_700_000_000;

    fn key(secret: &[u8]) -> Arc<Key> {
        Arc::new(Key::new(name("xfr.example"), Algorithm::Sha256, secret))
    }

    fn keys() -> Keys {
        let mut keys = Keys::default();
        keys.add((*key(b"secret")).clone());
        keys
    }

    fn query() -> Vec<u8> {
        build_query(7, &name("example"), Rtype::SOA, None)
    }

    /// The code in the header and the error in the signature of an answer.
    fn refusal(request: &[u8], now: u64) -> (u8, u16) {
        let rejection = check(&mut request.to_vec(), &keys(), now).unwrap_err();
        let reply = rejection.reply(request);
        let found = find(&reply).ok().flatten();
        (reply[3] & 0xf, found.map_or(0, |found| found.error))
    }

    #[test]
    fn there_and_back() {
        let plain = query();
        let mut request = plain.clone();
        let mut checker = sign(&mut request, &key(b"secret"), NOW);
        assert!(request.len() <= plain.len() + ROOM);
        let mut signer = check(&mut request, &keys(), NOW + 10).unwrap().unwrap();
        assert_eq!(request, plain, "the signature is out again");
        assert_eq!(signer.key(), &name("xfr.example"));
        for n in 0..3u8 {
            let mut answer = plain.clone();
            answer.push(n);
            answer.pop();
            signer.sign(&mut answer, NOW + 11);
            checker.check(&mut answer, NOW + 12).unwrap();
            assert_eq!(answer, plain);
        }
        checker.finish().unwrap();
        assert!(check(&mut query(), &keys(), NOW).unwrap().is_none());
    }

    #[test]
    fn refusals() {
        let signed = |secret: &[u8]| {
            let mut request = query();
            sign(&mut request, &key(secret), NOW);
            request
        };
        assert_eq!(refusal(&signed(b"other"), NOW), (9, BADSIG));
        assert_eq!(refusal(&signed(b"secret"), NOW + 301), (9, BADTIME));
        let mut foreign = query();
        let stranger = Key::new(name("stranger"), Algorithm::Sha256, b"secret");
        sign(&mut foreign, &Arc::new(stranger), NOW);
        assert_eq!(refusal(&foreign, NOW), (9, BADKEY));
        let mut weak = query();
        let weaker = Key::new(name("xfr.example"), Algorithm::Sha1, b"secret");
        sign(&mut weak, &Arc::new(weaker), NOW);
        assert_eq!(refusal(&weak, NOW), (9, BADKEY), "another algorithm is another key");
        // A signature that is not the last record.
        let mut moved = signed(b"secret");
        moved.extend_from_slice(&[0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
        set_additional(&mut moved, 3);
        assert_eq!(refusal(&moved, NOW), (1, 0));
    }

    #[test]
    fn shortened_signatures_are_refused() {
        for (length, expected) in
            [(16, (9, BADTRUNC)), (31, (9, BADTRUNC)), (15, (1, 0)), (33, (1, 0))]
        {
            let key = key(b"secret");
            let mut request = query();
            let stamp = Stamp { time: NOW, fudge: FUDGE, error: 0, other: &[] };
            let mut mac = key.sign(&[&request, &stamp.variables(&key)]);
            mac.resize(length, 0);
            stamp.append(&mut request, key.name().as_wire(), key.algorithm().wire(), &mac);
            assert_eq!(refusal(&request, NOW), expected, "{length} octets");
        }
    }

    #[test]
    fn a_wrong_time_is_said_with_a_signature() {
        let mut request = query();
        let mut checker = sign(&mut request, &key(b"secret"), NOW);
        let rejection = check(&mut request.clone(), &keys(), NOW + 1_000).unwrap_err();
        let mut reply = rejection.reply(&request);
        let found = find(&reply).ok().flatten().unwrap();
        assert_eq!(found.other, time48(NOW + 1_000));
        let doubt = checker.check(&mut reply, NOW).unwrap_err();
        assert_eq!(doubt, Doubt::Refused("BADTIME, the clocks differ"));
    }

    #[test]
    fn doubts() {
        let mut request = query();
        let checker = sign(&mut request, &key(b"secret"), NOW);
        let mut signer = check(&mut request, &keys(), NOW).unwrap().unwrap();
        assert!(matches!(checker.clone().check(&mut query(), NOW), Err(Doubt::Unsigned(_))));
        let mut answer = query();
        signer.sign(&mut answer, NOW);
        for at in 0..answer.len() {
            let mut bent = answer.clone();
            bent[at] ^= 1;
            let checked = checker.clone().check(&mut bent, NOW);
            // The number of a message is not signed: the original one is.
            assert!(checked.is_err() || at < 2, "octet {at}");
        }
        assert!(matches!(
            checker.clone().check(&mut answer.clone(), NOW + 400),
            Err(Doubt::Time(400))
        ));
        let mut checker = checker;
        checker.check(&mut answer, NOW).unwrap();
        // Unsigned messages between are covered by the next signature, and not for ever.
        checker.check(&mut query(), NOW).unwrap();
        assert!(checker.finish().is_err());
        let mut next = query();
        signer.sign(&mut next, NOW);
        assert!(checker.clone().check(&mut next, NOW).is_err(), "it does not cover the other");
        for _ in 1..UNSIGNED_MAX {
            checker.check(&mut query(), NOW).unwrap();
        }
        assert!(checker.check(&mut query(), NOW).is_err());
    }
}
