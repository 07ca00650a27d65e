//! An HTTP/1.1 server that answers each path with what it was told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub struct Server {
    address: std::net::SocketAddr,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct State {
    answers: BTreeMap<String, String>,
    requests: Vec<String>,
    agents: Vec<String>,
    connections: usize,
    silent: bool,
}

impl Server {
    /// Has a directory and one nonce to give, and knows nothing else.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let (address, state) = (listener.local_addr().expect("address"), Arc::<Mutex<State>>::default());
        let task = tokio::spawn(serve(listener, Arc::clone(&state)));
        let server = Self { address, state, task };
        let [nonce, account, order, key] = ["new-nonce", "new-account", "new-order", "key-change"].map(|path| server.url(path));
        let directory = format!(r#"{{"newNonce":"{nonce}","newAccount":"{account}","newOrder":"{order}","keyChange":"{key}"}}"#);
        server.answer("/directory", "200 OK", "Date: Fri, 31 Dec 1999 23:59:00 GMT\r\n", &directory);
        server.answer("/new-nonce", "200 OK", "Replay-Nonce: first\r\n", "");
        server
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub fn answer(&self, path: &str, status: &str, headers: &str, body: &str) {
        let answer = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
        self.state().answers.insert(path.to_owned(), answer);
    }

    pub fn stay_silent(&self) {
        self.state().silent = true;
    }

    pub fn stop(&self) {
        self.task.abort();
    }

    pub fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    pub fn agents(&self) -> Vec<String> {
        self.state().agents.clone()
    }

    pub fn connections(&self) -> usize {
        self.state().connections
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        state.lock().expect("no panic").connections += 1;
        connections.spawn(async move {
            let _ = talk(stream, &state).await;
            state.lock().expect("no panic").connections -= 1;
        });
    }
}

async fn talk(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let request = line.rsplit_once(' ').map(|(request, _)| request.to_owned()).unwrap_or_default();
        let (agent, body_bytes) = headers(&mut stream).await?;
        stream.read_exact(&mut vec![0; body_bytes]).await?;
        let Some(answer) = record(state, request, agent) else { return std::future::pending().await };
        stream.write_all(answer.as_bytes()).await?;
    }
}

fn record(state: &Mutex<State>, request: String, agent: String) -> Option<String> {
    let mut state = state.lock().expect("no panic");
    let path = request.split(' ').nth(1).unwrap_or_default();
    let answer = state.answers.get(path).cloned().unwrap_or_else(|| "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned());
    state.requests.push(request);
    state.agents.push(agent);
    (!state.silent).then_some(answer)
}

/// The user agent and the length of the body.
async fn headers(stream: &mut BufReader<TcpStream>) -> std::io::Result<(String, usize)> {
    let (mut agent, mut body_bytes) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok((agent, body_bytes)) };
        match name.to_ascii_lowercase().as_str() {
            "user-agent" => agent = value.trim().to_owned(),
            "content-length" => body_bytes = value.trim().parse().expect("a length"),
            _ => {}
        }
    }
}
