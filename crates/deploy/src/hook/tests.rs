use std::time::Instant;

use super::*;

const LONG: Duration = Duration::from_secs(20);

fn sh(script: &str) -> Vec<OsString> {
    words(&["sh".into(), "-c".into(), script.into()])
}

async fn message(script: &str) -> String {
    run(&sh(script), &Environment::default(), LONG).await.expect_err("it fails").message
}

#[tokio::test]
async fn the_tools_own_words_are_kept_in_order() {
    let told = message("echo one; echo two >&2; printf '\\033[31mthree\\n'; exit 3").await;
    assert!(told.contains("exit status: 3") && told.contains("one; two;  [31mthree"), "{told}");
}

#[tokio::test]
async fn output_is_bounded_and_never_blocks_the_program() {
    let told = message("head -c 1000000 /dev/zero | tr '\\0' x; exit 1").await;
    assert!(told.chars().count() < 2 * MESSAGE_CHARS_MAX + 100, "{}", told.len());
}

#[tokio::test]
async fn a_program_that_hangs_is_killed_with_its_children() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let pid_file = dir.path().join("pid");
    let start = Instant::now();
    let script = format!("sleep 600 & echo $! > {}; wait", pid_file.display());
    let told = run(&sh(&script), &Environment::default(), Duration::from_millis(500)).await.expect_err("killed").message;
    assert!(told.contains("did not end within 500ms") && start.elapsed() < LONG, "{told}");
    let child: i32 = std::fs::read_to_string(&pid_file).expect("written").trim().parse().expect("a number");
    let gone = || async {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    };
    certfleet_testkit::eventually("the child is gone", LONG, gone).await;
}

#[tokio::test]
async fn something_left_running_does_not_hold_the_hook() {
    let start = Instant::now();
    let done = run(&sh("sleep 20 & exit 0"), &Environment::default(), LONG).await;
    assert!(done.is_ok() && start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let told = run(&words(&["/no/such/program".into()]), &Environment::default(), LONG).await.expect_err("not there").message;
    assert!(told.starts_with("`/no/such/program` cannot be run"), "{told}");
}

#[tokio::test]
async fn a_signal_goes_to_the_process_of_the_pid_file() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (pid_file, got) = (dir.path().join("pid"), dir.path().join("got"));
    let reload = Command::Signal { signal: crate::SignalName(Signal::USR1), pid_file: pid_file.clone() };
    let tell = || async { super::reload(&reload, &Environment::default(), LONG).await };
    assert!(matches!(tell().await, Ok(Activation::NotRunning(how)) if how.ends_with("does not exist")));
    std::fs::write(&pid_file, "1").expect("written");
    assert!(tell().await.expect_err("init is nobody's server").contains("holds no process id"));

    let script = format!("trap 'touch {}; exit' USR1; echo $$ > {}; while :; do sleep 0.05; done", got.display(), pid_file.display());
    std::fs::remove_file(&pid_file).expect("removed");
    let mut server = tokio::process::Command::new("sh").args(["-c", &script]).kill_on_drop(true).spawn().expect("started");
    let written = || async { std::fs::read_to_string(&pid_file).ok().filter(|text| text.ends_with('\n')) };
    certfleet_testkit::eventually("it writes its pid file", LONG, written).await;
    assert_eq!(tell().await, Ok(Activation::Done));
    server.wait().await.expect("it ends");
    assert!(got.exists());
    assert!(matches!(tell().await, Ok(Activation::NotRunning(how)) if how.contains("is gone")));
}
