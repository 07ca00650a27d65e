//! What each challenge type wants to see. Each solver is pure: tokens and thumbprints in, answers out; serving them is the edge's.

mod http01;

pub use http01::Http01;
