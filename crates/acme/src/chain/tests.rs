use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};

use super::*;

/// What all certificates here are valid for, unless a test changes it: 2030.
const AT: &str = "2030-06-01T00:00:00Z";

fn at(moment: &str) -> Timestamp {
    moment.parse().expect("moment")
}

/// A certificate and its key.
struct Made {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

type Change = fn(&mut CertificateParams);

fn nothing(_: &mut CertificateParams) {}

impl Made {
    fn root(name: &str) -> Self {
        let (params, key) = (ca(name), KeyPair::generate().expect("key"));
        let pem = params.self_signed(&key).expect("root").pem();
        Self { params, key, pem }
    }

    /// Another CA under this one.
    fn ca(&self, name: &str, change: Change) -> Self {
        self.sign(ca(name), change)
    }

    fn leaf(&self, change: Change) -> Self {
        let mut params = CertificateParams::new(vec!["www.example.com".to_owned()]).expect("params");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(valid_in_2030(params), change)
    }

    fn sign(&self, mut params: CertificateParams, change: Change) -> Self {
        change(&mut params);
        let key = KeyPair::generate().expect("key");
        let pem = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).expect("certificate").pem();
        Self { params, key, pem }
    }
}

fn ca(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("params");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_in_2030(params)
}

fn valid_in_2030(mut params: CertificateParams) -> CertificateParams {
    (params.not_before, params.not_after) = (date_time_ymd(2030, 1, 1), date_time_ymd(2031, 1, 1));
    params
}

fn pem(certificates: &[&Made]) -> String {
    certificates.iter().map(|made| made.pem.as_str()).collect()
}

fn roots(certificates: &[&Made]) -> Roots {
    Roots::from_pem(&pem(certificates)).expect("roots").of("roots.pem")
}

/// Root, intermediate, leaf; as `change` makes the latter two.
fn hierarchy(intermediate: Change, leaf: Change) -> [Made; 3] {
    let root = Made::root("Root A");
    let intermediate = root.ca("Intermediate A1", intermediate);
    let leaf = intermediate.leaf(leaf);
    [root, intermediate, leaf]
}

/// The refusal, the same with the root and with none.
fn refused([root, intermediate, leaf]: &[Made; 3]) -> String {
    let chain = pem(&[leaf, intermediate]);
    let error = verify_chain(&chain, &roots(&[root]), at(AT)).expect_err("refused");
    assert_eq!(verify_chain(&chain, &Roots::none(), at(AT)), Err(error.clone()));
    error.to_string()
}

#[test]
fn a_good_chain_is_good_with_and_without_its_root() {
    let [root, intermediate, leaf] = hierarchy(nothing, nothing);
    let other = Made::root("Root B");
    for chain in [pem(&[&leaf, &intermediate]), pem(&[&leaf, &intermediate, &root])] {
        for roots in [roots(&[&root]), roots(&[&other, &root]), Roots::none()] {
            assert_eq!(verify_chain(&chain, &roots, at(AT)), Ok(()), "{roots}");
        }
    }
    let direct = root.leaf(nothing);
    for chain in [pem(&[&direct]), pem(&[&direct, &root])] {
        for roots in [roots(&[&root]), Roots::none()] {
            assert_eq!(verify_chain(&chain, &roots, at(AT)), Ok(()), "{roots}");
        }
    }
}

#[test]
fn another_root_is_named() {
    let [root, intermediate, leaf] = hierarchy(nothing, nothing);
    let [b, c, d] = ["Root B", "Root C", "Root D"].map(Made::root);
    let known = roots(&[&b, &c, &d]);
    let told = "the chain does not lead to a root of the issuer: its last certificate is issued by “CN=Root A”, which is not among the 3 \
                roots of roots.pem";
    for chain in [pem(&[&leaf, &intermediate]), pem(&[&leaf, &intermediate, &root])] {
        assert_eq!(verify_chain(&chain, &known, at(AT)).expect_err("refused").to_string(), told);
    }
    let namesake = roots(&[&Made::root("Root A")]);
    let error = verify_chain(&pem(&[&leaf, &intermediate]), &namesake, at(AT)).expect_err("refused").to_string();
    assert!(error.ends_with("“CN=Root A”, which did not sign it with the key that it has among the 1 root of roots.pem"), "{error}");
}

#[test]
fn a_missing_intermediate_is_named() {
    let [root, intermediate, leaf] = hierarchy(nothing, nothing);
    let error = verify_chain(&pem(&[&leaf]), &roots(&[&root]), at(AT)).expect_err("refused").to_string();
    assert!(error.contains("issued by “CN=Intermediate A1”, which is not among the 1 root of roots.pem"), "{error}");
    let error = verify_chain(&pem(&[&leaf, &root]), &roots(&[&root]), at(AT)).expect_err("refused").to_string();
    assert!(error.contains("is issued by “CN=Intermediate A1”, but “CN=Root A” follows it"), "{error}");
    let error = verify_chain(&pem(&[&leaf]), &roots(&[&intermediate]), at(AT));
    assert_eq!(error, Ok(()), "an intermediate that is trusted is a root");
}

#[test]
fn the_order_must_be_that_of_the_wire() {
    let [root, intermediate, leaf] = hierarchy(nothing, nothing);
    for roots in [roots(&[&root]), Roots::none()] {
        let error = verify_chain(&pem(&[&intermediate, &leaf]), &roots, at(AT)).expect_err("refused").to_string();
        assert!(error.contains("certificate 1 of the chain, “CN=Intermediate A1”, is a CA's"), "{error}");
        let error = verify_chain(&pem(&[&leaf, &root, &intermediate]), &roots, at(AT)).expect_err("refused").to_string();
        assert!(error.contains("but “CN=Root A” follows it"), "{error}");
        let error = verify_chain(&pem(&[&leaf, &intermediate, &leaf]), &roots, at(AT)).expect_err("refused").to_string();
        assert!(error.contains("certificate 2 of the chain, “CN=Intermediate A1”, is issued by “CN=Root A”"), "{error}");
    }
}

#[test]
fn each_must_be_signed_by_the_next() {
    let [root, intermediate, _] = hierarchy(nothing, nothing);
    let namesake = root.ca("Intermediate A1", nothing);
    let leaf = namesake.leaf(nothing);
    let error = refused(&[root, intermediate, leaf]);
    assert!(error.contains("“www.example.com”, is not signed by “CN=Intermediate A1”, which follows it"), "{error}");
}

#[test]
fn each_must_be_valid_at_the_moment() {
    fn expired(params: &mut CertificateParams) {
        params.not_after = date_time_ymd(2030, 2, 1);
    }
    let told = refused(&hierarchy(expired, nothing));
    assert_eq!(told, "certificate 2 of the chain, “CN=Intermediate A1”, expired at 2030-02-01T00:00:00Z");
    let told = refused(&hierarchy(nothing, expired));
    assert!(told.starts_with("certificate 1") && told.ends_with("expired at 2030-02-01T00:00:00Z"), "{told}");
    let told = refused(&hierarchy(nothing, |params| params.not_before = date_time_ymd(2030, 7, 1)));
    assert!(told.ends_with("is not valid before 2030-07-01T00:00:00Z"), "{told}");
    let [root, intermediate, leaf] = hierarchy(nothing, nothing);
    for (moment, good) in [
        ("2029-12-31T23:59:59Z", false),
        ("2030-01-01T00:00:00Z", true),
        ("2031-01-01T00:00:00Z", true),
        ("2031-01-01T00:00:01Z", false),
        ("1960-01-01T00:00:00Z", false),
    ] {
        for roots in [roots(&[&root]), Roots::none()] {
            assert_eq!(verify_chain(&pem(&[&leaf, &intermediate]), &roots, at(moment)).is_ok(), good, "{moment}");
        }
    }
}

#[test]
fn issuers_must_be_cas() {
    let explicit = refused(&hierarchy(|params| params.is_ca = IsCa::ExplicitNoCa, nothing));
    assert!(explicit.contains("certificate 2 of the chain, “CN=Intermediate A1”, is no CA: its basic constraints"), "{explicit}");
    let silent = refused(&hierarchy(|params| params.is_ca = IsCa::NoCa, nothing));
    assert!(silent.contains("is no CA: it has no basic constraints"), "{silent}");
    let usage = refused(&hierarchy(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature], nothing));
    assert!(usage.contains("“CN=Intermediate A1”, may not sign certificates by its key usage"), "{usage}");
}

#[test]
fn a_path_may_be_as_long_as_its_cas_allow() {
    let root = Made::root("Root A");
    for (limit, good) in [(0, false), (1, true)] {
        let upper =
            root.ca("Upper", if limit == 0 { |params| params.is_ca = constrained(0) } else { |params| params.is_ca = constrained(1) });
        let lower = upper.ca("Lower", |params| params.is_ca = constrained(0));
        let leaf = lower.leaf(nothing);
        for roots in [roots(&[&root]), Roots::none()] {
            let outcome = verify_chain(&pem(&[&leaf, &lower, &upper]), &roots, at(AT));
            assert_eq!(outcome.is_ok(), good, "{outcome:?}");
            assert!(good || outcome.is_err_and(|error| error.to_string().contains("“CN=Upper”, allows fewer CAs below it than the 1")));
        }
    }
}

fn constrained(length: u8) -> IsCa {
    IsCa::Ca(BasicConstraints::Constrained(length))
}

#[test]
fn a_leaf_must_be_a_tls_servers() {
    let client = refused(&hierarchy(nothing, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]));
    assert!(client.contains("may not be used for TLS servers by its extended key usage"), "{client}");
    let above = refused(&hierarchy(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth], nothing));
    assert!(above.contains("“CN=Intermediate A1”, may not be used for TLS servers"), "{above}");
    let usage = refused(&hierarchy(nothing, |params| params.key_usages = vec![KeyUsagePurpose::CrlSign]));
    assert!(usage.contains("may not be used for TLS by its key usage"), "{usage}");
    let [root, intermediate, leaf] = hierarchy(nothing, |params| (params.key_usages, params.extended_key_usages) = Default::default());
    assert_eq!(verify_chain(&pem(&[&leaf, &intermediate]), &roots(&[&root]), at(AT)), Ok(()), "no usage is any usage");
}

#[test]
fn a_name_that_the_ca_may_not_certify_is_refused() {
    fn elsewhere(params: &mut CertificateParams) {
        let permitted_subtrees = vec![rcgen::GeneralSubtree::DnsName("example.org".into())];
        params.name_constraints = Some(rcgen::NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    }
    let [root, intermediate, leaf] = hierarchy(elsewhere, nothing);
    for roots in [roots(&[&root]), Roots::none()] {
        let outcome = verify_chain(&pem(&[&leaf, &intermediate]), &roots, at(AT));
        assert!(matches!(&outcome, Err(ChainError::Path(why)) if why.contains("NameConstraint")), "{outcome:?}");
    }
}

#[test]
fn nobody_vouches_for_a_self_signed_leaf() {
    let mut params = valid_in_2030(CertificateParams::new(vec!["www.example.com".to_owned()]).expect("params"));
    params.distinguished_name.push(DnType::CommonName, "www.example.com");
    let alone = params.self_signed(&KeyPair::generate().expect("key")).expect("certificate").pem();
    let told = verify_chain(&alone, &Roots::none(), at(AT)).expect_err("refused").to_string();
    assert!(told.contains("is issued by itself"), "{told}");
    let told = verify_chain(&alone, &roots(&[&Made::root("Root A")]), at(AT)).expect_err("refused").to_string();
    assert!(told.contains("is not among the 1 root"), "{told}");
}

#[test]
fn what_is_no_chain_is_refused() {
    let [root, intermediate, leaf] = hierarchy(nothing, nothing);
    let block = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    let long = leaf.pem.repeat(CHAIN_CERTIFICATES_MAX + 1);
    let half = &leaf.pem[..leaf.pem.len() / 2];
    let mixed = leaf.pem.clone() + &block("AAAA");
    for bad in ["", "hello", half, &block(""), &block("AAAA"), &block("!!"), &long, &mixed] {
        for roots in [roots(&[&root]), Roots::none()] {
            let outcome = verify_chain(bad, &roots, at(AT));
            assert!(matches!(outcome, Err(ChainError::Unreadable(_))), "{bad:.70}: {outcome:?}");
        }
    }
    for bad in ["", "hello", &block(""), &block("AAAA"), half] {
        assert!(matches!(Roots::from_pem(bad), Err(RootsError::Unreadable(_))), "{bad:.70}");
    }
    assert!(Roots::from_pem(&" ".repeat(ROOTS_BYTES_MAX + 1)).is_err());
    assert!(Roots::from_pem(&intermediate.pem).is_ok());
}

#[test]
fn no_flipped_byte_makes_a_bad_chain_good_or_panics() {
    let [root, intermediate, leaf] = hierarchy(nothing, nothing);
    let good = pem(&[&leaf, &intermediate]);
    let ders = x509::certificates(&good).expect("chain");
    let (known, none) = (roots(&[&root]), Roots::none());
    let as_pem = |der: &[u8]| pem_rfc7468::encode_string("CERTIFICATE", pem_rfc7468::LineEnding::LF, der).expect("PEM");
    for which in 0..ders.len() {
        for index in 0..ders[which].len() {
            let mut flipped = ders.clone();
            flipped[which][index] ^= 0x55;
            let chain: String = flipped.iter().map(|der| as_pem(der)).collect();
            assert!(verify_chain(&chain, &known, at(AT)).is_err(), "byte {index} of certificate {}", which + 1);
            let _ = verify_chain(&chain, &none, at(AT));
        }
    }
}

#[test]
fn the_systems_roots_are_read() {
    let system = match Roots::system() {
        Ok(system) => system,
        Err(none) => {
            assert!(std::env::var_os("CI").is_none(), "{none}");
            return eprintln!("skipped: {none}");
        }
    };
    let [_, intermediate, leaf] = hierarchy(nothing, nothing);
    let told = verify_chain(&pem(&[&leaf, &intermediate]), &system, at(AT)).expect_err("refused").to_string();
    assert!(told.ends_with("roots of this system"), "{told}");
}
