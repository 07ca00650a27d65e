//! A private haproxy.
