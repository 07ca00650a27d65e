use super::*;

/// A key by `openssl ecparam`, the same by `openssl pkcs8`, and its thumbprint by another implementation.
const SEC1_PEM: &str = include_str!("testdata/p256-sec1.pem");
const PKCS8_PEM: &str = include_str!("testdata/p256-pkcs8.pem");
const THUMBPRINT: &str = include_str!("testdata/p256.thumbprint");

#[test]
fn a_new_key_survives_pem_and_does_not_print() {
    let key = AccountKey::generate().expect("key");
    let pem = key.to_pem();
    let text = pem.expose_text().expect("text");
    assert!(text.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert_eq!(AccountKey::from_pem(text).expect("reads back"), key);
    assert_ne!(AccountKey::generate().expect("key").thumbprint(), key.thumbprint());
    let body = text.lines().nth(1).expect("a line of base64");
    assert!(format!("{key:?}").contains("[secret]") && !format!("{key:?}").contains(body));
}

#[test]
fn thumbprints_are_those_of_rfc_7638() {
    let key = AccountKey::from_pem(PKCS8_PEM).expect("PKCS#8");
    assert_eq!(key.thumbprint(), THUMBPRINT.trim());
}

#[test]
fn sec1_is_the_same_key() {
    let (sec1, pkcs8) = (AccountKey::from_pem(SEC1_PEM).expect("SEC 1"), AccountKey::from_pem(PKCS8_PEM).expect("PKCS#8"));
    assert_eq!(sec1.thumbprint(), pkcs8.thumbprint());
    assert_eq!(AccountKey::from_pkcs8(sec1.pkcs8()).expect("what was made of it is PKCS#8").thumbprint(), THUMBPRINT.trim());
    instant_acme::Key::from_pkcs8_der(PrivatePkcs8KeyDer::from(sec1.pkcs8().expose())).expect("the ACME library takes it");
}

#[test]
fn other_kinds_are_named() {
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("key").serialize_pem();
    assert_eq!(AccountKey::from_pem(&p384), Err(KeyError::WrongKind("ECDSA P-384")));
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).expect("key").serialize_pem();
    assert_eq!(AccountKey::from_pem(&ed25519), Err(KeyError::WrongKind("Ed25519")));
    let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("key").serialize_pem();
    assert_eq!(AccountKey::from_pem(&rsa), Err(KeyError::WrongKind("RSA")));
    for bad in ["", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        assert!(matches!(AccountKey::from_pem(bad), Err(KeyError::Unreadable(_))), "{bad:?}");
    }
}
