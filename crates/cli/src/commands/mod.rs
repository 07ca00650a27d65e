//! One room for each command: its arguments, and `run`. All have the same shape.

pub mod account;
pub mod check;
pub mod completions;
pub mod fleet;
pub mod history;
pub mod init;
pub mod invite;
pub mod join;
pub mod node;
pub mod renew;
pub mod rollout;
pub mod run;
pub mod snippet;
pub mod status;
pub mod store;
pub mod wait;

use std::future::Future;
use std::io::Read;
use std::path::Path;

use crate::failure::Failure;

/// Runs a command's future on this thread.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::refused(format!("the run time cannot be started: {error}"), "see what limits this process"))?;
    runtime.block_on(future)
}

/// The text of a file, or of stdin if it is `-`; `bytes_max` at the most.
fn read_text(path: &Path, bytes_max: u64) -> Result<String, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::refused(format!("{} cannot be read: {error}", path.display()), "give a file that can be, or `-` for stdin")
    };
    let source: Box<dyn Read> = match path.as_os_str() == "-" {
        true => Box::new(std::io::stdin().lock()),
        false => Box::new(std::fs::File::open(path).map_err(unreadable)?),
    };
    let mut text = String::new();
    source.take(bytes_max + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > bytes_max {
        return Err(unreadable(std::io::Error::other(format!("it is larger than {bytes_max} bytes"))));
    }
    Ok(text)
}
