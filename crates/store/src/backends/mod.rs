//! The engines. Each folder has the same parts, so that the next can be written by copying the smallest.

pub mod file;
pub mod memory;
