//! stdout is data, stderr is talk.
//!
//! Always holds: a reader that goes away (`| head`) ends the command without a word; nothing here panics.

use std::io::{self, IsTerminal, Write};

use terminal_size::{Height, Width, terminal_size_of};

use crate::failure::Failure;

/// Writes `text` to stdout as it is.
pub fn data(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::refused(format!("the output cannot be written: {error}"), "look at where stdout goes"),
    })
}

/// Writes a line to stderr. There is nobody left to tell if that fails.
pub fn talk(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// How wide the terminal at stdout is; none if there is no terminal.
pub fn stdout_columns() -> Option<u16> {
    let stdout = io::stdout();
    stdout.is_terminal().then(|| terminal_size_of(&stdout)).flatten().map(|(Width(columns), _)| columns)
}

/// How many lines the terminal at stdout shows; none if there is no terminal.
pub fn stdout_lines() -> Option<u16> {
    let stdout = io::stdout();
    stdout.is_terminal().then(|| terminal_size_of(&stdout)).flatten().map(|(_, Height(lines))| lines)
}

/// How wide the terminal at stderr is; none if there is no terminal.
pub fn stderr_columns() -> Option<u16> {
    let stderr = io::stderr();
    stderr.is_terminal().then(|| terminal_size_of(&stderr)).flatten().map(|(Width(columns), _)| columns)
}

/// Text from outside, safe for a terminal: control characters are escaped.
pub fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(super::printable("a\u{1b}[2Jb\nü"), "a\\u{1b}[2Jb\\nü");
    }
}
