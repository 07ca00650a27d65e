//! The nodes' logs, read as they grow.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::Value;

/// One node's log.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    read_bytes: u64,
    /// All that was told so far about events that the reader wanted.
    pub told: Vec<Value>,
}

impl Journal {
    /// Of a file that may not be there yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, read_bytes: 0, told: Vec::new() }
    }

    /// Reads on; keeps the lines about these events.
    pub fn read_on(&mut self, events: &[&str]) {
        let Ok(mut file) = File::open(&self.path) else { return };
        let mut text = String::new();
        let read = file.seek(SeekFrom::Start(self.read_bytes)).and_then(|_| file.read_to_string(&mut text));
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if read.is_err() {
            return;
        }
        self.read_bytes += whole as u64;
        let lines = text[..whole].lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        self.told.extend(lines.filter(|line| line["event"].as_str().is_some_and(|event| events.contains(&event))));
    }

    /// The first line about `event` for which `field` is `number`.
    pub fn find(&self, event: &str, field: &str, number: u64) -> Option<&Value> {
        self.told.iter().find(|line| line["event"] == event && line[field] == number)
    }
}

/// When a line was written, in milliseconds since the epoch.
pub fn at_ms(line: &Value) -> i64 {
    let stamp: Option<Timestamp> = line["timestamp"].as_str().and_then(|text| text.parse().ok());
    stamp.expect("every line has a time stamp").as_millisecond()
}
