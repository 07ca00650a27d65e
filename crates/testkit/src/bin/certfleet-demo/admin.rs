//! What a daemon tells on its admin socket: here, its metrics.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;
/// How long it may take.
const ANSWER_SECONDS_MAX: u64 = 5;
/// Counts requests on the challenge listener, by how they ended.
const CHALLENGES: &str = "certfleet_challenge_requests_total{";

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

/// How many questions of a CA were answered.
pub fn challenges_answered(metrics: &str) -> u64 {
    let answered = metrics.lines().filter(|line| line.starts_with(CHALLENGES) && line.contains("\"challenge\""));
    answered.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn answered_challenges_are_counted_and_nothing_else() {
        let metrics = "certfleet_challenge_requests_total{outcome=\"redirect\"} 7\ncertfleet_challenge_requests_total{outcome=\"challenge\"} 3\n\
                       certfleet_challenge_requests_created 5\n";
        assert_eq!((super::challenges_answered(metrics), super::challenges_answered("")), (3, 0));
    }
}
