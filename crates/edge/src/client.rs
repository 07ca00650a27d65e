//! The command line's side of the admin socket: one GET, bounded in time and size.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// How long the daemon may take to answer.
const ANSWER_SECONDS_MAX: u64 = 10;
/// Longest body taken, in bytes: the status of some 100,000 certificates.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Why the daemon did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminClientError {
    /// No socket file, or nobody listens on it.
    #[error("certfleet is not running on this machine (nobody listens on {}); start it with `certfleet run`", .socket.display())]
    NotRunning {
        /// The admin socket.
        socket: PathBuf,
    },
    /// The file's mode forbids it.
    #[error("you may not open {}; run this as root or as the user of `certfleet run`, or set `admin.group` to a group of yours", .socket.display())]
    Forbidden {
        /// The admin socket.
        socket: PathBuf,
    },
    /// No answer in time.
    #[error("certfleet did not answer on {} within 10 s; its log says what it is doing", .socket.display())]
    TimedOut {
        /// The admin socket.
        socket: PathBuf,
    },
    /// Something answered, but not as the daemon does.
    #[error("the answer on {} cannot be used: {problem}; is it the admin socket of `certfleet run`?", .socket.display())]
    Unusable {
        /// The admin socket.
        socket: PathBuf,
        /// What was wrong.
        problem: String,
    },
}

/// GETs `path` (for example `/status`) from the daemon; gives the HTTP status and the body.
pub async fn admin_get(socket: &Path, path: &str) -> Result<(u16, String), AdminClientError> {
    let limit = Duration::from_secs(ANSWER_SECONDS_MAX);
    match timeout(limit, get(socket, path)).await {
        Ok(answer) => answer,
        Err(_) => Err(AdminClientError::TimedOut { socket: socket.to_owned() }),
    }
}

async fn get(socket: &Path, path: &str) -> Result<(u16, String), AdminClientError> {
    let unusable = |problem: String| AdminClientError::Unusable { socket: socket.to_owned(), problem };
    let request = Request::get(path).header(HOST, "localhost").body(Empty::<Bytes>::new()).map_err(|e| unusable(e.to_string()))?;
    let stream = UnixStream::connect(socket).await.map_err(|e| no_connection(socket, &e))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| unusable(e.to_string()))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|e| unusable(e.to_string()))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await.map_err(|e| unusable(body_problem(&*e)))?;
        let body = String::from_utf8(body.to_bytes().into()).map_err(|_| unusable("it is not UTF-8".to_owned()))?;
        Ok((status, body))
    };
    // The connection only moves bytes for `answer`; when it ends first its error reaches `answer` too.
    let (answer, _) = tokio::join!(answer, connection);
    answer
}

fn no_connection(socket: &Path, error: &io::Error) -> AdminClientError {
    let socket = socket.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AdminClientError::NotRunning { socket },
        io::ErrorKind::PermissionDenied => AdminClientError::Forbidden { socket },
        _ => AdminClientError::Unusable { socket, problem: error.to_string() },
    }
}

fn body_problem(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    if error.is::<LengthLimitError>() { format!("it is longer than {BODY_BYTES_MAX} bytes") } else { error.to_string() }
}
