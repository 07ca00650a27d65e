use rcgen::{Attribute, BasicConstraints, CustomExtension, DnType, IsCa, KeyUsagePurpose, PKCS_ED25519, SanType};

use super::*;

/// Keys by `openssl genpkey`, and the SHA-256 of `openssl pkey -pubout`.
const KEYS: [(&str, &str); 3] = [
    (include_str!("testdata/ec-p256.pem"), include_str!("testdata/ec-p256.spki")),
    (include_str!("testdata/ec-p384.pem"), include_str!("testdata/ec-p384.spki")),
    (include_str!("testdata/rsa.pem"), include_str!("testdata/rsa.spki")),
];
/// By `openssl req` with the RSA key: a common name, the four names, `digitalSignature` and `CA:FALSE`.
const OPENSSL_CSR: &[u8] = include_bytes!("testdata/openssl.csr");

fn names(texts: &[&str]) -> Vec<Identifier> {
    texts.iter().map(|text| text.parse().expect("identifier")).collect()
}

fn four_names() -> Vec<Identifier> {
    names(&["example.com", "*.example.com", "192.0.2.7", "2001:db8::7"])
}

/// A CSR for example.com with an empty subject, but for what `change` does to it.
fn changed(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    with_attributes(change, Vec::new())
}

fn with_attributes(change: impl FnOnce(&mut CertificateParams), attributes: Vec<Attribute>) -> Vec<u8> {
    let mut params = CertificateParams::new(vec!["example.com".to_owned()]).expect("params");
    params.distinguished_name = DistinguishedName::new();
    change(&mut params);
    let key = KeyPair::generate().expect("key");
    params.serialize_request_with_attributes(&key, attributes).expect("CSR").der().to_vec()
}

fn text(text: &str) -> rcgen::string::Ia5String {
    text.try_into().expect("ASCII")
}

/// Tag, length, content; short ones only.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(content.len()).ok().filter(|length| *length < 0x80).expect("short")], content].concat()
}

fn refused(csr: &[u8]) -> String {
    match inspect_csr(csr) {
        Err(CsrError::Unwanted(what)) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_csr_by_a_key_that_exists_has_its_names_and_that_key() {
    for (pem, spki) in KEYS {
        let facts = inspect_csr(&csr_with_key(pem, &four_names()).expect("CSR")).expect("taken");
        assert_eq!((facts.names, facts.key.as_str()), (four_names(), spki.trim()));
    }
}

#[test]
fn a_csr_by_openssl_is_understood() {
    let facts = inspect_csr(OPENSSL_CSR).expect("taken");
    assert_eq!((facts.names, facts.key.as_str()), (four_names(), KEYS[2].1.trim()));
}

#[test]
fn a_hundred_long_names_fit() {
    let long = |number: usize| format!("{number:063}.{0}.{0}.{1}.example", "a".repeat(63), "b".repeat(53)).parse().expect("identifier");
    let many: Vec<Identifier> = (0..100).map(long).collect();
    let csr = csr_with_key(KEYS[2].0, &many).expect("CSR");
    assert_eq!(inspect_csr(&csr).expect("taken").names, many);
    assert!(csr.len() < CSR_BYTES_MAX, "{}", csr.len());
    assert_eq!(inspect_csr(&vec![0x30; CSR_BYTES_MAX + 1]), Err(CsrError::TooLarge(CSR_BYTES_MAX + 1)));
}

#[test]
fn other_keys_sign_nothing() {
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).expect("key").serialize_pem();
    let sec1 = include_str!("../account/testdata/p256-sec1.pem");
    for bad in [ed25519.as_str(), sec1, "", "hello", &KEYS[0].0[..100], "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        assert!(matches!(csr_with_key(bad, &four_names()), Err(CsrError::Unsignable(_))), "{bad:?}");
    }
}

#[test]
fn a_common_name_must_be_one_of_the_names() {
    let common = |name: &'static str| changed(|params| params.distinguished_name.push(DnType::CommonName, name));
    assert_eq!(inspect_csr(&common("Example.COM")).expect("taken").names, names(&["example.com"]));
    assert!(inspect_csr(&common("")).is_ok());
    for bad in ["other.example", "example.com.evil", "Jane Doe"] {
        assert!(refused(&common(bad)).contains(bad));
    }
}

#[test]
fn only_names_that_can_be_read_in_one_way_are_taken() {
    assert!(refused(&changed(|params| params.subject_alt_names.clear())).contains("attributes"));
    assert!(
        refused(&changed(|params| params.subject_alt_names.push(SanType::Rfc822Name(text("a@example.com"))))).contains("a@example.com")
    );
    assert!(refused(&changed(|params| params.subject_alt_names.push(SanType::URI(text("https://example.com"))))).contains("https://"));
    let raw = |tag: u8, name: &[u8]| {
        let content = der(0x30, &der(tag, name));
        changed(|params| {
            params.subject_alt_names.clear();
            params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 17], content));
        })
    };
    const DNS: u8 = 0x82;
    assert!(inspect_csr(&raw(DNS, b"WWW.example.com")).is_ok(), "the way that bad names are made is a good one");
    for bad in ["192.0.2.7", "example.com.", "localhost", "a b.example", "a\0.example", "", "a.*.example"] {
        assert!(matches!(inspect_csr(&raw(DNS, bad.as_bytes())), Err(CsrError::Unwanted(_))), "{bad:?}");
    }
    for bad in [&[1, 2, 3][..], &[0; 8], &[0; 32]] {
        assert!(matches!(inspect_csr(&raw(0x87, bad)), Err(CsrError::Unwanted(_))), "{bad:?}");
    }
}

#[test]
fn other_wishes_are_refused() {
    let ca = changed(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert!(refused(&ca).contains("to be a CA"));
    assert!(refused(&changed(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign])).contains("2.5.29.15"));
    let must_staple = CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 24], vec![0x30, 3, 2, 1, 5]);
    assert!(refused(&changed(|params| params.custom_extensions.push(must_staple))).contains("1.3.6.1.5.5.7.1.24"));
    let twice = CustomExtension::from_oid_content(&[2, 5, 29, 17], der(0x30, &der(0x82, b"other.example")));
    assert!(refused(&changed(|params| params.custom_extensions.push(twice))).contains("2.5.29.17"));
    let password = Attribute { oid: &[1, 2, 840, 113549, 1, 9, 7], values: der(0x31, &der(0x0c, b"secret")) };
    assert!(refused(&with_attributes(|_| {}, vec![password])).contains("2 attributes"));
}

/// A reader that takes the last value, or all of them, would see other names.
#[test]
fn names_cannot_hide_behind_names() {
    let extensions = |name: &[u8]| {
        let san = der(0x30, &[der(0x06, &[0x55, 0x1d, 0x11]), der(0x04, &der(0x30, &der(0x82, name)))].concat());
        der(0x30, &san)
    };
    let request = |values: Vec<u8>| Attribute { oid: &[1, 2, 840, 113549, 1, 9, 14], values };
    let made = |values| with_attributes(|params| params.subject_alt_names.clear(), vec![request(values)]);
    assert_eq!(inspect_csr(&made(der(0x31, &extensions(b"a.example")))).expect("one value").names, names(&["a.example"]));
    let two_values = der(0x31, &[extensions(b"a.example"), extensions(b"b.example")].concat());
    let two_sets = [der(0x31, &extensions(b"a.example")), der(0x31, &extensions(b"b.example"))].concat();
    let mut set_too_short = der(0x31, &extensions(b"a.example"));
    set_too_short[1] -= 1;
    for hidden in [two_values, two_sets, set_too_short] {
        assert!(matches!(inspect_csr(&made(hidden.clone())), Err(CsrError::Unreadable(_))), "{hidden:02x?}");
    }
}

#[test]
fn only_the_owner_of_the_key_can_ask_for_it() {
    const ALGORITHM_BYTES: usize = 12;
    let strange = changed(|_| {});
    let mine = csr_with_key(KEYS[0].0, &names(&["example.com"])).expect("CSR");
    let [(_, mine_parsed), (_, strange_parsed)] = [&mine, &strange].map(|csr| X509CertificationRequest::from_der(csr).expect("CSR"));
    let info = mine_parsed.certification_request_info.raw;
    let after = mine.len() - mine_parsed.signature_value.data.len() - 3;
    let signed = |signature: &[u8]| {
        let content = [info, &mine[after - ALGORITHM_BYTES..after], &der(0x03, &[&[0], signature].concat())].concat();
        [&[0x30, 0x81, u8::try_from(content.len()).expect("short")], content.as_slice()].concat()
    };
    assert_eq!(signed(&mine_parsed.signature_value.data), mine, "put together in the same way");
    let forged = inspect_csr(&signed(&strange_parsed.signature_value.data));
    assert!(matches!(forged, Err(CsrError::NotSigned(_))), "{forged:?}");
}

#[test]
fn no_cut_or_flipped_byte_changes_what_a_csr_says() {
    for csr in [csr_with_key(KEYS[0].0, &four_names()).expect("CSR"), OPENSSL_CSR.to_vec()] {
        let facts = inspect_csr(&csr).expect("taken");
        let (mut refusals, mut looks) = (0, 0);
        for index in 0..csr.len() {
            assert!(inspect_csr(&csr[..index]).is_err(), "cut at {index}");
            for flip in [0x01, 0x80, 0x55, 0xff] {
                let mut flipped = csr.clone();
                flipped[index] ^= flip;
                looks += 1;
                match inspect_csr(&flipped) {
                    Err(_) => refusals += 1,
                    Ok(said) => assert_eq!(said, facts, "byte {index} flipped by {flip:#x}"),
                }
            }
        }
        assert!(refusals * 100 > looks * 95, "{refusals} of {looks}: the signature covers nearly all of it");
        assert!(inspect_csr(&[csr.as_slice(), &[0]].concat()).is_err(), "a byte follows");
    }
}
