//! Log lines on stderr: readable text or one JSON object a line.
//!
//! Standard output belongs to what a command answers and to audit events, so logs never go there.

use std::{
    io::{self, IsTerminal},
    str::FromStr,
};

use serde::Deserialize;
use thiserror::Error;
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter,
    filter::{LevelFilter, ParseError},
    fmt::MakeWriter,
    util::SubscriberInitExt,
};

use crate::config::{Collector, ConfigErrors};

/// The filter when none is given.
const DEFAULT_FILTER: &str = "info";

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people; coloured when stderr is a terminal.
    #[default]
    Text,
    /// One JSON object a line, for collectors; untrusted text cannot forge a line in it.
    Json,
}

/// The `log` section of a configuration file, as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct RawLog {
    /// `text` (default) or `json`.
    pub format: Option<String>,
    /// `info` (default), or a list such as `info,bailiwick_agent=debug`.
    pub filter: Option<String>,
}

/// A checked log configuration.
#[derive(Clone, Debug)]
pub struct LogConfig {
    format: LogFormat,
    filter: Filter,
}

/// A level filter whose every part has been checked.
#[derive(Clone, Debug)]
struct Filter(String);

/// Why logs cannot be set up as asked.
#[derive(Debug, Error)]
pub enum LogError {
    /// The format has no such name.
    #[error("`{0}` is not a log format: use `text` or `json`")]
    UnknownFormat(String),
    /// A part of the filter is neither a level nor `target=level`.
    #[error(
        "`{0}` is not a log level: use `error`, `warn`, `info`, `debug`, `trace`, `off`, or `target=level`"
    )]
    UnknownLevel(String),
    /// The filter has a part that cannot be read.
    #[error("the log filter `{filter}` cannot be read")]
    Filter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// Something else has already set up logs in this process; its setup stays.
    #[error("logs are already set up in this process")]
    AlreadySetUp,
}

impl LogConfig {
    /// A configuration from its two values: a format, and a filter such as `info` or `warn,bailiwick_wire=debug`.
    ///
    /// # Errors
    /// [`LogError`] if a part of the filter is not a level.
    pub fn new(format: LogFormat, filter: &str) -> Result<Self, LogError> {
        Ok(Self { format, filter: filter.parse()? })
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::default(), filter: Filter(DEFAULT_FILTER.to_owned()) }
    }
}

impl TryFrom<RawLog> for LogConfig {
    type Error = ConfigErrors;

    fn try_from(raw: RawLog) -> Result<Self, ConfigErrors> {
        let mut collector = Collector::new();
        let format = collector.parsed("format", raw.format.as_deref(), str::parse, LogFormat::default());
        let default_filter = Filter(DEFAULT_FILTER.to_owned());
        let filter = collector.parsed("filter", raw.filter.as_deref(), str::parse, default_filter);
        collector.finish(|| Some(Self { format: format?, filter: filter? }))
    }
}

impl FromStr for LogFormat {
    type Err = LogError;

    fn from_str(name: &str) -> Result<Self, LogError> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            unknown => Err(LogError::UnknownFormat(unknown.to_owned())),
        }
    }
}

impl FromStr for Filter {
    type Err = LogError;

    fn from_str(filter: &str) -> Result<Self, LogError> {
        for part in filter.split(',') {
            let part = part.trim();
            // The filter library reads a bare word that is no level as a target, so `inof` would silence all else;
            // and it reads nothing as `error`.
            let is_level = !part.is_empty() && part.parse::<LevelFilter>().is_ok();
            if !is_level && !part.contains('=') {
                return Err(LogError::UnknownLevel(part.to_owned()));
            }
        }
        match EnvFilter::try_new(filter) {
            Ok(_) => Ok(Self(filter.to_owned())),
            Err(source) => Err(LogError::Filter { filter: filter.to_owned(), source }),
        }
    }
}

/// Sends this process's log lines to stderr.
///
/// # Errors
/// [`LogError::AlreadySetUp`] when called again; the first setup stays.
pub fn init(config: &LogConfig) -> Result<(), LogError> {
    let colours = io::stderr().is_terminal();
    subscriber(config, colours, io::stderr)?.try_init().map_err(|_| LogError::AlreadySetUp)
}

fn subscriber<W>(
    config: &LogConfig,
    colours: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let Filter(text) = &config.filter;
    let filter =
        EnvFilter::try_new(text).map_err(|source| LogError::Filter { filter: text.clone(), source })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(colours)
        // An unwritable stderr must not end the process: reporting the failure would go to stderr, and panic.
        .log_internal_errors(false);
    Ok(match config.format {
        LogFormat::Text => Box::new(builder.finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn captured(config: &LogConfig, work: impl FnOnce()) -> String {
        let output = Captured::default();
        let writer = output.clone();
        let subscriber = subscriber(config, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, work);
        let bytes = output.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_is_one_object_a_line_whatever_the_text() {
        let config = LogConfig::new(LogFormat::Json, "info").unwrap();
        let lines = captured(&config, || {
            tracing::info!(peer = "a\n{\"level\":\"forged\"}", "accepted");
            tracing::debug!("not shown");
        });
        assert_eq!(lines.lines().count(), 1, "{lines}");
        let line: serde_json::Value = serde_json::from_str(&lines).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "accepted");
        assert_eq!(line["peer"], "a\n{\"level\":\"forged\"}");
    }

    #[test]
    fn text_follows_the_filter_by_target() {
        let config = LogConfig::new(LogFormat::Text, "warn,chatty=debug").unwrap();
        let lines = captured(&config, || {
            tracing::info!("hidden");
            tracing::debug!(target: "chatty", "shown");
        });
        assert!(lines.contains("DEBUG chatty: shown") && !lines.contains("hidden"), "{lines}");
        assert!(!lines.contains('\u{1b}'), "no colour codes outside a terminal");
    }

    #[test]
    fn a_misspelt_level_is_an_error_and_not_a_silent_log() {
        let mistakes = RawLog { format: Some("xml".into()), filter: Some("info,inof".into()) };
        let message = LogConfig::try_from(mistakes).unwrap_err().to_string();
        assert!(message.contains("format: `xml` is not a log format"), "{message}");
        assert!(message.contains("filter: `inof` is not a log level"), "{message}");
        assert!(LogConfig::new(LogFormat::Text, "a=b=c").is_err());
        assert!(LogConfig::new(LogFormat::Text, "").is_err());
        assert!(LogConfig::try_from(RawLog::default()).is_ok());
    }

    #[test]
    fn a_second_setup_is_refused_without_a_panic() {
        let config = LogConfig::new(LogFormat::Text, "off").unwrap();
        let first = init(&config);
        assert!(first.is_ok(), "{first:?}");
        assert!(matches!(init(&config), Err(LogError::AlreadySetUp)));
    }
}
