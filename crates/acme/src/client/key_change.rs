//! keyChange (RFC 8555 section 7.3.5) to a key that exists already. The ACME library would draw the key itself and show it only after the CA
//! took it: a crash in between would lose the account.
//!
//! Deliberately not here: whether the change is still needed.

use bytes::Bytes;
use certfleet_core::ca::{CaError, Problem};
use http::{Method, Request, StatusCode, Uri, header};
use instant_acme::BodyWrapper;
use serde::Deserialize;
use serde_json::json;

use super::answer::Answer;
use super::call::NONCE_ROUNDS_MAX;
use super::directory::Directory;
use super::jws::Signer;
use super::transport::{REPLAY_NONCE, Transport};
use crate::authority::AccountRef;
use crate::keys::AccountKey;

/// With how many nonces the message is sent while the CA rejects them: as many as any other message gets, where the library takes three in
/// each round.
const NONCES_MAX: usize = 3 * NONCE_ROUNDS_MAX;

/// What of the directory is needed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resources {
    new_nonce: String,
    key_change: Option<String>,
}

/// Asks the CA to take `new` as the account's key, in place of the one that `account` has.
pub(super) async fn send(transport: &Transport, directory: &Directory, account: &AccountRef, new: &AccountKey) -> Result<(), CaError> {
    let document = directory.document(transport).await?;
    let resources: Resources = serde_json::from_slice(&document).map_err(|e| CaError::Malformed(format!("the CA's directory: {e}")))?;
    let Some(url) = resources.key_change else {
        return Err(CaError::Malformed("its directory has no `keyChange`: this CA keeps an account's key for good".into()));
    };
    let (old, new) = (Signer::new(&account.key)?, Signer::new(new)?);
    let change = json!({ "account": account.url, "oldKey": old.jwk() });
    let inner = new.sign(json!({ "jwk": new.jwk(), "url": url }), &change)?;
    let mut rejected = Answer::default();
    for _ in 0..NONCES_MAX {
        let nonce = nonce(transport, &resources.new_nonce).await?;
        let outer = old.sign(json!({ "kid": account.url, "nonce": nonce, "url": url }), &inner)?;
        let answer = transport.send(post(&url, &outer.to_string())?).await?;
        match refusal(&answer) {
            Some(CaError::Refused(problem)) if problem.kind == "badNonce" => rejected = answer,
            Some(failure) => return Err(failure),
            None => return Ok(()),
        }
    }
    Err(refusal(&rejected).unwrap_or_else(|| CaError::Malformed("every nonce is rejected".into())))
}

/// After a rejected nonce, the one that came with the rejection.
async fn nonce(transport: &Transport, url: &str) -> Result<String, CaError> {
    let answer = transport.nonce(request(Method::HEAD, url, BodyWrapper::default())?).await?;
    if let Some(failure) = answer.failure() {
        return Err(failure);
    }
    let nonce = answer.headers.get(REPLAY_NONCE).and_then(|value| value.to_str().ok());
    nonce.map(str::to_owned).ok_or_else(|| CaError::Malformed(format!("{url} gave no nonce")))
}

/// What the answer means if it is no success. Only the answer's header tells whose the new key is.
fn refusal(answer: &Answer) -> Option<CaError> {
    let owner = answer.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    match (answer.failure()?, owner) {
        (CaError::Refused(problem), Some(owner)) if answer.status == StatusCode::CONFLICT => {
            let detail = format!("{}; the new key is that of account {owner} already: draw another", problem.detail);
            Some(CaError::Refused(Problem::new(&problem.kind, &detail, problem.status)))
        }
        (failure, _) => Some(failure),
    }
}

fn post(url: &str, message: &str) -> Result<Request<BodyWrapper<Bytes>>, CaError> {
    let mut request = request(Method::POST, url, BodyWrapper::from(message.as_bytes().to_vec()))?;
    request.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/jose+json"));
    Ok(request)
}

fn request(method: Method, url: &str, body: BodyWrapper<Bytes>) -> Result<Request<BodyWrapper<Bytes>>, CaError> {
    let uri: Uri = url.parse().map_err(|e| CaError::Malformed(format!("`{url}` in the CA's directory is no address: {e}")))?;
    let mut request = Request::new(body);
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    Ok(request)
}
