//! Why the demo ends early.

use std::fmt::Display;

/// Why the demo ends early.
#[derive(Debug)]
pub enum Failure {
    /// Ctrl-C.
    Interrupted,
    /// Something that should have been seen was not; the text says what.
    Unseen(String),
}

impl Failure {
    /// What a panic said.
    pub fn of_panic(error: tokio::task::JoinError) -> Self {
        let Ok(panic) = error.try_into_panic() else { return Self::Interrupted };
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Self::Unseen(text.unwrap_or_else(|| "something went wrong, and did not say what".into()))
    }
}

/// The result of looking for something that was not there.
pub fn unseen<T>(what: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Unseen(what.into()))
}

/// Names what was being done when an error came.
pub trait During<T> {
    /// `doing` is put before the error.
    fn during(self, doing: impl Display) -> Result<T, Failure>;
}

impl<T, E: Display> During<T> for Result<T, E> {
    fn during(self, doing: impl Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::Unseen(format!("{doing}: {error}")))
    }
}
