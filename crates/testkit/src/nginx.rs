//! A private nginx.
