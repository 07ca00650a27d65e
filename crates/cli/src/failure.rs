//! How a command ends when it does not end well: two lines on stderr and an exit code.

use std::io::IsTerminal;
use std::process::ExitCode;

use certfleet_node::config::ConfigError;
use certfleet_node::operator::OperatorError;
use certfleet_node::refusal::Refusal;
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};

use crate::out;

/// Exit code: it could not be done.
const NOT_DONE: u8 = 1;
/// Exit code: wrong usage or configuration.
const WRONG: u8 = 2;
/// How wide a report is where there is no terminal, in columns.
const REPORT_COLUMNS: usize = 100;

/// Why a command ends early.
#[derive(Debug)]
pub enum Failure {
    /// It could not be done.
    Refused(Refusal),
    /// The configuration is wrong.
    Config(Box<ConfigError>),
    /// The configuration does not fit this machine, or the arguments do not fit each other.
    Wrong(Refusal),
    /// `--exit-code`: what was asked for was shown, and it is not well.
    NotWell,
    /// Whoever read stdout has seen enough: no failure at all.
    ReaderGone,
}

impl Failure {
    /// It could not be done: what happened, and what to do.
    pub fn refused(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Refused(Refusal::new(what, remedy))
    }

    /// What happened, on one line.
    pub fn line(&self) -> String {
        match self {
            Self::Refused(refusal) | Self::Wrong(refusal) => refusal.to_string(),
            Self::Config(error) => error.one_line(),
            Self::NotWell | Self::ReaderGone => String::new(),
        }
    }

    /// Says it, and gives the exit code.
    pub fn tell(&self) -> ExitCode {
        match self {
            Self::Refused(refusal) => tell_refusal(refusal, NOT_DONE),
            Self::Wrong(refusal) => tell_refusal(refusal, WRONG),
            Self::Config(error) => {
                out::talk(&format!("certfleet: the configuration is wrong: {}", error.place().0));
                out::talk(report(error.as_ref()).trim_matches('\n'));
                ExitCode::from(WRONG)
            }
            Self::NotWell => ExitCode::from(NOT_DONE),
            Self::ReaderGone => ExitCode::SUCCESS,
        }
    }
}

fn tell_refusal(refusal: &Refusal, code: u8) -> ExitCode {
    out::talk(&format!("certfleet: {}", refusal.what));
    out::talk(&refusal.remedy);
    ExitCode::from(code)
}

/// A diagnostic with its place marked; colours and lines only on a terminal.
pub fn report(diagnostic: &dyn Diagnostic) -> String {
    let plain = !std::io::stderr().is_terminal() || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let theme = if plain { GraphicalTheme::none() } else { GraphicalTheme::unicode() };
    let width = out::stderr_columns().map_or(REPORT_COLUMNS, usize::from);
    let handler = GraphicalReportHandler::new_themed(theme).with_width(width).with_links(false);
    let mut text = String::new();
    match handler.render_report(&mut text, diagnostic) {
        Ok(()) => text,
        Err(_) => diagnostic.to_string(),
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(Box::new(error))
    }
}

impl From<OperatorError> for Failure {
    fn from(error: OperatorError) -> Self {
        match error {
            OperatorError::Config(error) => error.into(),
            other => Self::Refused(other.in_two_lines()),
        }
    }
}
