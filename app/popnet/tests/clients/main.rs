//! Real clients through the program as a caching reverse proxy: curl, wget, Chromium (HTTP/1.1, 2
//! and 3), apt, ffmpeg and git. Each is asked for what only the origin has, and the origin's own
//! log says how much of it was asked for.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod coded;
mod edge;
mod files;
mod git;
mod packages;
mod video;
