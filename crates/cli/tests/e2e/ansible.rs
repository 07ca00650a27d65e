//! The playbook of `examples/ansible`, run by Ansible against three hosts that are directories of this machine.
//!
//! Always holds: everything Ansible writes, its temporary files too, is in the test's directory; the daemons are the test's, not systemd's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use certfleet_testkit::installed;
use serde_json::{Value, json};

use crate::fleet::{Config, Fleet, Lab, audit};

const NAME: &str = "ansible.example.com";
const BINARY: &str = env!("CARGO_BIN_EXE_certfleet");
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/ansible");
/// How a token begins.
const TOKEN: &str = "cf1.";
/// The host that may only answer and install, and that is rebuilt.
const REBUILT: u8 = 3;
/// So much is printed that a token would be among it, if nothing kept it out.
const VERBOSE: &str = "-vvv";

/// Ansible, and what it is told of a fleet.
struct Ansible {
    program: PathBuf,
    dir: PathBuf,
}

/// What a run of the playbook said.
struct Played {
    code: Option<i32>,
    output: String,
}

impl Ansible {
    fn new(program: PathBuf, fleet: &Fleet) -> Self {
        let dir = fleet.lab.dir.path().join("ansible");
        fs::create_dir(&dir).expect("directory");
        let ansible = Self { program, dir };
        ansible.write("inventory.yml", &inventory(fleet).to_string());
        let (local, remote) = (ansible.dir.join("local"), ansible.dir.join("remote"));
        let defaults = format!("[defaults]\nlocal_tmp = {}\nremote_tmp = {}\nnocows = 1\nnocolor = 1\n", local.display(), remote.display());
        ansible.write("ansible.cfg", &defaults);
        ansible
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.dir.join(file), text).expect("it can be written");
    }

    /// Runs the playbook. No token may be in what it prints.
    async fn play(&self, words: &[&str]) -> Played {
        let mut command = tokio::process::Command::new(&self.program);
        command.args([VERBOSE, "-i"]).arg(self.dir.join("inventory.yml")).args(words).arg(Path::new(EXAMPLE).join("playbook.yml"));
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
        command.env("HOME", &self.dir).env("ANSIBLE_CONFIG", self.dir.join("ansible.cfg")).current_dir(&self.dir);
        let played = command.stdin(Stdio::null()).output().await.expect("ansible-playbook can be run");
        let output = format!("{}{}", String::from_utf8_lossy(&played.stdout), String::from_utf8_lossy(&played.stderr));
        assert!(!output.contains(TOKEN), "a token in the output: {output}");
        Played { code: played.status.code(), output }
    }
}

/// The same variables as `inventory.example.yml` has, for this machine. JSON is YAML.
fn inventory(fleet: &Fleet) -> Value {
    let lab = fleet.lab.dir.path().display();
    let hosts: BTreeMap<String, Value> = fleet.numbers().map(|n| (fleet.name(n).to_string(), own_variables(n))).collect();
    json!({ "certfleet": { "hosts": hosts, "vars": {
        "ansible_connection": "local",
        "ansible_python_interpreter": "auto_silent",
        "certfleet_node": "{{ inventory_hostname }}",
        "certfleet_program": format!("{lab}/programs/{{{{ inventory_hostname }}}}"),
        "certfleet_program_from": BINARY,
        "certfleet_config": format!("{lab}/{{{{ inventory_hostname }}}}/etc/certfleet.toml"),
        "certfleet_config_from": fleet.config_path(),
        "certfleet_store": format!("file://{lab}/store"),
        "certfleet_state": format!("{lab}/{{{{ inventory_hostname }}}}/state"),
        "certfleet_roles": "issue,answer,deploy",
        "certfleet_token_life": "1h",
        "certfleet_replace": false,
        "certfleet_start": "none",
    } } })
}

fn own_variables(n: u8) -> Value {
    if n == REBUILT { json!({ "certfleet_roles": "answer,deploy" }) } else { json!({}) }
}

impl Played {
    /// What the recap counts for a host.
    fn count(&self, host: &str, what: &str) -> u32 {
        let recap = self.output.rsplit_once("PLAY RECAP").unwrap_or_else(|| panic!("no recap: {}", self.output)).1;
        let line = recap.lines().find(|line| line.split_whitespace().next() == Some(host));
        let word = line.and_then(|line| line.split_whitespace().find_map(|word| word.strip_prefix(what)?.strip_prefix('=')));
        word.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{what} of {host} is not told: {recap}"))
    }

    /// It did what it was told, and changed something on these hosts alone.
    fn changed(&self, hosts: &[&str], changed: &[&str]) {
        assert_eq!(self.code, Some(0), "{}", self.output);
        for host in hosts {
            assert_eq!((self.count(host, "failed"), self.count(host, "unreachable")), (0, 0), "{}", self.output);
            assert_eq!(self.count(host, "changed") > 0, changed.contains(host), "{host}: {}", self.output);
        }
    }
}

/// Three machines that are in no fleet, and Ansible; `None`, loudly, where it or pebble is not installed.
async fn machines() -> Option<(Fleet, Ansible)> {
    let program = installed("ansible-playbook", "ansible-core")?;
    let fleet = Fleet::of_strangers(Lab::new(3, |_| {}).await?, Config::plain(NAME), 3).await;
    fs::create_dir(programs(&fleet)).expect("directory");
    let ansible = Ansible::new(program, &fleet);
    Some((fleet, ansible))
}

/// Where the hosts have the program, each a file of its name; not in a node's own directory, whose files are searched for keys.
fn programs(fleet: &Fleet) -> PathBuf {
    fleet.lab.dir.path().join("programs")
}

/// What the fleet says of node `n`.
async fn member(fleet: &Fleet, n: u8) -> Option<Value> {
    let listed: Value = serde_json::from_str(&fleet.certfleet(1, &["node", "ls", "--json"]).await.worked()).expect("JSON");
    let name = fleet.name(n);
    listed["nodes"].as_array().expect("a list").iter().find(|node| node["name"] == name.as_str()).cloned()
}

/// Files that a token was left in. The program itself knows how one begins.
fn with_tokens(fleet: &Fleet) -> Vec<PathBuf> {
    let holds_token = |path: &PathBuf| fs::read(path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(TOKEN));
    let written = audit::files(fleet.lab.dir.path()).into_iter().filter(|path| !path.starts_with(programs(fleet)));
    written.filter(holds_token).collect()
}

/// Node `n` is an empty machine again.
fn lose(fleet: &mut Fleet, n: u8) {
    fleet.stop(n);
    for lost in ["state", "live", "etc"] {
        fs::remove_dir_all(fleet.dir(n).join(lost)).expect("it can be removed");
    }
    fs::remove_file(programs(fleet).join(fleet.name(n).as_str())).expect("it can be removed");
    fs::create_dir(fleet.dir(n).join("live")).expect("directory");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_playbook_makes_a_fleet_and_brings_a_rebuilt_host_back() {
    let Some((mut fleet, ansible)) = machines().await else { return };
    let hosts = ["n1", "n2", "n3"];
    ansible.play(&[]).await.changed(&hosts, &hosts);
    fleet.start_all();
    let leaf = fleet.all_have(NAME, 1, 1).await;
    let granted = member(&fleet, REBUILT).await.expect("it is a member");
    assert_eq!(granted["granted"], json!(["answer", "deploy"]), "{granted}");
    ansible.play(&[]).await.changed(&hosts, &[]);

    lose(&mut fleet, REBUILT);
    let refused = ansible.play(&[]).await;
    let counts = hosts.map(|host| refused.count(host, "failed"));
    assert!(refused.code != Some(0) && counts == [0, 0, 1], "{}", refused.output);
    for told in ["the fleet has a node n3 already", "-e certfleet_replace=true --limit n1,n3"] {
        assert!(refused.output.contains(told), "{}", refused.output);
    }

    let replace = ["-e", "certfleet_replace=true", "--limit", "n1,n3"];
    ansible.play(&replace).await.changed(&["n1", "n3"], &["n3"]);
    fleet.start(REBUILT);
    assert_eq!(fleet.all_have(NAME, 1, 1).await, leaf, "nothing is issued anew");
    ansible.play(&replace).await.changed(&["n1", "n3"], &[]);
    let another = member(&fleet, REBUILT).await.expect("it is a member");
    assert_ne!(another["fingerprint"], granted["fingerprint"], "another machine has the name");
    assert_eq!(with_tokens(&fleet), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn the_examples_own_configuration_is_right() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let template = fs::read_to_string(Path::new(EXAMPLE).join("templates/certfleet.toml.j2")).expect("it can be read");
    let filled = template.replace("{{ certfleet_store }}", "file:///srv/certfleet").replace("{{ certfleet_state }}", "/var/lib/certfleet");
    let config = dir.path().join("certfleet.toml");
    fs::write(&config, filled).expect("it can be written");
    let checked = tokio::process::Command::new(BINARY).arg("check").arg("-c").arg(&config).output().await.expect("the binary can be run");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
