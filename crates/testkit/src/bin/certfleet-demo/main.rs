//! `certfleet-demo`: the main job, on this machine, for people to watch. `make demo` builds and runs it.
//!
//! A real CA (pebble), three `certfleet` processes on loopback addresses, real nginx and HAProxy in front of them; one process is killed in
//! the middle of an order, another goes on with it, and a renewal rolls through all three under traffic.
//!
//! Always holds: the exit code is 0 only if all of it was observed, from outside (handshakes, the CA's own log); whatever happens, no
//! process outlives this one, and only after a failure do files stay behind. Every wait has a limit.
//!
//! Deliberately not here: anything that knows certfleet from the inside. It is the binary, its commands and its log.

mod acts;
mod client;
mod failure;
mod fleet;
mod journal;
mod lab;
mod narrator;
mod screen;
mod servers;
mod stage;
mod traffic;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;
use crate::screen::Screen;
use crate::stage::Stage;

/// Longest time the whole story may take; it should be a quarter of that.
const STORY_SECONDS_MAX: u64 = 110;
const USAGE: &str = "usage: certfleet-demo [--keep]\n\n  --keep   leave everything running at the end, until Ctrl-C";
/// Exit code: wrong usage.
const WRONG: u8 = 2;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let keep = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => false,
        ["--keep"] => true,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(WRONG);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(perform(keep)),
        Err(error) => {
            eprintln!("certfleet-demo: the run time cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn perform(keep: bool) -> ExitCode {
    let screen = Screen::start();
    let (Ok(interrupt), Ok(terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        eprintln!("certfleet-demo: signals cannot be received");
        return ExitCode::FAILURE;
    };
    let mut end = (interrupt, terminate);
    let dir = match tempfile::Builder::new().prefix("certfleet-demo-").tempdir() {
        Ok(dir) => dir,
        Err(error) => {
            eprintln!("certfleet-demo: no temporary directory can be made: {error}");
            return ExitCode::FAILURE;
        }
    };
    let told = watch(&screen, dir.path(), &mut end).await;
    match told {
        Ok(_ended_here) if !keep => ExitCode::SUCCESS,
        Ok(stage) => {
            acts::look_around::tell(&stage);
            asked_to_end(&mut end).await;
            screen.plain("\nEnding everything.");
            ExitCode::SUCCESS
        }
        Err(Failure::Interrupted) => {
            screen.plain("\nInterrupted: everything is ended, nothing stays behind.");
            ExitCode::FAILURE
        }
        Err(Failure::Unseen(why)) => {
            screen.failed(&why, &dir.keep());
            ExitCode::FAILURE
        }
    }
}

async fn asked_to_end((interrupt, terminate): &mut (Signal, Signal)) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// The whole story, in a task of its own: the test kit panics where a server does not start, and that is a reason like any other. When this
/// returns without a stage, nothing runs any more.
async fn watch(screen: &Screen, dir: &Path, end: &mut (Signal, Signal)) -> Result<Stage, Failure> {
    std::panic::set_hook(Box::new(|_| {}));
    let mut story = tokio::spawn(acts::story(screen.clone(), dir.to_owned()));
    let early = tokio::select! {
        biased;
        () = asked_to_end(end) => Failure::Interrupted,
        told = &mut story => return told.unwrap_or_else(|panic| Err(Failure::of_panic(panic))),
        () = tokio::time::sleep(Duration::from_secs(STORY_SECONDS_MAX)) => {
            Failure::Unseen(format!("the demo did not come to its end within {STORY_SECONDS_MAX} s"))
        }
    };
    story.abort();
    drop(story.await);
    Err(early)
}
