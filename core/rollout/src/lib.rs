//! Hierarchical two-phase configuration push as machines.
