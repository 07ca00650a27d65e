//! One room for each command: its arguments, and `run`. All have the same shape.

pub mod account;
pub mod check;
pub mod completions;
pub mod copy;
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

use zeroize::Zeroizing;

use crate::failure::Failure;

/// Room for what comes from stdin, in bytes: every key and every token fits.
const STDIN_BYTES: u64 = 64 * 1024;

/// Runs a command's future on this thread.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::refused(format!("the run time cannot be started: {error}"), "see what limits this process"))?;
    runtime.block_on(future)
}

/// The text of a file, or of stdin if it is `-`; `bytes_max` at the most. It may be a secret, so it is wiped after use.
fn read_text(path: &Path, bytes_max: u64) -> Result<Zeroizing<String>, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::refused(format!("{} cannot be read: {error}", path.display()), "give a file that can be, or `-` for stdin")
    };
    let (source, size): (Box<dyn Read>, u64) = match path.as_os_str() == "-" {
        true => (Box::new(std::io::stdin().lock()), STDIN_BYTES),
        false => {
            let file = std::fs::File::open(path).map_err(unreadable)?;
            let size = file.metadata().map_or(0, |meta| meta.len());
            (Box::new(file), size)
        }
    };
    // Sized first, so that no copy is left behind by growing.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(size.min(bytes_max) + 1).unwrap_or_default()));
    source.take(bytes_max + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > bytes_max {
        return Err(unreadable(std::io::Error::other(format!("it is larger than {bytes_max} bytes"))));
    }
    Ok(text)
}
