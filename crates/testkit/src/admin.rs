//! What a daemon tells on its admin socket: here, its metrics.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Longest answer that is read, in bytes: ten thousand certificates on ten nodes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How long it may take.
const ANSWER_SECONDS_MAX: u64 = 5;

/// All metrics, as text.
pub async fn metrics(socket: &Path) -> io::Result<String> {
    let told = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: certfleet\r\nConnection: close\r\n\r\n").await?;
        let mut text = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut text).await?;
        Ok(text)
    };
    tokio::time::timeout(Duration::from_secs(ANSWER_SECONDS_MAX), told).await?
}

/// The sum of a counter's values over all of its label sets that have `label` in them.
pub fn sum(metrics: &str, counter: &str, label: &str) -> u64 {
    let of_it = |line: &&str| line.strip_prefix(counter).is_some_and(|rest| rest.starts_with('{') && rest.contains(label));
    metrics.lines().filter(of_it).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_has_the_label_is_added_up_and_nothing_else() {
        let metrics = "asked_total{outcome=\"redirect\"} 7\nasked_total{outcome=\"challenge\"} 3\nasked_created 5\nasked_total_more{a=\"challenge\"} 9\n";
        let sum = |label| super::sum(metrics, "asked_total", label);
        assert_eq!((sum("\"challenge\""), sum(""), super::sum("", "asked_total", "")), (3, 10, 0));
    }
}
