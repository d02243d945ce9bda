//! A request and a response out of `METHOD PATH STATUS SECONDS`, the request's fields, an empty
//! line and the response's fields: stored, asked for again so many seconds later, and validated.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| popnet_fuzz::caching(octets));
