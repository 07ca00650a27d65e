//! An answer's body as it comes: whole, or line by line; bounded in length and in silence.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

/// Where a body ends too early, or never.
pub(super) type Broken = String;

/// A body that comes in lines.
pub(super) struct Lines {
    body: Incoming,
    rest: BytesMut,
    line_bytes_max: usize,
    silence_max: Duration,
}

impl Lines {
    pub(super) fn new(body: Incoming, line_bytes_max: usize, silence_max: Duration) -> Self {
        Self { body, rest: BytesMut::new(), line_bytes_max, silence_max }
    }

    /// The next line without its end; `None` at the end of the body.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        let mut looked_at = 0;
        loop {
            if let Some(length) = self.rest[looked_at..].iter().position(|byte| *byte == b'\n') {
                let line = self.rest.split_to(looked_at + length + 1).freeze();
                return Ok(Some(line.slice(..line.len() - 1)));
            }
            looked_at = self.rest.len();
            if looked_at > self.line_bytes_max {
                return Err(format!("a line of more than {} bytes", self.line_bytes_max));
            }
            match frame(&mut self.body, self.silence_max).await? {
                Some(bytes) => self.rest.extend_from_slice(&bytes),
                None if self.rest.is_empty() => return Ok(None),
                None => return Err("it was cut off".into()),
            }
        }
    }
}

/// All of a body.
pub(super) async fn whole(mut body: Incoming, bytes_max: usize, silence_max: Duration) -> Result<Bytes, Broken> {
    let mut all = BytesMut::new();
    while let Some(bytes) = frame(&mut body, silence_max).await? {
        all.extend_from_slice(&bytes);
        if all.len() > bytes_max {
            return Err(format!("it is longer than {bytes_max} bytes"));
        }
    }
    Ok(all.freeze())
}

async fn frame(body: &mut Incoming, silence_max: Duration) -> Result<Option<Bytes>, Broken> {
    loop {
        let frame = timeout(silence_max, body.frame()).await.map_err(|_| format!("nothing came for {} s", silence_max.as_secs()))?;
        match frame {
            None => return Ok(None),
            Some(Err(error)) => return Err(error.to_string()),
            // Trailers are not ours.
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(_) => continue,
            },
        }
    }
}
