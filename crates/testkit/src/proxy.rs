//! A TCP proxy that goes wrong when it is told to: answers that never come, questions that never arrive, a server that is away or hangs.
//!
//! It knows no protocol: an answer is what the server sends after the client sent something.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What is read at once, in bytes.
const BUFFER_BYTES: usize = 64 << 10;

/// What a proxy does with what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Passes it on.
    Pass,
    /// Passes the next question on, drops the answer and the connection, and then passes again.
    LoseAnswer,
    /// Drops the next question and the connection, and then passes again.
    LoseQuestion,
    /// Passes questions on and drops all answers, until the mode changes. What is dropped is missing: cut the connection then.
    LoseAnswers,
    /// Drops all questions, until the mode changes; as above.
    LoseQuestions,
    /// Cuts all connections, and each new one at once.
    Away,
    /// Takes what comes and keeps it until the mode changes.
    Hang,
}

/// A proxy on a loopback port of its own, gone when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mode: Arc<watch::Sender<Mode>>,
    cuts: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens, and connects to `server` for each connection.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let mode = Arc::new(watch::Sender::new(Mode::Pass));
        let cuts = watch::Sender::new(0);
        let accepting = tokio::spawn(accept(listener, server, mode.clone(), cuts.subscribe()));
        Ok(Self { address, mode, cuts, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on. What connections that are there have not passed on yet is dealt with so, too.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Ends the connections that are there.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Passes again, on new connections. In this order: one that is made in between is in want of an answer, and not cut.
    pub fn heal(&self) {
        self.cut();
        self.set(Mode::Pass);
    }

    /// What it does now; [`Mode::Pass`] again after a loss.
    pub fn mode(&self) -> Mode {
        *self.mode.borrow()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.mode.send_replace(Mode::Away);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, mode: Arc<watch::Sender<Mode>>, cuts: watch::Receiver<u64>) {
    while let Ok((client, _)) = listener.accept().await {
        if *mode.borrow() == Mode::Away {
            continue;
        }
        let (mode, mut cuts) = (mode.clone(), cuts.clone());
        cuts.mark_unchanged();
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(server).await else { return };
            tokio::select! {
                () = pass(client, server, &mode) => {}
                _ = cuts.changed() => {}
            }
        });
    }
}

/// One connection, until either side ends it or a fault does.
async fn pass(client: TcpStream, server: TcpStream, mode: &watch::Sender<Mode>) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let asked = AtomicBool::new(false);
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let mut modes = mode.subscribe();
    tokio::select! {
        () = pump(from_client, to_server, mode, Mode::LoseQuestions, |mode| match mode {
            Mode::LoseQuestion => false,
            _ => {
                asked.fetch_or(mode == Mode::LoseAnswer, Ordering::SeqCst);
                true
            }
        }) => {}
        () = pump(from_server, to_client, mode, Mode::LoseAnswers, |mode| mode != Mode::LoseAnswer || !asked.load(Ordering::SeqCst)) => {}
        _ = modes.wait_for(|mode| *mode == Mode::Away) => {}
    }
}

/// One direction; drops what comes while the mode is `dropping`. Ends when `passes` says no, and the fault is done then.
async fn pump(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mode: &watch::Sender<Mode>,
    dropping: Mode,
    passes: impl Fn(Mode) -> bool,
) {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut modes = mode.subscribe();
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let Ok(now) = modes.wait_for(|mode| *mode != Mode::Hang).await.map(|mode| *mode) else { return };
        if now == dropping {
            continue;
        }
        if !passes(now) {
            mode.send_if_modified(|mode| {
                *mode == now && {
                    *mode = Mode::Pass;
                    true
                }
            });
            return;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that says everything back; the test's end ends it.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn said(stream: &mut TcpStream, text: &[u8]) -> Vec<u8> {
        stream.write_all(text).await.expect("sent");
        let mut answer = vec![0; text.len()];
        let length = stream.read(&mut answer).await.unwrap_or(0);
        answer.truncate(length);
        answer
    }

    #[tokio::test]
    async fn it_passes_and_loses_as_told() {
        let proxy = Proxy::start(echo().await).await.expect("started");
        for mode in [Mode::LoseAnswer, Mode::LoseQuestion] {
            let mut stream = TcpStream::connect(proxy.address()).await.expect("connected");
            assert_eq!(said(&mut stream, b"one").await, b"one");
            proxy.set(mode);
            assert_eq!(said(&mut stream, b"two").await, b"", "{mode:?}");
            assert_eq!(proxy.mode(), Mode::Pass);
        }
        for mode in [Mode::LoseAnswers, Mode::LoseQuestions] {
            let mut stream = TcpStream::connect(proxy.address()).await.expect("connected");
            proxy.set(mode);
            let silent = tokio::time::timeout(std::time::Duration::from_millis(50), said(&mut stream, b"two")).await;
            assert!(silent.is_err() && proxy.mode() == mode, "{mode:?}");
            proxy.heal();
            assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0, "{mode:?}");
        }
        let mut stream = TcpStream::connect(proxy.address()).await.expect("connected");
        proxy.set(Mode::Hang);
        stream.write_all(b"three").await.expect("sent");
        let mut answer = [0; 5];
        assert!(tokio::time::timeout(std::time::Duration::from_millis(50), stream.read_exact(&mut answer)).await.is_err());
        proxy.set(Mode::Pass);
        stream.read_exact(&mut answer).await.expect("answered");
        proxy.set(Mode::Away);
        assert_eq!(stream.read(&mut answer).await.unwrap_or(0), 0);
        let mut refused = TcpStream::connect(proxy.address()).await.expect("the kernel takes it");
        assert_eq!(refused.read(&mut answer).await.unwrap_or(0), 0);
    }
}
