//! HTTP field values: cache control, dates, validators, ranges, structured fields.
