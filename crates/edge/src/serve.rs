//! The accept loop and one connection's life: one request, one reply, close (hyper's HTTP/1 does the parsing).
//!
//! Always holds: a listener never waits for a client (each has its own task, and the oldest goes when there are too many); an `accept` that
//! fails does not spin; a stopped listener is gone within [`STOP_MS_MAX`]. No request body is read by the application.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use crate::address::ListenAddress;
use crate::bind::{Bound, Socket, SocketFile};
use crate::crowd::{Crowd, Peer};
use crate::limits::{ACCEPT_REST_MS, ACCOUNT_LOOK_MS, HEAD_BYTES_MAX, HEADERS_MAX, LINGER_BYTES_MAX, LINGER_MS_MAX, Limits, STOP_MS_MAX};

/// What a listener says to its clients.
pub(crate) trait Site: Send + Sync + 'static {
    /// Whether the reply would be another one if it were asked for a moment later. Must not block.
    fn is_early(&self, _request: &Request<Incoming>) -> bool {
        false
    }
    /// The reply to a well-formed request. Must not block.
    fn reply(&self, request: &Request<Incoming>) -> Response<Full<Bytes>>;
    /// A connection ended without a reply from [`Site::reply`].
    fn lost(&self, _why: Lost) {}
}

/// Why a connection ended without a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// What came was not HTTP, or its head was too long.
    Malformed,
    /// The request did not arrive in time.
    TooSlow,
    /// It was the oldest, and a newcomer needed the room.
    PushedOut,
}

/// A running listener. Dropping it stops it at once.
#[derive(Debug)]
pub struct ListenerHandle {
    address: ListenAddress,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    _file: Option<SocketFile>,
}

impl ListenerHandle {
    pub(crate) fn new(address: ListenAddress, stop: watch::Sender<bool>, task: JoinHandle<()>, file: Option<SocketFile>) -> Self {
        Self { address, stop, task, _file: file }
    }

    /// Where it listens, with the port that the system chose if none was given.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// Takes no new clients, lets requests in progress finish for 300 ms at most, and returns when all is closed.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        let _ = (&mut self.task).await;
    }
}

impl Drop for ListenerHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts to serve `site` on a bound socket.
pub(crate) fn serve(bound: Bound, site: Arc<dyn Site>, limits: Limits) -> ListenerHandle {
    let (stop, stopped) = watch::channel(false);
    let Bound { address, socket, file } = bound;
    let accepting = Accepting { site, limits, stopped, crowd: Crowd::new(limits), tasks: JoinSet::new(), is_starved: false };
    let task = tokio::spawn(accepting.run(socket, address.to_string()));
    ListenerHandle::new(address, stop, task, file)
}

struct Accepting {
    site: Arc<dyn Site>,
    limits: Limits,
    stopped: watch::Receiver<bool>,
    crowd: Crowd<Id, AbortHandle>,
    tasks: JoinSet<()>,
    is_starved: bool,
}

impl Accepting {
    async fn run(mut self, socket: Socket, address: String) {
        let mut stopped = self.stopped.clone();
        loop {
            tokio::select! {
                biased;
                () = told(&mut stopped) => break,
                Some(ended) = self.tasks.join_next_with_id() => drop(self.crowd.remove(ended.map_or_else(|e| e.id(), |(id, ())| id))),
                accepted = accept(&socket) => match accepted {
                    Ok(client) => self.take_in(client),
                    Err(error) => self.rest_after(&error, &address).await,
                },
            }
        }
        drop(socket);
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(Duration::from_millis(STOP_MS_MAX), all_ended).await.is_err() {
            self.tasks.shutdown().await;
        }
    }

    fn take_in(&mut self, (client, peer): (Client, Peer)) {
        self.is_starved = false;
        if let Some(oldest) = self.crowd.make_room(peer) {
            oldest.abort();
            self.site.lost(Lost::PushedOut);
        }
        let (site, limits, stopped) = (self.site.clone(), self.limits, self.stopped.clone());
        let task = match client {
            Client::Tcp(stream) => self.tasks.spawn(talk(stream, site, limits, stopped)),
            Client::Unix(stream) => self.tasks.spawn(talk(stream, site, limits, stopped)),
        };
        self.crowd.add(task.id(), peer, task);
    }

    /// Errors of the one connection (accept(2)) are passed over. When descriptors or memory have run out the oldest connection is closed, and
    /// `accept` rests, since it would fail again at once and for ever.
    async fn rest_after(&mut self, error: &io::Error, address: &str) {
        if is_of_the_client(error) {
            return;
        }
        if !self.is_starved {
            tracing::warn!(%address, %error, "connections cannot be accepted for now; old ones are closed to make room");
            self.is_starved = true;
        }
        if let Some(oldest) = self.crowd.take_oldest() {
            oldest.abort();
            self.site.lost(Lost::PushedOut);
        }
        sleep(Duration::from_millis(ACCEPT_REST_MS)).await;
    }
}

pub(crate) enum Client {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

pub(crate) async fn accept(socket: &Socket) -> io::Result<(Client, Peer)> {
    match socket {
        Socket::Tcp(listener) => listener.accept().await.map(|(stream, from)| (Client::Tcp(stream), Peer::of(from.ip()))),
        Socket::Unix(listener) => listener.accept().await.map(|(stream, _)| (Client::Unix(stream), Peer::Local)),
    }
}

/// Whether the error is one of a single connection (accept(2)), which the next one will not have.
pub(crate) fn is_of_the_client(error: &io::Error) -> bool {
    let passing = [
        Errno::CONNABORTED,
        Errno::CONNRESET,
        Errno::INTR,
        Errno::PERM,
        Errno::PROTO,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NOPROTOOPT,
        Errno::OPNOTSUPP,
        Errno::TIMEDOUT,
    ];
    Errno::from_io_error(error).is_some_and(|errno| passing.contains(&errno))
}

pub(crate) async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    site: Arc<dyn Site>,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) {
    let service = service_fn(|request| Box::pin(reply(site.clone(), request, limits.account_wait_max)));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time_max)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let one_request = async {
        let ended = tokio::select! {
            ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => ended,
            () = told(&mut stopped) => {
                std::pin::Pin::new(&mut connection).graceful_shutdown();
                poll_fn(|cx| connection.poll_without_shutdown(cx)).await
            }
        };
        if let Some(why) = ended.err().and_then(|e| loss(&e)) {
            site.lost(why);
        }
        tokio::select! {
            () = linger(connection.into_parts().io.into_inner()) => {}
            () = told(&mut stopped) => {}
        }
    };
    if timeout(limits.connection_time_max, one_request).await.is_err() {
        site.lost(Lost::TooSlow);
    }
}

/// The reply; one that will be another soon is waited for.
async fn reply(site: Arc<dyn Site>, request: Request<Incoming>, wait_max: Duration) -> Result<Response<Full<Bytes>>, Infallible> {
    let end = Instant::now() + wait_max;
    while site.is_early(&request) && Instant::now() < end {
        sleep(Duration::from_millis(ACCOUNT_LOOK_MS)).await;
    }
    Ok(site.reply(&request))
}

/// Waits until the listener is told to stop (or its handle is gone).
pub(crate) async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

fn loss(error: &hyper::Error) -> Option<Lost> {
    if error.is_timeout() {
        return Some(Lost::TooSlow);
    }
    error.is_parse().then_some(Lost::Malformed)
}

/// Closing with unread bytes makes the kernel send a reset, which can overtake the reply. So: no more from us, then read what the client
/// still sends, within bounds.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let read_on = async {
        let (mut waste, mut total) = ([0; 1024], 0);
        while total < LINGER_BYTES_MAX {
            match stream.read(&mut waste).await {
                Ok(0) | Err(_) => break,
                Ok(n) => total += n,
            }
        }
    };
    let _ = timeout(Duration::from_millis(LINGER_MS_MAX), read_on).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_descriptors_is_not_the_clients_fault() {
        let of_the_client = |errno: Errno| is_of_the_client(&errno.into());
        assert!(of_the_client(Errno::CONNABORTED));
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::INVAL] {
            assert!(!of_the_client(errno), "{errno}");
        }
    }
}
