//! HTTP connections in and out.
