//! Listeners of certfleet: challenges, redirects, admin, metrics.
