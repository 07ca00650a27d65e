//! Runs a check or a reload: bounded in time and output, no shell, nothing on stdin.
//!
//! At the time-out the whole process group is killed. What the program prints is kept up to a bound, for the report.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

use crate::command::Command;
use crate::material::Material;

/// How much of a program's output is kept, in bytes.
const OUTPUT_BYTES_MAX: usize = 8 * 1024;
/// Longest text from a tool in a report, in characters.
const MESSAGE_CHARS_MAX: usize = 600;
/// How long the output may stay open after the program has ended (something it started may hold it).
const OUTPUT_AFTER_END_MS: u64 = 200;
/// Largest pid file, in bytes.
const PID_FILE_BYTES_MAX: u64 = 64;

/// What an activation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Activation {
    /// The server was told and took it.
    Done,
    /// There is nothing to tell.
    Nothing,
    /// The server does not run; it will read the files when it starts. Says how this was seen.
    NotRunning(String),
}

/// Makes a tool's words fit for a report: one line, printable, bounded.
pub(crate) fn printable(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text = lines.join("; ");
    let mut short: String = text.chars().take(MESSAGE_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// What a hook learns about why it is run. Several certificates of one batch are parted by spaces. The last two are certbot's, so that
/// hooks written for it go on working.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment(Vec<(&'static str, OsString)>);

impl Environment {
    /// For one run for the whole batch; `lineages` are the directories or files that were written, one for each.
    pub fn new(target: &str, batch: &[&Material], lineages: &[&Path]) -> Self {
        let joined = |words: Vec<String>| OsString::from(words.join(" "));
        let mut domains: Vec<String> = batch.iter().flat_map(|m| m.names.iter().map(ToString::to_string)).collect();
        domains.dedup();
        Self(vec![
            ("CERTFLEET_TARGET", target.into()),
            ("CERTFLEET_CERT", joined(batch.iter().map(|m| m.cert.to_string()).collect())),
            ("CERTFLEET_GENERATION", joined(batch.iter().map(|m| m.generation.to_string()).collect())),
            ("RENEWED_LINEAGE", joined(lineages.iter().map(|path| path.display().to_string()).collect())),
            ("RENEWED_DOMAINS", joined(domains)),
        ])
    }
}

/// Why a program did not do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HookError {
    /// For the report.
    pub message: String,
    /// What it printed, as far as it was kept.
    pub output: String,
}

/// Where a server's program lies: in `PATH`, or where administrators' programs are and a service's `PATH` may not look.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from));
    dirs.map(|dir| dir.join(name)).find(|file| file.is_file()).unwrap_or_else(|| name.into())
}

/// Runs a program to its end.
pub(crate) async fn run(argv: &[OsString], env: &Environment, timeout: Duration) -> Result<(), HookError> {
    let name = argv.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let told = |what: String, output: String| {
        let separator = if output.is_empty() { "" } else { ": " };
        HookError { message: format!("`{}` {what}{separator}{}", printable(&name), printable(&output)), output }
    };
    let (mut child, mut pipe) = start(argv, env).map_err(|e| told(format!("cannot be run: {e}"), String::new()))?;
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let mut output = Vec::new();
    let status = tokio::time::timeout(timeout, finish(&mut child, &mut pipe, &mut output)).await;
    let output = String::from_utf8_lossy(&output).into_owned();
    match status {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(told(format!("failed ({status})"), output)),
        Ok(Err(e)) => Err(told(format!("cannot be waited for: {e}"), output)),
        Err(_) => {
            let _ = group.map(|group| kill_process_group(group, Signal::KILL));
            let _ = child.wait().await;
            Err(told(format!("did not end within {timeout:?} and was killed"), output))
        }
    }
}

fn start(argv: &[OsString], env: &Environment) -> std::io::Result<(tokio::process::Child, Receiver)> {
    // Both outputs go into one pipe, so that the lines keep their order.
    let (reader, writer) = std::io::pipe()?;
    let mut command = tokio::process::Command::new(&argv[0]);
    command.args(&argv[1..]).envs(env.0.iter().map(|(name, value)| (name, value))).current_dir("/").process_group(0).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let child = command.spawn()?;
    Ok((child, Receiver::from_owned_fd(OwnedFd::from(reader))?))
}

async fn finish(child: &mut tokio::process::Child, pipe: &mut Receiver, output: &mut Vec<u8>) -> std::io::Result<ExitStatus> {
    let mut drained = std::pin::pin!(drain(pipe, output));
    let mut open = true;
    loop {
        tokio::select! {
            status = child.wait() => {
                if open {
                    let _ = tokio::time::timeout(Duration::from_millis(OUTPUT_AFTER_END_MS), drained).await;
                }
                return status;
            }
            () = &mut drained, if open => open = false,
        }
    }
}

/// Reads to the end, so that the program never blocks; keeps the first part.
async fn drain(pipe: &mut Receiver, output: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
        let room = OUTPUT_BYTES_MAX.saturating_sub(output.len());
        output.extend_from_slice(&buffer[..length.min(room)]);
    }
}

/// Runs a configured `check`.
pub(crate) async fn check(command: &Command, env: &Environment, timeout: Duration) -> Result<(), String> {
    match command {
        Command::Argv(argv) => run(&words(argv), env, timeout).await.map_err(|e| e.message),
        Command::None | Command::Unit(_) | Command::Signal { .. } => Ok(()),
    }
}

/// Runs a configured `reload`.
pub(crate) async fn reload(command: &Command, env: &Environment, timeout: Duration) -> Result<Activation, String> {
    match command {
        Command::None => Ok(Activation::Nothing),
        Command::Argv(argv) => run(&words(argv), env, timeout).await.map(|()| Activation::Done).map_err(|e| e.message),
        Command::Unit(unit) => reload_unit(unit, env, timeout).await,
        Command::Signal { signal, pid_file } => send(signal.0, pid_file),
    }
}

pub(crate) fn words(argv: &[String]) -> Vec<OsString> {
    argv.iter().map(OsString::from).collect()
}

async fn reload_unit(unit: &str, env: &Environment, timeout: Duration) -> Result<Activation, String> {
    let systemctl = |verb: &str| words(&["systemctl".into(), verb.into(), "--".into(), unit.into()]);
    let Err(refused) = run(&systemctl("reload"), env, timeout).await else { return Ok(Activation::Done) };
    // `is-active` says what it is on stdout and exits non-zero unless it is active.
    match run(&systemctl("is-active"), env, timeout).await {
        Err(state) if matches!(state.output.trim(), "inactive" | "failed") => {
            Ok(Activation::NotRunning(format!("{unit} is {}", state.output.trim())))
        }
        _ => Err(refused.message),
    }
}

fn send(signal: Signal, pid_file: &Path) -> Result<Activation, String> {
    let told = |what: String| format!("{} {what}", pid_file.display());
    let text = match read_pid_file(pid_file) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Activation::NotRunning(told("does not exist".into()))),
        Err(e) => return Err(told(format!("cannot be read: {e}"))),
    };
    // 0 and 1 would be this process's group and init.
    let pid = text.trim().parse().ok().filter(|pid| *pid > 1).and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| told(format!("holds no process id but \"{}\"", printable(&text))))?;
    match kill_process(pid, signal) {
        Ok(()) => Ok(Activation::Done),
        Err(rustix::io::Errno::SRCH) => Ok(Activation::NotRunning(told(format!("names process {}, which is gone", text.trim())))),
        Err(e) => Err(told(format!("names process {}, which cannot be signalled: {e}", text.trim()))),
    }
}

fn read_pid_file(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(PID_FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests;
