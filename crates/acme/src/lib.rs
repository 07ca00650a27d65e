//! The CA client and challenge solvers of certfleet.
