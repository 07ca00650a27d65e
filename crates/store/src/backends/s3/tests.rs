//! URLs, and the removal of tombstones; what is told of all engines is in `tests/s3`.

mod cleaning;
mod urls;
