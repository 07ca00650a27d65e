//! A private pebble.
