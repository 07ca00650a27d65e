//! Who can open what, and that nobody else can.

use super::*;

mod wraps;

/// As long as a P-256 key in PKCS#8 as PEM.
const P256_PEM_BYTES: usize = 241;

/// A fleet of named nodes with their sealing keys.
struct Fleet {
    id: FleetId,
    spki: SpkiHash,
    nodes: BTreeMap<NodeName, (SealingSecret, SealingKey)>,
}

impl Fleet {
    fn of(names: &[&str]) -> Self {
        let member = |name: &&str| {
            let secret = SealingSecret::generate().expect("random bytes");
            let key = secret.sealing_key();
            (node(name), (secret, key))
        };
        Self { id: "f1".parse().expect("name"), spki: spki("a"), nodes: names.iter().map(member).collect() }
    }

    fn context(&self) -> Context<'_> {
        Context { fleet: &self.id, purpose: "shop.example.com", spki: &self.spki }
    }

    fn key(&self, name: &str) -> &SealingSecret {
        &self.nodes[&node(name)].0
    }

    fn readers<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = (&'a NodeName, &'a SealingKey)> {
        self.nodes.iter().filter(|(node, _)| names.contains(&node.as_str())).map(|(node, (_, key))| (node, key))
    }

    fn seal(&self, names: &[&str]) -> Sealed {
        let sealing = seal(&secret(), &self.context(), self.readers(names)).expect("seals");
        assert_eq!(sealing.skipped, BTreeSet::new());
        sealing.sealed
    }

    fn open(&self, sealed: &Sealed, later: Option<&Wrap>, name: &str) -> Result<Secret, OpenError> {
        open(sealed, later, &self.context(), &node(name), self.key(name))
    }

    fn wrap_for(&self, sealed: &Sealed, me: &str, reader: &str) -> Result<Wrap, WrapForError> {
        let (name, (_, key)) = self.nodes.get_key_value(&node(reader)).expect("a member");
        wrap_for(sealed, None, &self.context(), (&node(me), self.key(me)), (name, key))
    }
}

fn node(name: &str) -> NodeName {
    name.parse().expect("a node's name")
}

fn spki(digit: &str) -> SpkiHash {
    digit.repeat(64).parse().expect("a hash")
}

fn secret() -> Secret {
    Secret::new((0..P256_PEM_BYTES).map(|n| b'A' + (n % 26) as u8).collect())
}

fn broken(name: &str, which: WhichWrap) -> OpenError {
    OpenError::Broken { node: node(name), purpose: "shop.example.com".to_owned(), which }
}

fn unsealable(name: &str) -> OpenError {
    OpenError::Unsealable { node: node(name), purpose: "shop.example.com".to_owned() }
}

fn stranger(name: &str) -> OpenError {
    OpenError::NotAReader { node: node(name), purpose: "shop.example.com".to_owned() }
}

/// `bytes` with one bit turned, for two bits of each byte: the lowest, and the highest, which X25519 does not look at in a public key.
fn each_changed(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len()).flat_map(move |at| {
        [0x01, 0x80].map(|bit| {
            let mut changed = bytes.to_vec();
            changed[at] ^= bit;
            changed
        })
    })
}

#[test]
fn every_reader_opens_it_and_nobody_else() {
    let fleet = Fleet::of(&["web-1", "web-2", "db-1"]);
    let sealed = fleet.seal(&["web-1", "web-2"]);
    assert_eq!(sealed.wraps.keys().map(NodeName::as_str).collect::<Vec<_>>(), ["web-1", "web-2"]);
    assert_eq!(fleet.open(&sealed, None, "web-1"), Ok(secret()));
    assert_eq!(fleet.open(&sealed, None, "web-2"), Ok(secret()));
    assert_eq!(fleet.open(&sealed, None, "db-1"), Err(stranger("db-1")));
    let as_web_1 = open(&sealed, None, &fleet.context(), &node("web-1"), fleet.key("db-1"));
    assert_eq!(as_web_1, Err(broken("web-1", WhichWrap::First)), "the name alone opens nothing");
}

#[test]
fn secrets_of_any_length_survive() {
    let fleet = Fleet::of(&["web-1"]);
    for length in [0, 1, 31, 32, 33, 100_000] {
        let secret = Secret::new(vec![0xa5; length]);
        let sealed = seal(&secret, &fleet.context(), fleet.readers(&["web-1"])).expect("seals").sealed;
        let stored: Sealed = serde_json::from_str(&serde_json::to_string(&sealed).expect("serialises")).expect("parses");
        assert_eq!(fleet.open(&stored, None, "web-1"), Ok(secret));
    }
}

/// Sealed by the first version with sealing; it must open in every later one.
#[test]
fn what_older_versions_sealed_opens() {
    let key: SealingSecret = serde_json::from_str(r#""wK8cksqfuTy1WAgfPjxRvk7i3mCi0k6hIgIuWO_Lk3g""#).expect("parses");
    assert_eq!(key.sealing_key().to_string(), "ih0NojsNXgvhC8i5eY-QDNwpFPvD2tbiFfj8H9h2KCU");
    let sealed: Sealed = serde_json::from_str(include_str!("format_1.json")).expect("parses");
    let fleet = Fleet { id: "f1".parse().expect("name"), spki: spki("a"), nodes: BTreeMap::new() };
    let opened = open(&sealed, None, &fleet.context(), &node("web-1"), &key).expect("opens");
    assert_eq!(opened.expose_text(), Some("a secret of format 1"));
}

#[test]
fn no_changed_byte_is_overlooked() {
    let fleet = Fleet::of(&["web-1"]);
    let sealed = fleet.seal(&["web-1"]);
    for data in each_changed(&sealed.data) {
        assert_eq!(fleet.open(&Sealed { data, ..sealed.clone() }, None, "web-1"), Err(unsealable("web-1")));
    }
    for wrap in each_changed(&sealed.wraps[&node("web-1")].0) {
        let wraps = [(node("web-1"), Wrap(wrap))].into();
        assert_eq!(fleet.open(&Sealed { wraps, ..sealed.clone() }, None, "web-1"), Err(broken("web-1", WhichWrap::First)));
    }
}

#[test]
fn what_is_cut_or_lengthened_does_not_open() {
    let fleet = Fleet::of(&["web-1"]);
    let sealed = fleet.seal(&["web-1"]);
    let wrap = &sealed.wraps[&node("web-1")].0;
    assert_eq!(wrap.len(), 80);
    for length in [0, 1, 31, 32, 47, 48, 79] {
        let data = sealed.data[..length].to_vec();
        assert_eq!(fleet.open(&Sealed { data, ..sealed.clone() }, None, "web-1"), Err(unsealable("web-1")));
        let wraps = [(node("web-1"), Wrap(wrap[..length].to_vec()))].into();
        assert_eq!(fleet.open(&Sealed { wraps, ..sealed.clone() }, None, "web-1"), Err(broken("web-1", WhichWrap::First)));
    }
    let longer = [&sealed.data[..], &[0]].concat();
    assert_eq!(fleet.open(&Sealed { data: longer, ..sealed.clone() }, None, "web-1"), Err(unsealable("web-1")));
    let wraps = [(node("web-1"), Wrap([&wrap[..], &[0]].concat()))].into();
    assert_eq!(fleet.open(&Sealed { wraps, ..sealed.clone() }, None, "web-1"), Err(broken("web-1", WhichWrap::First)));
}

#[test]
fn it_opens_in_its_own_context_alone() {
    let fleet = Fleet::of(&["web-1"]);
    let sealed = fleet.seal(&["web-1"]);
    let (other_fleet, other_spki) = ("f2".parse().expect("name"), spki("b"));
    let right = fleet.context();
    let wrong = [
        Context { fleet: &other_fleet, ..right },
        Context { purpose: "shop.example.org", ..right },
        Context { purpose: "", ..right },
        Context { purpose: "shop.example.com\",\"", ..right },
        Context { spki: &other_spki, ..right },
    ];
    assert_eq!(fleet.open(&sealed, None, "web-1"), Ok(secret()));
    for context in wrong {
        let (node, purpose) = (node("web-1"), context.purpose.to_owned());
        let refused = open(&sealed, None, &context, &node, fleet.key("web-1"));
        assert_eq!(refused, Err(OpenError::Broken { node, purpose, which: WhichWrap::First }), "{context:?}");
    }
    let wrap = sealed.wraps[&node("web-1")].clone();
    let under_another_name = open(&sealed, Some(&wrap), &right, &node("web-2"), fleet.key("web-1"));
    assert_eq!(under_another_name, Err(broken("web-2", WhichWrap::Later)));
}

#[test]
fn the_data_is_bound_to_its_context_apart_from_the_wraps() {
    let fleet = Fleet::of(&["web-1"]);
    let (other_fleet, other_spki) = ("f2".parse().expect("name"), spki("b"));
    let right = fleet.context();
    let (own, public) = with_random(X25519HkdfSha256::gen_keypair_with_rng).expect("random bytes");
    let opens = |bound_to: &Context<'_>, info: &[u8]| {
        let data = encrypt(&public, info, secret().expose(), &bound_to.of_secret()).expect("random bytes").expect("seals");
        let (web_1, key) = fleet.readers(&["web-1"]).next().expect("a member");
        let wraps = [(web_1.clone(), wrap(&own, &right, (web_1, key)).expect("random bytes").expect("a good key"))].into();
        fleet.open(&Sealed { scheme: SealScheme::HpkeX25519, data, wraps }, None, "web-1")
    };
    assert_eq!(opens(&right, SECRET_INFO), Ok(secret()));
    assert_eq!(opens(&right, WRAP_INFO), Err(unsealable("web-1")));
    assert_eq!(opens(&Context { fleet: &other_fleet, ..right }, SECRET_INFO), Err(unsealable("web-1")));
    assert_eq!(opens(&Context { purpose: "other", ..right }, SECRET_INFO), Err(unsealable("web-1")));
    assert_eq!(opens(&Context { spki: &other_spki, ..right }, SECRET_INFO), Err(unsealable("web-1")));
}

#[test]
fn what_binds_a_secret_cannot_be_read_as_another_context() {
    let (id, hash) = ("f1".parse().expect("name"), spki("a"));
    let context = |purpose| Context { fleet: &id, purpose, spki: &hash };
    assert_eq!(context("account key").of_secret(), format!(r#"["f1","account key","{hash}"]"#));
    assert_eq!(context("a").of_wrap(&node("web-1")), format!(r#"["f1","a","{hash}","web-1"]"#));
    let forged = format!(r#"a","{hash}"]"#);
    assert_ne!(context(&forged).of_secret(), context("a").of_secret());
    let parts: Vec<String> = serde_json::from_str(&context(&forged).of_secret()).expect("parses");
    assert_eq!(parts, ["f1", &forged, hash.as_str()]);
}

#[test]
fn a_key_of_small_order_stops_nobody_else() {
    let fleet = Fleet::of(&["web-1"]);
    let mut one = [0; KEY_BYTES];
    one[0] = 1;
    for bytes in [[0; KEY_BYTES], one] {
        let (bad, key) = (node("bad"), SealingKey::from_bytes(bytes));
        let both = fleet.readers(&["web-1"]).chain([(&bad, &key)]);
        let sealing = seal(&secret(), &fleet.context(), both).expect("seals");
        assert_eq!(sealing.skipped, [bad.clone()].into());
        assert_eq!(fleet.open(&sealing.sealed, None, "web-1"), Ok(secret()));
        let me = (&node("web-1"), fleet.key("web-1"));
        let refused = wrap_for(&sealing.sealed, None, &fleet.context(), me, (&bad, &key)).expect_err("small order");
        assert!(refused.to_string().contains("sealing key of node `bad`"), "{refused}");
        let alone = seal(&secret(), &fleet.context(), [(&bad, &key)]).expect_err("nobody is left");
        assert!(alone.to_string().contains("sealing key of `bad`"), "{alone}");
    }
}

#[test]
fn a_secret_that_nobody_could_open_is_not_sealed() {
    let fleet = Fleet::of(&[]);
    let refused = seal(&secret(), &fleet.context(), []).expect_err("no reader");
    assert_eq!(
        refused.to_string(),
        "the secret of `shop.example.com` has no reader: it is not sealed; a node that is meant to read it must join first"
    );
}

#[test]
fn a_thousand_readers_fit() {
    let names: Vec<String> = (0..1_000).map(|n| format!("web-{n:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let fleet = Fleet::of(&names);
    let sealed = fleet.seal(&names);
    let json = serde_json::to_string(&sealed).expect("serialises");
    assert!(json.len() < 200_000, "{} bytes", json.len());
    assert_eq!(fleet.open(&sealed, None, "web-0999"), Ok(secret()));
}

#[test]
fn the_sealing_secret_reads_back_and_does_not_print() {
    let key = SealingSecret::generate().expect("random bytes");
    assert_ne!(key, SealingSecret::generate().expect("random bytes"));
    let json = serde_json::to_string(&key).expect("serialises");
    let again: SealingSecret = serde_json::from_str(&json).expect("parses");
    assert_eq!((&again, again.sealing_key()), (&key, key.sealing_key()));
    assert_eq!(format!("{key:?}"), "[secret]");
    for bad in [r#""""#, r#""AA""#, r#""secret!""#, r#""AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA""#] {
        let refused = serde_json::from_str::<SealingSecret>(bad).expect_err("no key").to_string();
        assert!(refused.starts_with("this is not the private half of a sealing key") && !refused.contains('!'), "{refused}");
    }
}

#[test]
fn errors_and_debug_show_no_secret() {
    let fleet = Fleet::of(&["web-1"]);
    let hidden = serde_json::to_string(fleet.key("web-1")).expect("serialises");
    let sealed = fleet.seal(&["web-1"]);
    let stranger = fleet.wrap_for(&Sealed { wraps: BTreeMap::new(), ..sealed.clone() }, "web-1", "web-1").expect_err("no wrap");
    let opened = fleet.open(&sealed, None, "web-1");
    let shown = format!("{:?} {sealed:?} {opened:?} {stranger:?} {stranger}", fleet.key("web-1"));
    assert!(!shown.contains(hidden.trim_matches('"')) && !shown.contains("ABCDEFGH"), "{shown}");
    assert!(!shown.contains(&format!("{:?}", &exposed(&fleet.key("web-1").0)[..])));
    assert!(stranger.to_string().contains("node `web-1`") && stranger.to_string().contains("`shop.example.com`"));
}
