//! The caching rules of RFC 9111 as verdicts with reasons.
