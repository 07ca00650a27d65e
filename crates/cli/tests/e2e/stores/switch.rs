//! One address for several servers: what is behind it can be exchanged, or taken away.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A switch, gone when it is dropped.
pub struct Switch {
    address: SocketAddr,
    server: watch::Sender<Option<SocketAddr>>,
    accepting: JoinHandle<()>,
}

impl Switch {
    /// Passes everything on to `server`.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = watch::Sender::new(Some(server));
        let accepting = tokio::spawn(accept(listener, server.subscribe()));
        Self { address, server, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on; connections to what was behind it end. With nothing behind it, each ends at once.
    pub fn set(&self, server: Option<SocketAddr>) {
        self.server.send_replace(server);
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: watch::Receiver<Option<SocketAddr>>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let mut server = server.clone();
        let Some(behind) = *server.borrow_and_update() else { continue };
        tokio::spawn(async move {
            let Ok(mut behind) = TcpStream::connect(behind).await else { return };
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut client, &mut behind) => {}
                _ = server.changed() => {}
            }
        });
    }
}
