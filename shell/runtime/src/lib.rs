//! Sockets, identity, signals, publishing and shipping that several roles need.
