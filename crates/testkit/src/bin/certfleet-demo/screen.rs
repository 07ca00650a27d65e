//! What is shown: one line for each thing that happens, with the time since the start and who did it. Colours on a terminal only.
//!
//! Deliberately not here: any state of the story. A screen that goes away (`| head`) changes nothing.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::lab::NODES;

/// How wide lines get, in columns.
const COLUMNS: usize = 108;
/// Where the text of a line begins.
const INDENT: usize = 17;

/// How long a reader has for what is going to happen.
const READING: Duration = Duration::from_millis(1_500);

/// What to read after a failure, and what it is.
const LOGS: [(&str, &str); 8] = [
    ("certfleet.toml", "the configuration"),
    ("n1/certfleet.log", "what certfleet said on n1"),
    ("n2/certfleet.log", "what certfleet said on n2"),
    ("n3/certfleet.log", "what certfleet said on n3"),
    ("n1/nginx/logs", "what nginx said on n1"),
    ("n2/nginx/logs", "what nginx said on n2"),
    ("n3/haproxy/output.log", "what HAProxy said on n3"),
    ("ca/pebble.log", "what the CA said"),
];

/// Who does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// A node, by its index.
    Node(usize),
    /// The certificate authority.
    Ca,
    /// The name service.
    Dns,
    /// The one who visits the site.
    Visitor,
    /// This program.
    Demo,
}

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Node(index) => NODES[index],
            Self::Ca => "CA",
            Self::Dns => "DNS",
            Self::Visitor => "visitor",
            Self::Demo => "demo",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Node(0) => "36",
            Self::Node(1) => "35",
            Self::Node(_) => "34",
            Self::Ca | Self::Dns => "33",
            Self::Visitor => "32",
            Self::Demo => "1",
        }
    }
}

/// The screen.
#[derive(Debug, Clone)]
pub struct Screen {
    start: Instant,
    colours: bool,
}

impl Screen {
    /// Time runs from now on.
    pub fn start() -> Self {
        let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { start: Instant::now(), colours }
    }

    /// How long the story has taken so far.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// A new part of the story, and what is going to happen in it; time is left to read it.
    pub async fn part(&self, title: &str, what_happens: &str) {
        self.heading(title, what_happens);
        tokio::time::sleep(READING).await;
    }

    /// A heading and a paragraph.
    pub fn heading(&self, title: &str, what_happens: &str) {
        let lines = wrapped(what_happens, COLUMNS - 2).join("\n  ");
        self.plain(&format!("\n{}\n  {}\n", self.painted("1", title), self.painted("2", &lines)));
    }

    /// Somebody does something.
    pub fn say(&self, who: Who, text: &str) {
        let name = self.painted(who.colour(), &format!("{:<7}", who.name()));
        let text = wrapped(text, COLUMNS - INDENT).join(&format!("\n{}", " ".repeat(INDENT)));
        self.plain(&format!("{:>6.1} s {name} {text}", self.elapsed().as_secs_f32()));
    }

    /// Something that this program looked for, and saw.
    pub fn seen(&self, text: &str) {
        self.say(Who::Demo, &self.painted("1", &format!("✓ {text}")));
    }

    /// A command, as it is typed on a node.
    pub fn command(&self, node: usize, command: &str) {
        self.say(Who::Node(node), &self.painted("1", &format!("$ {command}")));
    }

    /// What a command printed.
    pub fn output(&self, text: &str) {
        text.lines().for_each(|line| self.plain(&format!("{}  {line}", " ".repeat(INDENT))));
    }

    /// A line as it is.
    pub fn plain(&self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    }

    /// The story came to a bad end.
    pub fn failed(&self, why: &str, dir: &Path) {
        self.plain(&format!("\n{} after {:.1} s: {why}", self.painted("1;31", "FAILED"), self.elapsed().as_secs_f32()));
        self.plain(&format!("\nEverything is ended. What it leaves is in {}:", dir.display()));
        let left = LOGS.iter().filter(|(log, _)| dir.join(log).exists());
        left.for_each(|(log, whose)| self.plain(&format!("  {log:<22}{whose}")));
    }

    /// `text` in a colour.
    pub fn painted(&self, colour: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Lines of at most `columns` characters, but for longer words.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].chars().count() + 1 + word.chars().count() > columns {
            lines.push(word.to_owned());
        } else {
            if !lines[last].is_empty() {
                lines[last].push(' ');
            }
            lines[last].push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_break_between_words() {
        assert_eq!(super::wrapped("one two  three", 7), ["one two", "three"]);
        assert_eq!(super::wrapped("incomprehensible one", 7), ["incomprehensible", "one"]);
        assert_eq!(super::wrapped("", 7), [""]);
    }
}
