//! Kind `files`: an nginx that is fed by one combined file for each name, a check and a signal.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use certfleet_core::names::CertName;
use certfleet_deploy::State;
use certfleet_testkit::nginx::{Nginx, Setup};
use certfleet_testkit::{Site, installed};

use crate::certs::Ca;
use crate::nginx::servers;
use crate::rig::{Rig, build, name, node};

pub struct FilesRig {
    nginx: Nginx,
    certs: PathBuf,
    program: PathBuf,
    address: SocketAddr,
    _site: Site,
}

impl Rig for FilesRig {
    const RELOADS_PER_CHANGE: usize = 1;

    fn new(home: &Path) -> Option<Self> {
        let site = Site::claim();
        let address = SocketAddr::from((site.host(1), site.port_on_all(1)));
        let certs = home.join("certs");
        fs::create_dir(&certs).expect("a directory");
        let servers = servers(|name| (certs.join(format!("{name}.pem")), certs.join(format!("{name}.pem"))));
        let nginx = Nginx::prepare(&home.join("nginx"), &Setup { tls: vec![address], servers, ..Setup::default() }).expect("prepared")?;
        Some(Self { nginx, certs, program: installed("nginx", "nginx")?, address, _site: site })
    }

    fn table(&self) -> String {
        let (certs, program, conf, pid) = (self.certs.display(), self.program.display(), self.nginx.conf(), self.nginx.pid_file());
        format!(
            "kind = \"files\"\ncombined = \"{certs}/{{name}}.pem\"\ncheck = [\"{program}\", \"-t\", \"-q\", \"-c\", \"{}\"]\n\
             reload = {{ signal = \"HUP\", pid_file = \"{}\" }}\n",
            conf.display(),
            pid.display()
        )
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn key_file(&self, cert: &CertName) -> PathBuf {
        self.certs.join(format!("{cert}.pem"))
    }

    async fn start(&mut self) {
        self.nginx.run().await.expect("nginx starts");
    }

    fn stop(&mut self) {
        self.nginx.stop();
    }

    async fn settled(&self) {
        self.nginx.settled().await;
    }

    fn reloads(&self) -> usize {
        self.nginx.reloads()
    }
}

crate::conforms_in_all!(FilesRig);

#[tokio::test]
async fn certbots_layout_and_its_hooks_variables() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (dir, runs) = (home.path().join("{node}").display().to_string(), home.path().join("runs"));
    fs::create_dir(home.path().join("lb0")).expect("a directory");
    let hook = "echo $CERTFLEET_TARGET,$CERTFLEET_CERT,$CERTFLEET_GENERATION,$RENEWED_LINEAGE,$RENEWED_DOMAINS";
    let target =
        build(&format!("kind = \"files\"\ndir = \"{dir}/{{name}}\"\nreload = [\"sh\", \"-c\", \"{hook} >> {}\"]\n", runs.display()));
    let material = Ca::new().issue("*.example.com", 7);
    let outcome = target.converge(std::slice::from_ref(&material)).await.remove(0);
    assert_eq!((outcome.state, outcome.reason.as_deref()), (State::Installed, Some("verify is off")));
    let lineage = home.path().join("lb0/_.example.com");
    let file = |name: &str| fs::read_to_string(lineage.join(name)).expect(name);
    assert_eq!(format!("{}{}", file("cert.pem"), file("chain.pem")), file("fullchain.pem"));
    assert_eq!(file("fullchain.pem").matches("BEGIN CERTIFICATE").count(), 2);
    assert_eq!(Some(file("privkey.pem").as_str()), material.key_pem.expose_text());
    let expected = format!("web,_.example.com,7,{},*.example.com\n", lineage.display());
    assert_eq!(fs::read_to_string(runs).expect("the hook ran"), expected);
    assert_eq!(fs::read_dir(lineage).expect("the directory").count(), 4, "nothing is left beside the four files");
}

#[tokio::test]
async fn mode_owner_and_group_are_as_configured() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let me = fs::metadata(home.path()).expect("metadata");
    // Only root can give files away; others can only name themselves.
    let (owner, group) = if me.uid() == 0 { (1, 33) } else { (me.uid(), me.gid()) };
    let dir = home.path().join("x");
    let table = |mode: &str| {
        format!("kind = \"files\"\ndir = \"{}\"\nowner = \"{owner}\"\ngroup = \"{group}\"\nmode = \"{mode}\"\n", dir.display())
    };
    let batch = [Ca::new().issue(&name(0), 1)];
    build(&table("0640")).converge(&batch).await;
    for (path, mode) in [(dir.clone(), 0o750), (dir.join("privkey.pem"), 0o640), (dir.join("fullchain.pem"), 0o640)] {
        let meta = fs::metadata(&path).expect("written");
        assert_eq!((meta.mode() & 0o777, meta.uid(), meta.gid()), (mode, owner, group), "{}", path.display());
    }
    assert!(build(&table("0600")).converge(&batch).await[0].changed, "another mode is another file");
    assert_eq!(fs::metadata(dir.join("privkey.pem")).expect("written").permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_calls_at_once_take_turns() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let certs = home.path().display();
    // The check fails if another one is under way.
    let check = format!("mkdir {certs}/busy && sleep 0.3 && rmdir {certs}/busy");
    let target = build(&format!("kind = \"files\"\ncombined = \"{certs}/{{name}}.pem\"\ncheck = [\"sh\", \"-c\", \"{check}\"]\n"));
    let ca = Ca::new();
    let (first, second) = ([ca.issue(&name(0), 1)], [ca.issue(&name(1), 1)]);
    let (one, two) = tokio::join!(target.converge(&first), target.converge(&second));
    assert_eq!((one[0].state, two[0].state), (State::Installed, State::Installed), "{one:?} {two:?}");
}

#[tokio::test]
async fn a_reload_follows_when_files_were_put_back_after_one() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (certs, runs) = (home.path().display(), home.path().join("runs"));
    // Refuses the second certificate, and whatever is installed together with it.
    let check = format!("! test -e {certs}/{}.pem", name(1));
    let reload = format!("test -e {certs}/{}.pem && echo bad >> {1} || echo good >> {1}", name(1), runs.display());
    let command = |script: &str| format!("[\"sh\", \"-c\", \"{script}\"]");
    let table =
        format!("kind = \"files\"\ncombined = \"{certs}/{{name}}.pem\"\ncheck = {}\nreload = {}\n", command(&check), command(&reload));
    let ca = Ca::new();
    let outcomes = build(&table).converge(&[ca.issue(&name(0), 1), ca.issue(&name(1), 1)]).await;
    assert_eq!((outcomes[0].state, outcomes[0].activations, outcomes[1].state), (State::Installed, 2, State::Failed));
    assert_eq!(fs::read_to_string(runs).expect("it ran"), "good\ngood\n");
}

#[tokio::test]
async fn two_certificates_cannot_have_one_path() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let target = build(&format!("kind = \"files\"\ncombined = \"{}/all.pem\"\n", home.path().display()));
    let ca = Ca::new();
    let outcomes = target.converge(&[ca.issue(&name(0), 1), ca.issue(&name(1), 1)]).await;
    assert_eq!((outcomes[0].state, outcomes[1].state), (State::Installed, State::Failed));
    assert!(outcomes[1].reason.as_deref().is_some_and(|reason| reason.contains("put {name} into its path")));
    assert!(!target.stand_in(&outcomes[0].cert, &node(), &[]).await.expect("looked"));
}
