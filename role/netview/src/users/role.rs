//! What a user may see and do. A customer's role always names its customer.

use std::fmt;
use std::str::FromStr;

use popnet_terms::CustomerId;
use popnet_wire::asking::Scope;

/// A user's role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserRole {
    /// Sees all, may do all, users included.
    Owner,
    /// Sees all; purges, pushes, drains.
    Operator,
    /// Sees all with client addresses shortened; may do nothing.
    Observer,
    /// Sees and purges one customer's content.
    CustomerAdmin(CustomerId),
    /// Sees one customer's traffic and logs.
    CustomerViewer(CustomerId),
    /// Sees one customer's totals, no logs.
    CustomerBilling(CustomerId),
}

impl UserRole {
    /// Whose data this role sees.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self.customer() {
            None => Scope::Network,
            Some(customer) => Scope::Customer(customer.clone()),
        }
    }

    /// The customer that the role is bound to.
    #[must_use]
    pub fn customer(&self) -> Option<&CustomerId> {
        match self {
            Self::Owner | Self::Operator | Self::Observer => None,
            Self::CustomerAdmin(customer)
            | Self::CustomerViewer(customer)
            | Self::CustomerBilling(customer) => Some(customer),
        }
    }

    /// Whether the role may purge (what its scope covers).
    #[must_use]
    pub fn may_purge(&self) -> bool {
        matches!(self, Self::Owner | Self::Operator | Self::CustomerAdmin(_))
    }

    /// Whether the role reads log lines (of what its scope covers).
    #[must_use]
    pub fn reads_logs(&self) -> bool {
        !matches!(self, Self::CustomerBilling(_))
    }

    /// Whether client addresses are shortened to their /24 or /48 for this role.
    #[must_use]
    pub fn sees_masked(&self) -> bool {
        matches!(self, Self::Observer)
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Operator => "operator",
            Self::Observer => "observer",
            Self::CustomerAdmin(_) => "customer-admin",
            Self::CustomerViewer(_) => "customer-viewer",
            Self::CustomerBilling(_) => "customer-billing",
        }
    }
}

/// Printed as it is read: `owner`, `customer-admin:acme`.
impl fmt::Display for UserRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.customer() {
            None => f.pad(self.word()),
            Some(customer) => write!(f, "{}:{customer}", self.word()),
        }
    }
}

/// The text is no role.
#[derive(Debug, thiserror::Error)]
#[error(
    "no user role is called {0:?}; roles: owner operator observer customer-admin:CUSTOMER \
     customer-viewer:CUSTOMER customer-billing:CUSTOMER"
)]
pub struct UnknownUserRole(String);

impl FromStr for UserRole {
    type Err = UnknownUserRole;

    fn from_str(text: &str) -> Result<Self, UnknownUserRole> {
        let (word, customer) = text.split_once(':').unwrap_or((text, ""));
        let of = CustomerId::new(customer);
        match (word, customer.is_empty()) {
            ("owner", true) => Ok(Self::Owner),
            ("operator", true) => Ok(Self::Operator),
            ("observer", true) => Ok(Self::Observer),
            ("customer-admin", false) => Ok(Self::CustomerAdmin(of)),
            ("customer-viewer", false) => Ok(Self::CustomerViewer(of)),
            ("customer-billing", false) => Ok(Self::CustomerBilling(of)),
            _ => Err(UnknownUserRole(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::UserRole;

    #[test]
    fn roles_print_as_they_read() {
        for text in ["owner", "operator", "observer", "customer-admin:acme", "customer-viewer:x"] {
            let role: UserRole = text.parse().unwrap();
            assert_eq!(role.to_string(), text);
        }
        for text in ["", "root", "owner:acme", "customer-admin", "customer-admin:"] {
            assert!(text.parse::<UserRole>().is_err(), "{text:?} is no role");
        }
    }
}
