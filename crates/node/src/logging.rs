//! Log lines on stderr: plain for people, JSON for machines, with the same field names (`event`, `cert`, `attempt`, `node`, …).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::config::{LogFormat, LogSettings};

struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{:.3}", certfleet_core::time::Timestamp::now())
    }
}

/// Starts logging; the second call of a process changes nothing.
pub fn start(settings: LogSettings) {
    let filter = EnvFilter::new(format!(
        "warn,certfleet={0},certfleet_node={0},certfleet_edge={0},certfleet_store={0},certfleet_acme={0},certfleet_deploy={0}",
        settings.level.as_str()
    ));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_timer(Utc).with_target(false);
    let _ = match settings.format {
        LogFormat::Plain => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
