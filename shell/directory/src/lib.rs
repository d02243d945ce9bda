//! How a node without the configuration finds services by name and fetches its role sheet (C6,
//! G6, N24): everything it needs to know comes from the network's own name servers and from the
//! nodes that hold the configuration.
//!
//! - [`lookup`]: a small stub client for DNS.
//! - [`Directory`]: the node's sheet, its POP's disk tier, a customer's log server, a site's
//!   origins with the best first.
//!
//! A node whose name servers are all silent goes on with what it has. Nothing here decides which
//! server is best: the order is the name servers'.

mod by_name;
mod directory;
mod fixed;
pub mod lookup;
mod memory;
mod poll;
mod resolver;
mod shelf;
#[cfg(test)]
mod testing;

pub use directory::{Directory, Service};
pub use resolver::ServiceRecord;
pub use shelf::{read_sheet, read_without_codings, read_without_delivery};
