//! Whom an answer names, and why.
