//! Authoritative DNS that steers.
