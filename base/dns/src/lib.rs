//! DNS questions, answers, EDNS and zone files over the domain crate.
