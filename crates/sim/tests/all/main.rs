//! The simulator's own tests, and what it shows.

mod ca;
mod engine;
mod mutants;
mod scale;
mod seeds;
mod weaknesses;
