//! Configuration and the daemon of certfleet: observe, decide, execute.
