//! How a node without configuration finds services by name and fetches its role sheet.
