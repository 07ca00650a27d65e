//! Answers http-01 statelessly, by the name asked for, on several addresses.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use certfleet_acme::solvers::Http01;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

type Thumbprints = Arc<Mutex<BTreeMap<String, String>>>;

#[derive(Debug)]
pub struct Responder {
    thumbprints: Thumbprints,
}

impl Responder {
    /// Listens until the test's run time ends.
    pub async fn start(addresses: &[Ipv4Addr], port: u16) -> Self {
        let thumbprints = Thumbprints::default();
        for address in addresses {
            let listener = TcpListener::bind((*address, port)).await.expect("the responder's address is free");
            tokio::spawn(serve(listener, Arc::clone(&thumbprints)));
        }
        Self { thumbprints }
    }

    pub fn answer(&self, name: &str, thumbprint: &str) {
        self.thumbprints.lock().expect("no panic").insert(name.to_owned(), thumbprint.to_owned());
    }
}

async fn serve(listener: TcpListener, thumbprints: Thumbprints) {
    while let Ok((stream, _)) = listener.accept().await {
        let thumbprints = Arc::clone(&thumbprints);
        tokio::spawn(async move { answer(stream, &thumbprints).await });
    }
}

async fn answer(mut stream: TcpStream, thumbprints: &Thumbprints) -> std::io::Result<()> {
    let (mut path, mut host) = (String::new(), String::new());
    let mut lines = BufReader::new(&mut stream).lines();
    while let Some(line) = lines.next_line().await?.filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("GET ") {
            path = rest.split(' ').next().unwrap_or_default().to_owned();
        } else if let Some(value) = line.to_ascii_lowercase().strip_prefix("host:") {
            host = value.trim().split(':').next().unwrap_or_default().to_owned();
        }
    }
    let thumbprint = thumbprints.lock().expect("no panic").get(&host).cloned();
    let answer = Http01::token_of(&path).zip(thumbprint).and_then(|(token, thumbprint)| Http01::key_authorization(token, &thumbprint));
    let (status, body) = answer.map_or(("404 Not Found", String::new()), |body| ("200 OK", body));
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).await
}
