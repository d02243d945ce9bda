//! The network in a browser.
