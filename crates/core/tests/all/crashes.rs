//! Every crash that the work of trust can meet: letting machines in, wrapping keys, rolling the account, requests of nodes that have a key.

use super::world::tell;

/// Tells `story` once for each moment before and after each of `points`, with that crash armed where it says `CRASH`.
fn at_every_moment(points: &[&str], story: &str) {
    for point in points {
        for moment in ["before", "after"] {
            println!("══ crash {moment} {point}");
            let log = tell(&story.replace("CRASH", &format!("crash {moment} {point}")));
            let has_crashed = log.contains(&format!("crashes {moment} `{point}`"));
            assert!(has_crashed || *point == "roll-account at the CA", "the crash was never met\n{log}");
        }
    }
}

#[test]
fn a_token_for_one_lets_one_in_whatever_crashes() {
    let points = ["record invitations", "record nodes", "let-in"];
    let story = "cert example.com\nnodes a b\nstart all\nrun 1m\ninvite T for=web-* roles=deploy\nCRASH\ncome web-1 with T\nrun 1s\ncome web-2 with T\n\
                 start web-1,web-2\nrun 20s\nexpect members a,b,web-1\nstart a,b\nrun 3m\nexpect members a,b,web-1\n\
                 expect verified a,b,web-1\nexpect issued 1\nexpect safe yes";
    at_every_moment(&points, story);
}

#[test]
fn the_account_is_rolled_whatever_crashes() {
    let points = ["prepare-account-key", "roll-account", "roll-account at the CA", "record accounts"];
    let story = "cert example.com\nnodes a b c\nstart all\nrun 1m\nCRASH\nremove c compromised\nrun 30s\nstart a,b\nrun 10m\n\
                 expect rolled yes\nexpect verified a,b\nexpect issued 2\nexpect failures 0\nexpect safe yes";
    at_every_moment(&points, story);
}

#[test]
fn keys_are_made_anew_once_whatever_crashes() {
    let story = "cert example.com\nnodes a b web-1=deploy\nstart all\nrun 1m\nCRASH\nremove web-1 compromised\nrun 30s\nstart a,b\nrun 10m\n\
                 expect verified a,b\nexpect issued 2\nexpect safe yes";
    at_every_moment(&super::stories::POINTS[4..], story);
}

#[test]
fn own_and_kept_keys_survive_crashes() {
    let per_node = "cert example.com per-node\nnodes a b=deploy\nCRASH\nstart all\nrun 30s\nstart all\nrun 2m\n\
                    expect verified a of example.com@a\nexpect verified b of example.com@b\nexpect issued 2\nexpect safe yes";
    at_every_moment(&["request", "write keyed", "write placed"], per_node);
    let reuse = "cert example.com reuse\nnodes a b\nstart all\nrun 1m\nnote key\nrenew example.com\nCRASH\nrun 30s\nstart all\nrun 2m\n\
                 expect key same\nexpect generation 2\nexpect issued 2\nexpect safe yes";
    at_every_moment(&["request", "write keyed"], reuse);
}

#[test]
fn a_late_node_gets_its_key_whatever_crashes() {
    let story = "cert example.com\nnodes a b\nstart all\nrun 1m\ninvite T for=web-* roles=deploy\nCRASH\ncome web-1 with T\nstart web-1\nrun 30s\n\
                 start a,b\nrun 3m\nexpect verified a,b,web-1\nexpect issued 1\nexpect safe yes";
    at_every_moment(&["wrap"], story);
}
