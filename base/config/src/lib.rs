//! The global configuration: one typed registry tree, with places for its mistakes.
