use super::*;

fn read(json: &str) -> Result<Verify, String> {
    let verify: Verify = serde_json::from_str(json).map_err(|e| e.to_string())?;
    verify.validate().map(|()| verify)
}

fn material(name: &str) -> Material {
    let names = [name.parse().expect(name)];
    let cert = certfleet_core::names::CertName::from_identifier(&names[0]);
    let (chain, key) = crate::stand_in::make(&cert, &names).expect("made");
    Material::new(cert, "lb0".parse().expect("node"), certfleet_core::names::Generation(1), chain, key).expect("a chain")
}

#[test]
fn all_forms_are_read() {
    assert!(read("\"off\"").expect("valid").is_off() && Verify::default().is_off());
    assert_eq!(read("\"127.0.0.1:443\"").expect("valid").connect, ["127.0.0.1:443"]);
    assert_eq!(read("[\"[::1]:443\", \"lb.example.com:8443\"]").expect("valid").connect.len(), 2);
    let table = read(r#"{"connect": "192.0.2.1:443", "local": true, "sni": ["a.example.com"], "proxy": 2}"#).expect("valid");
    assert_eq!((table.local, table.proxy, table.sni.len(), table.connect.len()), (true, Some(2), 1, 1));
}

#[test]
fn nonsense_is_refused() {
    for bad in ["\"443\"", "\":443\"", "\"localhost\"", "\"h:0\"", "[\"h:99999\"]", "{}", r#"{"connect": "h:1", "proxy": 3}"#, "7"] {
        assert!(read(bad).is_err(), "{bad}");
    }
    assert!(read(r#"{"connect": "h:25", "starttls": "smtp"}"#).expect_err("later").contains("not in this version"));
    assert!(read(r#"{"connect": "h:25", "locl": true}"#).expect_err("a typing error").contains("`local`"));
}

#[test]
fn wildcards_get_a_label_and_addresses_no_name() {
    let names = |name: &str| Verify::default().server_names(&material(name));
    assert_eq!(names("*.example.com"), [Some("certfleet-verify.example.com".to_owned())]);
    assert_eq!(names("192.0.2.7"), [None]);
    let fixed = Verify { sni: vec!["x.example".into()], ..Verify::default() };
    assert_eq!(fixed.server_names(&material("192.0.2.7")), [Some("x.example".to_owned())]);
}

#[test]
fn the_worst_counts() {
    let worst = Seen::Other(String::new());
    let order = [Seen::Served, Seen::NotAsked(String::new()), Seen::NotRunning(String::new()), Seen::Trouble(String::new()), worst];
    assert!(order.is_sorted());
}

#[tokio::test]
async fn a_floating_address_that_is_elsewhere_is_passed_over() {
    let verify = Verify { connect: vec!["192.0.2.1:443".into()], local: true, ..Verify::default() };
    let seen = verify.look(&[&material("a.example.com")]).await;
    assert_eq!(seen, [Seen::NotAsked("not on this machine now: 192.0.2.1:443".into())]);
}

#[tokio::test]
async fn one_that_refuses_does_not_run_and_one_that_talks_nonsense_is_trouble() {
    let material = material("a.example.com");
    let site = certfleet_testkit::Site::claim();
    let address = format!("{}:{}", site.host(1), site.port_on_all(1));
    let verify = Verify { connect: vec![address.clone()], ..Verify::default() };
    assert_eq!(verify.look(&[&material]).await, [Seen::NotRunning(format!("{address} refuses connections"))]);
    let listener = tokio::net::TcpListener::bind(&address).await.expect("bound");
    let nonsense = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-nonsense\r\n").await.expect("written");
    });
    let seen = verify.look(&[&material]).await.remove(0);
    assert!(matches!(&seen, Seen::Trouble(why) if why.contains(&address)), "{seen:?}");
    nonsense.await.expect("it ends");
}

#[tokio::test]
async fn a_proxy_header_goes_first() {
    let site = certfleet_testkit::Site::claim();
    let address = format!("{}:{}", site.host(1), site.port_on_all(1));
    let listener = tokio::net::TcpListener::bind(&address).await.expect("bound");
    let first_bytes = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut bytes = [0; 17];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut bytes).await.expect("read");
        bytes
    });
    Verify { connect: vec![address], proxy: Some(2), ..Verify::default() }.look(&[&material("a.example.com")]).await;
    let bytes = first_bytes.await.expect("it ends");
    assert_eq!(&bytes[..12], b"\r\n\r\n\0\r\nQUIT\n");
    assert_eq!(&bytes[12..], [0x20, 0, 0, 0, 0x16], "LOCAL, no addresses, then the TLS handshake");
}
