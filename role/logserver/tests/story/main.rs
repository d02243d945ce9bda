//! Stories of log batches between real senders and a real log server, over QUIC on loopback.

#[cfg(test)]
mod faults;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod walls;
