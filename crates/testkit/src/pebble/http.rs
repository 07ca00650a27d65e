//! One request, one answer, to servers of this very test.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// How long an answer may take.
const ANSWER_SECONDS_MAX: u64 = 10;

/// GET; with a root for `https://` addresses.
pub(crate) async fn get(url: &str, root_pem: Option<&str>) -> io::Result<String> {
    send(Method::GET, url, None, Bytes::new(), root_pem).await
}

/// POST without TLS.
pub(crate) async fn post(url: &str, body: &str) -> io::Result<String> {
    send(Method::POST, url, None, body.to_owned(), None).await
}

/// Any method; the answer's body if it is a success.
pub(crate) async fn send(
    method: Method,
    url: &str,
    authorization: Option<&str>,
    body: impl Into<Bytes>,
    root_pem: Option<&str>,
) -> io::Result<String> {
    let mut request = Request::builder().method(method).uri(url);
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let request = request.body(Full::new(body.into()));
    let request = request.map_err(io::Error::other)?;
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls(root_pem)?).https_or_http().enable_http1().build();
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let answer = async {
        let response = client.request(request).await.map_err(io::Error::other)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        if status.is_success() { Ok(text) } else { Err(io::Error::other(format!("{url}: {status}: {text}"))) }
    };
    tokio::time::timeout(Duration::from_secs(ANSWER_SECONDS_MAX), answer).await?
}

fn tls(root_pem: Option<&str>) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if let Some(pem) = root_pem {
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(io::Error::other)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
