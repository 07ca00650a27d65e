//! Log lines on stderr: plain for people, JSON for machines, with the same field names (`event`, `cert`, `attempt`, …).

use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, LogLevel, LogSettings};

struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{:.3}", certfleet_core::time::Timestamp::now())
    }
}

/// Starts logging; the second call of a process changes nothing. Crates that are not ours speak from `warn` on.
pub fn start(settings: LogSettings) {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_timer(Utc).with_target(false);
    let targets = Targets::new().with_default(LevelFilter::WARN).with_target("certfleet", level(settings.level));
    let registry = tracing_subscriber::registry().with(targets);
    let _ = match settings.format {
        LogFormat::Plain => registry.with(lines.with_ansi(std::io::stderr().is_terminal())).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
