//! The engines. Each folder has the same parts, so that the next can be written by copying the smallest.

#[cfg(feature = "central")]
pub mod central;
#[cfg(feature = "etcd")]
pub mod etcd;
pub mod file;
pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "s3")]
pub mod s3;
