//! What is wrong with a configuration, and how it is shown: file, line, column, a marker under the place, and what to do.
//!
//! Always holds: an error owns the text it shows, so it outlives the files; literal secrets are masked in that text.
//!
//! Deliberately not here: colours and widths; whoever prints chooses a [`miette`] handler.

use std::fmt;
use std::path::Path;

use miette::{Diagnostic, LabeledSpan, NamedSource, Severity, SourceCode};

use super::source::{Place, Sources};

/// A fault as it is found: places are numbers still. Becomes a [`ConfigError`] once the files are at hand.
#[derive(Debug, Clone)]
pub(crate) struct Fault(pub(crate) Box<FaultParts>);

#[derive(Debug, Clone, Default)]
pub(crate) struct FaultParts {
    pub(crate) message: String,
    pub(crate) place: Option<Place>,
    pub(crate) label: Option<String>,
    pub(crate) also: Vec<(Place, String)>,
    pub(crate) help: Option<String>,
    /// An unknown key whose place is to be looked up in the table that refused it.
    pub(crate) unknown_key: Option<String>,
    /// The message does not name its key yet.
    pub(crate) is_bare: bool,
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(Box::new(FaultParts { message: message.into(), ..FaultParts::default() }))
    }

    pub(crate) fn at(place: Place, message: impl Into<String>) -> Self {
        let mut fault = Self::new(message);
        fault.0.place = Some(place);
        fault
    }

    /// Known from the design, and built later.
    pub(crate) fn not_in_this_version(place: Place, what: &str, help: impl Into<String>) -> Self {
        Self::at(place, format!("{what} is not in this version")).label("not in this version").help(help)
    }

    /// The words under the marker; `here` without them.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.0.label = Some(label.into());
        self
    }

    pub(crate) fn also(mut self, place: Place, label: impl Into<String>) -> Self {
        self.0.also.push((place, label.into()));
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Gives it a place if it has none.
    pub(crate) fn or_at(mut self, place: Place) -> Self {
        self.0.place.get_or_insert(place);
        self
    }

    pub(crate) fn into_error(self, sources: &Sources) -> ConfigError {
        ConfigError::build(*self.0, sources, Severity::Error)
    }

    pub(crate) fn into_warning(self, sources: &Sources) -> ConfigError {
        ConfigError::build(*self.0, sources, Severity::Warning)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Fault {}

/// What is wrong with a configuration. Its `Display` is the message alone; [`miette`] shows the place and the remedy, [`Self::one_line`] is for
/// logs. With [`Severity::Warning`] it is one of [`super::Configuration::warnings`].
pub struct ConfigError(Box<Shown>);

struct Shown {
    message: String,
    help: Option<String>,
    severity: Severity,
    source: Option<NamedSource<std::sync::Arc<str>>>,
    file: String,
    position: Option<(usize, usize)>,
    labels: Vec<LabeledSpan>,
    elsewhere: Vec<ConfigError>,
}

impl ConfigError {
    /// About a file as a whole: unreadable, too large, missing.
    pub(crate) fn about_file(path: &Path, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self(Box::new(Shown {
            message: message.into(),
            help: Some(help.into()),
            severity: Severity::Error,
            source: None,
            file: path.display().to_string(),
            position: None,
            labels: Vec::new(),
            elsewhere: Vec::new(),
        }))
    }

    fn build(parts: FaultParts, sources: &Sources, severity: Severity) -> Self {
        let file = parts.place.map_or(0, |place| place.file);
        let found = sources.get(file);
        let (here, elsewhere): (Vec<_>, Vec<_>) = parts.also.into_iter().partition(|(place, _)| place.file == file);
        let mut labels = Vec::new();
        if let Some(place) = parts.place {
            labels.push(label(place, parts.label.unwrap_or_else(|| "here".to_owned()), true));
        }
        labels.extend(here.into_iter().map(|(place, text)| label(place, text, false)));
        let elsewhere = elsewhere.into_iter().map(|(place, text)| Self::build(note(place, text), sources, Severity::Advice)).collect();
        Self(Box::new(Shown {
            message: parts.message,
            help: parts.help,
            severity,
            position: parts.place.zip(found).map(|(place, file)| file.position(place.start as usize)),
            file: found.map(|file| file.path.display().to_string()).unwrap_or_default(),
            source: parts.place.zip(found).map(|(_, file)| NamedSource::new(file.path.display().to_string(), file.shown())),
            labels,
            elsewhere,
        }))
    }

    /// File, line and column (from 1) of the marker.
    pub fn place(&self) -> (&str, Option<(usize, usize)>) {
        (&self.0.file, self.0.position)
    }

    /// Everything but the marked text, on one line: `file:line:column: message (what to do)`.
    pub fn one_line(&self) -> String {
        let place = match self.0.position {
            Some((line, column)) => format!("{}:{line}:{column}", self.0.file),
            None => self.0.file.clone(),
        };
        let help = self.0.help.as_deref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{place}: {}{help}", self.0.message)
    }
}

fn label(place: Place, text: String, primary: bool) -> LabeledSpan {
    let span = (place.start as usize, (place.end - place.start) as usize);
    if primary { LabeledSpan::new_primary_with_span(Some(text), span) } else { LabeledSpan::new_with_span(Some(text), span) }
}

fn note(place: Place, text: String) -> FaultParts {
    FaultParts { message: text, place: Some(place), ..FaultParts::default() }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.one_line())
    }
}

impl std::error::Error for ConfigError {}

impl Diagnostic for ConfigError {
    fn severity(&self) -> Option<Severity> {
        Some(self.0.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        (!self.0.labels.is_empty()).then(|| Box::new(self.0.labels.iter().cloned()) as Box<dyn Iterator<Item = LabeledSpan>>)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        let related = self.0.elsewhere.iter().map(|other| other as &dyn Diagnostic);
        (!self.0.elsewhere.is_empty()).then(|| Box::new(related) as Box<dyn Iterator<Item = &dyn Diagnostic>>)
    }
}
