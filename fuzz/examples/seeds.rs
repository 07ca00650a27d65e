//! Makes the corpus: `seeds` writes the files below `corpus/`, `seeds --check` says whether they are what it would write. All are made of what the
//! tests read, and all must be taken by their target, so that none can rot.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use certfleet_core::trust::{Grant, SignedGrant};
use certfleet_fuzz::TARGETS;
use certfleet_fuzz::fleet::{self, Line, TO_BE_SIGNED, key_of};
use certfleet_node::token::Token;
use certfleet_store::wire::{Answer, Ask, Line as Told};
use certfleet_store::{Put, Stored};
// What is built for fuzzing calls it everywhere.
use libfuzzer_sys as _;

/// A target, the seed's name, and its bytes.
type Seeds = BTreeMap<(&'static str, String), Vec<u8>>;

macro_rules! file {
    ($path:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../", $path))
    };
}

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let checks = std::env::args().any(|argument| argument == "--check");
    let seeds = all();
    let mut wrong = Vec::new();
    for ((target, name), bytes) in &seeds {
        let (_, read) = TARGETS.iter().find(|(known, _)| known == target).expect("a seed of a target");
        let path = root.join(target).join(name);
        if !read(bytes) {
            wrong.push(format!("{} is not taken any more", path.display()));
        }
        match checks {
            true if std::fs::read(&path).ok().as_ref() != Some(bytes) => wrong.push(format!("{} is another one now", path.display())),
            true => {}
            false => write(&path, bytes),
        }
    }
    let unknown = found(&root).into_iter().filter(|(target, name)| !seeds.keys().any(|(known, named)| known == target && named == name));
    wrong.extend(unknown.map(|(target, name)| format!("nobody makes {target}/{name}")));
    for why in &wrong {
        eprintln!("certfleet: {why}: look at fuzz/examples/seeds.rs, and give `cargo run --example seeds` in fuzz");
    }
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("a path below the corpus")).expect("a directory can be made");
    std::fs::write(path, bytes).expect("a seed can be written");
}

/// Seeds that are there; what libFuzzer adds has no ending.
fn found(root: &Path) -> Vec<(String, String)> {
    let names = |dir: PathBuf| -> Vec<String> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let seeds = |target: String| names(root.join(&target)).into_iter().map(move |name| (target.clone(), name)).collect::<Vec<_>>();
    names(root.to_owned()).into_iter().flat_map(seeds).filter(|(_, name)| name.contains('.')).collect()
}

fn all() -> Seeds {
    let mut seeds = Seeds::new();
    let mut add = |target, name: &str, bytes: &[u8]| drop(seeds.insert((target, name.to_owned()), bytes.to_vec()));
    add("configuration", "example.toml", &without_include(file!("examples/certfleet.toml")));
    add("configuration", "central.toml", &without_include(file!("examples/central/certfleet.toml")));
    add("certificate", "chain.pem", file!("crates/core/src/fixtures/chain.pem"));
    add("certificate", "self_signed.pem", file!("crates/core/src/fixtures/self_signed.pem"));
    let chain = std::str::from_utf8(file!("crates/core/src/fixtures/chain.pem")).expect("PEM is text");
    add("certificate", "leaf.der", &certfleet_core::x509::certificates(chain).expect("a chain")[0]);
    add("private_key", "pkcs8.pem", file!("crates/acme/src/keys/account/testdata/p256-pkcs8.pem"));
    add("private_key", "sec1.pem", file!("crates/acme/src/keys/account/testdata/p256-sec1.pem"));
    add("private_key", "p384.pem", file!("crates/acme/src/keys/csr/testdata/ec-p384.pem"));
    add("request", "openssl.csr", file!("crates/acme/src/keys/csr/testdata/openssl.csr"));
    add("token", "web.token", token().as_bytes());
    for (name, url) in STORES {
        add("store_url", name, url.as_bytes());
    }
    for (name, request) in REQUESTS {
        add("connection", name, format!("{request}\r\n\r\n").as_bytes());
    }
    for (name, asked) in ASKED {
        add("challenge", name, asked.as_bytes());
    }
    of_the_fleet(&mut seeds);
    of_a_server(&mut seeds);
    of_engines(&mut seeds);
    of_a_ca(&mut seeds, chain);
    seeds
}

/// What other files hold is no input of the target's.
fn without_include(text: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(text).expect("TOML is text");
    text.lines().filter(|line| !line.contains("include")).flat_map(|line| [line, "\n"]).collect::<String>().into_bytes()
}

fn token() -> String {
    let (fleet_key, join_key) = (key_of("the fleet"), key_of("token"));
    let grant = Grant {
        id: "00ff".parse().expect("an id"),
        fleet: "f1".parse().expect("an id"),
        fleet_name: "prod".into(),
        epoch: 2,
        store: "https://central.example:7443".into(),
        node: "web-*".parse().expect("a pattern"),
        roles: certfleet_core::spec::all_roles(),
        uses: 50,
        expires_at: fleet::now(3600).wall,
        replace: false,
        servers: vec![key_of("lb0").verifying_key()],
        join_key: join_key.verifying_key(),
    };
    Token { grant: SignedGrant::new(&grant, &fleet_key), verifying_keys: vec![fleet_key.verifying_key()], join_key }.encode().to_string()
}

const STORES: [(&str, &str); 7] = [
    ("central.url", "https://central.example:7443"),
    ("etcd.url", "etcd://a.example:2379,b.example:2379/lab"),
    ("file.url", "file:///srv/a%20b?watch=poll"),
    ("memory.url", "memory:"),
    ("postgres.url", "postgres://me:se%40cret@db1.example,db2.example:5433/fleet?sslmode=verify-full"),
    ("redis.url", "rediss://me:secret@db.example:6379/2"),
    ("s3.url", "s3://bucket/prefix?region=eu-central-1"),
];

const REQUESTS: [(&str, &str); 3] = [
    (
        "challenge.http",
        "GET /.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJyPCt92wrKoA HTTP/1.1\r\nHost: example.com\r\nUser-Agent: x",
    ),
    ("redirect.http", "GET http://www.example.com/a?b=c HTTP/1.1\r\nHost: example.com:80\r\nAccept: */*\r\nConnection: keep-alive"),
    ("old.http", "HEAD /.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJyPCt92wrKoA HTTP/1.0\r\nHost: 192.0.2.7"),
];

const ASKED: [(&str, &str); 3] = [
    ("managed.txt", "example.com\n/.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJyPCt92wrKoA"),
    ("pattern.txt", "www.example.net:80\n/.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJyPCt92wrKoA"),
    ("redirect.txt", "[2001:db8::7]\n/a/b?c=%20d"),
];

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("records serialise")
}

/// Its samples, each alone; those that a member may have written otherwise; and all of them as a backup.
fn of_the_fleet(seeds: &mut Seeds) {
    let mut backup = b"the header\n".to_vec();
    for line in fleet::samples() {
        let name = line.key.to_string().replace(['/', '@', '*'], "-");
        let name: String = name.chars().take(40).collect();
        let record = [line.key.as_str().as_bytes(), b"\n", &json(&line.envelope)].concat();
        seeds.insert(("record", format!("{name}.record")), record);
        let mut envelope = line.envelope.clone();
        (envelope.signature, envelope.change) = (TO_BE_SIGNED.into(), envelope.change + 1);
        seeds.insert(("view", format!("{name}.jsonl")), json(&Line { key: line.key.clone(), envelope }));
        if !["presence", "reports", "joining"].iter().any(|passing| line.key.is_under(passing)) {
            backup.extend([json(line), b"\n".to_vec()].concat());
        }
    }
    seeds.insert(("backup", "samples.backup".into()), backup);
}

fn of_a_server(seeds: &mut Seeds) {
    let line = fleet::samples().iter().find(|line| line.key.is_under("certs")).expect("a certificate's record").clone();
    let (key, revision) = (line.key.clone(), line.revision(1));
    let stored = Stored { envelope: line.envelope.clone(), revision: revision.clone() };
    let asks = [
        ("get", Ask::Get { key: key.clone() }),
        ("list", Ask::List { prefix: "certs".into() }),
        ("watch", Ask::Watch { prefix: String::new() }),
        ("put", Ask::Put { key: key.clone(), envelope: Box::new(line.envelope.clone()), expect: Some(revision.clone().into()) }),
    ];
    for (name, ask) in asks {
        let who: &[&str] = if name == "put" { &["member"] } else { &["member", "deployer", "stranger"] };
        for who in who {
            seeds.insert(("question", format!("{name}.{who}")), [format!("{who}\n").as_bytes(), &json(&ask)].concat());
        }
    }
    let mut reply = |name: &str, bytes: Vec<u8>| drop(seeds.insert(("reply", format!("{name}.json")), bytes));
    reply("found", json(&Answer::Found(Some(stored.clone().into()))));
    reply("done", json(&Answer::from(Put::Done(revision))));
    reply("unknown", json(&Answer::from(Put::Unknown("it hung up".into()))));
    reply("value", json(&Told::Value(key.clone(), Box::new(stored.into()))));
    reply("changed", json(&Told::Changed(vec![key])));
}

fn of_engines(seeds: &mut Seeds) {
    let envelope = json(&fleet::samples()[0].envelope);
    let mut add = |name: &str, bytes: &[u8]| drop(seeds.insert(("engine", name.to_owned()), bytes.to_vec()));
    for name in ["certs+%2a.example.com%40lb1", "0000000007", "fleet", "0f"] {
        add(&format!("{}.name", name.replace('%', "")), format!("name\n{name}").as_bytes());
    }
    add("value.object", &[b"object\n{\"revision\":7}\n", envelope.as_slice()].concat());
    add("deleted.object", b"object\n{\"revision\":8,\"deleted\":\"00000000000000000000000000000000\"}\n");
    add(
        "two.page",
        b"page\n<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><EncodingType>url</EncodingType>\
          <IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b==</NextContinuationToken><Contents><Key>p/data/certs/%2A.a%40lb0</Key>\
          <ETag>&quot;0f&quot;</ETag><Size>7</Size></Contents><Contents><Key>p/data//a+b%01</Key><ETag>\"1\"</ETag><Size>0</Size></Contents></ListBucketResult>",
    );
}

const AUTHORIZATION: &str = r#"200

{"identifier":{"type":"dns","value":"example.com"},"status":"invalid","expires":"2027-01-02T03:04:05Z","challenges":[{"type":"http-01","url":"https://ca.test/challenge/1","token":"evaGxfADs6pSRb2LAv9IZf17Dt3juxGJyPCt92wrKoA","status":"invalid","error":{"type":"urn:ietf:params:acme:error:unauthorized","detail":"404","status":403,"subproblems":[{"type":"x","detail":"no","identifier":{"type":"dns","value":"example.com"}}]}}]}"#;

fn order(status: &str) -> String {
    format!(
        "200\nLocation: https://ca.test/order/1\nRetry-After: 3\n\n{{\"status\":\"{status}\",\"expires\":\"2027-01-02T03:04:05Z\",\"identifiers\":[{{\"type\":\"dns\",\"value\":\"example.com\"}}],\
         \"authorizations\":[\"https://ca.test/authz/1\"],\"finalize\":\"https://ca.test/finalize/1\",\"certificate\":\"https://ca.test/certificate/1\"}}"
    )
}

fn of_a_ca(seeds: &mut Seeds, chain: &str) {
    const NONCE: &str = "200\n\n";
    const ACCOUNT: &str = "200\nLocation: https://ca.test/account/1\n\n{\"status\":\"valid\",\"contact\":[\"mailto:ops@example.com\"]}";
    const DIRECTORY: &str = "200\nDate: Fri, 15 Jan 2027 08:00:00 GMT\n\n{\"newNonce\":\"https://ca.test/nonce\",\"newAccount\":\"https://ca.test/account\",\"newOrder\":\"https://ca.test/order\"}";
    const BAD_NONCE: &str = "400\n\n{\"type\":\"urn:ietf:params:acme:error:badNonce\",\"detail\":\"JWS has an invalid anti-replay nonce\"}";
    let [pending, ready, valid] = ["pending", "ready", "valid"].map(order);
    let downloaded = format!("200\nLink: <https://ca.test/certificate/1/1>;rel=\"alternate\"\n\n{chain}");
    let mut add = |name: &str, call: &str, answers: &[&str]| {
        let text = format!("{call}\n{}", answers.join("\n===\n"));
        seeds.insert(("ca_answer", format!("{name}.answers")), text.into_bytes());
    };
    add("directory", "date", &[DIRECTORY]);
    add("account", "register", &[NONCE, ACCOUNT]);
    add("known_account", "find", &[NONCE, BAD_NONCE, ACCOUNT]);
    add("rolled", "roll", &[NONCE, ACCOUNT]);
    add("new", "new", &[NONCE, &pending, AUTHORIZATION]);
    add("failed", "order", &[NONCE, &pending, AUTHORIZATION]);
    add(
        "told",
        "ready",
        &[NONCE, "200\n\n{\"type\":\"http-01\",\"url\":\"https://ca.test/challenge/1\",\"token\":\"x\",\"status\":\"processing\"}"],
    );
    add("finalized", "finalize", &[NONCE, &ready, &order("processing")]);
    add("downloaded", "certificate", &[NONCE, &valid, &downloaded]);
}
