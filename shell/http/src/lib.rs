//! HTTP connections in and out.
//!
//! - [`server`]: accepts HTTP/1.1, HTTP/2 and HTTP/3 on plain, TLS, QUIC and Unix sockets, with
//!   limits and drain; [`h3`] is what it reads of HTTP/3.
//! - [`client`]: pooled HTTP/1.1 connections to the next tier.
//! - [`body`]: the one body type of both; [`failure`]: why an exchange failed, in the words of RFC
//!   9209; [`measure`]: how many octets a head takes on the wire; [`roots`]: which origins are
//!   believed; [`interim`]: what is said before an answer.
//!
//! Nothing here knows what caching is.

pub mod body;
pub mod certificates;
pub mod client;
pub mod failure;
mod h1;
pub mod h3;
pub mod interim;
pub mod measure;
pub mod roots;
pub mod server;
mod stall;
mod trip;
