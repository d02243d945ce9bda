//! The dictionary: identifiers, reasons, units and time shared by every crate.
