//! One connection's life: a handshake, then question after question.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use certfleet_core::trust::VerifyingKey;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::accept::Greeting;
use super::reply::ReplyBody;
use super::{MemberLimits, MemberReply, MemberRequest, MemberService, tls};
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX};
use crate::serve::told;

/// What all connections share.
pub(super) struct Hall {
    pub(super) tls: Arc<ServerConfig>,
    pub(super) protocol: &'static [u8],
    pub(super) service: Arc<dyn MemberService>,
    pub(super) limits: MemberLimits,
}

pub(super) async fn talk<S>(stream: S, hall: Arc<Hall>, greet: mpsc::Sender<Greeting>, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = hall.limits;
    let Ok(Ok(stream)) = timeout(limits.handshake_time_max, TlsAcceptor::from(hall.tls.clone()).accept(stream)).await else { return };
    let Some(peer) = tls::peer(stream.get_ref().1, hall.protocol) else { return };
    let is_member = hall.service.knows(&peer);
    if is_member && greet.send(Greeting { task: tokio::task::id(), key: peer }).await.is_err() {
        return;
    }
    let service = service_fn(|request| Box::pin(answer(hall.clone(), peer, request)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(if is_member { limits.idle_time_max } else { limits.strangers.head_time_max })
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        () = hall.service.parted(&peer), if is_member => {}
        () = tokio::time::sleep(limits.strangers.connection_time_max), if !is_member => {}
        () = told(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

async fn answer(hall: Arc<Hall>, peer: VerifyingKey, request: Request<Incoming>) -> Result<Response<ReplyBody>, Infallible> {
    let (is_post, path) = (request.method() == Method::POST, request.uri().path().to_owned());
    let reply = match read(request.into_body(), &hall.limits).await {
        Ok(body) => hall.service.reply(peer, MemberRequest { is_post, path, body }).await,
        Err((status, why)) => MemberReply::Whole(status, format!("{{\"reason\":\"{why}\"}}\n").into()),
    };
    Ok(reply.into_response())
}

async fn read(body: Incoming, limits: &MemberLimits) -> Result<Bytes, (u16, &'static str)> {
    let read = timeout(limits.body_time_max, Limited::new(body, limits.body_bytes_max).collect()).await;
    match read {
        Err(_) => Err((408, "the question did not arrive in time")),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err((413, "the question is too long")),
        Ok(Err(_)) => Err((400, "the question was cut off")),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}
