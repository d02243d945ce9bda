//! The configuration daemon of every node.
