//! What a CA says. The first line names the call; then come its answers, parted by lines of `===`: each a status, headers, an empty line, a body.
//!
//! Also holds: a chain that is handed on has a leaf that can be read.

use certfleet_acme::{AccountKey, AccountRef, CertificateAuthority, Client, ScriptedAnswer};
use certfleet_core::x509::Leaf;

use crate::{first_line, wait};

const KEY: &str = include_str!("../../crates/acme/src/keys/account/testdata/p256-pkcs8.pem");
const OTHER_KEY: &str = include_str!("../../crates/acme/src/keys/csr/testdata/ec-p256.pem");
const CSR: &[u8] = include_bytes!("../../crates/acme/src/keys/csr/testdata/openssl.csr");
const ORDER: &str = "https://ca.test/order/1";
/// Most answers that are heard.
const ANSWERS_MAX: usize = 256;

/// Calls. True: the call went well.
pub fn read(data: &[u8]) -> bool {
    let (call, rest) = first_line(data);
    let text = String::from_utf8_lossy(rest);
    let answers = text.split("\n===\n").take(ANSWERS_MAX).map(answer);
    let Ok(client) = Client::scripted(answers, call != b"date") else { return false };
    let key = |pem: &str| AccountKey::from_pem(pem).expect("a key that the tests of acme read");
    let account = AccountRef { url: "https://ca.test/account/1".into(), key: key(KEY) };
    let names = ["example.com".parse().expect("a name")];
    wait(async {
        match call {
            b"date" => client.date().await.is_ok(),
            b"register" => client.register(&account.key, &["mailto:ops@example.com".into()], true).await.is_ok(),
            b"find" => client.find_account(&account.key).await.is_ok(),
            b"roll" => client.roll_key(&account, &key(OTHER_KEY)).await.is_ok(),
            b"new" => client.new_order(&account, &names, Some("tlsserver")).await.map(|order| order.problem()).is_ok(),
            b"order" => client.order(&account, ORDER).await.map(|order| order.problem()).is_ok(),
            b"ready" => client.challenge_ready(&account, "https://ca.test/challenge/1").await.is_ok(),
            b"finalize" => client.finalize(&account, ORDER, CSR).await.is_ok(),
            b"certificate" => client.certificate(&account, ORDER).await.map(|chain| Leaf::from_pem(&chain).expect("a leaf")).is_ok(),
            _ => false,
        }
    })
}

fn answer(text: &str) -> ScriptedAnswer {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.trim().parse().ok()).unwrap_or(200);
    let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().as_bytes().to_vec()));
    ScriptedAnswer { status, headers: lines.filter_map(header).collect(), body: body.as_bytes().to_vec() }
}
