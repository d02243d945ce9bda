//! Who may change which records of a zone (RFC 3007 3).

use std::net::IpAddr;

use popnet_dns::{Name, Rtype};

use crate::access::Access;

/// Lets some change some records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub who: Access,
    /// Whoever it is must come from one of these, when there are any.
    pub from: Vec<ipnet::IpNet>,
    /// Names at and below which; none: the whole zone.
    pub names: Vec<Name>,
    /// Types; none: all that are not the zone's own business.
    pub types: Vec<Rtype>,
}

/// Types that need to be granted by name: with them goes the zone itself.
fn is_structure(owner: &Name, apex: &Name, rtype: Rtype) -> bool {
    (owner == apex && matches!(rtype, Rtype::SOA | Rtype::NS))
        || matches!(rtype, Rtype::DNSKEY | Rtype::RRSIG | Rtype::NSEC | Rtype::NSEC3)
        || rtype == Rtype::NSEC3PARAM
}

impl Grant {
    fn is_for(&self, from: IpAddr, key: Option<&Name>) -> bool {
        let from = from.to_canonical();
        self.who.allows(from, key)
            && (self.from.is_empty() || self.from.iter().any(|net| net.contains(&from)))
    }

    /// `ANY` stands for all types of a name.
    fn covers(&self, apex: &Name, owner: &Name, rtype: Rtype) -> bool {
        let by_name = self.names.is_empty() || self.names.iter().any(|name| owner.is_within(name));
        let by_type = if self.types.is_empty() {
            // RFC 2136 3.4.2.3 protects SOA and NS of the apex where all types are meant.
            rtype == Rtype::ANY || !is_structure(owner, apex, rtype)
        } else {
            self.types.contains(&rtype)
        };
        by_name && by_type
    }
}

/// All grants of a zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(pub Vec<Grant>);

impl Grants {
    /// Whether anybody may change anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What somebody at `from`, who signed with `key`, was granted; `None`: nothing.
    #[must_use]
    pub fn of(&self, from: IpAddr, key: Option<&Name>) -> Option<Self> {
        let own: Vec<Grant> =
            self.0.iter().filter(|grant| grant.is_for(from, key)).cloned().collect();
        (!own.is_empty()).then_some(Self(own))
    }

    /// Whether records of `rtype` at `owner` may be changed.
    #[must_use]
    pub fn cover(&self, apex: &Name, owner: &Name, rtype: Rtype) -> bool {
        self.0.iter().any(|grant| grant.covers(apex, owner, rtype))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::name;

    #[test]
    fn by_key_name_and_type() {
        let key = |text: &str| Access { keys: vec![name(text)], ..Access::default() };
        let grants = Grants(vec![
            Grant {
                who: key("dhcp"),
                names: vec![name("dyn.example")],
                types: vec![Rtype::A, Rtype::TXT],
                ..Grant::default()
            },
            Grant {
                who: key("admin"),
                from: vec!["127.0.0.0/8".parse().unwrap()],
                ..Grant::default()
            },
        ]);
        let here: IpAddr = [127, 0, 0, 1].into();
        let apex = name("example");
        assert!(grants.of(here, None).is_none());
        assert!(grants.of([192, 0, 2, 1].into(), Some(&name("admin"))).is_none());
        let dhcp = grants.of(here, Some(&name("dhcp"))).unwrap();
        let admin = grants.of(here, Some(&name("admin"))).unwrap();
        let cases = [
            ("a.dyn.example", Rtype::A, true, true),
            ("dyn.example", Rtype::TXT, true, true),
            ("a.dyn.example", Rtype::MX, false, true),
            ("a.example", Rtype::A, false, true),
            ("a.dyn.example", Rtype::ANY, false, true),
            ("example", Rtype::NS, false, false),
            ("example", Rtype::SOA, false, false),
            ("sub.example", Rtype::NS, false, true),
            ("a.dyn.example", Rtype::RRSIG, false, false),
        ];
        for (owner, rtype, by_dhcp, by_admin) in cases {
            let owner = name(owner);
            assert_eq!(dhcp.cover(&apex, &owner, rtype), by_dhcp, "dhcp {owner} {rtype}");
            assert_eq!(admin.cover(&apex, &owner, rtype), by_admin, "admin {owner} {rtype}");
        }
    }
}
