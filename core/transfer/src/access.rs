//! Who may do something: by address, by key, by what is shown over TLS, or everybody.

use std::net::IpAddr;

use ipnet::IpNet;
use popnet_dns::Name;

/// A list of who may. Empty, it lets nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Everybody may.
    pub anyone: bool,
    /// These addresses may.
    pub nets: Vec<IpNet>,
    /// Who signs with one of these keys may.
    pub keys: Vec<Name>,
    /// Who shows a certificate for one of these names may.
    pub tls_names: Vec<String>,
    /// Who shows a certificate with one of these public keys may: the SHA-256 of each.
    pub pins: Vec<[u8; 32]>,
}

impl Access {
    /// Whether somebody at `from`, who signed with `key`, may.
    #[must_use]
    pub fn allows(&self, from: IpAddr, key: Option<&Name>) -> bool {
        let from = from.to_canonical();
        self.anyone
            || self.nets.iter().any(|net| net.contains(&from))
            || key.is_some_and(|key| self.keys.contains(key))
    }

    /// Whether somebody may who showed a certificate with the public key `pin`, of which `is_for`
    /// says whether it is good for a name (RFC 9103 9.3.3).
    #[must_use]
    pub fn allows_shown(&self, pin: &[u8; 32], is_for: impl Fn(&str) -> bool) -> bool {
        self.pins.contains(pin) || self.tls_names.iter().any(|name| is_for(name))
    }

    /// Whether nobody may.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::name;

    #[test]
    fn by_address_or_key() {
        let access = Access {
            anyone: false,
            nets: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            keys: vec![name("xfr")],
            ..Access::default()
        };
        let cases = [
            ("192.0.2.9", None, true),
            ("::ffff:192.0.2.9", None, true),
            ("192.0.3.9", None, false),
            ("2001:db8::1", None, true),
            ("192.0.3.9", Some(name("xfr")), true),
            ("192.0.3.9", Some(name("other")), false),
        ];
        for (from, key, expected) in cases {
            assert_eq!(access.allows(from.parse().unwrap(), key.as_ref()), expected, "{from}");
        }
        assert!(Access::default().is_empty());
        assert!(!Access::default().allows("127.0.0.1".parse().unwrap(), None));
        let shown = Access { tls_names: vec!["ns2.test".into()], pins: vec![[7; 32]], ..access };
        assert!(shown.allows_shown(&[7; 32], |_| false));
        assert!(shown.allows_shown(&[8; 32], |name| name == "ns2.test"));
        assert!(!shown.allows_shown(&[8; 32], |name| name == "ns3.test"));
        assert!(Access { anyone: true, ..Access::default() }.allows([9, 9, 9, 9].into(), None));
    }
}
