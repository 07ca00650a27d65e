//! Deployment targets of certfleet: stage, check, activate, verify.
