//! The challenge listener without a socket, for the fuzzing workspace alone (`--cfg fuzzing`).

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::sync::watch;

use crate::answers::AnswerTable;
use crate::challenges::{Answered, Challenges, EdgeEvents};
use crate::limits::Limits;
use crate::serve::talk;

/// How often each side gets a turn before the client hangs up: enough for a request that is whole to be answered.
const TURNS: usize = 32;
/// Most that a client is told, in bytes.
const REPLY_BYTES_MAX: usize = 64 * 1024;

struct Nobody;

impl EdgeEvents for Nobody {
    fn answered(&self, _: &str, _: Answered) {}
}

/// What a client gets that sends these bytes and no more.
pub async fn connection(table: AnswerTable, bytes: &[u8]) -> Vec<u8> {
    // Whatever is sent fits, so that nobody waits for anybody.
    let (ours, mut theirs) = duplex(bytes.len().max(REPLY_BYTES_MAX) + 1);
    let (_stop, stopped) = watch::channel(false);
    let site = Arc::new(Challenges { table, events: Arc::new(Nobody) });
    let client = async {
        let mut reply = Vec::new();
        let _ = theirs.write_all(bytes).await;
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        let _ = theirs.shutdown().await;
        let _ = theirs.read_to_end(&mut reply).await;
        reply
    };
    tokio::join!(talk(ours, site, Limits::default(), stopped), client).1
}
