//! `check` and `reload` as the configuration writes them.

use std::fmt;
use std::path::PathBuf;

use rustix::process::Signal;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Most words of an argv list.
const ARGV_WORDS_MAX: usize = 256;

/// What to run: an argv list (no shell), a systemd unit to reload, a signal to the process of a pid file, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `"none"`.
    None,
    /// `["/usr/local/bin/hook", "…"]`; never empty.
    Argv(Vec<String>),
    /// `{ unit = "nginx.service" }`: `systemctl reload`.
    Unit(String),
    /// `{ signal = "HUP", pid_file = "/run/x.pid" }`.
    Signal {
        /// Which signal.
        signal: SignalName,
        /// Where the process id stands.
        pid_file: PathBuf,
    },
}

/// A signal that a server may take as "read your files again".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalName(pub(crate) Signal);

impl<'de> Deserialize<'de> for SignalName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.strip_prefix("SIG").unwrap_or(&text) {
            "HUP" => Ok(Self(Signal::HUP)),
            "USR1" => Ok(Self(Signal::USR1)),
            "USR2" => Ok(Self(Signal::USR2)),
            "WINCH" => Ok(Self(Signal::WINCH)),
            _ => Err(D::Error::custom(format!("signal `{text}`: one of HUP, USR1, USR2, WINCH is wanted"))),
        }
    }
}

/// The table form; which fields go together is seen to below.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    unit: Option<String>,
    signal: Option<SignalName>,
    pid_file: Option<PathBuf>,
}

struct Forms;

impl<'de> Visitor<'de> for Forms {
    type Value = Command;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an argv list, { unit = \"…\" }, { signal = \"HUP\", pid_file = \"…\" } or \"none\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Command, E> {
        match text {
            "none" => Ok(Command::None),
            _ => Err(E::custom(format!("`{text}`: a command is a list, [\"program\", \"argument\"]; the only word is \"none\""))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Command, A::Error> {
        let argv = Vec::<String>::deserialize(SeqAccessDeserializer::new(list))?;
        if argv.first().is_none_or(String::is_empty) || argv.len() > ARGV_WORDS_MAX || argv.iter().any(|word| word.contains('\0')) {
            return Err(A::Error::custom(format!(
                "a command is a program and at most {ARGV_WORDS_MAX} words in all; \"none\" for nothing"
            )));
        }
        Ok(Command::Argv(argv))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Command, A::Error> {
        let table = Table::deserialize(MapAccessDeserializer::new(map))?;
        match (table.unit, table.signal, table.pid_file) {
            (Some(unit), None, None) if !unit.is_empty() && !unit.starts_with('-') => Ok(Command::Unit(unit)),
            (None, Some(signal), Some(pid_file)) => Ok(Command::Signal { signal, pid_file }),
            _ => Err(A::Error::custom("either `unit`, or both `signal` and `pid_file` are wanted")),
        }
    }
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Forms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Command, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn all_forms_are_read() {
        assert_eq!(read(r#""none""#), Ok(Command::None));
        assert_eq!(read(r#"["a", "b"]"#), Ok(Command::Argv(vec!["a".into(), "b".into()])));
        assert_eq!(read(r#"{"unit": "nginx.service"}"#), Ok(Command::Unit("nginx.service".into())));
        let signal = Command::Signal { signal: SignalName(Signal::HUP), pid_file: "/run/x".into() };
        assert_eq!(read(r#"{"signal": "SIGHUP", "pid_file": "/run/x"}"#), Ok(signal));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in
            [r#""nginx -t""#, "[]", r#"[""]"#, r#"{"unit": "a", "signal": "HUP"}"#, r#"{"signal": "HUP"}"#, r#"{"unit": "--now"}"#, "{}"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read(r#"{"unti": "a"}"#).expect_err("a typing error").contains("expected one of `unit`, `signal`, `pid_file`"));
        assert!(read(r#"{"signal": "KILL", "pid_file": "/x"}"#).expect_err("not a reload").contains("KILL"));
    }
}
