//! The store contract of certfleet and its backends.
