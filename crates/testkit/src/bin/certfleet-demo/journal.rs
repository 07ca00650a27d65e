//! What the daemons write into their logs, as it is written, and what the visitor sees: one stream of news.

use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;

/// How often the logs are looked at, in milliseconds.
const LOOK_MS: u64 = 5;
/// How much of a log is read at once, in bytes.
const PIECE_BYTES_MAX: u64 = 64 * 1024;
/// How many news may wait.
const QUEUE: usize = 1024;

/// Something happened at a node.
#[derive(Debug, Clone)]
pub struct News {
    /// The node's index.
    pub node: usize,
    /// What, in the log's own word.
    pub event: String,
    fields: Value,
}

impl News {
    /// The visitor got an answer from the web server of `node` that shows a certificate not seen there before.
    pub fn sighting(node: usize, serial: &str) -> Self {
        Self { node, event: "sighted".into(), fields: serde_json::json!({ "serial": serial }) }
    }

    /// A line of the log of `node`.
    fn of_line(node: usize, line: &str) -> Self {
        let fields = serde_json::from_str(line).unwrap_or_else(|_| serde_json::json!({ "message": line, "level": "ERROR" }));
        let event = fields["event"].as_str().unwrap_or("-").to_owned();
        Self { node, event, fields }
    }

    /// A field that is text; empty if there is none.
    pub fn text(&self, field: &str) -> &str {
        self.fields[field].as_str().unwrap_or_default()
    }

    /// A field that is a number; 0 if there is none.
    pub fn number(&self, field: &str) -> u64 {
        self.fields[field].as_u64().unwrap_or_default()
    }

    /// Whether the daemon itself finds that something is wrong.
    pub fn is_bad(&self) -> bool {
        matches!(self.text("level"), "WARN" | "ERROR")
    }

    /// All that the line says.
    pub fn line(&self) -> String {
        let words =
            self.fields.as_object().into_iter().flatten().filter(|(key, _)| !matches!(key.as_str(), "timestamp" | "level" | "event"));
        words
            .map(|(key, value)| format!("{key}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// The news.
#[derive(Debug)]
pub struct Journal {
    sender: mpsc::Sender<News>,
    news: mpsc::Receiver<News>,
    tails: Vec<tokio::task::JoinHandle<()>>,
}

impl Journal {
    /// Follows these logs, from their beginning, whether they are there already or not.
    pub fn follow(logs: Vec<PathBuf>) -> Self {
        let (sender, news) = mpsc::channel(QUEUE);
        let tails = logs.into_iter().enumerate().map(|(node, log)| tokio::spawn(tail(node, log, sender.clone()))).collect();
        Self { sender, news, tails }
    }

    /// For those who have news of their own.
    pub fn sender(&self) -> mpsc::Sender<News> {
        self.sender.clone()
    }

    /// The next news; none within `limit`.
    pub async fn next(&mut self, limit: Duration) -> Option<News> {
        tokio::time::timeout(limit, self.news.recv()).await.ok().flatten()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.tails.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn tail(node: usize, log: PathBuf, news: mpsc::Sender<News>) {
    let (mut at, mut rest) = (0, String::new());
    loop {
        if let Some(piece) = piece(&log, at) {
            at += piece.len() as u64;
            rest.push_str(&String::from_utf8_lossy(&piece));
        }
        while let Some((line, after)) = rest.split_once('\n') {
            let told = News::of_line(node, line);
            rest = after.to_owned();
            if news.send(told).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

/// What stands in the log from `at` on.
fn piece(log: &PathBuf, at: u64) -> Option<Vec<u8>> {
    let mut file = std::fs::File::open(log).ok()?;
    file.seek(SeekFrom::Start(at)).ok()?;
    let mut piece = Vec::new();
    file.take(PIECE_BYTES_MAX).read_to_end(&mut piece).ok()?;
    Some(piece)
}
