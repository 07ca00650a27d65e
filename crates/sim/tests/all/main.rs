//! The simulator's own tests, and what it shows.

mod ca;
mod engine;
mod seeds;
