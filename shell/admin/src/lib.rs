//! Administration as functions: push, purge, status, explain.
