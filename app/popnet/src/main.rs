//! popnet.
fn main() {}
