//! Tests of the core as a whole: stories and random schedules in a small world of fakes, and checks on what the crates may use.

mod crashes;
mod edges;
mod formats;
mod purity;
mod schedules;
mod stories;
mod world;
